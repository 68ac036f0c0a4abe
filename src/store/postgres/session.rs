//! One connection at work: statements, and the transaction that they are part of. Nothing waits without end: what is
//! not answered in time is an error, and its connection is not used again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deadpool_postgres::Object;
use tokio::runtime::Handle;
use tokio_postgres::Statement;
use tokio_postgres::types::{FromSql, ToSql, Type};

use super::encoding::{Count, Exactly};
use super::errors::{Error, Failure, tell};

/// What statements bind.
pub(super) type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

/// One value for a statement that is not prepared, with the type that the database does not tell then.
pub(super) type TypedValue<'a> = (&'a (dyn ToSql + Sync), Type);

/// For an answer. The database itself breaks off a statement before; a commit that waits for standbys, and a
/// peer that is gone, it does not.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(25);

/// For the answer to COMMIT.
const COMMIT_TIME_MAX: Duration = Duration::from_secs(10);

/// How long a connection that was given up in the midst of a statement keeps its place in the pool. The database
/// goes on with the statement, so that another connection would be one more there.
const PARKED_TIME_MAX: Duration = Duration::from_secs(60);

/// A connection of a pool. Dropped with nothing under way it goes back there; dropped inside a transaction, or
/// while an answer is due, it is closed, and the database rolls back what was not committed.
pub(super) struct Session {
    client: Option<Object>,
    is_in_transaction: bool,
    /// Something was asked and not answered yet.
    is_waiting: AtomicBool,
    /// Its statements may take as long as they do.
    has_time: AtomicBool,
}

/// How a transaction sees and may change what others do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Each statement sees what was committed before it.
    Write,
    /// All statements see the state at the first one.
    Snapshot,
}

impl Session {
    pub(super) fn new(client: Object) -> Self {
        Self { client: Some(client), is_in_transaction: false, is_waiting: false.into(), has_time: false.into() }
    }

