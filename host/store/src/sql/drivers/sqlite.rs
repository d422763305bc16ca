//! SQLite: one writer connection, several readers, the write-ahead log.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::pool::PoolOptions;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Arguments, Sqlite, SqlitePool};

use super::connection::{Connection, Database, DriverError, Failure, Held, driver_connection, within};
use crate::StoreError;
use crate::clock::{Clock as _, Stopwatch, SystemClock};
use crate::config::{SqliteFile, Synchronous};
use crate::files::{create_private_file, narrow_database};
use crate::sql::statements::query::Dialect;
use crate::sql::statements::value::{Arg, Row, Value};

/// How long a statement waits for another process's write transaction. Those are short; one that is not is an error to see.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause before a file that others are opening is opened again.
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// Connections for reading. SQLite reads from the page cache; more of them would not read faster.
const READERS: u32 = 4;

pub(in crate::sql) struct SqliteDatabase {
    writer: SqlitePool,
    readers: SqlitePool,
}

driver_connection!(
    SqliteLink,
    Sqlite,
    SqliteArguments,
    // A file has nobody who could fall silent: waiting for a lock has its limit above.
    None,
    "BEGIN IMMEDIATE",
    "BEGIN DEFERRED",
    "SELECT 1",
    bind
);

fn bind(bound: &mut SqliteArguments, arg: Arg) -> Result<(), sqlx::error::BoxDynError> {
    match arg {
        Arg::One(Value::Int(value)) => bound.add(value),
        Arg::One(Value::Text(value)) => bound.add(value),
        Arg::One(Value::Bytes(value)) => bound.add(value),
        Arg::One(Value::Null(_)) => bound.add(None::<i64>),
        Arg::List(values) => values.into_iter().try_for_each(|value| bind(bound, Arg::One(value))),
        Arg::Rows(rows) => rows.into_iter().flatten().try_for_each(|value| bind(bound, Arg::One(value))),
    }
}

impl SqliteDatabase {
    /// Opens a file, and makes it where there is none.
    pub(in crate::sql) async fn open(file: &SqliteFile) -> Result<SqliteDatabase, StoreError> {
        let path = check_place(&file.path)?;
        create_private_file(&file.path).map_err(|error| StoreError::Unusable {
            reason: format!("the store `{path}` cannot be made"),
            hint: "check that the user that runs the host may write to its folder".into(),
            source: Some(std::sync::Arc::new(error)),
        })?;
        let options = options(path, file.synchronous);
        let writer = connect(&options).await.map_err(|error| unusable(path, &error))?;
        narrow_database(&file.path);
        let readers = pool(READERS).connect_lazy_with(options.optimize_on_close(false, None));
        Ok(SqliteDatabase { writer, readers })
    }
}

fn pool(connections_max: u32) -> PoolOptions<Sqlite> {
    PoolOptions::new().max_connections(connections_max).test_before_acquire(false).idle_timeout(None)
}

/// Makes the connection for writing. The first one of a fresh file turns the write-ahead log on, for which SQLite waits for nobody, whatever
/// the time limit of its locks: where several processes open one at once, they try again.
async fn connect(options: &SqliteConnectOptions) -> Result<SqlitePool, sqlx::Error> {
    let since = Stopwatch::start();
    loop {
        match pool(1).connect_with(options.clone()).await {
            Err(error) if code(&error) == Some(5) && since.elapsed() < BUSY_TIMEOUT => {
                SystemClock.sleep(BUSY_PAUSE).await;
            }
            connected => return connected,
        }
    }
}

fn options(path: &str, synchronous: Synchronous) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(match synchronous {
            Synchronous::Normal => SqliteSynchronous::Normal,
            Synchronous::Full => SqliteSynchronous::Full,
            Synchronous::Extra => SqliteSynchronous::Extra,
        })
        .foreign_keys(false)
        .busy_timeout(BUSY_TIMEOUT)
        .statement_cache_capacity(512)
        // Every statement of ours has its index. With statistics (`ANALYZE`) the planner would rather make one for the arguments and read
        // all jobs.
        .pragma("automatic_index", "off")
        // 64 MiB of pages, and sorting in memory: the defaults are for telephones.
        .pragma("cache_size", "-65536")
        .pragma("temp_store", "memory")
}

