//! The schema's versions. A file per version, numbered alike in both stores, never edited once it was released.
//!
//! Nodes of two versions run side by side while one after the other is brought up to date, so a change of the
//! schema comes in two releases. *Expand*: the new version adds what it needs, and the one before goes on
//! working with it; `compatible_with` stays. *Contract*: a later one takes away what nobody uses any more,
//! and raises `compatible_with` to the version that stopped using it.

use super::errors::Error;
use super::session::{Mode, Row, Session};
use crate::store::StoreError;

/// One step of the schema.
struct Migration {
    version: u32,
    /// The oldest program that works with the schema after it, by the newest version that this knows.
    compatible_with: u32,
    sql: &'static str,
}

const MIGRATIONS: [Migration; 1] =
    [Migration { version: 1, compatible_with: 1, sql: include_str!("migrations/0001_initial.sql") }];

/// The newest schema that this program knows.
pub(super) const SUPPORTED: u32 = MIGRATIONS[MIGRATIONS.len() - 1].version;

/// Any number that means us: two programs that migrate at once take turns by it.
const MIGRATION_LOCK: i64 = i64::from_be_bytes(*b"MUSTER01");

/// What a database says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Schema {
    /// Nothing in it yet.
    Empty,
    Version {
        version: u32,
        compatible_with: u32,
    },
    /// Somebody else's tables.
    Foreign,
}

impl Schema {
    /// Whether this program can work with it as it is.
    pub(super) fn is_usable(self) -> bool {
        matches!(self, Self::Version { version, compatible_with }
            if version >= SUPPORTED && compatible_with <= SUPPORTED)
    }
}

pub(super) async fn schema(session: &Session) -> Result<Schema, Error> {
    let row = session
        .row(
            "SELECT to_regclass('schema_versions') IS NOT NULL, EXISTS (
                 SELECT 1 FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p'))",
            &[],
        )
        .await?;
    match (row.get(0)?, row.get(1)?) {
        (false, false) => return Ok(Schema::Empty),
        (false, true) => return Ok(Schema::Foreign),
        (true, _) => {}
    }
    let newest = "SELECT version, compatible_with FROM schema_versions ORDER BY version DESC LIMIT 1";
    let read = |row: &Row| Ok(Schema::Version { version: row.count(0)?, compatible_with: row.count(1)? });
    Ok(session.find(newest, &[], read).await?.unwrap_or(Schema::Foreign))
}

/// Brings the schema to [`SUPPORTED`] if it is older, in one transaction; whoever comes second finds it done.
/// Answers what it was before.
pub(super) async fn migrate(session: &mut Session) -> Result<Schema, StoreError> {
    session.begin(Mode::Write).await?;
    session.take_time().await?;
    session.execute("SELECT pg_advisory_xact_lock($1)", &[&MIGRATION_LOCK]).await?;
    let found = schema(session).await?;
    let version = match found {
        Schema::Empty => 0,
        Schema::Version { version, .. } => version,
        Schema::Foreign => SUPPORTED,
    };
    if version == 0 {
        session
            .batch("CREATE TABLE schema_versions (version BIGINT PRIMARY KEY, compatible_with BIGINT NOT NULL)")
            .await?;
    }
    for migration in MIGRATIONS.iter().filter(|migration| migration.version > version) {
        session.batch(migration.sql).await?;
        session
            .execute(
                "INSERT INTO schema_versions (version, compatible_with) VALUES ($1, $2)",
                &[&i64::from(migration.version), &i64::from(migration.compatible_with)],
            )
            .await?;
    }
    session.commit().await?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_numbered_without_gaps() {
        assert!(MIGRATIONS.iter().map(|migration| migration.version).eq(1..=SUPPORTED));
        assert!(MIGRATIONS.iter().all(|migration| migration.compatible_with <= migration.version));
    }

    #[test]
    fn a_newer_schema_is_used_when_it_says_so() {
        let newer = |compatible_with| Schema::Version { version: SUPPORTED + 1, compatible_with };
        assert!(newer(SUPPORTED).is_usable());
        assert!(!newer(SUPPORTED + 1).is_usable());
        assert!(!Schema::Version { version: SUPPORTED - 1, compatible_with: 1 }.is_usable());
        assert!(!Schema::Empty.is_usable() && !Schema::Foreign.is_usable());
    }
}
