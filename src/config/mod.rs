//! The configuration: a file, the environment over it, flags over both, made into checked
//! [`Settings`].
//!
//! One file per section. Each holds the section's shape in the file (private, plain values), its
//! defaults, and the check that makes its settings. `config.example.toml` names every key; a test
//! below holds it to the code. Nothing past `app` parses text again.
//!
//! Environment variables are `MUSTER_<SECTION>_<KEY>`, at top level `MUSTER_<KEY>`; lists are
//! separated by commas. All problems are told at once ([`ConfigError`]).

mod admin;
mod certificates;
mod check;
mod database_address;
mod enroll;
mod layers;
mod log;
mod master_key;
mod metrics;
mod store;
mod webhooks;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::admin::AdminSettings;
pub use self::certificates::CertificateSettings;
pub use self::check::{ConfigError, Origin, Problem};
pub use self::enroll::EnrollSettings;
pub use self::layers::{Inputs, Loaded};
pub use self::log::LogSettings;
pub use self::master_key::MasterKeyPlaces;
pub use self::metrics::MetricsSettings;
pub use self::store::{StoreEngine, StoreSettings};
pub use self::webhooks::WebhookSettings;

use self::check::Checker;
use crate::domain::Cloud;

/// What the service runs with: every value checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Holds the embedded store, the master key and what a first start leaves for the operator.
    pub data_dir: PathBuf,
    /// Where the master key is looked for before the data directory.
    pub master_key: MasterKeyPlaces,
    /// What new keys name when the store is empty; afterwards the stored one counts.
    pub cloud: Cloud,
    /// How long a stop waits for what was accepted.
    pub drain_timeout: Duration,
    pub enroll: EnrollSettings,
    pub admin: AdminSettings,
    pub metrics: MetricsSettings,
    pub store: StoreSettings,
    pub certificates: CertificateSettings,
    pub webhooks: WebhookSettings,
    pub log: LogSettings,
}

/// PEM files of a TLS certificate from elsewhere, instead of the one made at first start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, end entity first.
    pub certificate: PathBuf,
    /// PKCS#8, SEC 1 or PKCS#1.
    pub key: PathBuf,
}

/// The whole file as it is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Shape {
    data_dir: String,
    cloud: String,
    drain_timeout: i64,
    enroll: enroll::Shape,
    admin: admin::Shape,
    metrics: metrics::Shape,
    store: store::Shape,
    certificates: certificates::Shape,
    webhooks: webhooks::Shape,
    log: log::Shape,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            data_dir: "./muster-data".into(),
            cloud: "localhost:8443".into(),
            drain_timeout: 30,
            enroll: enroll::Shape::default(),
            admin: admin::Shape::default(),
            metrics: metrics::Shape::default(),
            store: store::Shape::default(),
            certificates: certificates::Shape::default(),
            webhooks: webhooks::Shape::default(),
            log: log::Shape::default(),
        }
    }
}

impl Shape {
    fn check(&self, master_key: &MasterKeyPlaces, checker: &mut Checker<'_>) -> Option<Settings> {
        let data_dir = checker.path("data_dir", &self.data_dir);
        let cloud = checker.parse(
            "cloud",
            &self.cloud,
            "a lower-case DNS name, an IPv4 address or [IPv6], optionally with :port",
            |text| text.parse().ok(),
        );
        let drain_timeout = checker.seconds("drain_timeout", self.drain_timeout, 0..=3_600);
        // Every section is checked before the first `?`, so that all problems are found.
        let enroll = self.enroll.check(checker);
        let admin = self.admin.check(checker);
        let metrics = self.metrics.check(checker);
        let store = self.store.check(checker);
        let certificates = self.certificates.check(checker);
        let webhooks = self.webhooks.check(checker);
        let log = self.log.check(checker);
        Some(Settings {
            data_dir: data_dir?,
            master_key: master_key.clone(),
            cloud: cloud?,
            drain_timeout: drain_timeout?,
            enroll: enroll?,
            admin: admin?,
            metrics: metrics?,
            store: store?,
            certificates: certificates?,
            webhooks: webhooks?,
            log: log?,
        })
    }
}

#[cfg(test)]
mod tests;
