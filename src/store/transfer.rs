//! All that an embedded store holds goes into an empty database that nodes share, or the other way into a file.
//!
//! What passes between the two is rows of values, table by table; each store has its own statements for
//! them. It is streamed, and arrives in one transaction: an import that breaks off leaves the database empty and
//! the embedded store as it was.

use std::fmt;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;

use super::embedded::{self, EmbeddedSource, EmbeddedTarget};
use super::postgres::{self, PostgresSettings, PostgresSource, PostgresTarget};
use super::{Finding, StoreError};
use crate::clock::Timestamp;
use crate::domain::audit::AuditKey;

/// Pieces that are under way, each at most some hundred kilobytes.
const PIECES_MAX: usize = 4;

/// Between two tellings of how far a table is.
const ROWS_PER_TELLING: u64 = 1_000_000;

/// A table as the shared store has it. Names that both stores give to it and its columns; where the embedded one has
/// something else, it gathers these.
pub(super) struct Table {
    pub name: &'static str,
    /// Separated by a comma and a space.
    pub columns: &'static str,
}

/// The value of a column, as both stores have it. A flag is 0 or 1.
pub(super) enum Cell {
    Null,
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// Without the value: some are digests.
impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "Null",
            Self::Integer(_) => "Integer(…)",
            Self::Text(_) => "Text(…)",
            Self::Bytes(_) => "Bytes(…)",
        })
    }
}

/// Rows of one table, each in the order of its columns. Tables come in the order of [`TABLES`].
pub(super) enum Piece {
    Rows(Vec<Vec<Cell>>),
    /// There are no more of this table.
    End,
}

/// How far an import is, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub table: &'static str,
    /// Copied so far.
    pub rows: u64,
    pub is_complete: bool,
}

/// An import that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    pub rows: u64,
    /// Where the embedded database is now. Nobody serves it under that name.
    pub put_aside: PathBuf,
}

/// Why a store was not imported. Unless it says otherwise, the database is empty and the embedded store as it was.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error(transparent)]
    Source(#[from] embedded::OpenError),
    #[error(transparent)]
    Target(#[from] postgres::OpenError),
    #[error("the database is not empty, there are rows in {table}; only an empty one takes in a store")]
    NotEmpty { table: &'static str },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{found} of {read} rows of {table} arrived; nothing was kept")]
    Incomplete { table: &'static str, read: u64, found: u64 },
    #[error("what arrived is not sound, and nothing was kept: {}; `muster doctor` looks at the embedded store", Findings(.0))]
    Unsound(Vec<Finding>),
    #[error(
        "the database did not say whether it keeps what it was sent ({reason}); import again: if it is not empty then, it \
         did, and {path} must not be served any more",
        path = path.display()
    )]
    Unknown { path: PathBuf, reason: String },
    #[error(
        "everything is in the database, but {path} could not be renamed: {source}; do so by hand, it must not be served \
         any more",
        path = path.display()
    )]
    PutAside { path: PathBuf, source: std::io::Error },
}

/// The first few.
struct Findings<'a>(&'a [Finding]);

impl fmt::Display for Findings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (told, others) = self.0.split_at(self.0.len().min(3));
        let told: Vec<_> = told.iter().map(ToString::to_string).collect();
        f.write_str(&told.join("; "))?;
        if others.is_empty() { Ok(()) } else { write!(f, "; and {} more", others.len()) }
    }
}

/// Copies the store in `data_dir` into the database, which must be empty, and puts its file aside: a key that both
/// served would count twice. Nobody may be serving from `data_dir` meanwhile, and nobody can: its lock is taken.
///
/// Before anything is kept, what arrived is counted and checked as by
/// [`check_integrity`](super::Store::check_integrity). Minutes per million enrollments at most; memory is bounded.
///
/// # Errors
/// [`ImportError`].
pub async fn import(
    data_dir: &Path,
    database: &PostgresSettings,
    audit_key: &AuditKey,
    now: Timestamp,
    mut tell: impl FnMut(Progress),
) -> Result<Imported, ImportError> {
    let source = EmbeddedSource::open(data_dir, now)?;
    let mut target = PostgresTarget::open(database).await?;
    if let Some(table) = target.find_rows().await? {
        return Err(ImportError::NotEmpty { table });
    }
    let (source, copied) = copy(source, &mut target, &mut tell).await?;
    for (table, read) in &copied {
        let found = target.count(table).await?;
        if found != *read {
            return Err(ImportError::Incomplete { table: table.name, read: *read, found });
        }
    }
    let findings = target.check(audit_key).await?;
    if !findings.is_empty() {
        return Err(ImportError::Unsound(findings));
    }
    match target.commit().await {
        Ok(()) => {}
        Err(StoreError::Unknown { reason }) => {
            return Err(ImportError::Unknown { path: source.path().to_owned(), reason });
        }
        Err(error) => return Err(error.into()),
    }
    let path = source.path().to_owned();
    let put_aside = source.put_aside().map_err(|source| ImportError::PutAside { path, source })?;
    Ok(Imported { rows: copied.iter().map(|(_, rows)| rows).sum(), put_aside })
}

