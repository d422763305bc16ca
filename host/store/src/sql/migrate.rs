//! Brings the schema to the version that this program needs.
//!
//! Versions are applied in order, under a lock, so that any number of hosts may try at once. SQLite and PostgreSQL apply all
//! missing ones in one transaction. MySQL commits every change of a schema by itself, so there each statement is recorded before
//! it runs: after a crash the next attempt goes on at the statement that had begun, and only for that one takes "already there" for
//! done. The record also keeps the checksum of each text: a database that was changed by another text of the same version is
//! refused. So is a schema that is newer than this program.

use std::sync::Arc;

use sqlx::SqlSafeStr as _;

use super::connection::Database;
use super::migrations::{Migration, missing, wanted};
use super::query::{Dialect, Texts, q};
use super::tx::{Answer, Fault, Tx, Work, read_error, run};
use super::value::{Arg, args, values};
use super::{OpenOptions, SqlStore, connect};
use crate::clock::Clock;
use crate::config::StoreUrl;
use crate::model::Timestamp;
use crate::store::{Certainty, StoreError};

/// The tables in which applied versions and the progress of a migration are recorded. They are older than the first version.
fn record_tables(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => {
            "CREATE TABLE IF NOT EXISTS host_migrations \
             (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT; \
             CREATE TABLE IF NOT EXISTS host_migration_steps \
             (version INTEGER PRIMARY KEY, checksum TEXT NOT NULL, begun INTEGER NOT NULL) STRICT"
        }
        Dialect::Postgres => {
            "CREATE TABLE IF NOT EXISTS host_migrations \
             (version BIGINT PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL); \
             CREATE TABLE IF NOT EXISTS host_migration_steps \
             (version BIGINT PRIMARY KEY, checksum TEXT NOT NULL, begun BIGINT NOT NULL)"
        }
        Dialect::Mysql => {
            "CREATE TABLE IF NOT EXISTS host_migrations \
             (version BIGINT PRIMARY KEY, name VARCHAR(191) NOT NULL, applied_at BIGINT NOT NULL) \
             ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin; \
             CREATE TABLE IF NOT EXISTS host_migration_steps \
             (version BIGINT PRIMARY KEY, checksum VARCHAR(191) NOT NULL, begun BIGINT NOT NULL) \
             ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        }
    }
}

/// A step of a plan: a version that is to be applied, with its statements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The version that the schema has afterwards.
    pub version: i64,
    /// What it does.
    pub name: &'static str,
    /// The statements.
    pub text: &'static str,
}

/// Where a schema stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The version of the stored schema; 0 if there is none.
    pub current: i64,
    /// The version that this program needs.
    pub wanted: i64,
}

/// Where the schema at `url` stands. Changes nothing (but SQLite makes an empty file where there is none).
///
/// # Errors
/// As [`SqlStore::open`], except that any schema will do.
pub async fn status(url: &StoreUrl) -> Result<Status, StoreError> {
    let schema = Schema::connect(url).await?;
    let current = schema.version().await;
    schema.database.close().await;
    Ok(Status { current: current?, wanted: wanted() })
}

/// What [`apply`] would do at `url`. Changes nothing.
///
/// # Errors
/// As [`status`], and [`StoreError::Unusable`] if the schema is newer than this program.
pub async fn plan(url: &StoreUrl) -> Result<Vec<Step>, StoreError> {
    let schema = Schema::connect(url).await?;
    let current = schema.version().await;
    schema.database.close().await;
    steps(schema.database.dialect(), current?)
}

/// Brings the schema at `url` up to date, and answers what that took. Safe to repeat, also after a crash half way.
///
/// # Errors
/// As [`plan`]; [`StoreError::Unusable`] also if another text of a version was applied; [`StoreError::Backend`], transient, if another
/// host holds the lock for a minute.
pub async fn apply(url: &StoreUrl, clock: &dyn Clock) -> Result<Vec<Step>, StoreError> {
    let schema = Schema::connect(url).await?;
    let applied = schema.apply(clock).await;
    schema.database.close().await;
    applied
}

fn steps(dialect: Dialect, current: i64) -> Result<Vec<Step>, StoreError> {
    if current > wanted() {
        return Err(newer(current));
    }
    Ok(missing(current).map(|migration| step(migration, dialect)).collect())
}

fn step(migration: &Migration, dialect: Dialect) -> Step {
    Step { version: migration.version, name: migration.name, text: migration.text(dialect) }
}

fn newer(current: i64) -> StoreError {
    StoreError::Unusable {
        reason: format!("the store has schema {current}, and this program knows schemas up to {}", wanted()),
        hint: "use the newer program; this one has changed nothing".into(),
        source: None,
    }
}

fn other_text(version: i64) -> StoreError {
    StoreError::Unusable {
        reason: format!("schema version {version} was applied, or begun, with other statements than this program has"),
        hint: "use the program that began it, or restore a backup; this one has changed nothing".into(),
        source: None,
    }
}

