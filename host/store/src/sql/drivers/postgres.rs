//! PostgreSQL.

use std::str::FromStr as _;
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::pool::PoolOptions;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgDatabaseError, PgSslMode};
use sqlx::{Arguments, ConnectOptions as _, PgPool, Postgres};

use super::connection::{
    CONNECT_MAX, Connection, Database, DriverError, Failure, Held, IDLE_IN_TRANSACTION_MAX, LOCK_WAIT_MAX,
    STATEMENT_MAX, driver_connection, within,
};
use super::tls::{Server, Tls, Way};
use crate::config::{ServerUrl, TlsMode, TlsRoots, TlsSettings};
use crate::sql::statements::query::Dialect;
use crate::sql::statements::value::{Arg, Kind, Row, Value};
use crate::{Certainty, StoreError};

/// Most connections of one process: a batch is one transaction, so that a few carry everything.
const CONNECTIONS: u32 = 10;

/// What a URL looks like.
const FORM: &str = "postgres://USER:PASSWORD@HOST:5432/DATABASE";

pub(in crate::sql) struct PostgresDatabase {
    pool: PgPool,
}

driver_connection!(
    PostgresLink,
    Postgres,
    PgArguments,
    Some(STATEMENT_MAX),
    "BEGIN",
    // Whoever reads a snapshot may be slow, and stands in nobody's way.
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL idle_in_transaction_session_timeout = 0",
    "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0",
    bind
);

/// Limits that the server holds by itself, also for a process that was stopped. What the URL says goes before.
fn limit(options: PgConnectOptions) -> PgConnectOptions {
    let limits = [
        ("statement_timeout", STATEMENT_MAX),
        ("lock_timeout", LOCK_WAIT_MAX),
        ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_MAX),
    ];
    let said = options.get_options().unwrap_or_default().to_owned();
    let limits = limits.into_iter().filter(|(name, _)| !said.contains(name));
    // Slow statements are told by whoever waits for them, not with their whole texts.
    options.options(limits.map(|(name, span)| (name, span.as_millis()))).disable_statement_logging()
}

fn bind(bound: &mut PgArguments, arg: Arg) -> Result<(), sqlx::error::BoxDynError> {
    match arg {
        Arg::One(Value::Int(value)) => bound.add(value),
        Arg::One(Value::Text(value)) => bound.add(value),
        Arg::One(Value::Bytes(value)) => bound.add(value),
        Arg::One(Value::Null(Kind::Int)) => bound.add(None::<i64>),
        Arg::One(Value::Null(Kind::Text)) => bound.add(None::<String>),
        Arg::One(Value::Null(Kind::Bytes)) => bound.add(None::<Vec<u8>>),
        Arg::List(values) => bind_array(bound, values),
        Arg::Rows(rows) => {
            let columns = rows.first().map_or(0, Vec::len);
            let mut arrays = vec![Vec::with_capacity(rows.len()); columns];
            for row in rows {
                row.into_iter().zip(&mut arrays).for_each(|(value, array)| array.push(value));
            }
            arrays.into_iter().try_for_each(|array| bind_array(bound, array))
        }
    }
}

/// A column of values as one array. All are of one kind, nulls included.
fn bind_array(bound: &mut PgArguments, values: Vec<Value>) -> Result<(), sqlx::error::BoxDynError> {
    match values.first().map_or(Kind::Int, Value::kind) {
        Kind::Int => bound.add(values.into_iter().map(int).collect::<Vec<_>>()),
        Kind::Text => bound.add(values.into_iter().map(text).collect::<Vec<_>>()),
        Kind::Bytes => bound.add(values.into_iter().map(bytes).collect::<Vec<_>>()),
    }
}

fn int(value: Value) -> Option<i64> {
    if let Value::Int(value) = value { Some(value) } else { None }
}

fn text(value: Value) -> Option<String> {
    if let Value::Text(value) = value { Some(value) } else { None }
}

fn bytes(value: Value) -> Option<Vec<u8>> {
    if let Value::Bytes(value) = value { Some(value) } else { None }
}

/// A server, and how connections to it are made. The event broker has connections of its own and makes them in the same way.
#[derive(Clone)]
pub struct PostgresServer {
    options: PgConnectOptions,
    place: String,
    tls: Tls,
}