/// Copies all that a database holds, as of one moment, into the empty file at `target`, which is an embedded store's
/// afterwards. Nodes go on meanwhile. Not synced. Memory is bounded.
///
/// # Errors
/// [`ExportError`]; what is in the target then is nothing.
pub async fn export(database: &PostgresSettings, target: &Path) -> Result<(), ExportError> {
    let source = PostgresSource::open(database).await?;
    let (pieces, arriving) = mpsc::channel(PIECES_MAX);
    let path = target.to_owned();
    let taking = tokio::task::spawn_blocking(move || take(&path, arriving));
    let read = source.read(&pieces).await;
    // Whoever takes is told that no more comes.
    drop(pieces);
    let taken = taking.await.map_err(|panic| StoreError::Unavailable { reason: panic.to_string() })?;
    // If the taking broke off, that is why the reading did; and the other way.
    read?;
    taken
}

fn take(target: &Path, mut arriving: mpsc::Receiver<Piece>) -> Result<(), ExportError> {
    let target = EmbeddedTarget::create(target)?;
    for table in &TABLES {
        loop {
            match arriving.blocking_recv() {
                Some(Piece::Rows(rows)) => target.take(table, &rows)?,
                Some(Piece::End) => break,
                None => return Err(StoreError::Unavailable { reason: "what was to be copied broke off".into() }.into()),
            }
        }
    }
    Ok(target.finish()?)
}

