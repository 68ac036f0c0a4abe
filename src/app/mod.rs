//! Wires everything: first start, constructors, listeners, reload, drain. The only room that knows
//! every room below.
//!
//! What it deliberately does not do: parse a configuration (`config`), print (`cli`), set up logging
//! (`telemetry`), or decide anything about an enrollment or an administrator.

mod adapters;
mod advice;
mod audit;
mod backup;
mod database;
mod descriptors;
mod doctor;
mod endpoint;
mod first_start;
mod followed_master_keys;
mod health;
mod master_key;
mod opened_secrets;
mod pepper;
mod recover;
mod reminders;
mod restore;
mod secrets;
mod serve;
mod signals;
mod sockets;
mod store;
mod tls_anchor;
mod tls_trust;
mod watched_files;
mod webhooks;

use std::path::PathBuf;

use crate::client::tls::TrustError;
use crate::management;
use crate::store::StoreError;
use crate::store::{backup as backup_file, embedded, postgres, transfer};

pub use audit::{AuditReport, verify_audit, verify_export};
pub use backup::{BackedUp, LastBackup, backup};
pub use database::{Imported, Migrated, Progress, import, migrate_database};
pub use doctor::{Diagnosis, doctor};
pub use endpoint::EndpointError;
pub use first_start::{Beginning, FirstStart, initialize};
pub use master_key::MasterKeyFileError;
pub use pepper::{show_peppers, take_pepper_step};
pub use recover::{Recovered, recover_owner};
pub use restore::{Restored, restore};
pub use secrets::{
    MasterKeyUse, RotationStep, SecretsReport, Standing, prepare_master_key, rotate_master_key, show_secrets,
};
pub use serve::{Addresses, ReloadError, Running, start};
pub use signals::{Signals, run_until_signal};
pub use sockets::{PassedSockets, Place};
pub use tls_anchor::{roll_tls_anchor, show_tls_anchor};

/// Why the service could not start, or an offline command could not work. Each says what was found
/// and what to do.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error(transparent)]
    Backup(#[from] backup_file::BackupError),
    #[error("the data directory {path}: {source}", path = .path.display())]
    DataDirectory { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error("cannot write {path}: {source}", path = .path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Export(#[from] transfer::ExportError),
    #[error("the first start failed: {0}")]
    FirstStart(#[from] management::Error),
    #[error(transparent)]
    Import(#[from] transfer::ImportError),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: std::net::SocketAddr, source: std::io::Error },
    #[error(transparent)]
    MasterKey(#[from] MasterKeyFileError),
    #[error(transparent)]
    Open(#[from] embedded::OpenError),
    #[error(transparent)]
    OpenDatabase(#[from] postgres::OpenError),
    #[error("store.engine is \"embedded\"; name the database with engine = \"postgres\" and its url")]
    NoDatabase,
    #[error(
        "{path} is there: a backup is restored where no store is; stop the service and move muster.db, muster.db-wal and \
         muster.db-shm away together, or name another --data-dir",
        path = .path.display()
    )]
    NotEmpty { path: PathBuf },
    #[error(
        "nodes share this store, and each must have the new master key before the first seals by it: muster secrets rotate \
         --prepare makes one; copy master.key to all nodes, then rotate"
    )]
    NotPrepared,
    #[error(
        "{} does not seal anew what older master keys sealed; its log says why, or it is of a version that cannot: restart it, \
         and rotate again to go on",
        pid.map_or_else(|| "the service".to_owned(), |pid| format!("process {pid}"))
    )]
    NotResealed { pid: Option<u32> },
    #[error("no owner is named {username:?}; the owners are: {owners}")]
    NoOwner { username: String, owners: String },
    #[error(transparent)]
    Pepper(management::Error),
    #[error("the owner could not be recovered: {0}")]
    Recover(management::Error),
    #[error("not everything was sealed by the first master key: {0}; rotate again to go on")]
    Reseal(management::Error),
    #[error("the store could not be made ready to be served: {0}; nothing was put in place")]
    Restore(management::Error),
    #[error(transparent)]
    Sealing(#[from] management::sealing::SealingError),
    #[error(transparent)]
    Secrets(#[from] management::first_start::LoadSecretsError),
    #[error(transparent)]
    Directory(#[from] crate::enrollment::DirectoryError),
    #[error("the stored setting {name:?} is {value:?}, which this version cannot read")]
    Setting { name: &'static str, value: String },
    #[error("the system lets nobody wait for signals")]
    Signals,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("TLS cannot be set up: {0}")]
    Tls(rustls::Error),
    #[error(transparent)]
    TlsAnchor(management::Error),
    #[error("cannot read {path}: {source}", path = .path.display())]
    UnreadableFile { path: PathBuf, source: std::io::Error },
    #[error(
        "what the backup holds is not sound, and nothing was put in place: {}; take an older backup, or put it in place \
         all the same with --accept-findings",
        .findings.join("; ")
    )]
    UnsoundBackup { findings: Vec<String> },
    #[error("webhooks.ca_file {path}: {source}", path = .path.display())]
    WebhookTrust { path: PathBuf, source: TrustError },
    #[error("the store was never initialized: start the service, or run `muster init`")]
    Uninitialized,
}
