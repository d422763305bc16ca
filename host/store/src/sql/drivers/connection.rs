//! The seam between the store and the three drivers: everything that names a driver's types is behind these two traits.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::SqlStr;
use sqlx::pool::PoolConnection;

use crate::StoreError;
use crate::sql::statements::query::Dialect;
use crate::sql::statements::value::{Arg, Row};

/// What kind of failure a driver's error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sql) enum Failure {
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
pub(in crate::sql) struct DriverError(pub(in crate::sql) String);

/// How long a server may take for one statement. A server that was stopped, or a network that swallows everything, says nothing at all, and
/// a call that waits for it must have an end.
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(in crate::sql) const STATEMENT_MAX: Duration = Duration::from_secs(30);

/// How long a statement waits for a lock before it fails as busy and the transaction is made again.
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(in crate::sql) const LOCK_WAIT_MAX: Duration = Duration::from_secs(10);

/// How long a transaction may stand still before the server ends it: a process that was stopped in the middle of one must not keep its
/// locks. None of ours waits for anything but the server.
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(in crate::sql) const IDLE_IN_TRANSACTION_MAX: Duration = Duration::from_secs(5);

/// How long making a connection, or waiting for a free one, may take before that fails as busy.
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(in crate::sql) const CONNECT_MAX: Duration = Duration::from_secs(10);

/// One connection.
#[async_trait]
pub(in crate::sql) trait Connection: Send {
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

    /// Takes the limits off the transaction that has begun: what follows may take as long as it takes, such as changing a schema.
    async fn take_time(&mut self) -> Result<(), sqlx::Error>;
}

/// A database of one of the three kinds.
#[async_trait]
pub(in crate::sql) trait Database: Send + Sync {
    /// Its kind.
    fn dialect(&self) -> Dialect;

    /// A connection to read with.
    async fn reader(&self) -> Result<Box<dyn Connection>, sqlx::Error>;

    /// A connection to write with.
    async fn writer(&self) -> Result<Box<dyn Connection>, sqlx::Error>;

    /// A connection that belongs to no pool: it can be made while all others are in use, and used on another runtime.
    async fn apart(&self) -> Result<Box<dyn Connection>, sqlx::Error>;

    /// What kind of failure an error is.
    fn classify(&self, error: &sqlx::Error) -> Failure;

    /// The most bytes that one statement may carry with its arguments.
    fn statement_bytes_max(&self) -> usize;

    /// What the database said, in its own words.
    fn text(&self, error: &sqlx::Error) -> String {
        error.to_string()
    }

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

/// A connection of a driver.
pub(in crate::sql) enum Held<D: sqlx::Database> {
    /// Goes back to its pool.
    Pooled(PoolConnection<D>),
    /// Is closed after use.
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    Apart(Box<D::Connection>),
}

impl<D: sqlx::Database> Held<D> {
    pub(in crate::sql) fn driver(&mut self) -> &mut D::Connection {
        match self {
            Held::Pooled(connection) => connection,
            #[cfg(any(feature = "mysql", feature = "postgres"))]
            Held::Apart(connection) => connection,
        }
    }

    /// Closes the connection without another word: the server rolls back what was under way.
    pub(in crate::sql) fn break_off(self) {
        match self {
            Held::Pooled(connection) => drop(connection.detach()),
            #[cfg(any(feature = "mysql", feature = "postgres"))]
            Held::Apart(connection) => drop(connection),
        }
    }
}

/// A connection with a request under way. Unless the answer comes, it is in the middle of that, and is broken off.
pub(in crate::sql) struct InFlight<D: sqlx::Database>(Option<Held<D>>);

impl<D: sqlx::Database> InFlight<D> {
    /// Takes the connection from its place.
    pub(in crate::sql) fn take(place: &mut Option<Held<D>>) -> Result<InFlight<D>, sqlx::Error> {
        place.take().map(|held| InFlight(Some(held))).ok_or_else(no_connection)
    }

    pub(in crate::sql) fn driver(&mut self) -> Result<&mut D::Connection, sqlx::Error> {
        self.0.as_mut().map(Held::driver).ok_or_else(no_connection)
    }

