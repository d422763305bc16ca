//! Transactions: begun, run, committed, and run again where the database asks for it.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::BoxFuture;

use super::connection::{Connection, Database, DriverError, Failure};
use crate::record::BATCH_BYTES_MAX;
use crate::sql::statements::query::{Dialect, Query, Texts};
use crate::sql::statements::value::{Arg, Row, Value};
use crate::{Certainty, Defect, StoreError, Subject};

/// How often a transaction is run again after a collision with others, before the caller is told.
const RUNS_MAX: u32 = 10;

/// Why a piece of work in a transaction ended early.
#[derive(Debug)]
pub(in crate::sql) enum Fault {
    /// It refused; the transaction is rolled back and the refusal is the answer.
    Refused(StoreError),
    /// The database failed.
    Database(sqlx::Error),
    /// It hoped for what was not so; the transaction is rolled back and the work runs again, knowing better.
    Again,
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Fault {
        Fault::Database(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Fault {
        Fault::Refused(error)
    }
}

impl From<Defect> for Fault {
    fn from(defect: Defect) -> Fault {
        Fault::Refused(StoreError::Unreadable { subject: Subject::Other("row".into()), defect })
    }
}

/// A connection with the statements it understands; inside [`run`] with an open transaction.
pub(in crate::sql) struct Tx {
    connection: Box<dyn Connection>,
    texts: Arc<Texts>,
    pub(in crate::sql) dialect: Dialect,
    statement_bytes_max: usize,
    /// Whether anything was changed since this was last set to `false`.
    pub(in crate::sql) has_written: bool,
}

/// A statement that the database would not take.
#[derive(Debug, thiserror::Error)]
#[error(
    "it takes {bytes} bytes at once, and the database takes {max}; on MySQL and MariaDB `max_allowed_packet` sets that"
)]
struct TooLarge {
    bytes: usize,
    max: usize,
}

impl Tx {
    pub(in crate::sql) fn new(connection: Box<dyn Connection>, texts: Arc<Texts>, database: &dyn Database) -> Tx {
        let (dialect, statement_bytes_max) = (database.dialect(), database.statement_bytes_max());
        Tx { connection, texts, dialect, statement_bytes_max, has_written: false }
    }

    /// How many bytes of arguments a statement is to carry: large ones hold others up, on their way and at the server.
    pub(in crate::sql) fn statement_bytes(&self) -> usize {
        BATCH_BYTES_MAX.min(self.statement_bytes_max / 2)
    }

    fn count_trip(&self) {
        self.texts.round_trips.fetch_add(1, Ordering::Relaxed);
    }

    /// Refuses what a server would answer by closing the connection, which looks as if trying again might help.
    fn check_size(&self, query: Query, args: &[Arg]) -> Result<(), Fault> {
        let (bytes, max) = (args.iter().map(Arg::bytes).sum(), self.statement_bytes_max);
        if bytes <= max {
            return Ok(());
        }
        Err(StoreError::Rejected { operation: query.name, source: Arc::new(TooLarge { bytes, max }) }.into())
    }

    /// Runs a query and answers its rows.
    pub(in crate::sql) async fn fetch(&mut self, query: Query, args: Vec<Arg>) -> Result<Vec<Row>, Fault> {
        self.check_size(query, &args)?;
        self.count_trip();
        let (text, args) = self.texts.fill(query, args);
        Ok(self.connection.fetch(text, args).await?)
    }

    /// Runs a query that answers at most one row.
    pub(in crate::sql) async fn fetch_one(&mut self, query: Query, args: Vec<Arg>) -> Result<Option<Row>, Fault> {
        Ok(self.fetch(query, args).await?.into_iter().next())
    }

    /// Runs a query with a row of arguments for each of `rows`, in as few statements as the database allows.
    pub(in crate::sql) async fn fetch_rows(&mut self, query: Query, rows: Vec<Vec<Value>>) -> Result<Vec<Row>, Fault> {
        let mut answers = Vec::new();
        for chunk in chunks(self.dialect, rows, 64, self.statement_bytes()) {
            answers.extend(self.fetch(query, vec![Arg::Rows(chunk)]).await?);
        }
        Ok(answers)
    }

    /// Changes something, and answers how many rows that touched.
    pub(in crate::sql) async fn execute(&mut self, query: Query, args: Vec<Arg>) -> Result<u64, Fault> {
        self.check_size(query, &args)?;
        self.has_written = true;
        self.count_trip();
        let (text, args) = self.texts.fill(query, args);
        Ok(self.connection.execute(text, args).await?)
    }

    /// Changes something, and answers the rows that it names after the change.
    pub(in crate::sql) async fn change(&mut self, query: Query, args: Vec<Arg>) -> Result<Vec<Row>, Fault> {
        self.has_written = true;
        self.fetch(query, args).await
    }

