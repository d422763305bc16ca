//! MariaDB 10.6 or later, and MySQL 8.

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::mysql::{MySqlArguments, MySqlConnectOptions, MySqlDatabaseError};
use sqlx::pool::PoolOptions;
use sqlx::{Arguments, Executor as _, MySql, MySqlPool};

use super::connection::{Connection, Database, DriverError, Failure, pooled_connection};
use super::query::Dialect;
use super::value::{Arg, Kind, Row, Value};
use crate::store::{Certainty, StoreError};

/// Most connections of one process: a batch is one transaction, so that a few carry everything.
const CONNECTIONS: u32 = 10;

/// How long a call waits for a connection before it fails as busy.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A database.
pub(super) struct MysqlDatabase {
    pool: MySqlPool,
}

pooled_connection!(
    MysqlPooled,
    MySql,
    MySqlArguments,
    "START TRANSACTION",
    // The level is that of the next transaction alone: the session keeps its own.
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
    bind
);

fn bind(bound: &mut MySqlArguments, arg: Arg) -> Result<(), sqlx::error::BoxDynError> {
    match arg {
        Arg::One(Value::Int(value)) => bound.add(value),
        Arg::One(Value::Text(value)) => bound.add(value),
        Arg::One(Value::Bytes(value)) => bound.add(value),
        Arg::One(Value::Null(Kind::Int)) => bound.add(None::<i64>),
        Arg::One(Value::Null(Kind::Text)) => bound.add(None::<String>),
        Arg::One(Value::Null(Kind::Bytes)) => bound.add(None::<Vec<u8>>),
        Arg::List(values) => values.into_iter().try_for_each(|value| bind(bound, Arg::One(value))),
        Arg::Rows(rows) => rows.into_iter().flatten().try_for_each(|value| bind(bound, Arg::One(value))),
    }
}

impl MysqlDatabase {
    pub(super) async fn open(url: &str) -> Result<MysqlDatabase, StoreError> {
        let driver_url = url.strip_prefix("mariadb:").map_or_else(|| url.to_owned(), |rest| format!("mysql:{rest}"));
        let options = MySqlConnectOptions::from_str(&driver_url).map_err(|error| StoreError::Unusable {
            // The URL itself is not shown: it may hold a password.
            reason: "the store URL cannot be read".into(),
            hint: "it looks like mysql://USER:PASSWORD@HOST:3306/DATABASE".into(),
            source: Some(Arc::new(DriverError(error.to_string()))),
        })?;
        // `||` and rounding modes stay as the server has them; what we rely on is set for each connection below.
        let options = options.statement_cache_capacity(512).pipes_as_concat(false);
        let place = format!("{}:{}", options.get_host(), options.get_port());
        let pool = PoolOptions::<MySql>::new().max_connections(CONNECTIONS).acquire_timeout(CONNECT_TIMEOUT);
        // Under the server's default, repeatable read, a claim would count running jobs in a snapshot from before its lock.
        let pool = pool.after_connect(|connection, _| {
            Box::pin(async move {
                connection.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").await?;
                Ok(())
            })
        });
        // One attempt outside the pool first: the pool would try a wrong password until its time is up.
        let probe = sqlx::ConnectOptions::connect(&options).await.map_err(|error| refused(&place, error))?;
        drop(sqlx::Connection::close(probe).await);
        Ok(MysqlDatabase { pool: pool.connect_lazy_with(options) })
    }
}

fn number(error: &sqlx::Error) -> Option<u16> {
    Some(error.as_database_error()?.try_downcast_ref::<MySqlDatabaseError>()?.number())
}

/// Why a first connection failed.
fn refused(place: &str, error: sqlx::Error) -> StoreError {
    let (what, hint) = match number(&error) {
        Some(1045 | 1698 | 1251) => ("refuses the user or the password", "check user and password in the store URL"),
        Some(1049) => ("has no such database", "create it: CREATE DATABASE name"),
        Some(1044) => ("refuses this database to this user", "grant the user all rights on the database"),
        Some(1040 | 1053) | None => {
            let source = Arc::new(error);
            return StoreError::Backend {
                operation: "open",
                certainty: Certainty::NotApplied,
                transient: true,
                source,
            };
        }
        Some(_) => ("refuses the connection", "see the cause above"),
    };
    StoreError::Unusable {
        reason: format!("the MySQL server at {place} {what}"),
        hint: hint.into(),
        source: Some(Arc::new(DriverError(error.to_string()))),
    }
}

#[async_trait]
impl Database for MysqlDatabase {
    fn dialect(&self) -> Dialect {
        Dialect::Mysql
    }

    async fn reader(&self) -> Result<Box<dyn Connection>, sqlx::Error> {
        // On the heap: what connects, with all of TLS in it, is large.
        Ok(Box::new(MysqlPooled::new(Box::pin(self.pool.acquire()).await?)))
    }

    async fn writer(&self) -> Result<Box<dyn Connection>, sqlx::Error> {
        self.reader().await
    }

    /// By error number: <https://mariadb.com/kb/en/mariadb-error-code-reference/>.
    fn classify(&self, error: &sqlx::Error) -> Failure {
        match (number(error), error) {
            // deadlock, record changed since last read
            (Some(1213 | 1020), _) => Failure::Collision,
            // lock wait timeout, too many connections
            (Some(1205 | 1040), _) | (None, sqlx::Error::PoolTimedOut) => Failure::Busy,
            // shutdown in progress, connection killed
            (Some(1053 | 1077 | 1927), _) => Failure::Gone,
            // disk full, read-only, access denied to a table
            (Some(1021 | 1114 | 1290 | 1792 | 1836 | 1142), _) => Failure::Unusable,
            (None, sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed) => Failure::Gone,
            _ => Failure::Other,
        }
    }

    fn explain(&self, error: sqlx::Error) -> Result<sqlx::Error, StoreError> {
        let (reason, hint) = match number(&error) {
            Some(1021 | 1114) => ("the database's disk is full", "make room; nothing that was stored is lost"),
            Some(1290 | 1792 | 1836) => ("the database is read-only", "connect to the primary, not to a replica"),
            Some(1142) => ("the database user lacks a right", "grant it all rights on the database"),
            _ => return Ok(error),
        };
        let source: Arc<DriverError> = Arc::new(DriverError(error.to_string()));
        Err(StoreError::Unusable { reason: reason.into(), hint: hint.into(), source: Some(source) })
    }

    fn is_already_done(&self, error: &sqlx::Error) -> bool {
        // table exists, no such table to drop, duplicate column or index, no such column to change, duplicate row, nothing to
        // drop, no such table to rename, no such index to rename
        matches!(number(error), Some(1050 | 1051 | 1054 | 1060 | 1061 | 1062 | 1091 | 1146 | 1176))
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}
