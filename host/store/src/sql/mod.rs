//! The store in a SQL database: one implementation of the five traits over three dialects.
//!
//! | file | knows |
//! |---|---|
//! | `operations` | what each call does, in statements |
//! | `places` | limits on running jobs |
//! | `statements`, `queries/` | the statements, and how one text serves three databases; how nouns become columns and JSON, and back |
//! | `time` | by which clock a call decides |
//! | `drivers` | connections, and transactions: running them again, grouping them, extending leases apart from them |
//! | `migrate`, `migrations` | the schema and its versions |
//!
//! Every call that changes something is one transaction, written so that it may run twice: the database may end it to solve a
//! collision.
//!
//! # What a claim looks at
//!
//! A due job that no limit holds back stands in the index of ready jobs, under its queue and what it needs. A worker claims by the
//! keys that it serves, and from each the first by priority and age, passing over what others are claiming. So a claim costs what
//! it takes, and nothing for what is finished, not yet due, held back by a limit, or for other workers. `places` tells how
//! limits hold jobs back.
//!
//! # To add a dialect
//!
//! An arm in `query::Dialect` and the marks it fills in, a file beside `sqlite.rs`, a folder of migrations, and a back end in
//! the conformance suite.

mod drivers;
#[cfg(any(test, feature = "test-util"))]
pub mod explain;
pub mod migrate;
mod migrations;
mod operations;
mod places;
mod statements;
#[cfg(all(test, feature = "sqlite"))]
mod tests;
mod time;
#[cfg(test)]
mod unreadable_tests;

use std::sync::Arc;

use futures_util::future::BoxFuture;

use self::drivers::connection::Database;
#[cfg(feature = "postgres")]
pub use self::drivers::postgres::PostgresServer;
use self::drivers::tx::{self, Fault, Tx};
use self::drivers::writer::Writer;
use self::statements::query::{Dialect, Texts};
use self::time::Time;
use super::encoding;
pub use super::open::OpenOptions;
use super::{Certainty, StoreError};
use crate::config::StoreUrl;

/// A data store in a SQL database.
pub struct SqlStore {
    database: Arc<dyn Database>,
    texts: Arc<Texts>,
    time: Arc<Time>,
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
    pub async fn open(url: &StoreUrl, options: OpenOptions) -> Result<SqlStore, StoreError> {
        let database = connect(url).await?;
        let dialect = database.dialect();
        let texts = Arc::new(Texts::new(dialect));
        let start = || Writer::start(Arc::clone(&database), Arc::clone(&texts));
        let store = SqlStore {
            writer: (dialect == Dialect::Sqlite).then(start).transpose()?,
            time: Arc::new(Time::new(dialect, options.timekeeping, &options.clock)),
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
        let work = tx::untyped(work);
        let answer = match &self.writer {
            Some(writer) => writer.run(operation, work).await?,
            None => tx::run(&*self.database, &self.texts, operation, &work).await?,
        };
        Ok(tx::typed(answer))
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
        StoreUrl::Sqlite(file) => Arc::new(drivers::sqlite::SqliteDatabase::open(file).await?),
        #[cfg(feature = "postgres")]
        StoreUrl::Postgres(url) => Arc::new(drivers::postgres::PostgresDatabase::open(url).await?),
        #[cfg(feature = "mysql")]
        StoreUrl::Mysql(url) => Arc::new(drivers::mysql::MysqlDatabase::open(url).await?),
        _ => return Err(super::open::no_such_kind(url)),
    })
}
