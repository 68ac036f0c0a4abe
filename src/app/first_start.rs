//! The first start of a data directory: master key, store, and what the operator needs to go on.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use zeroize::Zeroizing;

use super::{AppError, master_key};
use crate::ca::Profile;
use crate::client::files::{make_directory, write_durably};
use crate::clock::{Clock, SystemClock};
use crate::config::{Settings, StoreSettings};
use crate::domain::Cloud;
use crate::id::CustomerId;
use crate::management::first_start::{
    self, FirstCredentials, PreparedFirstStart, SETTING_CLOUD, SETTING_INITIALIZED_AT,
};
use crate::secret::master::MasterKeys;
use crate::store::embedded::EmbeddedStore;
use crate::store::{BatchSettings, CommitObserver, IdAllocator, Store};

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

/// An open store with its master keys, initialized.
pub(super) struct Opened {
    pub store: Arc<EmbeddedStore>,
    pub ids: Arc<IdAllocator>,
    pub master_keys: Arc<MasterKeys>,
    pub cloud: Cloud,
    pub profile: Arc<Profile>,
    pub first_start: Option<FirstStart>,
}

/// The first-start part alone. `None`: it was done before.
///
/// # Errors
/// [`AppError`]; a first start that broke off is resumed by the next one.
pub async fn initialize(settings: &Settings) -> Result<Option<FirstStart>, AppError> {
    struct Unobserved;
    impl CommitObserver for Unobserved {
        fn observe_commit(&self, _: usize, _: std::time::Duration) {}
    }
    let opened = open(settings, Arc::new(SystemClock), Arc::new(Unobserved)).await?;
    opened.store.close().await;
    Ok(opened.first_start)
}

/// Opens the store, and initializes it if it is empty.
pub(super) async fn open(
    settings: &Settings,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn CommitObserver>,
) -> Result<Opened, AppError> {
    let data_dir = &settings.data_dir;
    make_directory(data_dir).map_err(|source| AppError::DataDirectory { path: data_dir.clone(), source })?;
    let store = EmbeddedStore::open(data_dir, Arc::clone(&clock), batch(&settings.store), observer)?;
    let shared: Arc<dyn Store> = Arc::<EmbeddedStore>::clone(&store);
    let ids = Arc::new(IdAllocator::new(Arc::clone(&shared)));

    let initialized = store.find_setting(SETTING_INITIALIZED_AT).await?.is_some();
    let master_keys =
        Arc::new(if initialized { master_key::load(settings)? } else { master_key::load_or_make(settings)? });
    // The stored cloud counts; the configured one only makes the first.
    let cloud = match store.find_setting(SETTING_CLOUD).await? {
        Some(value) => value.parse().map_err(|_| AppError::Setting { name: SETTING_CLOUD, value })?,
        None => settings.cloud.clone(),
    };
    let profile = Arc::new(profile(settings, &cloud));
    let start = first_start::FirstStart {
        cloud: cloud.clone(),
        profile: Arc::clone(&profile),
        component_lifetime_seconds: settings.certificates.lifetime_seconds(),
    };
    let first_start = match PreparedFirstStart::make(&*shared, &ids, &master_keys, &*clock, start).await? {
        None => None,
        Some(prepared) => {
            // Written before the commit: a crash between the two leaves no service that nobody can enter.
            let written = keep(data_dir, prepared.credentials())?;
            prepared.commit(&*shared).await?;
            Some(written)
        }
    };
    Ok(Opened { store, ids, master_keys, cloud, profile, first_start })
}

fn batch(settings: &StoreSettings) -> BatchSettings {
    BatchSettings { size_max: settings.batch_size_max, linger: settings.batch_linger, queue_max: settings.queue_max }
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

/// Replaces what an earlier attempt left, mode included.
fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), AppError> {
    write_durably(path, bytes, mode).map_err(|source| AppError::File { path: path.to_owned(), source })
}
