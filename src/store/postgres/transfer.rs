//! A database that takes in another store, in one transaction; or that is read as of one moment, to be taken in elsewhere.

use std::pin::pin;

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::sync::mpsc;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use super::connections::Connections;
use super::errors::Error;
use super::session::{Mode, Row, Session};
use super::{OpenError, PostgresSettings, PostgresStore, integrity, migrations, require_usable, unreadable};
use crate::domain::audit::AuditKey;
use crate::store::encoding::NotStorable;
use crate::store::transfer::{Cell, Piece, TABLES, Table};
use crate::store::{Finding, StoreError};

/// Rows that are read at a time; the widest has some kilobytes, but for a CRL.
const ROWS_PER_PIECE: u32 = 1_000;

/// The one table that has a row from the beginning.
const FEED_END: &str = "changes_end";

/// A transaction on a database that nobody else writes to meanwhile. Dropped before it was committed it leaves nothing.
pub(in crate::store) struct PostgresTarget {
    session: Session,
}

impl PostgresTarget {
    /// Makes the schema, or brings it up to date, and keeps everybody else from writing.
    ///
    /// # Errors
    /// As for [`PostgresStore::migrate`].
    pub(in crate::store) async fn open(settings: &PostgresSettings) -> Result<Self, OpenError> {
        PostgresStore::migrate(settings).await?;
        let mut session = Connections::new(settings)?.get().await.map_err(OpenError::Unreachable)?;
        session.begin(Mode::Write).await.map_err(unreadable)?;
        let names: Vec<_> = TABLES.iter().map(|table| table.name).collect();
        session.take_time().await.map_err(unreadable)?;
        let begin = format!(
            "SET LOCAL idle_in_transaction_session_timeout = 0; LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE",
            names.join(", ")
        );
        session.batch(&begin).await.map_err(unreadable)?;
        Ok(Self { session })
    }

    /// A table that is not empty, if there is one.
    pub(in crate::store) async fn find_rows(&self) -> Result<Option<&'static str>, StoreError> {
        for table in TABLES.iter().filter(|table| table.name != FEED_END) {
            if self.session.exists(&format!("SELECT 1 FROM {} LIMIT 1", table.name), &[]).await? {
                return Ok(Some(table.name));
            }
        }
        Ok(None)
    }

    /// Takes in a table's pieces up to its end, and answers how many rows those were. `tell` is called with their number
    /// so far.
    pub(in crate::store) async fn take(
        &mut self,
        table: &Table,
        pieces: &mut mpsc::Receiver<Piece>,
        mut tell: impl FnMut(u64),
    ) -> Result<u64, StoreError> {
        let Table { name, columns } = table;
        if *name == FEED_END {
            self.session.execute(&format!("DELETE FROM {name}"), &[]).await?;
        }
        let client = self.session.client();
        let types = client.prepare(&format!("SELECT {columns} FROM {name}")).await.map_err(Error::from)?;
        let types: Vec<_> = types.columns().iter().map(|column| column.type_().clone()).collect();
        let copy = format!("COPY {name} ({columns}) FROM STDIN (FORMAT binary)");
        let sink = client.copy_in::<_, Bytes>(&copy).await.map_err(Error::from)?;
        let mut rows = pin!(BinaryCopyInWriter::new(sink, &types));
        let mut taken = 0;
        loop {
            match pieces.recv().await {
                Some(Piece::Rows(piece)) => {
                    for row in &piece {
                        rows.as_mut().write_raw(row).await.map_err(Error::from)?;
                    }
                    taken += piece.len() as u64;
                    tell(taken);
                }
                Some(Piece::End) => break,
                None => return Err(StoreError::Unavailable { reason: "what was to be copied broke off".into() }),
            }
        }
        rows.as_mut().finish().await.map_err(Error::from)?;
        Ok(taken)
    }

    pub(in crate::store) async fn count(&self, table: &Table) -> Result<u64, StoreError> {
        Ok(self.session.row(&format!("SELECT count(*) FROM {}", table.name), &[]).await?.count(0)?)
    }

    /// [`Store::check_integrity`](crate::store::Store::check_integrity) of what was taken in.
    pub(in crate::store) async fn check(&self, audit_key: &AuditKey) -> Result<Vec<Finding>, StoreError> {
        // The planner is told what has come: for this, and for all that is asked afterwards.
        self.session.batch("ANALYZE").await?;
        Ok(integrity::check(&self.session, audit_key).await?)
    }

    /// # Errors
    /// As for [`Session::commit`].
    pub(in crate::store) async fn commit(mut self) -> Result<(), StoreError> {
        Ok(self.session.commit().await?)
    }
}

