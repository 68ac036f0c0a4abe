//! Where the database is, and the connections to it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime, Timeouts};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;
use zeroize::Zeroizing;

use super::OpenError;
use super::errors::{Error, tell};
use super::session::Session;
use crate::store::StoreError;
use crate::tls_provider;

/// To one server; the next of several is tried then.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a read waits for a connection, made or given back.
const WAIT_TIMEOUT: Duration = Duration::from_secs(5);

/// A peer that acknowledges nothing for so long is taken for dead.
const PEER_TIMEOUT: Duration = Duration::from_secs(10);

/// Those who may wait for a connection; one more is refused at once.
const WAITING_MAX: usize = 4_096;

/// What every connection begins with. A statement that takes longer than a list may is broken off. Plans are made for
/// the tables as they are, and not as they were when the first was made.
const SESSION_SETTINGS: &str = "SET statement_timeout = '20s'; SET idle_in_transaction_session_timeout = '15s';
    SET client_min_messages = 'warning'; SET client_connection_check_interval = '2s'; SET jit = off;
    SET plan_cache_mode = force_custom_plan";

/// And those that commit enrollments: to plan their statement takes as long as to run it for twenty devices.
const COMMIT_SETTINGS: &str = "SET statement_timeout = '5s'; SET idle_in_transaction_session_timeout = '10s';
    SET client_min_messages = 'warning'; SET client_connection_check_interval = '2s'; SET lock_timeout = '2s';
    SET jit = off; SET plan_cache_mode = force_generic_plan;
    SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off";

/// Which database, and how.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresSettings {
    /// `postgres://USER:PASSWORD@HOST[,HOST…]/DATABASE?…`, as tokio-postgres takes it.
    pub url: Zeroizing<String>,
    /// PEM: whose certificates the servers show. `None`: the system's.
    pub ca_file: Option<PathBuf>,
    /// Most connections for reads and changes; those that commit enrollments come on top, a fourth of these.
    pub connections_max: usize,
}

/// Without the address, which may hold a password.
impl fmt::Debug for PostgresSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url: _, ca_file, connections_max } = self;
        f.debug_struct("PostgresSettings")
            .field("ca_file", ca_file)
            .field("connections_max", connections_max)
            .finish_non_exhaustive()
    }
}

/// Connections for reads and changes, and apart from them those for enrollments, so that neither waits for the other.
pub(super) struct Connections {
    general: Pool,
    commits: Pool,
    waiting: AtomicUsize,
}

impl Connections {
    /// Connects to nothing yet.
    pub(super) fn new(settings: &PostgresSettings) -> Result<Self, OpenError> {
        let target = Target::new(settings)?;
        Ok(Self {
            general: target.pool(settings.connections_max, SESSION_SETTINGS)?,
            commits: target.pool(commits_max(settings.connections_max), COMMIT_SETTINGS)?,
            waiting: AtomicUsize::new(0),
        })
    }

    pub(super) async fn get(&self) -> Result<Session, StoreError> {
        let waiting = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waits = Waits(&self.waiting);
        if waiting >= WAITING_MAX {
            return Err(StoreError::Overloaded { waiting });
        }
        Ok(Session::new(self.general.get().await.map_err(|error| unreachable(&error))?))
    }

    /// For a batch of enrollments.
    pub(super) async fn get_to_commit(&self) -> Result<Session, Error> {
        Ok(Session::new(self.commits.get().await.map_err(|error| unreachable(&error))?))
    }

    /// Batches of how many customers may be under way at once.
    pub(super) fn commits_max(&self) -> usize {
        self.commits.status().max_size
    }

    pub(super) fn is_closed(&self) -> bool {
        self.general.is_closed()
    }

    pub(super) fn close(&self) {
        self.general.close();
        self.commits.close();
    }
}

fn commits_max(connections_max: usize) -> usize {
    connections_max.div_ceil(4)
}

struct Waits<'a>(&'a AtomicUsize);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn unreachable(error: &PoolError) -> Error {
    Error::Unreachable(match error {
        PoolError::Backend(error) => tell(error),
        PoolError::Timeout(_) => format!("no connection to the database within {} s", WAIT_TIMEOUT.as_secs()),
        PoolError::Closed => "it was closed".to_owned(),
        PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => error.to_string(),
    })
}

/// The servers and the TLS that they are spoken to with.
struct Target {
    config: tokio_postgres::Config,
    tls: MakeRustlsConnect,
}

impl Target {
    fn new(settings: &PostgresSettings) -> Result<Self, OpenError> {
        // What is wrong with it is told without it: it may hold a password.
        let address = |reason: String| OpenError::Address { reason };
        let parsed = tokio_postgres::Config::from_str(&settings.url);
        let mut config = parsed.map_err(|error| address(error.to_string()))?;
        if config.get_hosts().is_empty() {
            return Err(address("it names no host".to_owned()));
        }
        // Writes go to the one server that takes them, whichever of the hosts that is at the time.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite).connect_timeout(CONNECT_TIMEOUT);
        config.keepalives_idle(PEER_TIMEOUT).keepalives_interval(PEER_TIMEOUT / 5).keepalives_retries(3);
        config.tcp_user_timeout(PEER_TIMEOUT);
        if config.get_application_name().is_none() {
            config.application_name("muster");
        }
        if config.get_ssl_mode() == SslMode::Prefer && !is_this_machine(&config) {
            config.ssl_mode(SslMode::Require);
        }
        Ok(Self { config, tls: MakeRustlsConnect::new(tls(settings)?) })
    }

    fn pool(&self, size: usize, session_settings: &'static str) -> Result<Pool, OpenError> {
        let manager = Manager::from_config(
            self.config.clone(),
            self.tls.clone(),
            ManagerConfig { recycling_method: RecyclingMethod::Fast },
        );
        let timeouts = Timeouts { wait: Some(WAIT_TIMEOUT), create: Some(WAIT_TIMEOUT), recycle: Some(WAIT_TIMEOUT) };
        Pool::builder(manager)
            .max_size(size)
            .timeouts(timeouts)
            .runtime(Runtime::Tokio1)
            .post_create(Hook::async_fn(move |client, _| {
                Box::pin(async move {
                    let settled = tokio::time::timeout(CONNECT_TIMEOUT, client.batch_execute(session_settings)).await;
                    settled.map_err(|_| HookError::message("the database does not answer"))?.map_err(HookError::Backend)
                })
            }))
            .build()
            .map_err(|error| OpenError::Address { reason: error.to_string() })
    }
}

/// Whether nobody in between could listen.
fn is_this_machine(config: &tokio_postgres::Config) -> bool {
    let is_here = |host: &Host| match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    };
    config.get_hosts().iter().all(is_here) && config.get_hostaddrs().iter().all(std::net::IpAddr::is_loopback)
}

/// The server's certificate is verified, its name too.
fn tls(settings: &PostgresSettings) -> Result<ClientConfig, OpenError> {
    let mut roots = RootCertStore::empty();
    match &settings.ca_file {
        Some(path) => {
            let unreadable = |reason: String| OpenError::CaFile { path: path.clone(), reason };
            for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unreadable(error.to_string()))? {
                let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
                roots.add(certificate).map_err(|error| unreadable(error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(unreadable("no certificate in it".to_owned()));
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let config = ClientConfig::builder_with_provider(tls_provider::provider()).with_safe_default_protocol_versions();
    let config = config.map_err(|error| OpenError::Address { reason: error.to_string() })?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