    /// Puts it back if it has answered in time.
    pub(in crate::sql) fn answered<T>(
        mut self,
        place: &mut Option<Held<D>>,
        answer: Result<T, sqlx::Error>,
    ) -> Result<T, sqlx::Error> {
        if !matches!(&answer, Err(sqlx::Error::Io(error)) if error.kind() == std::io::ErrorKind::TimedOut) {
            *place = self.0.take();
        }
        answer
    }
}

impl<D: sqlx::Database> Drop for InFlight<D> {
    fn drop(&mut self) {
        if let Some(held) = self.0.take() {
            held.break_off();
        }
    }
}

/// A connection that was broken off is used again, such as to roll back.
fn no_connection() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::NotConnected, "the connection was broken off"))
}

/// The answer to `work`, or that there was none in time.
#[expect(clippy::disallowed_methods, reason = "the connection of what did not answer is closed and never used again")]
pub(in crate::sql) async fn within<T>(
    limit: Option<Duration>,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let Some(limit) = limit else { return work.await };
    let late = |_| {
        let text = format!("the database has not answered within {} s", limit.as_secs());
        Err(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, text)))
    };
    tokio::time::timeout(limit, work).await.unwrap_or_else(late)
}

/// Implements [`Connection`] for a connection of one driver. `limit` is how long a statement may take; `begin` and `snapshot` begin the two
/// kinds of transactions, `unlimited` takes the server's own limits off one, `bind` adds an argument of ours to the driver's.
/// Where it is used, `within` is in scope.
macro_rules! driver_connection {
    ($name:ident, $driver:ty, $arguments:ty, $limit:expr, $begin:literal, $snapshot:literal, $unlimited:literal, $bind:path) => {
        struct $name {
            /// `None` once it was broken off.
            held: Option<$crate::sql::drivers::connection::Held<$driver>>,
            in_transaction: bool,
            limit: Option<std::time::Duration>,
        }

        impl $name {
            fn new(held: $crate::sql::drivers::connection::Held<$driver>) -> $name {
                $name { held: Some(held), in_transaction: false, limit: $limit }
            }

            async fn begin_with(&mut self, text: &'static str) -> Result<(), sqlx::Error> {
                self.in_transaction = true;
                let begun = self.script(sqlx::SqlSafeStr::into_sql_str(text)).await;
                // A transaction that did not begin leaves nothing behind, unless the connection itself is in doubt.
                self.in_transaction = begun.is_ok() || !matches!(begun, Err(sqlx::Error::Database(_)));
                begun
            }

            fn send(&mut self) -> Result<$crate::sql::drivers::connection::InFlight<$driver>, sqlx::Error> {
                $crate::sql::drivers::connection::InFlight::take(&mut self.held)
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                if self.in_transaction
                    && let Some(held) = self.held.take()
                {
                    held.break_off();
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
        impl Connection for $name {
            async fn fetch(&mut self, text: sqlx::SqlStr, args: Vec<Arg>) -> Result<Vec<Row>, sqlx::Error> {
                let args = arguments(args)?;
                let mut request = self.send()?;
                let rows =
                    within(self.limit, sqlx::query_with::<$driver, _>(text, args).fetch_all(request.driver()?)).await;
                let rows = request.answered(&mut self.held, rows)?;
                rows.iter().map($crate::sql::statements::value::read_row).collect()
            }

            async fn execute(&mut self, text: sqlx::SqlStr, args: Vec<Arg>) -> Result<u64, sqlx::Error> {
                let args = arguments(args)?;
                let mut request = self.send()?;
                let done =
                    within(self.limit, sqlx::query_with::<$driver, _>(text, args).execute(request.driver()?)).await;
                Ok(request.answered(&mut self.held, done)?.rows_affected())
            }

            async fn script(&mut self, text: sqlx::SqlStr) -> Result<(), sqlx::Error> {
                let mut request = self.send()?;
                let done = within(self.limit, sqlx::raw_sql(text).execute(request.driver()?)).await;
                request.answered(&mut self.held, done).map(|_| ())
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

            async fn take_time(&mut self) -> Result<(), sqlx::Error> {
                self.limit = None;
                self.script(sqlx::SqlSafeStr::into_sql_str($unlimited)).await
            }
        }
    };
}
pub(in crate::sql) use driver_connection;
