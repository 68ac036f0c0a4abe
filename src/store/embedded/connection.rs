//! How connections are opened.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, OpenFlags, ffi};

use crate::store::encoding::Address;

/// Bytes per page of a new file. Commits write whole pages, and the two random indexes of an
/// enrollment touch a page each; see docs/decisions/0001-embedded-engine.md for the measurement.
const PAGE_BYTES: u32 = 4_096;

/// Pages in the log after which the writer copies them into the database.
const CHECKPOINT_PAGES: u32 = 8_192;

/// The log file is cut back to this once it was copied.
const LOG_BYTES_KEPT: u32 = 64 << 20;

/// Somebody else's lock, e.g. of the `sqlite3` shell, is waited for this long.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

const WRITER_CACHE_KIB: i32 = 64 << 10;
const READER_CACHE_KIB: i32 = 8 << 10;
const STATEMENTS_CACHED: usize = 128;

/// For the writer. The file is there, be it empty: when a running store's file is gone, an empty one
/// in its place would look like a store that was never used.
pub(super) fn open_writer(path: &Path) -> rusqlite::Result<Connection> {
    let connection = open_to_inspect(path)?;
    make_writer(&connection)?;
    Ok(connection)
}

/// For finding out whose file it is. As long as nothing is written through it, the file stays as it
/// is, also when the connection is closed.
pub(super) fn open_to_inspect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = open(path, flags, WRITER_CACHE_KIB)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(connection)
}

/// Settles how the file, which is ours, is written.
pub(super) fn make_writer(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        let cannot = ffi::Error::new(ffi::SQLITE_CANTOPEN);
        return Err(rusqlite::Error::SqliteFailure(cannot, Some(format!("journal mode is {mode}, not wal"))));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES_KEPT)?;
    // A sealed key string that is destroyed is overwritten, and not left in a free corner of its page.
    connection.pragma_update(None, "secure_delete", true)?;
    Ok(())
}

/// For reading beside a writer, in this process or another.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = open(path, flags, READER_CACHE_KIB)?;
    connection.pragma_update(None, "query_only", true)?;
    // What lists compare where an address is kept in its bytes.
    connection.create_scalar_function("address_text", 1, FunctionFlags::SQLITE_DETERMINISTIC, |context| {
        context.get::<Address>(0).map(|Address(address)| address.to_string())
    })?;
    Ok(connection)
}

fn open(path: &Path, flags: OpenFlags, cache_kib: i32) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    connection.pragma_update(None, "cache_size", -cache_kib)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "trusted_schema", false)?;
    // Else each statement with a parameter behind LIMIT is prepared anew whenever it is run.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(connection)
}

/// Copies the whole log into the database, syncs it and empties the log.
///
/// # Errors
/// `SQLITE_BUSY` also when a reader kept it from going all the way.
pub(super) fn checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    let is_busy: bool = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if is_busy {
        return Err(rusqlite::Error::SqliteFailure(
            ffi::Error::new(ffi::SQLITE_BUSY),
            Some("a reader holds the write-ahead log".into()),
        ));
    }
    Ok(())
}
