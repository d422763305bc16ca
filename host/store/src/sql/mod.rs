//! The store in a SQL database: one implementation of the five traits over three dialects.
//!
//! | file | knows |
//! |---|---|
//! | `catalog`, `schedules`, `jobs`, `acquire`, `release`, `housekeeping`, `transfer`, `snapshot` | what each call does, in statements |
//! | `query`, `queries/` | the statements, and how one text serves three databases |
//! | `row`, `value`, and `encoding` beside this folder | how nouns become columns and JSON, and back |
//! | `tx`, `writer` | transactions, running them again, grouping them |
//! | `connection`, `sqlite`, `postgres`, `mysql`, `tls` | the drivers; nothing else names their types |
//! | `migrate`, `migrations` | the schema and its versions |
//!
//! Every call that changes something is one transaction, written so that it may run twice: the database may end it to solve a
//! collision. A claim locks, in this order, the rows of the limited tasks it looks at (by id) and the jobs it takes; unlimited
//! tasks lock nothing shared.
//!
//! # Partitions
//!
//! A queued job that is due waits in a partition: the jobs of a task that may run only so many at once in the task's own, all others
//! in one that they share. Acquiring walks from partition to partition by index, leaves out the saturated ones without looking at what
//! waits in them, and merges the heads of the rest. So its cost grows with the number of partitions and of jobs taken, and with
//! nothing else: not with what is finished, not yet due, or blocked. MySQL, whose planner does not step
//! from partition to partition, looks for the partitions of all limited tasks instead.
//!
//! # To add a dialect
//!
//! An arm in `query::Dialect` and the marks it fills in, a file beside `sqlite.rs`, a folder of migrations, and a back end in
//! the conformance suite.

mod acquire;
mod catalog;
mod connection;
#[cfg(any(test, feature = "test-util"))]
pub mod explain;
mod housekeeping;
mod jobs;
pub mod migrate;
mod migrations;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
mod query;
mod release;
mod row;
mod schedules;
mod snapshot;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(all(test, feature = "sqlite"))]
mod tests;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod tls;
mod transfer;
mod tx;
#[cfg(test)]
mod unreadable_tests;
mod value;
mod writer;

use std::sync::Arc;

use futures_util::future::BoxFuture;

use self::connection::Database;
use self::query::{Dialect, Texts};
use self::tx::{Answer, Fault, Tx, Work};
use self::writer::Writer;
use super::encoding;
pub use super::open::OpenOptions;
use super::{Certainty, StoreError};
use crate::config::StoreUrl;

/// A data store in a SQL database.
pub struct SqlStore {
    database: Arc<dyn Database>,
    texts: Arc<Texts>,
    /// Groups the writes of this process, where the database has one writer at a time.
    writer: Option<Writer>,
}

impl SqlStore {
    /// Opens the store in a file or on a server.
    ///
    /// SQLite syncs every commit to disk; `synchronous=normal` leaves that to the checkpoints, which is several times faster, and
    /// may lose the last commits when the machine (not the process) goes down. The file is never damaged by that.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] with a hint where the URL is one of no database, the database cannot be used, its schema is newer than this
    /// program, or missing and not to be made. [`StoreError::Backend`] where it cannot be reached.
    pub async fn open(url: &StoreUrl, options: OpenOptions<'_>) -> Result<SqlStore, StoreError> {
        let database = connect(url).await?;
        let dialect = database.dialect();
        let texts = Arc::new(Texts::new(dialect));
        let store = SqlStore {
            writer: (dialect == Dialect::Sqlite).then(|| Writer::start(Arc::clone(&database), Arc::clone(&texts))),
            database,
            texts,
        };
        let prepared = migrate::prepare(&store, options).await;
        if prepared.is_err() {
            store.shut().await;
        }
        prepared.map(|()| store)
    }

    /// A connection to read with.
    async fn reader(&self, operation: &'static str) -> Result<Tx, StoreError> {
        let connection = self.database.reader().await.map_err(|error| self.failed(operation, error))?;
        Ok(Tx::new(connection, Arc::clone(&self.texts), &*self.database))
    }

    /// Runs a piece of work as one transaction.
    async fn write<R, W>(&self, operation: &'static str, work: W) -> Result<R, StoreError>
    where
        R: Send + 'static,
        W: for<'a> Fn(&'a mut Tx) -> BoxFuture<'a, Result<R, Fault>> + Send + Sync + 'static,
    {
        let work: Work = Arc::new(move |tx| {
            let run = work(tx);
            Box::pin(async move { run.await.map(|answer| Box::new(answer) as Answer) })
        });
        let answer = match &self.writer {
            Some(writer) => writer.run(operation, work).await?,
            None => tx::run(&*self.database, &self.texts, operation, &work).await?,
        };
        // Work answers what its caller asked for: both are the `R` of this call.
        Ok(*answer.downcast::<R>().expect("the answer of a piece of work has the type that was asked for"))
    }

    /// The error of a read.
    fn fault(&self, operation: &'static str, fault: Fault) -> StoreError {
        tx::read_error(&*self.database, operation, fault)
    }

    fn failed(&self, operation: &'static str, error: sqlx::Error) -> StoreError {
        tx::store_error(&*self.database, operation, error, Certainty::NotApplied)
    }

    async fn shut(&self) {
        if let Some(writer) = &self.writer {
            writer.stop().await;
        }
        self.database.close().await;
    }
}

/// Runs an operation as one transaction on data that it may look at again when it runs again.
macro_rules! write_with {
    ($store:expr, $name:literal, $data:expr, $work:path) => {{
        let data = std::sync::Arc::new($data);
        $store
            .write($name, move |tx| {
                let data = std::sync::Arc::clone(&data);
                Box::pin(async move { $work(tx, &data).await })
            })
            .await
    }};
}
/// Runs an operation that only reads.
macro_rules! read_with {
    ($store:expr, $name:literal, $work:path, $($data:expr),* $(,)?) => {{
        let mut tx = $store.reader($name).await?;
        $work(&mut tx, $($data),*).await.map_err(|fault| $store.fault($name, fault))
    }};
}
use {read_with, write_with};

/// Connects to the database of a URL.
async fn connect(url: &StoreUrl) -> Result<Arc<dyn Database>, StoreError> {
    Ok(match url {
        #[cfg(feature = "sqlite")]
        StoreUrl::Sqlite(file) => Arc::new(sqlite::SqliteDatabase::open(file).await?),
        #[cfg(feature = "postgres")]
        StoreUrl::Postgres(url) => Arc::new(postgres::PostgresDatabase::open(url).await?),
        #[cfg(feature = "mysql")]
        StoreUrl::Mysql(url) => Arc::new(mysql::MysqlDatabase::open(url).await?),
        _ => return Err(super::open::no_such_kind(url)),
    })
}
