//! The seam between the store and the three drivers: everything that names a driver's types is behind these two traits.

use async_trait::async_trait;
use sqlx::SqlStr;

use super::query::Dialect;
use super::value::{Arg, Row};
use crate::store::StoreError;

/// What kind of failure a driver's error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The database ended the transaction to solve a conflict with another one: running it again is the answer.
    Collision,
    /// The database is busy, starting or full for the moment: trying again later may help.
    Busy,
    /// The connection is gone: what was under way is rolled back, except perhaps a commit.
    #[cfg_attr(not(any(feature = "mysql", feature = "postgres")), expect(dead_code, reason = "a file is never gone"))]
    Gone,
    /// The store cannot be used as it is: read-only, full disk, no rights.
    Unusable,
    /// The database refuses what the statement carries, and would refuse it again.
    Rejected,
    /// Anything else.
    Other,
}

/// What a driver said, kept as text.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct DriverError(pub(super) String);

/// One connection.
#[async_trait]
pub(super) trait Connection: Send {
    /// Runs a statement and answers its rows.
    async fn fetch(&mut self, text: SqlStr, args: Vec<Arg>) -> Result<Vec<Row>, sqlx::Error>;

    /// Runs a statement and answers how many rows it touched.
    async fn execute(&mut self, text: SqlStr, args: Vec<Arg>) -> Result<u64, sqlx::Error>;

    /// Runs statements without arguments.
    async fn script(&mut self, text: SqlStr) -> Result<(), sqlx::Error>;

    /// Begins a transaction that may write. Until it ends, dropping the connection closes the connection: what was half done must not
    /// reach the next user of the pool.
    async fn begin(&mut self) -> Result<(), sqlx::Error>;

    /// Begins a transaction that reads everything as it is at one instant, the first statement's at the latest, and writes
    /// nothing. Otherwise as [`Connection::begin`]; what was set for it ends with it.
    async fn begin_snapshot(&mut self) -> Result<(), sqlx::Error>;

    /// Ends the transaction.
    async fn end(&mut self, commit: bool) -> Result<(), sqlx::Error>;
}

/// A database of one of the three kinds.
#[async_trait]
pub(super) trait Database: Send + Sync {
    /// Its kind.
    fn dialect(&self) -> Dialect;

    /// A connection to read with.
    async fn reader(&self) -> Result<Box<dyn Connection>, sqlx::Error>;

    /// A connection to write with.
    async fn writer(&self) -> Result<Box<dyn Connection>, sqlx::Error>;

    /// What kind of failure an error is.
    fn classify(&self, error: &sqlx::Error) -> Failure;

    /// The most bytes that one statement may carry with its arguments.
    fn statement_bytes_max(&self) -> usize;

    /// Says that the error means "cannot be used", with the way out, where it does.
    fn explain(&self, error: sqlx::Error) -> Result<sqlx::Error, StoreError>;

    /// Whether a change of the schema failed because it has been made before. Asked only by databases that do not take such changes back
    /// with their transaction.
    fn is_already_done(&self, _error: &sqlx::Error) -> bool {
        false
    }

    /// Closes every connection.
    async fn close(&self);
}

/// Implements [`Connection`] for a pooled connection of one driver. `begin` and `snapshot` begin the two kinds of transactions, `bind` adds
/// an argument of ours to the driver's.
macro_rules! pooled_connection {
    ($pooled:ident, $driver:ty, $arguments:ty, $begin:literal, $snapshot:literal, $bind:path) => {
        /// A connection of the pool.
        struct $pooled {
            connection: Option<sqlx::pool::PoolConnection<$driver>>,
            in_transaction: bool,
        }

        impl $pooled {
            fn new(connection: sqlx::pool::PoolConnection<$driver>) -> $pooled {
                $pooled { connection: Some(connection), in_transaction: false }
            }

            async fn begin_with(&mut self, text: &'static str) -> Result<(), sqlx::Error> {
                self.in_transaction = true;
                let begun = self.script(sqlx::SqlSafeStr::into_sql_str(text)).await;
                // A transaction that did not begin leaves nothing behind, unless the connection itself is in doubt.
                self.in_transaction = begun.is_ok() || !matches!(begun, Err(sqlx::Error::Database(_)));
                begun
            }

            fn live(&mut self) -> Result<&mut <$driver as sqlx::Database>::Connection, sqlx::Error> {
                self.connection.as_deref_mut().ok_or(sqlx::Error::PoolClosed)
            }
        }

        impl Drop for $pooled {
            fn drop(&mut self) {
                if self.in_transaction
                    && let Some(connection) = self.connection.take()
                {
                    drop(connection.detach());
                }
            }
        }

        fn arguments(args: Vec<Arg>) -> Result<$arguments, sqlx::Error> {
            let mut bound = <$arguments>::default();
            for arg in args {
                $bind(&mut bound, arg).map_err(sqlx::Error::Encode)?;
            }
            Ok(bound)
        }

        #[async_trait::async_trait]
        impl Connection for $pooled {
            async fn fetch(&mut self, text: sqlx::SqlStr, args: Vec<Arg>) -> Result<Vec<Row>, sqlx::Error> {
                let args = arguments(args)?;
                let rows = sqlx::query_with::<$driver, _>(text, args).fetch_all(self.live()?).await?;
                rows.iter().map($crate::store::sql::value::read_row).collect()
            }

            async fn execute(&mut self, text: sqlx::SqlStr, args: Vec<Arg>) -> Result<u64, sqlx::Error> {
                let args = arguments(args)?;
                let done = sqlx::query_with::<$driver, _>(text, args).execute(self.live()?).await?;
                Ok(done.rows_affected())
            }

            async fn script(&mut self, text: sqlx::SqlStr) -> Result<(), sqlx::Error> {
                sqlx::raw_sql(text).execute(self.live()?).await.map(|_| ())
            }

            async fn begin(&mut self) -> Result<(), sqlx::Error> {
                self.begin_with($begin).await
            }

            async fn begin_snapshot(&mut self) -> Result<(), sqlx::Error> {
                self.begin_with($snapshot).await
            }

            async fn end(&mut self, commit: bool) -> Result<(), sqlx::Error> {
                let text = if commit { "COMMIT" } else { "ROLLBACK" };
                self.script(sqlx::SqlSafeStr::into_sql_str(text)).await?;
                self.in_transaction = false;
                Ok(())
            }
        }
    };
}
pub(super) use pooled_connection;