/// All of a store as of one moment. Its nodes go on meanwhile.
pub(in crate::store) struct PostgresSource {
    session: Session,
}

impl PostgresSource {
    /// # Errors
    /// As for [`PostgresStore::open_read_only`].
    pub(in crate::store) async fn open(settings: &PostgresSettings) -> Result<Self, OpenError> {
        let mut session = Connections::new(settings)?.get().await.map_err(OpenError::Unreachable)?;
        require_usable(migrations::schema(&session).await.map_err(unreadable)?)?;
        session.begin(Mode::Snapshot).await.map_err(unreadable)?;
        session.take_time().await.map_err(unreadable)?;
        Ok(Self { session })
    }

    /// Gives all tables in their order, until nobody takes them any more.
    pub(in crate::store) async fn read(&self, give: &mpsc::Sender<Piece>) -> Result<(), StoreError> {
        for table in &TABLES {
            if !self.read_table(table, give).await? {
                break;
            }
        }
        Ok(())
    }

    /// Whether somebody takes more. A cursor, so that memory holds a piece and not a table.
    async fn read_table(&self, table: &Table, give: &mpsc::Sender<Piece>) -> Result<bool, StoreError> {
        let Table { name, columns } = table;
        let declare = format!("DECLARE piece NO SCROLL CURSOR FOR SELECT {columns} FROM {name}");
        self.session.batch(&declare).await?;
        let fetch = format!("FETCH {ROWS_PER_PIECE} FROM piece");
        loop {
            // Planned for this cursor, and not kept: the next one has other columns.
            let rows = self.session.rows_once(&fetch, &[]).await?;
            if rows.is_empty() {
                break;
            }
            let rows: Result<Vec<_>, Error> = rows.iter().map(cells).collect();
            if give.send(Piece::Rows(rows?)).await.is_err() {
                return Ok(false);
            }
        }
        self.session.batch("CLOSE piece").await?;
        Ok(give.send(Piece::End).await.is_ok())
    }
}

fn cells(row: &Row) -> Result<Vec<Cell>, Error> {
    let columns = row.0.columns().iter().enumerate();
    columns
        .map(|(column, kind)| {
            Ok(match *kind.type_() {
                Type::BOOL => row.get::<Option<bool>>(column)?.map_or(Cell::Null, |flag| Cell::Integer(flag.into())),
                Type::INT8 => row.get::<Option<i64>>(column)?.map_or(Cell::Null, Cell::Integer),
                Type::TEXT => row.get::<Option<String>>(column)?.map_or(Cell::Null, Cell::Text),
                _ => row.get::<Option<Vec<u8>>>(column)?.map_or(Cell::Null, Cell::Bytes),
            })
        })
        .collect()
}

/// Flags are numbers on the way.
impl ToSql for Cell {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match (self, ty) {
            (Self::Null, _) => return Ok(IsNull::Yes),
            (Self::Integer(number), &Type::BOOL) => out.put_u8((*number != 0).into()),
            (Self::Integer(number), &Type::INT8) => out.put_i64(*number),
            (Self::Text(text), &Type::TEXT) => out.put_slice(text.as_bytes()),
            (Self::Bytes(bytes), &Type::BYTEA) => out.put_slice(bytes),
            _ => return Err(NotStorable("a value of another type").into()),
        }
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::BOOL | Type::INT8 | Type::TEXT | Type::BYTEA)
    }

    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Tables with their columns, as the migrations make them.
    fn made() -> BTreeMap<&'static str, Vec<&'static str>> {
        let sql = include_str!("migrations/0001_initial.sql");
        let tables = sql.split("CREATE TABLE ").skip(1).map(|table| {
            let (name, rest) = table.split_once(" (\n").expect("a name, then columns");
            let columns = rest.lines().take_while(|line| line.starts_with(' ')).map(str::trim_start);
            let words = columns.filter_map(|line| line.split(' ').next());
            (name, words.filter(|word| !["--", "PRIMARY"].contains(word)).collect())
        });
        tables.collect()
    }

    #[test]
    fn every_table_and_column_is_filled() {
        let filled: BTreeMap<_, Vec<_>> =
            TABLES.iter().map(|table| (table.name, table.columns.split(", ").collect())).collect();
        assert_eq!(filled, made());
    }
}
