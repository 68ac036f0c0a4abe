//! A copy of the database as of one moment, made beside whoever writes to it.

use std::path::Path;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::{OpenError, connection, integrity, migrations, open_to_read, open_to_write, unusable};
use crate::domain::audit::AuditKey;
use crate::store::backup::Counts;
use crate::store::{Finding, StoreError};

/// Pages that are copied at a time.
const PAGES_PER_STEP: i32 = 4_096;

/// What is in a database that nobody writes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    pub schema: u32,
    pub counts: Counts,
    /// As by [`check_integrity`](crate::store::Store::check_integrity).
    pub findings: Vec<Finding>,
}

/// Copies the store in `data_dir` into the empty file at `target`, as of the moment of the call. Its lock is not taken, and
/// a writer goes on meanwhile; the write-ahead log keeps all that is written until then
/// (docs/decisions/0006-doctor-reads-beside-the-service.md). Not synced. Blocks.
///
/// # Errors
/// [`OpenError`]; what is in the target then is nothing.
pub fn copy_database(data_dir: &Path, target: &Path) -> Result<(), OpenError> {
    let (source, path) = open_to_read(data_dir)?;
    // One snapshot for all steps: without it a commit in between would begin the copy anew.
    let begun = source.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema");
    begun.map_err(|error| unusable(&path, &error))?;
    copy_pages(&source, target).map_err(|error| unusable(target, &error))
}

fn copy_pages(source: &Connection, target: &Path) -> rusqlite::Result<()> {
    let mut target = connection::open_to_inspect(target)?;
    target.pragma_update(None, "synchronous", "OFF")?; // whoever asked for it syncs it when it is whole
    let backup = Backup::new(source, &mut target)?;
    while !matches!(backup.step(PAGES_PER_STEP)?, StepResult::Done) {}
    drop(backup);
    // One file, without a log beside it.
    target.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))
}

/// Brings the write-ahead log into the database at `path`, which nobody has open any more, and removes it: one file, durable,
/// that can be given another name. Blocks.
///
/// # Errors
/// [`OpenError`].
pub fn fold_log(path: &Path) -> Result<(), OpenError> {
    let connection = open_to_write(path)?;
    let folded = connection::checkpoint(&connection);
    folded.and_then(|()| connection.close().map_err(|(_, error)| error)).map_err(|error| unusable(path, &error))
}

/// Counts and checks the database at `path`, and leaves it as it is. Seconds per million enrollments. Blocks.
///
/// # Errors
/// The store's.
pub fn examine(path: &Path, audit_key: &AuditKey) -> Result<Examined, StoreError> {
    let connection = connection::open_reader(path)?;
    let schema = match migrations::schema(&connection)? {
        migrations::Schema::Version(version) => version,
        migrations::Schema::Empty | migrations::Schema::Foreign => {
            return Err(StoreError::Corrupt { detail: "it holds no store of muster".into() });
        }
    };
    let mut findings = integrity::check(&connection, audit_key)?;
    // What cannot be counted counts as nothing: the findings say why.
    let mut count = |sql: &str| match connection.query_row(sql, [], |row| row.get(0)) {
        Ok(counted) => Ok(counted),
        Err(error) => {
            let finding = integrity::damage(error)?;
            if !findings.contains(&finding) {
                findings.push(finding);
            }
            Ok::<_, StoreError>(0)
        }
    };
    let counts = Counts {
        customers: count("SELECT count(*) FROM customers")?,
        keys: count("SELECT count(*) FROM provisioning_keys")?,
        uses: count("SELECT coalesce(sum(uses), 0) FROM key_counters")?,
        components: count("SELECT count(*) FROM components WHERE deleted_at IS NULL")?,
        certificates: count("SELECT count(*) FROM certificates")?,
        audit_events: count("SELECT count(*) FROM audit_events")?,
    };
    Ok(Examined { schema, counts, findings })
}
