//! The running service: constructors in order, three listeners, the tasks beside them, reload, drain.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, Notify, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::adapters::{AnnounceToNode, CountRefusals, ObserveCommits};
use super::backup::LastBackup;
use super::descriptors::{connections_of_devices, make_table, raise_limit};
use super::endpoint::{Endpoint, Names};
use super::first_start::{Beginning, Opened, open};
use super::followed_master_keys::FollowedMasterKeys;
use super::health::NodeHealth;
use super::reminders::Reminders;
use super::sockets::{PassedSockets, Place};
use super::tls_trust::TlsTrust;
use super::watched_files::Watched;
use super::{AppError, EndpointError, webhooks};
use crate::clock::{Clock, DAY, SystemClock};
use crate::config::{AdminSettings, EnrollSettings, Settings};
use crate::domain::audit::AuditKey;
use crate::enrollment::{
    CrlParts, CrlPublisher, Directory, EnrollmentParts, EnrollmentService, RefusalTallies, StoreClock,
};
use crate::index::KeyIndex;
use crate::management::first_start::ServiceSecrets;
use crate::management::peppers::{move_digests, retire_if_unused};
use crate::management::reseal::reseal;
use crate::management::{self, Management, Which};
use crate::metrics::{Door, Metrics};
use crate::secret::master::MasterKeys;
use crate::secret::pepper::Peppers;
use crate::secret::random_bytes;
use crate::server::admin::AdminDoor;
use crate::server::api::Api;
use crate::server::enroll::{self, EnrollDoor, EnrollLimits};
use crate::server::health::HealthSource;
use crate::server::http::Handler;
use crate::server::http::failures::FailureRate;
use crate::server::listener::{Limits, Listener, Service, Transport};
use crate::server::ops::OpsDoor;
use crate::server::portal::{self, Portal};
use crate::server::tls::{ClientCertificates, server_config};
use crate::store::embedded::DirectoryLock;
use crate::store::{Remark, Store};
use crate::webhooks::{Parts as WebhookParts, Webhooks};

/// How often counted refusals are handed to the store.
const REFUSALS_EVERY: Duration = Duration::from_secs(5);

/// How often failed sign-ins of administrators are handed to the audit log, when there are any.
const FAILED_SIGN_INS_EVERY: Duration = Duration::from_secs(60);

/// How often the node looks whether the store's change feed has gone on without it (another node's
/// changes, and our own whose announcement failed), and at the store's clock.
const FOLLOWED_EVERY: Duration = Duration::from_secs(1);

/// How often files are looked at that others may have written.
const FILES_EVERY: Duration = Duration::from_secs(1);

/// How often keys are moved to a newer pepper that were presented, when there are any.
const PRESENTED_KEYS_EVERY: Duration = Duration::from_secs(1);

/// How often it is looked whether digests are to move to a newer pepper, or the older one can go.
const PEPPERS_EVERY: Duration = Duration::from_secs(1);

/// How long at most it is not looked whether there are key strings to digest anew, when there were none.
const PEPPERS_PAUSE_MAX: Duration = Duration::from_secs(600);

/// When sealing anew broke off.
const RESEAL_AGAIN: Duration = Duration::from_secs(30);

/// How often it is looked whether a CRL is due.
const CRLS_EVERY: Duration = Duration::from_secs(1);

/// How long a start waits for CRLs that are due: those that ended while the service was down are not to be shown.
const FIRST_CRLS_PATIENCE: Duration = Duration::from_secs(10);

/// How often the store lets go of what has had its time. Answers that hold a secret are kept for
/// minutes, so this is of that order.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// How often it is looked whether one of our own TLS certificates is due.
const RENEWAL_EVERY: Duration = Duration::from_secs(3_600);

/// How often components are cleaned up whose certificate ended long ago; first after a part of this
/// that differs from node to node.
const CLEAN_UP_EVERY: Duration = Duration::from_secs(3_600);

/// How often it is looked which certificates end soon; at the start, too.
const REMINDERS_EVERY: Duration = DAY;

/// Of a connection to the enrollment listener: a device has one request to make. What it may keep
/// waiting for its answer is a fraction of this.
const ENROLL_CONNECTION_LIFETIME: Duration = Duration::from_secs(60);

/// Where the listeners accept, with the ports that were taken.
#[derive(Clone, Debug)]
pub struct Addresses {
    pub enroll: SocketAddr,
    pub admin: SocketAddr,
    /// `None` when the metrics listener is off.
    pub metrics: Option<SocketAddr>,
}