    /// Changes something for each of `rows`, and answers the rows that it names after the change.
    pub(in crate::sql) async fn change_rows(&mut self, query: Query, rows: Vec<Vec<Value>>) -> Result<Vec<Row>, Fault> {
        self.has_written = true;
        self.fetch_rows(query, rows).await
    }

    /// Changes something for each of `rows`, in as few statements as the database allows.
    pub(in crate::sql) async fn execute_rows(&mut self, query: Query, rows: Vec<Vec<Value>>) -> Result<u64, Fault> {
        let mut touched = 0;
        for chunk in chunks(self.dialect, rows, 512, self.statement_bytes()) {
            touched += self.execute(query, vec![Arg::Rows(chunk)]).await?;
        }
        Ok(touched)
    }

    pub(in crate::sql) async fn script(&mut self, text: sqlx::SqlStr) -> Result<(), Fault> {
        self.has_written = true;
        Ok(self.connection.script(text).await?)
    }

    pub(in crate::sql) async fn begin(&mut self) -> Result<(), sqlx::Error> {
        self.count_trip();
        self.connection.begin().await
    }

    /// Begins to read everything as it is now.
    pub(in crate::sql) async fn begin_snapshot(&mut self) -> Result<(), Fault> {
        self.connection.begin_snapshot().await?;
        // Where beginning alone does not fix the instant, the first look does.
        self.fetch(crate::sql::statements::query::q::catalog_revision_get, Vec::new()).await.map(|_| ())
    }

    pub(in crate::sql) async fn end(&mut self, commit: bool) -> Result<(), sqlx::Error> {
        self.count_trip();
        self.connection.end(commit).await
    }

    /// The connection, after the end of the transaction.
    pub(in crate::sql) fn into_connection(self) -> Box<dyn Connection> {
        self.connection
    }

    /// Takes the limits off: what follows may take as long as it takes.
    pub(in crate::sql) async fn take_time(&mut self) -> Result<(), Fault> {
        Ok(self.connection.take_time().await?)
    }
}

/// Cuts rows into pieces that one statement carries, none of them larger than `bytes_max` unless its only row is: on PostgreSQL up to
/// 10,000, as arrays; else powers of two up to `max`, so that few lengths of a statement exist, and not more values than a statement
/// may have (SQLite: 32,766).
fn chunks(dialect: Dialect, rows: Vec<Vec<Value>>, max: usize, bytes_max: usize) -> Vec<Vec<Vec<Value>>> {
    let is_postgres = dialect == Dialect::Postgres;
    let max = if is_postgres { 10_000 } else { max };
    let mut chunks = Vec::new();
    let mut rows = VecDeque::from(rows);
    while !rows.is_empty() {
        let mut bytes = 0_usize;
        let fits = |row: &&Vec<Value>| {
            bytes = bytes.saturating_add(row.iter().map(Value::bytes).sum());
            bytes <= bytes_max
        };
        let size = rows.iter().take(max).take_while(fits).count().max(1);
        let size = if is_postgres { size } else { 1 << size.ilog2() };
        chunks.push(rows.drain(..size).collect());
    }
    chunks
}

/// What a piece of work answers, with its type put aside.
pub(in crate::sql) type Answer = Box<dyn Any + Send>;

/// A piece of work inside a transaction. It may run more than once; only the last run counts.
pub(in crate::sql) type Work = Arc<dyn for<'a> Fn(&'a mut Tx) -> BoxFuture<'a, Result<Answer, Fault>> + Send + Sync>;

/// Puts the type of a piece of work's answer aside.
pub(in crate::sql) fn untyped<R, W>(work: W) -> Work
where
    R: Send + 'static,
    W: for<'a> Fn(&'a mut Tx) -> BoxFuture<'a, Result<R, Fault>> + Send + Sync + 'static,
{
    Arc::new(move |tx| {
        let run = work(tx);
        Box::pin(async move { run.await.map(|answer| Box::new(answer) as Answer) })
    })
}

/// The answer of a piece of work, with its type again.
pub(in crate::sql) fn typed<R: 'static>(answer: Answer) -> R {
    // Work answers what its caller asked for: both are the `R` of one call.
    *answer.downcast::<R>().expect("the answer of a piece of work has the type that was asked for")
}