/// Brings the schema up to date, or says why it is not.
pub(super) async fn prepare(store: &SqlStore, options: OpenOptions<'_>) -> Result<(), StoreError> {
    let schema = Schema { database: Arc::clone(&store.database), texts: Arc::clone(&store.texts) };
    let dialect = schema.database.dialect();
    let current = schema.version().await?;
    if steps(dialect, current)?.is_empty() {
        return Ok(());
    }
    if dialect == Dialect::Sqlite || options.auto_migrate {
        return schema.apply(options.clock).await.map(|_| ());
    }
    let reason = match current {
        0 => "the database has no schema of ours yet".to_owned(),
        current => format!("the store has schema {current}, and this program needs schema {}", wanted()),
    };
    let hint = "run `host migrate --apply` (`--plan` shows what it does), or start with --auto-migrate".into();
    Err(StoreError::Unusable { reason, hint, source: None })
}

/// A database whose schema is looked at.
struct Schema {
    database: Arc<dyn Database>,
    texts: Arc<Texts>,
}

impl Schema {
    async fn connect(url: &StoreUrl) -> Result<Schema, StoreError> {
        let database = connect(url).await?;
        let texts = Arc::new(Texts::new(database.dialect()));
        Ok(Schema { database, texts })
    }

    /// The stored version. A plain read: it waits for nobody who writes.
    async fn version(&self) -> Result<i64, StoreError> {
        const OPERATION: &str = "migrate_status";
        let not_begun = |error| super::tx::store_error(&*self.database, OPERATION, error, Certainty::NotApplied);
        let connection = self.database.reader().await.map_err(not_begun)?;
        let mut tx = Tx::new(connection, Arc::clone(&self.texts), &*self.database);
        version(&mut tx).await.map_err(|fault| read_error(&*self.database, OPERATION, fault))
    }

    async fn apply(&self, clock: &dyn Clock) -> Result<Vec<Step>, StoreError> {
        let now = clock.now();
        let database = Arc::clone(&self.database);
        let work: Work = Arc::new(move |tx| {
            let database = Arc::clone(&database);
            Box::pin(async move { Ok(Box::new(apply_under_lock(tx, &*database, now).await?) as Answer) })
        });
        let answer = run(&*self.database, &self.texts, "migrate", &work).await?;
        Ok(answer.downcast::<Vec<Step>>().map_or_else(|_| Vec::new(), |steps| *steps))
    }
}

async fn version(tx: &mut Tx) -> Result<i64, Fault> {
    let exists = tx.fetch_one(q::migrations_exist, Vec::new()).await?;
    if !exists.map(|mut row| row.flag()).transpose()?.unwrap_or(false) {
        return Ok(0);
    }
    let mut newest = 0;
    for mut row in tx.fetch(q::migration_list, Vec::new()).await? {
        newest = row.int()?;
    }
    Ok(newest)
}

async fn apply_under_lock(tx: &mut Tx, database: &dyn Database, now: Timestamp) -> Result<Vec<Step>, Fault> {
    let locked = tx.fetch_one(q::migration_lock, Vec::new()).await?;
    if !locked.map(|mut row| row.flag()).transpose()?.unwrap_or(false) {
        return Err(Fault::Refused(locked_by_another()));
    }
    let applied = apply_missing(tx, database, now).await;
    // The first failure is the one to tell: a transaction that has failed refuses to unlock as well, and needs not to.
    let unlocked = tx.fetch(q::migration_unlock, Vec::new()).await;
    let steps = applied?;
    unlocked?;
    Ok(steps)
}

fn locked_by_another() -> StoreError {
    let source = std::io::Error::other("another host has been migrating this database for a minute");
    StoreError::Backend {
        operation: "migrate",
        certainty: Certainty::NotApplied,
        transient: true,
        source: Arc::new(source),
    }
}

async fn apply_missing(tx: &mut Tx, database: &dyn Database, now: Timestamp) -> Result<Vec<Step>, Fault> {
    let dialect = tx.dialect;
    // Looked at again under the lock: another host may have been faster.
    let current = version(tx).await?;
    if current > wanted() {
        return Err(Fault::Refused(newer(current)));
    }
    tx.script(record_tables(dialect).into_sql_str()).await?;
    let mut applied = Vec::new();
    for migration in missing(current) {
        apply_one(tx, database, migration).await?;
        let record = values![migration.version, migration.name, now];
        tx.execute(q::migration_insert, vec![Arg::Rows(vec![record])]).await?;
        tracing::info!(version = migration.version, name = migration.name, "schema migrated");
        applied.push(step(migration, dialect));
    }
    Ok(applied)
}

/// Runs the pieces of a migration that have not run yet.
async fn apply_one(tx: &mut Tx, database: &dyn Database, migration: &Migration) -> Result<(), Fault> {
    let (version, checksum) = (migration.version, migration.checksum(tx.dialect));
    let begun = match tx.fetch_one(q::migration_step_get, args![version]).await? {
        None => {
            let row = values![version, checksum.as_str(), 0_i64];
            tx.execute(q::migration_step_insert, vec![Arg::Rows(vec![row])]).await?;
            0
        }
        Some(mut row) => {
            if row.text()? != checksum {
                return Err(Fault::Refused(other_text(version)));
            }
            row.int()?
        }
    };
    for (number, piece) in (1_i64..).zip(migration.pieces(tx.dialect)) {
        if number < begun {
            continue;
        }
        tx.execute(q::migration_step_begin, args![number, version]).await?;
        match tx.script(piece.into_sql_str()).await {
            Err(Fault::Database(error)) if number == begun && database.is_already_done(&error) => {}
            ran => ran?,
        }
    }
    Ok(())
}