/// Finds out beforehand what SQLite would only call "unable to open database file". Answers the path as SQLite takes it.
fn check_place(file: &Path) -> Result<&str, StoreError> {
    let refuse = |reason: String, hint: &str| Err(StoreError::Unusable { reason, hint: hint.into(), source: None });
    let shown = file.display();
    let Some(path) = file.to_str() else {
        return refuse(
            format!("the path of the store `{shown}` is not UTF-8, which the SQLite driver needs"),
            "name another file with --store, or another --data-dir",
        );
    };
    if path.starts_with("file:") {
        return refuse(format!("SQLite would take the path `{shown}` for a URI"), "write it with a folder: ./file:…");
    }
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    if !folder.is_dir() {
        return refuse(
            format!("there is no folder `{}` for the store", folder.display()),
            "create it, or name another --data-dir",
        );
    }
    if file.is_dir() {
        return refuse(format!("`{shown}` is a folder, not a database file"), "name a file in it, such as host.db");
    }
    match std::fs::metadata(file) {
        Ok(found) if found.permissions().readonly() => refuse(
            format!("the store `{shown}` is read-only"),
            "make the file writable for the user that runs the host",
        ),
        _ => Ok(path),
    }
}

fn unusable(path: &str, error: &sqlx::Error) -> StoreError {
    let (what, hint) = match code(error) {
        // SQLITE_NOTADB, SQLITE_CORRUPT
        Some(26) => ("is no SQLite database", "name another file; this one was left as it is"),
        Some(11) => ("is damaged", "restore it from a backup, or salvage it with `sqlite3 FILE .recover`"),
        Some(8) => ("is read-only", "make the file and its folder writable for the user that runs the host"),
        Some(14) => ("cannot be opened", "check that the user that runs the host may write to the file and its folder"),
        Some(13) => ("cannot be written: the disk is full", "make room on the disk; nothing that was stored is lost"),
        _ => ("cannot be used", "see the cause above"),
    };
    let source: Option<std::sync::Arc<dyn std::error::Error + Send + Sync>> =
        Some(std::sync::Arc::new(DriverError(error.to_string())));
    StoreError::Unusable { reason: format!("the store `{path}` {what}"), hint: hint.into(), source }
}

/// The primary result code: <https://www.sqlite.org/rescode.html>.
fn code(error: &sqlx::Error) -> Option<u32> {
    let extended: u32 = error.as_database_error()?.code()?.parse().ok()?;
    // SQLITE_IOERR_SHMSIZE: there is no room even for the index of the write-ahead log, which is a full disk by another name.
    Some(if extended == 4874 { 13 } else { extended & 0xff })
}

#[async_trait]
impl Database for SqliteDatabase {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    async fn reader(&self) -> Result<Box<dyn Connection>, sqlx::Error> {
        Ok(Box::new(SqliteLink::new(Held::Pooled(self.readers.acquire().await?))))
    }

    async fn writer(&self) -> Result<Box<dyn Connection>, sqlx::Error> {
        Ok(Box::new(SqliteLink::new(Held::Pooled(self.writer.acquire().await?))))
    }

    /// A file has one writer at a time, so there is nothing apart from it.
    async fn apart(&self) -> Result<Box<dyn Connection>, sqlx::Error> {
        self.writer().await
    }

    fn classify(&self, error: &sqlx::Error) -> Failure {
        match (code(error), error) {
            // SQLITE_BUSY, SQLITE_LOCKED, SQLITE_PROTOCOL (a race for the write-ahead log)
            (Some(5 | 6 | 15), _) | (None, sqlx::Error::PoolTimedOut) => Failure::Busy,
            // SQLITE_READONLY, SQLITE_CORRUPT, SQLITE_FULL, SQLITE_CANTOPEN, SQLITE_NOTADB
            (Some(8 | 11 | 13 | 14 | 26), _) => Failure::Unusable,
            // SQLITE_TOOBIG, SQLITE_CONSTRAINT, SQLITE_MISMATCH
            (Some(18..=20), _) | (None, sqlx::Error::Encode(_)) => Failure::Rejected,
            _ => Failure::Other,
        }
    }

    /// The longest value: <https://www.sqlite.org/limits.html>.
    fn statement_bytes_max(&self) -> usize {
        1_000_000_000
    }

    fn explain(&self, error: sqlx::Error) -> Result<sqlx::Error, StoreError> {
        if self.classify(&error) == Failure::Unusable {
            let path = self.writer.connect_options().get_filename().display().to_string();
            return Err(unusable(&path, &error));
        }
        Ok(error)
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}
