//! A store on its way into another: all that it holds, table by table, and its file put aside afterwards. And the
//! other way: a file that takes in what another store holds.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Row, ToSql, params_from_iter};

use super::lock::DirectoryLock;
use super::{FILE_NAME, OpenError, connection, migrations, names, open_to_write, unusable};
use crate::clock::Timestamp;
use crate::files::sync_directory_of;
use crate::store::StoreError;
use crate::store::transfer::{Cell, Piece, TABLES, Table};

/// The database's name once another store has all of it.
const PUT_ASIDE: &str = "muster.db.imported";

/// Rows that are handed over at once, unless they are large.
const ROWS_PER_PIECE: usize = 1_000;
const PIECE_BYTES: usize = 256 << 10;

/// Steps of [`names::step`] in one transaction.
const STEPS_PER_TRANSACTION: usize = 64;

/// The store in a data directory, which is held meanwhile.
pub(in crate::store) struct EmbeddedSource {
    connection: Connection,
    path: PathBuf,
    lock: DirectoryLock,
}

impl EmbeddedSource {
    /// The schema is brought up to date; no store is made. Blocks, as [`EmbeddedStore::open`](super::EmbeddedStore::open).
    pub(in crate::store) fn open(data_dir: &Path, now: Timestamp) -> Result<Self, OpenError> {
        let path = data_dir.join(FILE_NAME);
        if !path.try_exists().map_err(|source| OpenError::Io { path: path.clone(), source })? {
            return Err(OpenError::Missing { path });
        }
        let lock = DirectoryLock::take(data_dir, now)?;
        Ok(Self { connection: open_to_write(&path)?, path, lock })
    }

    pub(in crate::store) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives all tables in their order, until `give` answers that nobody takes them any more. Blocks.
    pub(in crate::store) fn read(&mut self, give: &mut dyn FnMut(Piece) -> bool) -> Result<(), StoreError> {
        finish_counting(&mut self.connection)?;
        let snapshot = self.connection.transaction()?;
        for table in &TABLES {
            if !read_table(&snapshot, table, give)? {
                break;
            }
        }
        Ok(())
    }

    /// Gives the database another name, so that nobody serves it any more by accident.
    ///
    /// # Errors
    /// The file system's.
    pub(in crate::store) fn put_aside(self) -> io::Result<PathBuf> {
        let Self { connection, path, lock } = self;
        // A reader keeps the log where it is; then that is renamed as well.
        let _ = connection::checkpoint(&connection);
        drop(connection);
        let put_aside = path.with_file_name(PUT_ASIDE);
        for suffix in ["-wal", "-shm", ""] {
            let with_suffix = |path: &Path| {
                let mut name = path.as_os_str().to_owned();
                name.push(suffix);
                PathBuf::from(name)
            };
            match fs::rename(with_suffix(&path), with_suffix(&put_aside)) {
                Err(error) if !suffix.is_empty() && error.kind() == io::ErrorKind::NotFound => {}
                renamed => renamed?,
            }
        }
        sync_directory_of(&put_aside)?;
        drop(lock);
        Ok(put_aside)
    }
}

/// What the embedded store counts behind its commits is counted with them in the other.
fn finish_counting(connection: &mut Connection) -> rusqlite::Result<()> {
    let mut is_behind = true;
    while is_behind {
        let transaction = connection.transaction()?;
        for _ in 0..STEPS_PER_TRANSACTION {
            is_behind = names::step(&transaction)?;
            if !is_behind {
                break;
            }
        }
        transaction.commit()?;
    }
    Ok(())
}

/// A new database in a file, which takes in another store. Whoever asked for it syncs it when it is whole.
pub(in crate::store) struct EmbeddedTarget {
    connection: Connection,
}

impl EmbeddedTarget {
    /// `path`: an empty file. Blocks, as all of it.
    pub(in crate::store) fn create(path: &Path) -> Result<Self, OpenError> {
        let made = || -> rusqlite::Result<Connection> {
            let mut connection = connection::open_to_inspect(path)?;
            connection.pragma_update(None, "synchronous", "OFF")?;
            migrations::migrate(&mut connection, 0)?;
            connection.execute_batch("BEGIN")?;
            Ok(connection)
        };
        Ok(Self { connection: made().map_err(|error| unusable(path, &error))? })
    }