/// A service that accepts on all its listeners. Dropping it without [`Self::stop`] drops what is
/// under way.
pub struct Running {
    addresses: Addresses,
    stop: watch::Sender<bool>,
    listeners: JoinSet<()>,
    tasks: Vec<JoinHandle<()>>,
    node: Arc<Node>,
    management: Arc<Management>,
    data_directory: Option<DirectoryLock>,
}

/// A listener whose new certificate cannot be used; it shows the old one still.
#[derive(Debug, thiserror::Error)]
#[error("the {listener} listener keeps its TLS certificate: {source}")]
pub struct ReloadError {
    pub listener: &'static str,
    pub source: EndpointError,
}

/// What reload and the tasks need to reach.
struct Node {
    store: Arc<dyn Store>,
    directory: Arc<Directory>,
    clock: Arc<dyn Clock>,
    store_clock: Arc<StoreClock>,
    refusals: Arc<RefusalTallies>,
    tls: Arc<TlsTrust>,
    enroll_limits: Arc<ArcSwap<EnrollLimits>>,
    enroll_connections: Arc<ArcSwap<Limits>>,
    admin_connections: Arc<ArcSwap<Limits>>,
    /// That the process may have.
    descriptors: usize,
    /// Of the store, as it was opened.
    queue_max: usize,
    last_backup: std::sync::Mutex<Watched>,
    data_dir: PathBuf,
    followed_master_keys: FollowedMasterKeys,
    master_keys: Arc<MasterKeys>,
    metrics: Arc<Metrics>,
    /// Something may be sealed by another master key than the first.
    reseal_due: Notify,
}

