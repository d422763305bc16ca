//! The schema and its versions.
//!
//! A migration is a file with the same number and name in each dialect's folder, and never changes once it is released: what it
//! got wrong, the next one mends. They are applied in order, each in one transaction together with the note that it was applied
//! (on MySQL, which commits every change of a schema by itself, in order), under a lock, so that any number of hosts may try at
//! once. A schema that is newer than this program is left alone.

use std::sync::Arc;

use sqlx::SqlSafeStr as _;

use super::link::Database;
use super::query::{Dialect, Texts, q};
use super::tx::{Answer, Fault, Tx, Work, run};
use super::value::{Arg, values};
use super::{OpenOptions, SqlStore, connect};
use crate::clock::Clock;
use crate::config::StoreUrl;
use crate::store::StoreError;

/// A version of the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    /// Its number, from 1 without gaps.
    pub version: i64,
    /// What it does, in words joined by `_`.
    pub name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
    mysql: &'static str,
}

macro_rules! migration {
    ($version:literal, $file:literal, $name:literal) => {
        Migration {
            version: $version,
            name: $name,
            sqlite: include_str!(concat!("migrations/sqlite/", $file)),
            postgres: include_str!(concat!("migrations/postgres/", $file)),
            mysql: include_str!(concat!("migrations/mysql/", $file)),
        }
    };
}

/// Every version, oldest first.
const MIGRATIONS: &[Migration] = &[migration!(1, "0001_initial.sql", "initial")];

impl Migration {
    fn text(&self, dialect: Dialect) -> &'static str {
        match dialect {
            Dialect::Sqlite => self.sqlite,
            Dialect::Postgres => self.postgres,
            Dialect::Mysql => self.mysql,
        }
    }
}

/// The place where applied versions are noted. It is older than the first version, so it is made apart.
fn notes(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => {
            "CREATE TABLE IF NOT EXISTS host_migrations \
             (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT"
        }
        Dialect::Postgres => {
            "CREATE TABLE IF NOT EXISTS host_migrations \
             (version BIGINT PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL)"
        }
        Dialect::Mysql => {
            "CREATE TABLE IF NOT EXISTS host_migrations \
             (version BIGINT PRIMARY KEY, name VARCHAR(191) NOT NULL, applied_at BIGINT NOT NULL) \
             ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        }
    }
}

/// A step of a plan: a version that is to be applied, with its statements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its number.
    pub version: i64,
    /// Its name.
    pub name: &'static str,
    /// What it will run.
    pub text: &'static str,
}

/// Where a schema stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The version of the stored schema; 0 where there is none.
    pub current: i64,
    /// The version that this program needs.
    pub wanted: i64,
}

/// Where the schema at `url` stands. Changes nothing (but SQLite makes an empty file where there is none).
///
/// # Errors
/// As [`SqlStore::open`], except that any schema will do.
pub async fn status(url: &StoreUrl) -> Result<Status, StoreError> {
    let place = Place::connect(url).await?;
    let current = place.version().await;
    place.database.close().await;
    Ok(Status { current: current?, wanted: wanted() })
}

/// What [`apply`] would do at `url`. Changes nothing.
///
/// # Errors
/// As [`status`], and [`StoreError::Unusable`] where the schema is newer than this program.
pub async fn plan(url: &StoreUrl) -> Result<Vec<Step>, StoreError> {
    let place = Place::connect(url).await?;
    let current = place.version().await;
    place.database.close().await;
    steps(place.database.dialect(), current?)
}

/// Brings the schema at `url` up to date, and answers what that took.
///
/// # Errors
/// As [`plan`].
pub async fn apply(url: &StoreUrl, clock: &dyn Clock) -> Result<Vec<Step>, StoreError> {
    let place = Place::connect(url).await?;
    let applied = place.apply(clock).await;
    place.database.close().await;
    applied
}

fn wanted() -> i64 {
    MIGRATIONS.last().map_or(0, |newest| newest.version)
}

fn steps(dialect: Dialect, current: i64) -> Result<Vec<Step>, StoreError> {
    if current > wanted() {
        return Err(newer(current));
    }
    let missing = MIGRATIONS.iter().filter(|migration| migration.version > current);
    Ok(missing
        .map(|migration| Step { version: migration.version, name: migration.name, text: migration.text(dialect) })
        .collect())
}