    /// Rows of a table, in the order of its columns.
    pub(in crate::store) fn take(&self, table: &Table, rows: &[Vec<Cell>]) -> Result<(), StoreError> {
        let Some(insert) = insertion(table) else { return Ok(()) };
        let mut insert = self.connection.prepare_cached(&insert)?;
        for row in rows {
            insert.execute(params_from_iter(row))?;
        }
        Ok(())
    }

    /// Makes of what was taken in all that this store keeps beside it, and ends.
    pub(in crate::store) fn finish(mut self) -> Result<(), StoreError> {
        self.connection.execute_batch(DERIVED)?;
        finish_counting(&mut self.connection)?;
        self.connection.close().map_err(|(_, error)| StoreError::from(error))
    }
}

/// How a row of a table of the shared store is kept here; `None`: it follows from others.
fn insertion(table: &Table) -> Option<String> {
    let Table { name, columns } = table;
    let values: Vec<_> = (1..=columns.split(", ").count()).map(|number| format!("?{number}")).collect();
    Some(match *name {
        "changes_end" | "component_counts" => return None,
        // The shared store keeps all that was revoked since, this one what was last.
        "crl_news" => format!(
            "INSERT INTO crl_news ({columns}) VALUES ({}) ON CONFLICT DO UPDATE SET serial = excluded.serial",
            values.join(", ")
        ),
        "key_counters" => format!(
            "INSERT INTO key_counters ({}) VALUES ({})",
            &columns["customer_id, ".len()..],
            values[1..].join(", ")
        ),
        "key_hours" => {
            format!("INSERT INTO key_hours ({}) VALUES ({})", columns.replace("key_id", "list"), values.join(", "))
        }
        "signed_ends" => {
            "UPDATE signing_certificates SET signed_until = ?3 WHERE customer_id = ?1 AND id = ?2".to_owned()
        }
        _ => format!("INSERT INTO {name} ({columns}) VALUES ({})", values.join(", ")),
    })
}

/// The shared store counts hours with its commits: of each ledger all is counted.
const DERIVED: &str = "
    INSERT INTO key_hours (customer_id, list, hour, uses, releases, re_enrollments, refusals)
        SELECT customer_id, 0, hour, sum(uses), sum(releases), sum(re_enrollments), sum(refusals)
        FROM key_hours GROUP BY customer_id, hour;
    INSERT INTO key_hours_end (key_id, sequence) SELECT key_id, max(sequence) FROM key_uses GROUP BY key_id;
    INSERT INTO component_blocks (customer_id, list, block, components)
        SELECT customer_id, group_id, id >> 12, count(*) FROM components WHERE deleted_at IS NULL GROUP BY 1, 2, 3;
    INSERT INTO component_blocks (customer_id, list, block, components)
        SELECT customer_id, -kind, id >> 12, count(*) FROM components WHERE deleted_at IS NULL GROUP BY 1, 2, 3;
    COMMIT";

impl ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// Whether somebody takes more.
fn read_table(connection: &Connection, table: &Table, give: &mut dyn FnMut(Piece) -> bool) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare(&format!("SELECT {} FROM {}", table.columns, source(table.name)))?;
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    let (mut piece, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        piece.push(cells(row, columns, &mut bytes)?);
        if piece.len() == ROWS_PER_PIECE || bytes > PIECE_BYTES {
            if !give(Piece::Rows(std::mem::take(&mut piece))) {
                return Ok(false);
            }
            bytes = 0;
        }
    }
    Ok((piece.is_empty() || give(Piece::Rows(piece))) && give(Piece::End))
}

/// Where the rows of a table of the shared store are.
fn source(table: &'static str) -> &'static str {
    match table {
        "changes_end" => "(SELECT coalesce(max(sequence), 0) AS sequence FROM changes)",
        "component_counts" => {
            "(SELECT customer_id, group_id, 0 AS slot, kind, count(*) AS components FROM components
              WHERE deleted_at IS NULL GROUP BY customer_id, group_id, kind)"
        }
        "key_counters" => "(SELECT k.customer_id, n.* FROM key_counters n JOIN provisioning_keys k ON k.id = n.key_id)",
        // The sums over all of a customer's are in list 0.
        "key_hours" => "(SELECT *, list AS key_id FROM key_hours WHERE list <> 0)",
        "signed_ends" => {
            "(SELECT customer_id, id AS signing_certificate_id, signed_until FROM signing_certificates
              WHERE signed_until IS NOT NULL)"
        }
        same => same,
    }
}