/// Opens the store (first start if it is empty), fills the node's memory, binds the listeners that are not among
/// `sockets` and accepts. Returns once all of them do.
///
/// # Errors
/// [`AppError`]: nothing is left running.
pub async fn start(settings: Settings, sockets: PassedSockets) -> Result<(Running, Beginning), AppError> {
    let enroll_place = sockets.enroll.unwrap_or(Place::Address(settings.enroll.listen));
    let admin_place = sockets.admin.unwrap_or(Place::Address(settings.admin.listen));
    let ops_place = sockets.metrics.or(settings.metrics.listen.map(Place::Address));
    let descriptors = raise_limit();
    make_table(&settings, descriptors);
    let webhook_trust = webhooks::trust(settings.webhooks.ca_file.as_deref())?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let metrics = Arc::new(Metrics::new());
    let observer = Arc::new(ObserveCommits(Arc::clone(&metrics)));
    let master_key_file = FollowedMasterKeys::look(&settings);
    let Opened { store, directory: data_directory, ids, master_keys, secrets, cloud, profile, beginning } =
        open(&settings, Arc::clone(&clock), observer).await?;
    log_remarks(&*store).await?;
    let ServiceSecrets { peppers, token_key, audit_key, endpoint_anchor } = secrets;
    let audit_key_of_tasks = audit_key.share();
    let audit_key_of_rotation = audit_key.share();
    let peppers = Arc::new(peppers);

    let index = Arc::new(KeyIndex::new(Arc::clone(&peppers)));
    let directory =
        Directory::load(Arc::clone(&store), Arc::clone(&master_keys), Arc::clone(&index), Arc::clone(&metrics)).await?;
    let store_clock = Arc::new(StoreClock::new(Arc::clone(&clock), Arc::clone(&metrics)));
    store_clock.measure(store.now()).await?;

    let mut crl_publisher = CrlPublisher::new(CrlParts {
        store: Arc::clone(&store),
        clock: Arc::clone(&clock),
        store_clock: Arc::clone(&store_clock),
        directory: Arc::clone(&directory),
        metrics: Arc::clone(&metrics),
        lifetime: settings.certificates.crl_lifetime,
    });
    let crls = crl_publisher.crls();
    // What is not done by then is done behind the start.
    let _ = tokio::time::timeout(FIRST_CRLS_PATIENCE, crl_publisher.look()).await;

    let anchor = Arc::new(endpoint_anchor);
    let endpoint =
        |tls, listen: SocketAddr| Endpoint::new(tls, Arc::clone(&anchor), Names::new(&cloud, listen.ip()), clock.now());
    let enroll_endpoint = endpoint(settings.enroll.tls.as_ref(), enroll_place.address())?;
    let admin_endpoint = endpoint(settings.admin.tls.as_ref(), admin_place.address())?;
    let tls_trust = Arc::new(TlsTrust {
        store: Arc::clone(&store),
        master_keys: Arc::clone(&master_keys),
        directory: Arc::clone(&directory),
        clock: Arc::clone(&clock),
        metrics: Arc::clone(&metrics),
        data_dir: settings.data_dir.clone(),
        pin: Arc::new(ArcSwap::from_pointee(enroll_endpoint.pin())),
        server_anchors: Arc::default(),
        enroll: enroll_endpoint,
        admin: admin_endpoint,
        anchor: ArcSwap::new(anchor),
        followed: Mutex::default(),
    });
    tls_trust.publish();
    let node = Arc::new(Node {
        store: Arc::clone(&store),
        directory: Arc::clone(&directory),
        clock: Arc::clone(&clock),
        store_clock: Arc::clone(&store_clock),
        refusals: Arc::default(),
        tls: Arc::clone(&tls_trust),
        enroll_limits: Arc::new(ArcSwap::from_pointee(enroll_limits(&settings.enroll, settings.store.queue_max))),
        enroll_connections: Arc::new(ArcSwap::from_pointee(enroll_connections(&settings, descriptors))),
        admin_connections: Arc::new(ArcSwap::from_pointee(admin_connections(&settings.admin))),
        descriptors,
        queue_max: settings.store.queue_max,
        last_backup: std::sync::Mutex::default(),
        data_dir: settings.data_dir.clone(),
        followed_master_keys: FollowedMasterKeys::new(
            &settings,
            master_key_file,
            Arc::clone(&store),
            Arc::clone(&master_keys),
        ),
        master_keys: Arc::clone(&master_keys),
        metrics: Arc::clone(&metrics),
        reseal_due: Notify::new(),
    });
    node.reseal_due.notify_one();

    let enroller = EnrollmentService::new(EnrollmentParts {
        store: Arc::<dyn Store>::clone(&store),
        clock: Arc::clone(&clock),
        store_clock: Arc::clone(&store_clock),
        index: Arc::clone(&index),
        directory: Arc::clone(&directory),
        ids: Arc::clone(&ids),
        profile: Arc::clone(&profile),
        metrics: Arc::clone(&metrics),
    });
    let enroll_door: Arc<dyn Handler> = Arc::new(EnrollDoor::new(enroll::Parts {
        enroller: Arc::new(enroller),
        server_trust_anchors: Arc::clone(&tls_trust.server_anchors),
        customer_trust_anchors: Arc::<Directory>::clone(&directory),
        crls,
        refusals: Arc::new(CountRefusals { tallies: Arc::clone(&node.refusals), clock: Arc::clone(&clock) }),
        limits: Arc::clone(&node.enroll_limits),
        clock: Arc::clone(&clock),
        metrics: Arc::clone(&metrics),
    }));
    let cloud = Arc::new(ArcSwap::from_pointee(cloud));
    let management = Arc::new(Management::new(management::Parts {
        store: Arc::clone(&store),
        ids: Arc::clone(&ids),
        clock: Arc::clone(&clock),
        announce: Arc::new(AnnounceToNode { directory: Arc::clone(&directory), tls: Arc::clone(&tls_trust) }),
        master_keys: Arc::clone(&master_keys),
        audit_key: Arc::new(audit_key),
        peppers: Arc::clone(&peppers),
        token_key: Arc::new(token_key),
        cloud: Arc::clone(&cloud),
        trust_pin: Arc::clone(&tls_trust.pin),
        profile,
        component_lifetime_seconds: settings.certificates.lifetime_seconds(),
        webhook_destinations: settings.webhooks.destinations.clone(),
    }));
    let webhooks_of_node = Arc::new(Webhooks::new(WebhookParts {
        store: Arc::clone(&store),
        ids,
        clock: Arc::clone(&clock),
        master_keys,
        metrics: Arc::clone(&metrics),
        management: Arc::clone(&management),
        destinations: settings.webhooks.destinations.clone(),
        trust: webhook_trust,
    }));
    let health: Arc<dyn HealthSource> = Arc::new(NodeHealth {
        store,
        engine: settings.store.engine.as_str(),
        directory,
        clock: Arc::clone(&clock),
        store_clock,
        metrics: Arc::clone(&metrics),
        tls: Arc::clone(&tls_trust),
        last_probe: Mutex::default(),
    });
    let portal = Portal::new(portal::Parts {
        management: Arc::clone(&management),
        clock: Arc::clone(&clock),
        cloud: Arc::clone(&cloud),
        health: Arc::clone(&health),
    });
    let admin_door: Arc<dyn Handler> = Arc::new(AdminDoor { portal, api: Api::new(Arc::clone(&management)) });
    let ops_door: Arc<dyn Handler> = Arc::new(OpsDoor::new(Arc::clone(&metrics), health));

    let tls = |endpoint: &Endpoint, client_certificates| {
        server_config(endpoint.slot(), client_certificates).map(Transport::Tls).map_err(AppError::Tls)
    };
    let enroll = enroll_place.listen()?;
    let admin = admin_place.listen()?;
    let ops = ops_place.map(Place::listen).transpose()?;
    if let Some(address) = ops.as_ref().map(Listener::local_addr).filter(|address| !address.ip().is_loopback()) {
        tracing::warn!(%address, "metrics are served without TLS and without asking who it is, beyond this machine");
    }
    let addresses = Addresses {
        enroll: enroll.local_addr(),
        admin: admin.local_addr(),
        metrics: ops.as_ref().map(Listener::local_addr),
    };
    let mut doors = vec![
        (
            enroll,
            Service {
                door: Door::Enroll,
                transport: tls(&tls_trust.enroll, ClientCertificates::Asked)?,
                handler: enroll_door,
                limits: Arc::clone(&node.enroll_connections),
                metrics: Arc::clone(&metrics),
            },
        ),
        (
            admin,
            Service {
                door: Door::Admin,
                transport: tls(&tls_trust.admin, ClientCertificates::NotAsked)?,
                handler: admin_door,
                limits: Arc::clone(&node.admin_connections),
                metrics: Arc::clone(&metrics),
            },
        ),
    ];
    doors.extend(ops.map(|listener| {
        let limits = Arc::new(ArcSwap::from_pointee(Limits::default()));
        let service = Service { door: Door::Metrics, transport: Transport::Plain, handler: ops_door, limits, metrics };
        (listener, service)
    }));

    let (stop, stopped) = watch::channel(false);
    let mut listeners = JoinSet::new();
    for (listener, service) in doors {
        let mut stopped = stopped.clone();
        let drain_timeout = settings.drain_timeout;
        listeners.spawn(async move {
            let shutdown = async move {
                // An error means that the service was dropped, which is a stop as well.
                let _ = stopped.wait_for(|stop| *stop).await;
            };
            let drained = listener.serve(service, shutdown, drain_timeout).await;
            tracing::debug!(?drained, "a listener has ended");
        });
    }
    let tasks = vec![
        tokio::spawn(clean_up(Arc::clone(&management), Arc::clone(&clock), stopped)),
        tokio::spawn(publish_crls(crl_publisher)),
        tokio::spawn(every(FOLLOWED_EVERY, Arc::clone(&node), async |node| node.follow_store().await)),
        tokio::spawn(every(REFUSALS_EVERY, Arc::clone(&node), async |node| node.hand_over_refusals().await)),
        tokio::spawn(every(SWEEP_EVERY, Arc::clone(&node), async |node| node.sweep().await)),
        tokio::spawn(every(FAILED_SIGN_INS_EVERY, Arc::clone(&management), async |management| {
            write_failed_sign_ins(management, Which::Due).await;
        })),
        tokio::spawn(every(RENEWAL_EVERY, Arc::clone(&node), async |node| node.tls.renew_if_due())),
        tokio::spawn(remind(Arc::clone(&node))),
        tokio::spawn(webhooks::deliver(Arc::clone(&webhooks_of_node))),
        tokio::spawn(webhooks::look_at_components(Arc::clone(&webhooks_of_node))),
        tokio::spawn(webhooks::look_at_attention(webhooks_of_node)),
        tokio::spawn(every(FILES_EVERY, Arc::clone(&node), async |node| node.follow_files().await)),
        tokio::spawn(reseal_when_due(Arc::clone(&node), audit_key_of_tasks)),
        tokio::spawn(every(PRESENTED_KEYS_EVERY, Arc::clone(&node), async |node| node.move_presented_keys().await)),
        tokio::spawn(rotate_peppers(Arc::clone(&node), peppers, audit_key_of_rotation)),
    ];
    Ok((Running { addresses, stop, listeners, tasks, node, management, data_directory }, beginning))
}

