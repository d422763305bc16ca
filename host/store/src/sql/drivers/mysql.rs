//! MariaDB 10.6 or later, and MySQL 8.

use std::str::FromStr as _;
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::mysql::{MySqlArguments, MySqlConnectOptions, MySqlDatabaseError, MySqlSslMode};
use sqlx::pool::PoolOptions;
use sqlx::{Arguments, AssertSqlSafe, ConnectOptions as _, Executor as _, MySql, MySqlConnection, MySqlPool};

use super::connection::{
    CONNECT_MAX, Connection, Database, DriverError, Failure, Held, IDLE_IN_TRANSACTION_MAX, LOCK_WAIT_MAX,
    STATEMENT_MAX, driver_connection, within,
};
use super::tls::{Server, Tls, Way};
use crate::config::{ServerUrl, TlsMode};
use crate::sql::statements::query::Dialect;
use crate::sql::statements::value::{Arg, Kind, Row, Value};
use crate::{Certainty, StoreError};

/// Most connections of one process: a batch is one transaction, so that a few carry everything.
const CONNECTIONS: u32 = 10;

/// What a URL looks like.
const FORM: &str = "mysql://USER:PASSWORD@HOST:3306/DATABASE";

pub(in crate::sql) struct MysqlDatabase {
    pool: MySqlPool,
    /// What the server takes from a client at once; a larger statement costs the connection.
    packet_bytes_max: usize,
}

/// The part of a packet that is left to what stands around the arguments of a statement.
const PACKET_BYTES_RESERVED: u64 = 64 * 1024;

driver_connection!(
    MysqlLink,
    MySql,
    MySqlArguments,
    Some(STATEMENT_MAX),
    "START TRANSACTION",
    // The level is that of the next transaction alone: the session keeps its own.
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
    // The server's own limits are those of locks, which a change of the schema does not take.
    "DO 0",
    bind
);

/// What is set for each connection.
///
/// Under the server's default isolation, repeatable read, a claim would count running jobs in a snapshot from before its lock. The limits
/// the server holds by itself, also for a process that was stopped; that on standing still only MariaDB has.
async fn set_up(connection: &mut MySqlConnection) -> Result<(), sqlx::Error> {
    let (lock, idle) = (LOCK_WAIT_MAX.as_secs(), IDLE_IN_TRANSACTION_MAX.as_secs());
    let isolation = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";
    let limits = format!("innodb_lock_wait_timeout = {lock} /*M! , SESSION idle_write_transaction_timeout = {idle} */");
    let text = format!("{isolation}; SET SESSION {limits}");
    connection.execute(sqlx::raw_sql(AssertSqlSafe(text))).await.map(|_| ())
}

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
    pub(in crate::sql) async fn open(url: &ServerUrl) -> Result<MysqlDatabase, StoreError> {
        let options = MySqlConnectOptions::from_str(&url.expose()).map_err(|error| StoreError::BadUrl {
            reason: format!("the URL `{url}` cannot be used"),
            hint: format!("it looks like {FORM}"),
            source: Some(Arc::new(DriverError(error.to_string()))),
        })?;
        // The driver takes the brackets of an IPv6 address for a part of it where it compares names.
        let host = options.get_host().trim_matches(['[', ']']).to_owned();
        let options = options.host(&host);
        let way = options.get_socket().map_or_else(|| Way::to(&host), |_| Way::Socket);
        let tls = Tls::of(url.tls(), way)?;
        let options = protect(options, &tls);
        // `||` and rounding modes stay as the server has them; what we rely on is set for each connection below.
        let options = options.statement_cache_capacity(512).pipes_as_concat(false);
        // The tables name their own encoding, whatever the database's is; the connection must be able to carry every text too.
        let options = options.charset("utf8mb4");
        let place = match options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{host}:{}", options.get_port()),
        };
        // Slow statements are told by whoever waits for them, not with their whole texts.
        let options = options.disable_statement_logging();
        let pool = PoolOptions::<MySql>::new().max_connections(CONNECTIONS).acquire_timeout(CONNECT_MAX);
        let pool = pool.acquire_slow_threshold(CONNECT_MAX);
        let pool = pool.after_connect(|connection, _| Box::pin(set_up(connection)));
        // One attempt outside the pool first: the pool would try a wrong password until its time is up.
        let mut probe = within(Some(CONNECT_MAX), sqlx::ConnectOptions::connect(&options))
            .await
            .map_err(|error| refused(&place, &tls, error))?;
        let packet: u64 = sqlx::query_scalar("SELECT @@max_allowed_packet")
            .fetch_one(&mut probe)
            .await
            .map_err(|error| refused(&place, &tls, error))?;
        drop(sqlx::Connection::close(probe).await);
        let packet_bytes_max = usize::try_from(packet.saturating_sub(PACKET_BYTES_RESERVED)).unwrap_or(usize::MAX);
        Ok(MysqlDatabase { pool: pool.connect_lazy_with(options), packet_bytes_max })
    }
}