fn cells(row: &Row<'_>, columns: usize, bytes: &mut usize) -> rusqlite::Result<Vec<Cell>> {
    let mut cells = Vec::with_capacity(columns);
    for column in 0..columns {
        let value = row.get_ref(column)?;
        let cell = match value {
            ValueRef::Null => Cell::Null,
            ValueRef::Integer(number) => Cell::Integer(number),
            ValueRef::Text(text) => {
                *bytes += text.len();
                Cell::Text(value.as_str()?.to_owned())
            }
            ValueRef::Blob(blob) => {
                *bytes += blob.len();
                Cell::Bytes(blob.to_owned())
            }
            // No column of ours.
            ValueRef::Real(_) => {
                let name = row.as_ref().column_name(column)?.to_owned();
                return Err(rusqlite::Error::InvalidColumnType(column, name, value.data_type()));
            }
        };
        cells.push(cell);
    }
    Ok(cells)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::migrations;
    use super::*;

    /// What the shared store does without, and columns that it has elsewhere.
    const LEFT: [&str; 7] = [
        "component_blocks",
        "component_name_buckets",
        "component_names",
        "component_names_end",
        "key_hours_end",
        "key_totals",
        "signing_certificates.signed_until",
    ];

    fn empty() -> (Connection, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        fs::write(&path, []).unwrap();
        let mut connection = connection::open_writer(&path).unwrap();
        migrations::migrate(&mut connection, 0).unwrap();
        (connection, dir)
    }

    #[test]
    fn every_table_and_column_is_copied_or_left_on_purpose() {
        let (connection, _dir) = empty();
        let mut statement = connection
            .prepare(
                "SELECT t.name, c.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c
                 WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%'",
            )
            .unwrap();
        let columns = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let mut here: BTreeSet<(String, String)> = columns.map(Result::unwrap).collect();
        here.retain(|(table, column)| {
            !LEFT.contains(&table.as_str()) && !LEFT.contains(&format!("{table}.{column}").as_str())
        });
        let names = |table: &Table| -> Vec<_> {
            table.columns.split(", ").map(|column| (table.name.to_owned(), column.to_owned())).collect()
        };
        let same = TABLES.iter().filter(|table| source(table.name) == table.name);
        let mut copied: BTreeSet<_> = same.flat_map(names).collect();
        copied
            .extend(TABLES.iter().filter(|table| ["key_counters", "key_hours"].contains(&table.name)).flat_map(names));
        copied.remove(&("key_counters".to_owned(), "customer_id".to_owned()));
        copied.remove(&("key_hours".to_owned(), "key_id".to_owned()));
        here.remove(&("key_hours".to_owned(), "list".to_owned()));
        assert_eq!(copied, here);
    }

    #[test]
    fn all_tables_can_be_read_and_reading_ends_when_nobody_takes_more() {
        let (connection, dir) = empty();
        connection.execute("INSERT INTO settings VALUES ('a', 'b')", []).unwrap();
        drop(connection);
        let mut source = EmbeddedSource::open(dir.path(), Timestamp::from_unix_seconds(0)).unwrap();
        let (mut ends, mut rows) = (0, 0);
        let mut give = |piece| {
            match piece {
                Piece::Rows(piece) => rows += piece.len(),
                Piece::End => ends += 1,
            }
            true
        };
        source.read(&mut give).unwrap();
        assert_eq!((ends, rows), (TABLES.len(), 2), "the setting and the end of the feed");
        let mut given = 0;
        source
            .read(&mut |_| {
                given += 1;
                false
            })
            .unwrap();
        assert_eq!(given, 1);
    }

    #[test]
    fn a_file_put_aside_is_no_store_any_more() {
        let (connection, dir) = empty();
        drop(connection);
        let at = Timestamp::from_unix_seconds(0);
        let put_aside = EmbeddedSource::open(dir.path(), at).unwrap().put_aside().unwrap();
        assert_eq!(put_aside, dir.path().join(PUT_ASIDE));
        assert!(put_aside.exists());
        assert!(matches!(EmbeddedSource::open(dir.path(), at), Err(OpenError::Missing { .. })));
    }
}