/// Once per start: what the database leaves undone is in no answer that a device gets.
async fn log_remarks(store: &dyn Store) -> Result<(), AppError> {
    for Remark { is_grave, text } in store.list_remarks().await? {
        if is_grave {
            tracing::warn!(reason = text, "The database is not set up to keep what it confirms.");
        } else {
            tracing::info!(note = text, "Good to know of the database.");
        }
    }
    Ok(())
}

async fn every<T>(pause: Duration, whose: Arc<T>, work: impl AsyncFn(&T)) {
    loop {
        tokio::time::sleep(pause).await;
        work(&whose).await;
    }
}

async fn publish_crls(mut publisher: CrlPublisher) {
    loop {
        tokio::time::sleep(CRLS_EVERY).await;
        publisher.look().await;
    }
}

async fn write_failed_sign_ins(management: &Management, which: Which) {
    if let Err(error) = management.write_failed_sign_ins(which).await {
        tracing::warn!(%error, "Failed sign-ins of administrators could not be written down.");
    }
}

/// Says in the log which certificates end soon.
async fn remind(node: Arc<Node>) {
    let mut reminders = Reminders::default();
    loop {
        if let Err(error) = reminders.tell(&*node.store, &node.tls, node.clock.now()).await {
            tracing::warn!(%error, "It could not be looked which certificates end soon; it is tried again in a day.");
        }
        tokio::time::sleep(REMINDERS_EVERY).await;
    }
}

