//! Wires everything: first start, constructors, listeners, reload, drain. The only room that knows
//! every room below.
//!
//! What it deliberately does not do: parse a configuration (`config`), print (`cli`), set up logging
//! (`telemetry`), or decide anything about an enrollment or an administrator.

mod adapters;
mod audit;
mod database;
mod descriptors;
mod doctor;
mod endpoint;
mod first_start;
mod health;
mod master_key;
mod opened_secrets;
mod recover;
mod serve;
mod signals;
mod store;

use std::path::PathBuf;

use crate::management;
use crate::store::StoreError;
use crate::store::{embedded, postgres, transfer};

pub use audit::{AuditReport, verify_audit, verify_export};
pub use database::{Imported, Migrated, Progress, import, migrate_database};
pub use doctor::{Diagnosis, doctor};
pub use endpoint::EndpointError;
pub use first_start::{Beginning, FirstStart, initialize};
pub use master_key::MasterKeyFileError;
pub use recover::{Recovered, recover_owner};
pub use serve::{Addresses, ReloadError, Running, start};
pub use signals::{Signals, run_until_signal};

/// Why the service could not start, or an offline command could not work. Each says what was found
/// and what to do.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error("the data directory {path}: {source}", path = .path.display())]
    DataDirectory { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error("cannot write {path}: {source}", path = .path.display())]
    File { path: PathBuf, source: std::io::Error },
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
    #[error("no owner is named {username:?}; the owners are: {owners}")]
    NoOwner { username: String, owners: String },
    #[error("the owner could not be recovered: {0}")]
    Recover(management::Error),
    #[error(transparent)]
    Secrets(#[from] management::first_start::LoadSecretsError),
    #[error(transparent)]
    Directory(#[from] crate::enrollment::DirectoryError),
    #[error("the endpoint's anchor cannot be used: {0}")]
    Anchor(crate::ca::IssuerError),
    #[error("the stored setting {name:?} is {value:?}, which this version cannot read")]
    Setting { name: &'static str, value: String },
    #[error("the system lets nobody wait for signals")]
    Signals,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("TLS cannot be set up: {0}")]
    Tls(rustls::Error),
    #[error("cannot read {path}: {source}", path = .path.display())]
    UnreadableFile { path: PathBuf, source: std::io::Error },
    #[error("the store was never initialized: start the service, or run `muster init`")]
    Uninitialized,
}
