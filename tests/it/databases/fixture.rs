//! Databases as this version of the program leaves them, kept for those that come later.
//!
//! `tests/fixtures/database/v2/` has one of each kind as the statements that make it, and `content.jsonl`, the export of what is in it. Once
//! a version is released they are never changed: each later one must read them. Until then, and for a new version of the schema,
//! `UPDATE_FIXTURES=1 TEST_BACKENDS=sqlite,postgres,mysql cargo test --workspace --test databases fixture` writes them anew.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use host::app::Import;
use host::model::ConflictPolicy;
use host::store::memory::MemoryStore;
use host::store::sql::migrate;
use host::store::{Record, Store};
use tests::backends::{Backend, Place, open};
use tests::content::{Content, app, archive, records};
use tests::factory::{Factory, t};

use crate::migrations::file;
use crate::{ask, block_on};

/// The version of the schema that is kept.
const VERSION: i64 = 2;

/// Its tables, those first on which others depend.
const TABLES: [&str; 12] = [
    "host_migrations",
    "host_migration_steps",
    "host_numbers",
    "host_plugin_versions",
    "host_plugin_bytes",
    "host_tasks",
    "host_schedules",
    "host_jobs",
    "host_groups",
    "host_queues",
    "host_job_logs",
    "host_schedulers",
];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/database/v{VERSION}"))
}

pub(crate) fn is_read_by_this_version(backend: Backend) -> Result<()> {
    block_on(async {
        if std::env::var_os("UPDATE_FIXTURES").is_some() {
            write(backend).await?;
        }
        let file = folder().join(format!("{backend}.sql"));
        let statements =
            std::fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
        let place = backend.place()?.context("the store has a place")?;
        // On SQLite it also makes the file.
        ensure!(migrate::status(&place.url.parse()?).await?.current == 0, "the place is not empty");
        ask::rows(&place.url, &statements).await?;
        ensure!(migrate::status(&place.url.parse()?).await?.current == VERSION, "it is of another version");
        let store = open(&place.url).await?;
        let found = moved(archive(&app(Arc::clone(&store))).await?).await?;
        store.close().await;
        let content = std::fs::read(folder().join("content.jsonl")).context("the export is missing")?;
        let expected = moved(content).await?;
        ensure!(found.len() > 20, "it is nearly empty");
        ensure!(found == expected, "found:\n{found:#?}\nexpected:\n{expected:#?}");
        Ok(())
    })
}

/// What an archive comes to in an empty store of this version.
async fn moved(archive: Vec<u8>) -> Result<Vec<Record>> {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let archive = Box::new(std::io::Cursor::new(archive));
    let import = Import { archive, conflict: ConflictPolicy::Error, dry_run: false };
    app(Arc::clone(&store)).import(import).await?;
    Ok(records(&*store).await)
}

async fn write(backend: Backend) -> Result<()> {
    let place = backend.place()?.context("the store has a place")?;
    let store = open(&place.url).await?;
    Content { store: &*store, make: &Factory::new(2), base: t(0), component_bytes: 300 }.fill().await;
    let content = archive(&app(Arc::clone(&store))).await?;
    store.close().await;
    std::fs::create_dir_all(folder())?;
    std::fs::write(folder().join(format!("{backend}.sql")), dump(backend, &place).await?)?;
    if backend == Backend::Sqlite {
        std::fs::write(folder().join("content.jsonl"), content)?;
    }
    Ok(())
}

/// The statements that make the database.
async fn dump(backend: Backend, place: &Place) -> Result<String> {
    let baseline = file!("0002_baseline.sql")(backend);
    let mut text = format!("{}\n\n{}\n", records_of_migrations(backend), baseline.trim_end());
    // The baseline puts its first row there.
    text.push_str("DELETE FROM host_numbers;\n\n");
    for table in TABLES {
        let columns = columns(backend, place, table).await?;
        ensure!(!columns.is_empty(), "there is no table {table}");
        let (names, literals): (Vec<_>, Vec<_>) =
            columns.iter().map(|column| (column.0.as_str(), literal(backend, column))).unzip();
        let select = format!("SELECT {} FROM {table} ORDER BY 1, 2", literals.join(", "));
        let rows = ask::rows(&place.url, &select).await?;
        for row in rows {
            writeln!(text, "INSERT INTO {table} ({}) VALUES ({});", names.join(", "), row.join(", "))?;
        }
    }
    Ok(text)
}

/// The tables in which this version records what was applied.
fn records_of_migrations(backend: Backend) -> &'static str {
    match backend {
        Backend::Mysql => {
            "CREATE TABLE host_migrations (version BIGINT PRIMARY KEY, name VARCHAR(191) NOT NULL, applied_at BIGINT NOT NULL)
    ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE host_migration_steps (version BIGINT PRIMARY KEY, checksum VARCHAR(191) NOT NULL, begun BIGINT NOT NULL)
    ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;"
        }
        Backend::Postgres => {
            "CREATE TABLE host_migrations (version BIGINT PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL);
CREATE TABLE host_migration_steps (version BIGINT PRIMARY KEY, checksum TEXT NOT NULL, begun BIGINT NOT NULL);"
        }
        _ => {
            "CREATE TABLE host_migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT;
CREATE TABLE host_migration_steps (version INTEGER PRIMARY KEY, checksum TEXT NOT NULL, begun INTEGER NOT NULL) STRICT;"
        }
    }
}

/// The columns of a table, each with its type.
async fn columns(backend: Backend, place: &Place, table: &str) -> Result<Vec<(String, String)>> {
    let statement = match backend {
        Backend::Sqlite => format!("SELECT name, type FROM pragma_table_info('{table}') ORDER BY cid"),
        Backend::Postgres => format!(
            "SELECT column_name::text, data_type::text FROM information_schema.columns
            WHERE table_schema = current_schema() AND table_name = '{table}' ORDER BY ordinal_position"
        ),
        _ => format!(
            "SELECT column_name, data_type FROM information_schema.columns
            WHERE table_schema = DATABASE() AND table_name = '{table}' ORDER BY ordinal_position"
        ),
    };
    let rows = ask::rows(&place.url, &statement).await?;
    rows.into_iter()
        .map(|row| match <[String; 2]>::try_from(row) {
            Ok([name, kind]) => Ok((name, kind)),
            Err(row) => anyhow::bail!("{row:?}"),
        })
        .collect()
}

/// An expression for the literal of a column's value.
fn literal(backend: Backend, (name, kind): &(String, String)) -> String {
    match backend {
        Backend::Sqlite => format!("quote({name})"),
        Backend::Postgres => format!("quote_nullable({name}::text)"),
        _ if kind.contains("blob") || kind.contains("binary") => {
            format!("IF({name} IS NULL, 'NULL', CONCAT('X''', HEX({name}), ''''))")
        }
        _ => format!("QUOTE({name})"),
    }
}