/// Seals by the first master key what another sealed: after the start, and whenever the keys were read anew.
async fn reseal_when_due(node: Arc<Node>, audit_key: AuditKey) {
    loop {
        node.reseal_due.notified().await;
        match reseal(&*node.store, &node.master_keys, &audit_key, &*node.clock).await {
            Ok(0) => {}
            Ok(resealed) => {
                tracing::info!(resealed, "Everything is sealed by the first master key.");
                // Once more, if other nodes were at it, too.
                tokio::time::sleep(RESEAL_AGAIN).await;
                node.reseal_due.notify_one();
            }
            Err(error) => {
                tracing::warn!(%error, "Not everything is sealed by the first master key yet; it is tried again.");
                tokio::time::sleep(RESEAL_AGAIN).await;
                node.reseal_due.notify_one();
            }
        }
    }
}

/// While there are two peppers: moves to the newer one what can be moved without being presented, and lets go of the older
/// one when nothing is under it.
async fn rotate_peppers(node: Arc<Node>, peppers: Arc<Peppers>, audit_key: AuditKey) {
    let (mut pause, mut due) = (PEPPERS_EVERY, Instant::now());
    loop {
        tokio::time::sleep(PEPPERS_EVERY).await;
        if peppers.outgoing().is_none() {
            (pause, due) = (PEPPERS_EVERY, Instant::now());
            continue;
        }
        let worked = async {
            if Instant::now() >= due {
                // After a failure, too.
                pause = (pause * 2).min(PEPPERS_PAUSE_MAX);
                due = Instant::now() + pause;
                if move_digests(&*node.store, &node.master_keys, &peppers).await? > 0 {
                    (pause, due) = (PEPPERS_EVERY, Instant::now() + PEPPERS_EVERY);
                }
            }
            if retire_if_unused(&*node.store, &peppers, &audit_key, node.clock.now()).await? {
                tracing::info!(pepper = peppers.making().0, "Everything is digested under the newest pepper.");
            }
            node.directory.refresh().await.map_err(management::Error::from)
        };
        if let Err(error) = worked.await {
            tracing::warn!(%error, "Digests could not be moved to the newest pepper; it is tried again.");
        }
    }
}

/// Until the service stops: a drain waits for no more than the transaction that is under way.
async fn clean_up(management: Arc<Management>, clock: Arc<dyn Clock>, mut stopped: watch::Receiver<bool>) {
    let work = async {
        let part = f64::from(u16::from_le_bytes(*random_bytes())) / f64::from(u16::MAX);
        let mut pause = CLEAN_UP_EVERY.mul_f64(part);
        loop {
            tokio::time::sleep(pause).await;
            pause = CLEAN_UP_EVERY;
            match management.clean_up(clock.now()).await {
                Ok(0) => {}
                Ok(deleted) => tracing::info!(deleted, "Components were deleted whose certificate ended long ago."),
                Err(error) => tracing::warn!(%error, "The clean-up of components stopped; it goes on in an hour."),
            }
        }
    };
    tokio::select! {
        () = work => {}
        // An error means that the service was dropped, which is a stop as well.
        _ = stopped.wait_for(|stop| *stop) => {}
    }
}

