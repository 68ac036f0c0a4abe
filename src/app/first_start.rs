//! The first start of a store, and of a node: master key, store, and what the operator needs to go on.
//!
//! In a shared store lives all of a first start, sealed, but the master key. A further node needs that and the
//! database's address; what it leaves in its data directory is the CA that its callers trust. Of nodes that begin
//! on one empty database at the same moment one makes the first start; each of the others takes back what it
//! wrote and goes on as a further node, if it was given the master key.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use zeroize::Zeroizing;

use super::store::{self, Unobserved, hold_directory};
use super::{AppError, master_key};
use crate::ca::Profile;
use crate::clock::{Clock, SystemClock};
use crate::config::Settings;
use crate::domain::Cloud;
use crate::files::{make_directory, write_durably};
use crate::id::CustomerId;
use crate::management::first_start::{
    self, FirstCredentials, PreparedFirstStart, SETTING_CLOUD, SETTING_INITIALIZED_AT, ServiceSecrets, load_secrets,
};
use crate::management::sealing;
use crate::secret::master::MasterKeys;
use crate::store::embedded::DirectoryLock;
use crate::store::{CommitObserver, IdAllocator, Store};

const CREDENTIALS_FILE: &str = "first-start.json";
const API_CLIENT_FILE: &str = "api-client.json";
const TRUST_ANCHOR_FILE: &str = "tls-trust-anchor.pem";

/// What a first start made. The secrets are shown once; [`Self::forget`] then removes their file.
pub struct FirstStart {
    pub customer_id: CustomerId,
    pub administrator_username: String,
    pub administrator_password: Zeroizing<String>,
    pub client_id: String,
    pub client_secret: Zeroizing<String>,
    /// PEM.
    pub trust_anchor_file: PathBuf,
    /// Holds the same secrets (0600), for when nobody was looking.
    pub credentials_file: PathBuf,
}

impl FirstStart {
    /// Removes the file with the administrator's password, once somebody has seen it.
    ///
    /// # Errors
    /// The file system's.
    pub fn forget(&self) -> io::Result<()> {
        fs::remove_file(&self.credentials_file)
    }
}

/// What a start was to the service.
pub enum Beginning {
    /// Its first.
    First(FirstStart),
    /// Another node set it up; this one has a data directory without anything from there but the master key.
    Joined,
    /// One of many.
    Resumed,
}

/// An open store with its secrets, initialized.
pub(super) struct Opened {
    pub store: Arc<dyn Store>,
    pub directory: Option<DirectoryLock>,
    pub ids: Arc<IdAllocator>,
    pub master_keys: Arc<MasterKeys>,
    pub secrets: ServiceSecrets,
    pub cloud: Cloud,
    pub profile: Arc<Profile>,
    pub beginning: Beginning,
}

/// The first-start part alone.
///
/// # Errors
/// [`AppError`]; a first start that broke off is resumed by the next one.
pub async fn initialize(settings: &Settings) -> Result<Beginning, AppError> {
    let opened = open(settings, Arc::new(SystemClock), Arc::new(Unobserved)).await?;
    opened.store.close().await;
    Ok(opened.beginning)
}

/// Opens the store, and initializes it if it is empty.
pub(super) async fn open(
    settings: &Settings,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn CommitObserver>,
) -> Result<Opened, AppError> {
    let data_dir = &settings.data_dir;
    make_directory(data_dir).map_err(|source| AppError::DataDirectory { path: data_dir.clone(), source })?;
    let directory = hold_directory(settings, clock.now())?;
    let store = store::open(settings, Arc::clone(&clock), observer).await?;
    let ids = Arc::new(IdAllocator::new(Arc::clone(&store)));

    let is_initialized = store.find_setting(SETTING_INITIALIZED_AT).await?.is_some();
    let made = if is_initialized { None } else { make(settings, &store, &ids, &*clock).await? };
    let (first_start, master_keys) = match made {
        Some((first_start, master_keys)) => (Some(first_start), master_keys),
        None => (None, Arc::new(master_key::load(settings)?)),
    };
    let secrets = load_secrets(&*store, &master_keys).await?;
    sealing::follow(&*store, &master_keys).await?;
    let is_new_here = !data_dir.join(TRUST_ANCHOR_FILE).exists();
    write_anchor(data_dir, &secrets.endpoint_anchor.trust_anchors_pem(clock.now()))?;
    let beginning = match first_start {
        Some(first_start) => Beginning::First(first_start),
        None if is_new_here && store.is_shared() => Beginning::Joined,
        None => Beginning::Resumed,
    };
    // The stored cloud counts; the configured one only makes the first.
    let cloud = match store.find_setting(SETTING_CLOUD).await? {
        Some(value) => value.parse().map_err(|_| AppError::Setting { name: SETTING_CLOUD, value })?,
        None => settings.cloud.clone(),
    };
    let profile = Arc::new(profile(settings, &cloud));
    Ok(Opened { store, directory, ids, master_keys, secrets, cloud, profile, beginning })
}