fn newer(current: i64) -> StoreError {
    StoreError::Unusable {
        reason: format!("the store has schema {current}, and this program knows schemas up to {}", wanted()),
        hint: "use the newer program; this one has changed nothing".into(),
        source: None,
    }
}

/// Brings the schema up to date, or says why it is not.
pub(super) async fn prepare(store: &SqlStore, options: OpenOptions<'_>) -> Result<(), StoreError> {
    let place = Place { database: Arc::clone(&store.database), texts: Arc::clone(&store.texts) };
    let dialect = place.database.dialect();
    let current = place.version().await?;
    if steps(dialect, current)?.is_empty() {
        return Ok(());
    }
    if dialect == Dialect::Sqlite || options.auto_migrate {
        return place.apply(options.clock).await.map(|_| ());
    }
    let reason = match current {
        0 => "the database has no schema of ours yet".to_owned(),
        current => format!("the store has schema {current}, and this program needs schema {}", wanted()),
    };
    let hint = "run `host migrate --apply` (`--plan` shows what it does), or start with --auto-migrate".into();
    Err(StoreError::Unusable { reason, hint, source: None })
}

/// A database whose schema is looked at.
struct Place {
    database: Arc<dyn Database>,
    texts: Arc<Texts>,
}

impl Place {
    async fn connect(url: &StoreUrl) -> Result<Place, StoreError> {
        let database = connect(url).await?;
        let texts = Arc::new(Texts::new(database.dialect()));
        Ok(Place { database, texts })
    }

    async fn version(&self) -> Result<i64, StoreError> {
        // As a transaction, because on a fresh SQLite file a mere reader could come before the first writer has set the file up.
        let work: Work = Arc::new(|tx| Box::pin(async move { Ok(Box::new(version(tx).await?) as Answer) }));
        let answer = run(&*self.database, &self.texts, "migrate_status", &work).await?;
        Ok(answer.downcast::<i64>().map_or(0, |version| *version))
    }

    async fn apply(&self, clock: &dyn Clock) -> Result<Vec<Step>, StoreError> {
        let now = clock.now();
        let work: Work = Arc::new(move |tx| Box::pin(async move { Ok(Box::new(apply_all(tx, now).await?) as Answer) }));
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

async fn apply_all(tx: &mut Tx, now: crate::model::Timestamp) -> Result<Vec<Step>, Fault> {
    tx.fetch(q::migration_lock, Vec::new()).await?;
    let applied = apply_missing(tx, now).await;
    tx.fetch(q::migration_unlock, Vec::new()).await?;
    applied
}

async fn apply_missing(tx: &mut Tx, now: crate::model::Timestamp) -> Result<Vec<Step>, Fault> {
    // Looked at again under the lock: another host may have been faster.
    let steps = steps(tx.dialect, version(tx).await?)?;
    tx.script(notes(tx.dialect).into_sql_str()).await?;
    for step in &steps {
        tx.script(step.text.into_sql_str()).await?;
        let note = values![step.version, step.name, now];
        tx.execute(q::migration_insert, vec![Arg::Rows(vec![note])]).await?;
        tracing::info!(version = step.version, name = step.name, "schema migrated");
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_count_up_from_one_without_gaps() {
        let versions: Vec<i64> = MIGRATIONS.iter().map(|migration| migration.version).collect();
        assert_eq!(versions, (1..=wanted()).collect::<Vec<_>>());
    }

    #[test]
    fn each_dialect_has_the_same_files_and_each_file_is_in_the_list() {
        let listed: Vec<String> =
            MIGRATIONS.iter().map(|migration| format!("{:04}_{}.sql", migration.version, migration.name)).collect();
        for dialect in ["sqlite", "postgres", "mysql"] {
            let folder = format!("{}/src/store/sql/migrations/{dialect}", env!("CARGO_MANIFEST_DIR"));
            let entries = std::fs::read_dir(&folder).expect("the folder of a dialect can be read");
            let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("an entry").file_name();
            let mut files: Vec<String> = entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect();
            files.sort();
            assert_eq!(files, listed, "{dialect}");
        }
    }
}