impl Running {
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Takes over limits and TLS files, each listener's by itself; certificates made here are made
    /// anew. Addresses, store and log are not touched. Connections that are open keep what they began with.
    ///
    /// Returns what went wrong, one for each listener at most; it shows its old certificate still.
    /// Reads files: blocks for as long as they take.
    pub fn reload(&self, settings: &Settings) -> Vec<ReloadError> {
        let node = &self.node;
        node.enroll_limits.store(Arc::new(enroll_limits(&settings.enroll, node.queue_max)));
        node.enroll_connections.store(Arc::new(enroll_connections(settings, node.descriptors)));
        node.admin_connections.store(Arc::new(admin_connections(&settings.admin)));
        let now = node.clock.now();
        let endpoints = [
            (Door::Enroll, &node.tls.enroll, settings.enroll.tls.as_ref()),
            (Door::Admin, &node.tls.admin, settings.admin.tls.as_ref()),
        ];
        let errors = endpoints.into_iter().filter_map(|(door, endpoint, files)| {
            let reloaded = endpoint.reload(files, now);
            reloaded.err().map(|source| ReloadError { listener: door.as_str(), source })
        });
        let errors = errors.collect();
        // Also when one of them failed: new keys must pin what the other shows from now on.
        node.tls.publish();
        errors
    }

    /// Stops accepting, finishes what was accepted within the drain's deadline, and closes the store.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.listeners.join_next().await.is_some() {}
        for task in &self.tasks {
            task.abort();
        }
        self.node.hand_over_refusals().await;
        self.node.move_presented_keys().await;
        write_failed_sign_ins(&self.management, Which::All).await;
        self.node.store.close().await;
        drop(self.data_directory);
    }
}

impl Node {
    async fn follow_files(&self) {
        let path = LastBackup::path(&self.data_dir);
        if self.last_backup.lock().expect("nobody panics holding it").is_changed(Some(&path))
            && let Some(last) = LastBackup::find(&self.data_dir)
        {
            self.metrics.set_last_backup(last.made_at);
        }
        if self.followed_master_keys.follow(self.directory.service_changes()).await {
            self.reseal_due.notify_one();
        }
    }

    async fn follow_store(&self) {
        let followed = async {
            self.directory.refresh().await?;
            self.tls.follow().await?;
            self.store_clock.measure(self.store.now()).await
        };
        if let Err(error) = followed.await {
            tracing::warn!(%error, "The store's changes and clock cannot be followed for the moment.");
        }
    }

    async fn move_presented_keys(&self) {
        if let Err(error) = self.directory.move_presented_keys().await {
            tracing::warn!(%error, "Keys were presented and could not be moved to the newest pepper; their next use moves them.");
        }
    }

    async fn hand_over_refusals(&self) {
        if let Err(error) = self.refusals.hand_over(&*self.store).await {
            tracing::warn!(%error, "counts of refusals were lost; the log has them one by one");
        }
    }

    async fn sweep(&self) {
        if let Err(error) = self.store.sweep().await {
            tracing::warn!(%error, "the store could not let go of what has had its time; it is tried again");
        }
    }
}

/// `queue_max`: enrollments that may wait in the store. No more are at work, so that none is signed which the store
/// then has no room for.
fn enroll_limits(settings: &EnrollSettings, queue_max: usize) -> EnrollLimits {
    EnrollLimits {
        body_timeout: settings.body_timeout,
        failures: FailureRate { per_second: settings.failures_per_second, burst: settings.failures_burst },
        in_flight_max: settings.in_flight_max.min(queue_max),
        renew_grace: settings.renew_grace,
    }
}

fn enroll_connections(settings: &Settings, descriptors: usize) -> Limits {
    let EnrollSettings { handshake_timeout, header_timeout, trusted_proxies, .. } = &settings.enroll;
    Limits {
        connections_max: connections_of_devices(settings, descriptors),
        handshake_timeout: *handshake_timeout,
        head_timeout: *header_timeout,
        lifetime: ENROLL_CONNECTION_LIFETIME,
        trusted_proxies: trusted_proxies.clone(),
        ..Limits::default()
    }
}

fn admin_connections(settings: &AdminSettings) -> Limits {
    Limits {
        connections_max: settings.connections_max,
        trusted_proxies: settings.trusted_proxies.clone(),
        ..Limits::default()
    }
}
