//! The schema's versions. A file per version, numbered alike in both stores, never edited once
//! it was released.

use rusqlite::{Connection, TransactionBehavior};

/// Each with the number of the schema that it leads to.
const MIGRATIONS: [(u32, &str); 1] = [(1, include_str!("migrations/0001_initial.sql"))];

/// The newest schema that this program knows.
pub(super) const SUPPORTED: u32 = MIGRATIONS[MIGRATIONS.len() - 1].0;

/// `application_id` of our files: `MUST`.
const APPLICATION_ID: i32 = i32::from_be_bytes(*b"MUST");

/// What a file says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Schema {
    /// Nothing in it yet.
    Empty,
    Version(u32),
    /// Somebody else's database.
    Foreign,
}

pub(super) fn schema(connection: &Connection) -> rusqlite::Result<Schema> {
    let application_id: i32 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let version: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    // Also the first page that is read: a damaged file shows here.
    let objects: u64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(match (application_id, version, objects) {
        (APPLICATION_ID, version @ 1.., 1..) => Schema::Version(version),
        (0, 0, 0) => Schema::Empty,
        _ => Schema::Foreign,
    })
}

/// Brings the schema from `found` (0: empty) to [`SUPPORTED`], one transaction per step.
pub(super) fn migrate(connection: &mut Connection, found: u32) -> rusqlite::Result<()> {
    for (version, sql) in MIGRATIONS.iter().filter(|(version, _)| *version > found) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_numbered_without_gaps() {
        assert!(MIGRATIONS.iter().map(|(version, _)| *version).eq(1..=SUPPORTED));
    }
}