    /// Waits for an answer, and knows as long as none came.
    async fn ask<T>(&self, asked: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, Error> {
        self.is_waiting.store(true, Ordering::Relaxed);
        let answered = if self.has_time.load(Ordering::Relaxed) {
            asked.await
        } else {
            let answered = tokio::time::timeout(ANSWER_TIME_MAX, asked).await;
            answered.map_err(|_| Error::no_answer_within(ANSWER_TIME_MAX))?
        };
        self.is_waiting.store(false, Ordering::Relaxed);
        Ok(answered?)
    }

    /// Ready to be run, and kept so.
    pub(super) async fn prepare(&self, sql: &str) -> Result<Statement, Error> {
        self.ask(self.client().prepare_cached(sql)).await
    }

    /// Statements without values, in a row.
    pub(super) async fn batch(&self, sql: &str) -> Result<(), Error> {
        self.ask(self.client().batch_execute(sql)).await
    }

    /// Lets the statements of this transaction take as long as they do.
    pub(super) async fn take_time(&self) -> Result<(), Error> {
        self.batch("SET LOCAL statement_timeout = 0").await?;
        self.has_time.store(true, Ordering::Relaxed);
        Ok(())
    }

    pub(super) async fn rows(&self, sql: &str, values: Values<'_>) -> Result<Vec<Row>, Error> {
        let statement = self.prepare(sql).await?;
        Ok(self.ask(self.client().query(&statement, values)).await?.into_iter().map(Row).collect())
    }

    /// The only row, if there is one.
    pub(super) async fn row_or_none(&self, sql: &str, values: Values<'_>) -> Result<Option<Row>, Error> {
        let statement = self.prepare(sql).await?;
        Ok(self.ask(self.client().query_opt(&statement, values)).await?.map(Row))
    }

    /// The only row; that there is none is an error.
    pub(super) async fn row(&self, sql: &str, values: Values<'_>) -> Result<Row, Error> {
        let statement = self.prepare(sql).await?;
        self.ask(self.client().query_one(&statement, values)).await.map(Row)
    }

    /// [`Self::rows`] of a statement that is planned for these values and not kept.
    pub(super) async fn rows_once(&self, sql: &str, values: &[TypedValue<'_>]) -> Result<Vec<Row>, Error> {
        Ok(self.ask(self.client().query_typed(sql, values)).await?.into_iter().map(Row).collect())
    }

    /// [`Self::row`] of such a statement.
    pub(super) async fn row_once(&self, sql: &str, values: &[TypedValue<'_>]) -> Result<Row, Error> {
        self.ask(self.client().query_typed_one(sql, values)).await.map(Row)
    }

    /// Every row as `read` makes it.
    pub(super) async fn list<T>(
        &self,
        sql: &str,
        values: Values<'_>,
        read: impl Fn(&Row) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        self.rows(sql, values).await?.iter().map(read).collect()
    }

    /// The only row as `read` makes it, if there is one.
    pub(super) async fn find<T>(
        &self,
        sql: &str,
        values: Values<'_>,
        read: impl Fn(&Row) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        self.row_or_none(sql, values).await?.as_ref().map(read).transpose()
    }

    /// Whether there is any row.
    pub(super) async fn exists(&self, sql: &str, values: Values<'_>) -> Result<bool, Error> {
        Ok(!self.rows(sql, values).await?.is_empty())
    }

    /// How many rows were changed.
    pub(super) async fn execute(&self, sql: &str, values: Values<'_>) -> Result<u64, Error> {
        let statement = self.prepare(sql).await?;
        self.ask(self.client().execute(&statement, values)).await
    }

    pub(super) async fn begin(&mut self, mode: Mode) -> Result<(), Error> {
        self.enter();
        let begin = match mode {
            Mode::Write => "BEGIN ISOLATION LEVEL READ COMMITTED",
            Mode::Snapshot => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        };
        self.batch(begin).await
    }

    /// Ends the transaction. An `Ok` is durable, on as many servers as the database is told to wait for.
    ///
    /// # Errors
    /// See [`Failure`].
    pub(super) async fn commit(&mut self) -> Result<(), Failure> {
        self.is_waiting.store(true, Ordering::Relaxed);
        match tokio::time::timeout(COMMIT_TIME_MAX, self.client().batch_execute("COMMIT")).await {
            Ok(Ok(())) => {
                self.leave();
                Ok(())
            }
            Ok(Err(error)) => Err(Failure::of_commit(error)),
            Err(_) => Err(Failure::unanswered_within(COMMIT_TIME_MAX)),
        }
    }

    /// Ends a transaction of which nothing is to stay.
    pub(super) async fn roll_back(&mut self) -> Result<(), Error> {
        self.batch("ROLLBACK").await?;
        self.leave();
        Ok(())
    }

    /// A transaction begins.
    pub(super) fn enter(&mut self) {
        self.is_in_transaction = true;
    }

    /// Several messages are sent at once; [`Self::heard`] when all are answered.
    pub(super) fn say(&self) {
        self.is_waiting.store(true, Ordering::Relaxed);
    }

    pub(super) fn heard(&self) {
        self.is_waiting.store(false, Ordering::Relaxed);
    }

    /// Whether nothing is under way, so that it may be used again.
    pub(super) fn is_idle(&self) -> bool {
        !self.is_in_transaction && !self.is_waiting.load(Ordering::Relaxed)
    }

    /// It has ended.
    pub(super) fn leave(&mut self) {
        (self.is_in_transaction, self.is_waiting, self.has_time) = (false, false.into(), false.into());
    }

    /// For what is said in several messages at once.
    pub(super) fn client(&self) -> &Object {
        self.client.as_ref().expect("taken only when dropped")
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.is_idle() {
            return;
        }
        let Some(client) = self.client.take() else { return };
        let runtime = Handle::try_current().ok().filter(|_| *self.is_waiting.get_mut());
        match runtime {
            Some(runtime) => drop(runtime.spawn(park(client))),
            None => drop(Object::take(client)),
        }
    }
}

/// Holds the place of a connection until what is due was answered, then closes it. It is not cancelled: a commit that
/// waits for standbys would be confirmed without them.
async fn park(client: Object) {
    let _ = tokio::time::timeout(PARKED_TIME_MAX, client.batch_execute("")).await;
    drop(Object::take(client));
}

/// A row, whose columns are asked for by their numbers from 0.
pub(super) struct Row(pub tokio_postgres::Row);

impl Row {
    /// # Errors
    /// [`Error::Value`]: the column holds something else.
    pub(super) fn get<'a, T: FromSql<'a>>(&'a self, column: usize) -> Result<T, Error> {
        self.0.try_get(column).map_err(|error| Error::Value(tell(&error)))
    }

    /// A number without a sign.
    pub(super) fn count<T: TryFrom<i64>>(&self, column: usize) -> Result<T, Error> {
        self.get::<Count<T>>(column).map(|count| count.0)
    }

    pub(super) fn count_or_none<T: TryFrom<i64>>(&self, column: usize) -> Result<Option<T>, Error> {
        self.get::<Option<Count<T>>>(column).map(|count| count.map(|count| count.0))
    }

    /// Bytes of which there is one number.
    pub(super) fn bytes<const N: usize>(&self, column: usize) -> Result<[u8; N], Error> {
        self.get::<Exactly<N>>(column).map(|bytes| bytes.0)
    }
}

/// The same columns of the table that goes by this alias: `a, b` of `t` are `t.a, t.b`.
pub(super) fn columns_of(alias: &str, columns: &str) -> String {
    let columns: Vec<_> = columns.split(", ").map(|column| format!("{alias}.{column}")).collect();
    columns.join(", ")
}