fn number(error: &sqlx::Error) -> Option<u16> {
    Some(error.as_database_error()?.try_downcast_ref::<MySqlDatabaseError>()?.number())
}

fn protect(options: MySqlConnectOptions, tls: &Tls) -> MySqlConnectOptions {
    let options = options.ssl_mode(match tls.mode {
        TlsMode::Disable => MySqlSslMode::Disabled,
        TlsMode::Prefer => MySqlSslMode::Preferred,
        TlsMode::Require => MySqlSslMode::Required,
        TlsMode::VerifyCa => MySqlSslMode::VerifyCa,
        TlsMode::VerifyFull => MySqlSslMode::VerifyIdentity,
    });
    let options = match &tls.roots {
        Some(path) => options.ssl_ca(path),
        None => options,
    };
    match &tls.client {
        Some(client) => options.ssl_client_cert(&client.certificate).ssl_client_key(&client.key),
        None => options,
    }
}

/// Why a first connection failed.
fn refused(place: &str, tls: &Tls, error: sqlx::Error) -> StoreError {
    if let Some(explained) = tls.explain(Server { name: "MySQL", place, without_tls: "ssl-mode=disabled" }, &error) {
        return explained;
    }
    let (what, hint) = match (number(&error), &error) {
        // The server says no more than that, for its own protection.
        (Some(1045 | 1698 | 1251), _) if tls.mode < TlsMode::Require => (
            "refuses the user or the password",
            "check user and password in the store URL; a user who must come with TLS is refused in the same words (ssl-mode=required)",
        ),
        (Some(1045 | 1698 | 1251), _) => {
            ("refuses the user or the password", "check user and password in the store URL")
        }
        // insecure transport prohibited
        (Some(3159), _) => ("lets nobody in without TLS", "use ssl-mode=required, or a mode that asks for more"),
        // The driver sends passwords of this kind through TLS only.
        (None, sqlx::Error::Configuration(_)) if tls.mode < TlsMode::Require => (
            "wants a password in a form that needs TLS",
            "use ssl-mode=required; where the server has no TLS, give the user the plugin mysql_native_password",
        ),
        (Some(1049), _) => ("has no such database", "create it: CREATE DATABASE name"),
        (Some(1044), _) => ("refuses this database to this user", "grant the user all rights on the database"),
        (Some(1040 | 1053) | None, _) => {
            let source = Arc::new(error);
            return StoreError::Backend {
                operation: "open",
                certainty: Certainty::NotApplied,
                transient: true,
                source,
            };
        }
        (Some(_), _) => ("refuses the connection", "see the cause above"),
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
        Ok(Box::new(MysqlLink::new(Held::Pooled(Box::pin(self.pool.acquire()).await?))))
    }

    async fn apart(&self) -> Result<Box<dyn Connection>, sqlx::Error> {
        let options = self.pool.connect_options();
        let connect = async {
            let mut connection = sqlx::ConnectOptions::connect(&*options).await?;
            set_up(&mut connection).await?;
            Ok(connection)
        };
        let connection = within(Some(CONNECT_MAX), connect).await?;
        Ok(Box::new(MysqlLink::new(Held::Apart(Box::new(connection)))))
    }

    async fn writer(&self) -> Result<Box<dyn Connection>, sqlx::Error> {
        self.reader().await
    }

    /// By error number: <https://mariadb.com/kb/en/mariadb-error-code-reference/>.
    fn classify(&self, error: &sqlx::Error) -> Failure {
        match (number(error), error) {
            // deadlock, record changed since last read
            (Some(1213 | 1020), _) => Failure::Collision,
            // lock wait timeout, too many connections, a time limit of statements that an administrator has set
            (Some(1205 | 1040 | 1969 | 3024), _) | (None, sqlx::Error::PoolTimedOut) => Failure::Busy,
            // shutdown in progress, connection killed, connection idle for too long
            (Some(1053 | 1077 | 1927 | 4031), _) => Failure::Gone,
            // disk full, read-only, access denied to a table
            (Some(1021 | 1114 | 1290 | 1792 | 1836 | 1142), _) => Failure::Unusable,
            // packet too large, null, row too large, out of range, no text, too long, signals of somebody's trigger
            (Some(1048 | 1118 | 1153 | 1264 | 1366 | 1406 | 1644), _) | (None, sqlx::Error::Encode(_)) => {
                Failure::Rejected
            }
            (None, sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed) => Failure::Gone,
            _ => Failure::Other,
        }
    }

    fn statement_bytes_max(&self) -> usize {
        self.packet_bytes_max
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