impl PostgresServer {
    /// The server that a URL names.
    ///
    /// # Errors
    /// The URL or what it says about TLS cannot be used.
    pub fn of(url: &ServerUrl) -> Result<PostgresServer, StoreError> {
        let options = PgConnectOptions::from_str(&url.expose()).map_err(|error| StoreError::BadUrl {
            reason: format!("the URL `{url}` cannot be used"),
            hint: format!("it looks like {FORM}"),
            source: Some(Arc::new(DriverError(text_of(&error)))),
        })?;
        // The driver takes the brackets of an IPv6 address for a part of it where it compares names.
        let host = options.get_host().trim_matches(['[', ']']).to_owned();
        let options = options.host(&host);
        let way = options.get_socket().map_or_else(|| Way::to(&host), |_| Way::Socket);
        let tls = Tls::of(&with_environment(url.tls())?, way)?;
        let options = protect(options, &tls, way);
        let place = match options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{host}:{}", options.get_port()),
        };
        let options = limit(options.application_name("host"));
        Ok(PostgresServer { options, place, tls })
    }

    /// How a connection is made.
    pub fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// Host and port, or a socket.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Why a first connection failed.
    pub fn refused(&self, error: sqlx::Error) -> StoreError {
        refused(&self.place, &self.tls, error)
    }
}

impl PostgresDatabase {
    pub(in crate::sql) async fn open(url: &ServerUrl) -> Result<PostgresDatabase, StoreError> {
        let server = PostgresServer::of(url)?;
        // A plan that was made while the queue was empty is kept when it is full, and an empty table is best read from end to end.
        // Every statement of ours has an index, so none is ever to be planned otherwise. So one plan serves any arguments, and a
        // statement is planned once for each connection: planning a claim again takes as long as claiming some dozen jobs. What is read
        // whole in spite of that looks so costly with these settings that the server would compile it, which takes longer than it runs.
        let options = server.options.clone().options([
            ("enable_seqscan", "off"),
            ("enable_bitmapscan", "off"),
            ("plan_cache_mode", "force_generic_plan"),
            ("jit", "off"),
        ]);
        let options = options.statement_cache_capacity(512);
        let pool = PoolOptions::<Postgres>::new().max_connections(CONNECTIONS).acquire_timeout(CONNECT_MAX);
        let pool = pool.acquire_slow_threshold(CONNECT_MAX);
        // One attempt outside the pool first: the pool would try a wrong password until its time is up.
        let mut probe = within(Some(CONNECT_MAX), sqlx::ConnectOptions::connect(&options))
            .await
            .map_err(|error| server.refused(error))?;
        let encoding = server_encoding(&mut probe).await;
        drop(sqlx::Connection::close(probe).await);
        check_encoding(&server.place, &encoding.map_err(|error| server.refused(error))?)?;
        Ok(PostgresDatabase { pool: pool.connect_lazy_with(options) })
    }
}

/// What the URL says about TLS, and for the rest what the environment says, by the names that every client of PostgreSQL knows.
fn with_environment(settings: &TlsSettings) -> Result<TlsSettings, StoreError> {
    let variable = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
    let mut settings = settings.clone();
    if let (None, Some(mode)) = (settings.mode, variable("PGSSLMODE")) {
        settings.mode = Some(mode.parse().map_err(|_unknown| StoreError::Unusable {
            reason: "the variable PGSSLMODE has no value that it can have".into(),
            hint: TlsMode::CHOICE.into(),
            source: None,
        })?);
    }
    if settings.roots.is_none() {
        settings.roots = variable("PGSSLROOTCERT").map(|name| TlsRoots::named(&name));
    }
    Ok(settings)
}

fn protect(options: PgConnectOptions, tls: &Tls, way: Way) -> PgConnectOptions {
    let options = options.ssl_mode(match tls.mode {
        // Servers do not speak TLS on sockets, and clients do not ask for it there, whatever they were told.
        _ if way == Way::Socket => PgSslMode::Disable,
        TlsMode::Disable => PgSslMode::Disable,
        TlsMode::Prefer => PgSslMode::Prefer,
        TlsMode::Require => PgSslMode::Require,
        TlsMode::VerifyCa => PgSslMode::VerifyCa,
        TlsMode::VerifyFull => PgSslMode::VerifyFull,
    });
    let options = match &tls.roots {
        Some(path) => options.ssl_root_cert(path),
        // Takes the place of what the driver reads from the environment by itself.
        None => options.ssl_root_cert_from_pem(Vec::new()),
    };
    match &tls.client {
        Some(client) => options.ssl_client_cert(&client.certificate).ssl_client_key(&client.key),
        None => options,
    }
}

/// What the server said. The driver adds the line of the server's own source, which looks like one of the user's input.
fn text_of(error: &sqlx::Error) -> String {
    let text = error.to_string();
    let line = match error {
        sqlx::Error::Database(error) => error.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::line),
        _ => None,
    };
    let end = line.map(|line| format!(" at line {line}"));
    end.and_then(|end| text.strip_suffix(&end).map(str::to_owned)).unwrap_or(text)
}

/// In which encoding the database keeps texts.
async fn server_encoding(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    sqlx::query_scalar("SELECT current_setting('server_encoding')").fetch_one(connection).await
}