/// Why a database was not copied.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error(transparent)]
    Source(#[from] postgres::OpenError),
    #[error(transparent)]
    Target(#[from] embedded::OpenError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// All tables, read on a thread of their own while they are written. Answers how many rows were read of each.
async fn copy(
    mut source: EmbeddedSource,
    target: &mut PostgresTarget,
    tell: &mut impl FnMut(Progress),
) -> Result<(EmbeddedSource, Vec<(&'static Table, u64)>), StoreError> {
    let (pieces, mut arriving) = mpsc::channel(PIECES_MAX);
    let reading = tokio::task::spawn_blocking(move || {
        let read = source.read(&mut |piece| pieces.blocking_send(piece).is_ok());
        read.map(|()| source)
    });
    let taking = async {
        let mut copied = Vec::with_capacity(TABLES.len());
        for table in &TABLES {
            let mut told = 0;
            let tell_now_and_then = |rows| {
                if rows - told >= ROWS_PER_TELLING {
                    told = rows;
                    tell(Progress { table: table.name, rows, is_complete: false });
                }
            };
            let rows = target.take(table, &mut arriving, tell_now_and_then).await?;
            tell(Progress { table: table.name, rows, is_complete: true });
            copied.push((table, rows));
        }
        Ok(copied)
    };
    let taken: Result<_, StoreError> = taking.await;
    // Whoever reads on is told that nobody listens.
    drop(arriving);
    let read = reading.await.map_err(|panic| StoreError::Unavailable { reason: panic.to_string() })?;
    // If the reading broke off, that is why the taking did.
    Ok((read?, taken?))
}

/// All that is copied, in this order.
pub(super) const TABLES: [Table; 32] = [
    Table { name: "settings", columns: "name, value" },
    Table { name: "secrets", columns: "purpose, name, sealed" },
    Table { name: "answers", columns: "id, at, sealed_brief, sealed_lasting" },
    Table { name: "customers", columns: "id, revision, name, enabled, created_at, modified_at" },
    Table {
        name: "signing_certificates",
        columns: "customer_id, id, revision, public_key_hash, name, description, certificate, chain, \
                  sealed_private_key, csr, parent_id, allow_signing, lifetime_seconds, purpose, not_before, \
                  not_after, created_at, modified_at, modified_by",
    },
    Table { name: "signed_ends", columns: "customer_id, signing_certificate_id, signed_until" },
    Table {
        name: "groups",
        columns: "customer_id, id, revision, kind, name, description, enabled, signing_certificate_id, addresses, \
                  attributes, created_at, modified_at, modified_by",
    },
    Table {
        name: "provisioning_keys",
        columns: "customer_id, id, revision, group_id, signing_certificate_id, maximum, expires_at, enabled, \
                  allow_re_enrollment, kind, name, digest, pepper, addresses, version, hint, key_id, uses_when_set, \
                  managed_by_client_id, managed_by_label, successor_id, created_at, created_by, modified_at, \
                  modified_by, description, ui_config, sealed_string",
    },
    Table {
        name: "key_counters",
        columns: "customer_id, key_id, uses, re_enrollments, last_ordinal, last_sequence, last_used_at, last_used_by",
    },
    Table { name: "digests", columns: "digest, customer_id, key_id" },
    Table {
        name: "components",
        columns: "customer_id, id, key_id, fingerprint, deleted_at, revoked_at, enabled, current_serial, \
                  previous_serial, revision, kind, group_id, enrolled_key_id, ordinal, name, hostname, platform, software_version, \
                  remote_address, enrolled_at, modified_at, modified_by, description",
    },
    Table { name: "component_counts", columns: "customer_id, group_id, slot, kind, components" },
    Table {
        name: "certificates",
        columns: "customer_id, serial, key_id, component_id, status, status_at, reason, signing_certificate_id, \
                  public_key_hash, issued_at, not_before, not_after, der",
    },
    Table {
        name: "crls",
        columns: "customer_id, signing_certificate_id, number, this_update, next_update, entries, der",
    },
    Table { name: "crl_news", columns: "customer_id, signing_certificate_id, serial" },
    Table {
        name: "clean_up_schedules",
        columns: "customer_id, id, revision, kind, enabled, delete_disabled, days, created_at, modified_at, \
                  modified_by",
    },
    Table {
        name: "key_uses",
        columns: "customer_id, key_id, sequence, entry, at, component_id, address, public_key_hash, serial, \
                  old_address, old_public_key_hash, old_serial, uses, re_enrollments",
    },
    Table { name: "key_hours", columns: "customer_id, key_id, hour, uses, releases, re_enrollments, refusals" },
    Table {
        name: "key_refusals",
        columns: "customer_id, key_id, minute, refusal, source, count, last_reference, last_reason",
    },
    Table { name: "refusal_hours", columns: "customer_id, hour, refusal, key_id, count, first_minute, last_minute" },
    Table {
        name: "audit_events",
        columns: "customer_id, sequence, at, actor_type, actor_id, actor_name, action, object_type, object_id, \
                  object_name, before, after, mac",
    },
    Table { name: "audit_heads", columns: "customer_id, sequence, mac" },
    Table {
        name: "administrators",
        columns: "customer_id, id, revision, username, description, password_hash, role, enabled, last_sign_in_at, \
                  created_at, modified_at, modified_by",
    },
    Table {
        name: "api_clients",
        columns: "customer_id, id, revision, name, client_id, secret_digest, pepper, secret_generation, role, \
                  enabled, managing, last_used_at, created_at, modified_at, modified_by",
    },
    Table {
        name: "sessions",
        columns: "id, customer_id, administrator_id, created_at, expires_at, ended_at, remote_address, user_agent",
    },
    Table { name: "preferences", columns: "customer_id, administrator_id, page, value" },
    Table { name: "saved_filters", columns: "customer_id, administrator_id, page, name, query" },
    Table {
        name: "webhooks",
        columns: "customer_id, id, revision, name, url, events, sealed_secret, enabled, since, created_at, modified_at, \
                  modified_by, attention_looks, component_looks, last_success_at, last_failure_at, last_failure, \
                  failing_since, failures, due_at",
    },
    Table {
        name: "webhook_deliveries",
        columns: "customer_id, webhook_id, id, event, payload, created_at, state, attempts, next_at, last_result",
    },
    Table { name: "webhook_marks", columns: "customer_id, webhook_id, event, object_id, value" },
    Table { name: "changes", columns: "sequence, object, customer_id, object_id" },
    Table { name: "changes_end", columns: "sequence" },
];