/// Runs a piece of work in a transaction of its own.
pub(in crate::sql) async fn run(
    database: &dyn Database,
    texts: &Arc<Texts>,
    operation: &'static str,
    work: &Work,
) -> Result<Answer, StoreError> {
    let mut runs = 1;
    loop {
        let error = match run_once(database, texts, work).await {
            Ok(answer) => return Ok(answer),
            Err(Failed::Refused(error)) => return Err(error),
            Err(Failed::Again) if runs < RUNS_MAX => {
                runs += 1;
                continue;
            }
            Err(Failed::Again) => {
                let (certainty, source) = (Certainty::NotApplied, Arc::new(NeverRight));
                StoreError::Backend { operation, certainty, transient: true, source }
            }
            Err(Failed::Database(error, certainty)) => {
                let failure = database.classify(&error);
                if failure == Failure::Collision && runs < RUNS_MAX {
                    runs += 1;
                    tracing::debug!(operation, runs, error = %error, "transaction collided, running it again");
                    continue;
                }
                store_error(database, operation, error, certainty)
            }
        };
        return Err(error);
    }
}

/// A piece of work found each time something else than it had hoped for.
#[derive(Debug, thiserror::Error)]
#[error("what it looked at changed each time")]
struct NeverRight;

/// Why a run did not commit.
pub(in crate::sql) enum Failed {
    Refused(StoreError),
    Again,
    Database(sqlx::Error, Certainty),
}

async fn run_once(database: &dyn Database, texts: &Arc<Texts>, work: &Work) -> Result<Answer, Failed> {
    let not_applied = |error| Failed::Database(error, Certainty::NotApplied);
    let connection = database.writer().await.map_err(not_applied)?;
    let mut tx = Tx::new(connection, Arc::clone(texts), database);
    tx.begin().await.map_err(not_applied)?;
    match work(&mut tx).await {
        Ok(answer) => {
            commit(&mut tx).await.map_err(|(error, certainty)| Failed::Database(error, certainty))?;
            Ok(answer)
        }
        Err(fault) => {
            // Where the rollback fails too, the connection is closed, and the database rolls back for us.
            let _rolled_back = tx.end(false).await;
            Err(match fault {
                Fault::Refused(error) => Failed::Refused(error),
                Fault::Again => Failed::Again,
                Fault::Database(error) => not_applied(error),
            })
        }
    }
}

/// Commits; where that fails, says whether it may have happened.
pub(in crate::sql) async fn commit(tx: &mut Tx) -> Result<(), (sqlx::Error, Certainty)> {
    let Err(error) = tx.end(true).await else { return Ok(()) };
    // The database that answers "no" to a commit has not committed, once it has also rolled back. One that does not answer may have.
    let refused = matches!(error, sqlx::Error::Database(_)) && tx.end(false).await.is_ok();
    Err((error, if refused { Certainty::NotApplied } else { Certainty::Unknown }))
}

/// The error of the port for what ended a read.
pub(in crate::sql) fn read_error(database: &dyn Database, operation: &'static str, fault: Fault) -> StoreError {
    match fault {
        Fault::Refused(error) => error,
        Fault::Database(error) => store_error(database, operation, error, Certainty::NotApplied),
        Fault::Again => unreachable!("{operation} only reads, and so has nothing to roll back"),
    }
}

/// The error of the port for an error of a driver.
pub(in crate::sql) fn store_error(
    database: &dyn Database,
    operation: &'static str,
    error: sqlx::Error,
    certainty: Certainty,
) -> StoreError {
    if matches!(error, sqlx::Error::PoolClosed) {
        return StoreError::Closed;
    }
    let failure = database.classify(&error);
    if failure == Failure::Rejected {
        return StoreError::Rejected { operation, source: Arc::new(DriverError(database.text(&error))) };
    }
    let transient = matches!(failure, Failure::Collision | Failure::Busy | Failure::Gone);
    match database.explain(error) {
        Err(unusable) => unusable,
        Ok(error) => {
            let source = Arc::new(DriverError(database.text(&error)));
            StoreError::Backend { operation, certainty, transient, source }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(dialect: Dialect, rows: &[usize], bytes_max: usize) -> Vec<usize> {
        let rows = rows.iter().map(|bytes| vec![Value::Bytes(vec![0; *bytes])]).collect();
        chunks(dialect, rows, 512, bytes_max).iter().map(Vec::len).collect()
    }

    #[test]
    fn statements_are_cut_by_the_number_of_their_rows_and_by_their_bytes() {
        assert_eq!(sizes(Dialect::Postgres, &[1; 1_000], 10_000), [1_000]);
        assert_eq!(sizes(Dialect::Sqlite, &[1; 1_000], 10_000), [512, 256, 128, 64, 32, 8]);
        assert_eq!(sizes(Dialect::Postgres, &[4, 4, 4, 4, 4], 10), [2, 2, 1]);
        assert_eq!(sizes(Dialect::Mysql, &[3, 3, 3, 3], 10), [2, 2], "a power of two that fits");
        assert_eq!(sizes(Dialect::Postgres, &[1, 99, 1, 1], 10), [1, 1, 2], "a large one goes alone");
    }
}