/// The first start of an empty store. `None`: another node did it meanwhile, and nothing of this one's is left.
async fn make(
    settings: &Settings,
    store: &Arc<dyn Store>,
    ids: &IdAllocator,
    clock: &dyn Clock,
) -> Result<Option<(FirstStart, Arc<MasterKeys>)>, AppError> {
    let data_dir = &settings.data_dir;
    let (master_keys, made_key) = master_key::load_or_make(settings)?;
    let master_keys = Arc::new(master_keys);
    let start = first_start::FirstStart {
        cloud: settings.cloud.clone(),
        profile: Arc::new(profile(settings, &settings.cloud)),
        component_lifetime_seconds: settings.certificates.lifetime_seconds(),
    };
    if let Some(prepared) = PreparedFirstStart::make(&**store, ids, &master_keys, clock, start).await? {
        // Written before the commit: a crash between the two leaves no service that nobody can enter.
        let written = keep(data_dir, prepared.credentials())?;
        if prepared.commit(&**store).await?.is_some() {
            return Ok(Some((written, master_keys)));
        }
        for name in [TRUST_ANCHOR_FILE, API_CLIENT_FILE, CREDENTIALS_FILE] {
            remove(&data_dir.join(name))?;
        }
    }
    // It sealed nothing that is kept; left here, it would look like the key of what the other node made.
    if let Some(path) = made_key {
        remove(&path)?;
    }
    Ok(None)
}

/// What is the same in all component certificates.
fn profile(settings: &Settings, cloud: &Cloud) -> Profile {
    let dns_suffix = cloud.dns_name().map(str::to_owned);
    let configured = settings.certificates.trust_domain.clone();
    Profile {
        trust_domain: configured.or_else(|| dns_suffix.clone()).unwrap_or_else(|| "muster.internal".to_owned()),
        dns_suffix,
        svid_eku: settings.certificates.svid_eku,
        public_url: settings.enroll.public_url.clone(),
    }
}

fn keep(data_dir: &Path, made: &FirstCredentials) -> Result<FirstStart, AppError> {
    let anchor_file = data_dir.join(TRUST_ANCHOR_FILE);
    let credentials_file = data_dir.join(CREDENTIALS_FILE);
    let client = json!({ "clientId": made.client_id, "clientSecret": &*made.client_secret });
    let all = json!({
        "customerId": made.customer_id,
        "administrator": { "username": made.username, "password": &*made.password },
        "apiClient": client,
        "tlsTrustAnchor": anchor_file,
    });
    let client = json!({
        "customerId": made.customer_id,
        "clientId": made.client_id,
        "clientSecret": &*made.client_secret,
    });
    write(&anchor_file, made.endpoint_anchor.as_bytes(), 0o644)?;
    write(&data_dir.join(API_CLIENT_FILE), &secret_text(&client), 0o600)?;
    write(&credentials_file, &secret_text(&all), 0o600)?;
    Ok(FirstStart {
        customer_id: made.customer_id,
        administrator_username: made.username.clone(),
        administrator_password: made.password.clone(),
        client_id: made.client_id.clone(),
        client_secret: made.client_secret.clone(),
        trust_anchor_file: anchor_file,
        credentials_file,
    })
}

fn secret_text(value: &serde_json::Value) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(format!("{value:#}\n").into_bytes())
}

/// The CA above the TLS certificates of all nodes, for callers on this machine; both, while it is rolled.
pub(super) fn write_anchor(data_dir: &Path, pem: &str) -> Result<(), AppError> {
    let path = data_dir.join(TRUST_ANCHOR_FILE);
    if fs::read(&path).is_ok_and(|found| found == pem.as_bytes()) {
        return Ok(());
    }
    write(&path, pem.as_bytes(), 0o644)
}

fn remove(path: &Path) -> Result<(), AppError> {
    fs::remove_file(path).map_err(|source| AppError::File { path: path.to_owned(), source })
}

/// Replaces what an earlier attempt left, mode included.
fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), AppError> {
    write_durably(path, bytes, mode).map_err(|source| AppError::File { path: path.to_owned(), source })
}