/// Refuses a database that cannot keep every text. One without an encoding (`SQL_ASCII`) keeps bytes as they come.
fn check_encoding(place: &str, encoding: &str) -> Result<(), StoreError> {
    if matches!(encoding, "UTF8" | "SQL_ASCII") {
        return Ok(());
    }
    Err(StoreError::Unusable {
        reason: format!("the database at {place} keeps texts in {encoding}, which cannot hold every text"),
        hint: "use a database in UTF-8: CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0".into(),
        source: None,
    })
}

/// Why a first connection failed.
fn refused(place: &str, tls: &Tls, error: sqlx::Error) -> StoreError {
    if let Some(explained) = tls.explain(Server { name: "PostgreSQL", place, without_tls: "sslmode=disable" }, &error) {
        return explained;
    }
    let code = error.as_database_error().and_then(|error| error.code().map(|code| code.into_owned()));
    let (what, hint) = match code.as_deref() {
        Some("28P01") => ("refuses the user or the password", "check user and password in the store URL"),
        Some("28000") => (
            "does not let this user in",
            "its pg_hba.conf says who may come, from where, and whether with TLS (sslmode=require); see the cause above",
        ),
        Some("3D000") => ("has no such database", "create it: CREATE DATABASE name"),
        Some("53300" | "57P03") | None => {
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
        reason: format!("the PostgreSQL server at {place} {what}"),
        hint: hint.into(),
        source: Some(Arc::new(DriverError(text_of(&error)))),
    }
}

#[async_trait]
impl Database for PostgresDatabase {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    async fn reader(&self) -> Result<Box<dyn Connection>, sqlx::Error> {
        Ok(Box::new(PostgresLink::new(Held::Pooled(self.pool.acquire().await?))))
    }

    async fn apart(&self) -> Result<Box<dyn Connection>, sqlx::Error> {
        let options = self.pool.connect_options();
        let connection = within(Some(CONNECT_MAX), sqlx::ConnectOptions::connect(&*options)).await?;
        Ok(Box::new(PostgresLink::new(Held::Apart(Box::new(connection)))))
    }

    async fn writer(&self) -> Result<Box<dyn Connection>, sqlx::Error> {
        self.reader().await
    }

    /// By SQLSTATE: <https://www.postgresql.org/docs/15/errcodes-appendix.html>.
    fn classify(&self, error: &sqlx::Error) -> Failure {
        let code = error.as_database_error().and_then(|error| error.code());
        match (code.as_deref(), error) {
            // serialization_failure, deadlock_detected
            (Some("40001" | "40P01"), _) => Failure::Collision,
            // lock_not_available, too many connections or no memory, cannot_connect_now, query_canceled by its time limit
            (Some("55P03" | "53300" | "53200" | "57P03" | "57014"), _) | (None, sqlx::Error::PoolTimedOut) => {
                Failure::Busy
            }
            // admin_shutdown, crash_shutdown, sessions that were idle for too long, in a transaction or outside, connection exceptions
            (Some("57P01" | "57P02" | "25P03" | "57P05"), _) => Failure::Gone,
            (Some(code), _) if code.starts_with("08") => Failure::Gone,
            // disk_full, read_only_sql_transaction, insufficient_privilege
            (Some("53100" | "25006" | "42501"), _) => Failure::Unusable,
            // data exceptions, violated constraints, program limits, exceptions that somebody's trigger raises
            (Some(code), _) if ["22", "23", "54", "P0001"].iter().any(|class| code.starts_with(class)) => {
                Failure::Rejected
            }
            (None, sqlx::Error::Encode(_)) => Failure::Rejected,
            (None, sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed) => Failure::Gone,
            _ => Failure::Other,
        }
    }

    /// The longest message of the protocol is 1 GiB; values are counted here, and not what stands around them.
    fn statement_bytes_max(&self) -> usize {
        1_000_000_000
    }

    fn text(&self, error: &sqlx::Error) -> String {
        text_of(error)
    }

    fn explain(&self, error: sqlx::Error) -> Result<sqlx::Error, StoreError> {
        let code = error.as_database_error().and_then(|error| error.code().map(|code| code.into_owned()));
        let (reason, hint) = match code.as_deref() {
            Some("53100") => ("the database's disk is full", "make room; nothing that was stored is lost"),
            Some("25006") => ("the database is read-only", "connect to the primary, not to a replica"),
            Some("42P07") => (
                "the database has a table of a name that is ours, and no record that we made it",
                "use another database or schema (options=-csearch_path%3DNAME in the URL), or remove that table",
            ),
            Some("42501") => ("the database user lacks a right", "grant it, or use the owner of the schema"),
            _ => return Ok(error),
        };
        let source: Arc<DriverError> = Arc::new(DriverError(text_of(&error)));
        Err(StoreError::Unusable { reason: reason.into(), hint: hint.into(), source: Some(source) })
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}
