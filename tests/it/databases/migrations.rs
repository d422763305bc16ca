//! From one version of the schema to the next: with what an older host stored, beside tables of other programs, and after a
//! migration that was cut off.

use anyhow::{Context as _, Result, ensure};
use host::clock::SystemClock;
use host::model::JobState;
use host::store::sql::{OpenOptions, SqlStore, migrate};
use host::store::{Housekeeping as _, JobFilter, JobQueue as _};
use tests::backends::Backend;

use crate::schema::Schema;
use crate::{ask, block_on};

macro_rules! file {
    ($name:literal) => {
        |backend: Backend| match backend {
            Backend::Postgres => include_str!(concat!("../../../host/store/src/sql/migrations/postgres/", $name)),
            Backend::Mysql => include_str!(concat!("../../../host/store/src/sql/migrations/mysql/", $name)),
            _ => include_str!(concat!("../../../host/store/src/sql/migrations/sqlite/", $name)),
        }
    };
}

/// The tables in which version 1 of the program recorded what it had applied.
fn record_of_version_1(backend: Backend) -> &'static str {
    match backend {
        Backend::Mysql => {
            "CREATE TABLE host_migrations (version BIGINT PRIMARY KEY, name VARCHAR(191) NOT NULL, applied_at BIGINT NOT NULL)
                ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        }
        Backend::Postgres => {
            "CREATE TABLE host_migrations (version BIGINT PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL)"
        }
        _ => {
            "CREATE TABLE host_migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT"
        }
    }
}

/// A database as version 1 of the program left it: a schedule, a job that waits in the partition of its task and one that runs.
async fn version_1(backend: Backend, url: &str) -> Result<()> {
    // On SQLite it also makes the file.
    ensure!(migrate::status(&url.parse()?).await?.current == 0, "the place is not empty");
    let first = file!("0001_initial.sql");
    ask::rows(url, record_of_version_1(backend)).await?;
    ask::rows(url, first(backend)).await?;
    let bytes = |byte: &str| match backend {
        Backend::Postgres => format!("'\\x{}'::bytea", byte.repeat(16)),
        _ => format!("X'{}'", byte.repeat(16)),
    };
    let args = match backend {
        Backend::Postgres => "'\\x7b7d'::bytea",
        _ => "X'7b7d'",
    };
    let settings = r#"'{"timeout":300000000,"fuel":50000000000,"memory_bytes":268435456,"max_attempts":1,"crash_retries":1,
        "backoff":{"initial":1000000,"max":60000000,"factor_percent":200,"jitter_percent":10},"priority":0,"result_ttl":86400000000}'"#;
    for statement in [
        "INSERT INTO host_migrations VALUES (1, 'initial', 0)".to_owned(),
        "INSERT INTO tasks VALUES ('limited', NULL, 'limited', 0, '', NULL, NULL, NULL, '{}', '{}', '{}', 1)".into(),
        format!(
            "INSERT INTO jobs (id, task_id, jitter, args_encoding, args, settings, place, result_ttl, due_at, created_at, lane)
            VALUES ({}, 'limited', 0, 'json', {args}, {settings}, 0, 0, 0, 0, 'limited')",
            bytes("11")
        ),
        format!(
            "INSERT INTO jobs (id, task_id, jitter, args_encoding, args, settings, place, result_ttl, due_at, created_at, state,
                lease_holder, lease_token, lease_until)
            VALUES ({}, 'limited', 0, 'json', {args}, {settings}, 0, 0, 0, 0, 'running', 'worker', {}, 9000000000000000)",
            bytes("22"),
            bytes("33")
        ),
    ] {
        ask::rows(url, &statement).await?;
    }
    Ok(())
}

async fn open(url: &str) -> Result<SqlStore> {
    Ok(SqlStore::open(&url.parse()?, OpenOptions { clock: &SystemClock, auto_migrate: true }).await?)
}

pub(crate) fn both_ways_lead_to_one_schema(backend: Backend) -> Result<()> {
    block_on(async {
        let (fresh, older) = (backend.place()?.context("a place")?, backend.place()?.context("a place")?);
        migrate::apply(&fresh.url.parse()?, &SystemClock).await?;
        version_1(backend, &older.url).await?;
        let applied = migrate::apply(&older.url.parse()?, &SystemClock).await?;
        ensure!(applied.first().map(|step| step.version) == Some(2), "it did not begin at version 1: {applied:?}");
        let (fresh, older) = (Schema::read(backend, &fresh.url).await?, Schema::read(backend, &older.url).await?);
        ensure!(fresh.to_string() == older.to_string(), "fresh:\n{fresh}\nmigrated:\n{older}");
        Ok(())
    })
}

pub(crate) fn keep_what_an_older_host_stored(backend: Backend) -> Result<()> {
    block_on(async {
        let place = backend.place()?.context("a place")?;
        version_1(backend, &place.url).await?;
        let store = open(&place.url).await?;
        let page = store.job_list(JobFilter { limit: 10, ..JobFilter::default() }).await?;
        let mut states: Vec<JobState> = page.rows.iter().map(|job| job.state).collect();
        states.sort_by_key(|state| state.to_string());
        ensure!(states == [JobState::Queued, JobState::Running], "{page:?}");
        store.close().await;
        Ok(())
    })
}

pub(crate) fn leave_tables_of_other_programs_alone(backend: Backend) -> Result<()> {
    block_on(async {
        let place = backend.place()?.context("a place")?;
        migrate::status(&place.url.parse()?).await?;
        for table in ["jobs", "tasks", "schedules", "schedulers", "job_logs", "plugin_versions", "plugin_bytes"] {
            ask::rows(&place.url, &format!("CREATE TABLE {table} (theirs VARCHAR(10))")).await?;
            ask::rows(&place.url, &format!("INSERT INTO {table} VALUES ('kept')")).await?;
        }
        open(&place.url).await?.close().await;
        let left = ask::rows(&place.url, "SELECT theirs FROM jobs").await?;
        ensure!(left == [["kept"]], "{left:?}");
        Ok(())
    })
}

/// MySQL commits each statement by itself, so a migration can be cut off between any two, and within one before or after its effect.
pub(crate) fn go_on_where_they_were_cut_off(backend: Backend) -> Result<()> {
    let texts = [(0, file!("0002_baseline.sql")(backend), 7), (1, file!("0002_names.sql")(backend), 1)];
    block_on(async {
        let expected = {
            let place = backend.place()?.context("a place")?;
            migrate::apply(&place.url.parse()?, &SystemClock).await?;
            Schema::read(backend, &place.url).await?.to_string()
        };
        for (version, text, step) in texts {
            let pieces: Vec<&str> = text.split(";\n").filter(|piece| piece.contains(' ')).collect();
            for (done, has_begun_next) in (0..pieces.len()).step_by(step).flat_map(|done| [(done, false), (done, true)])
            {
                let place = backend.place()?.context("a place")?;
                match version {
                    0 => drop(ask::rows(&place.url, record_of_version_1(backend)).await?),
                    _ => version_1(backend, &place.url).await?,
                }
                let begun = if has_begun_next { done + 1 } else { done };
                let quoted = text.replace('\'', "''");
                ask::rows(
                    &place.url,
                    "CREATE TABLE host_migration_steps (version BIGINT PRIMARY KEY, checksum VARCHAR(191) NOT NULL, begun BIGINT NOT NULL)
                        ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
                )
                .await?;
                ask::rows(
                    &place.url,
                    &format!("INSERT INTO host_migration_steps VALUES (2, SHA2('{quoted}', 256), {begun})"),
                )
                .await?;
                for piece in &pieces[..done] {
                    ask::rows(&place.url, piece).await?;
                }
                let applied = migrate::apply(&place.url.parse()?, &SystemClock).await;
                applied.with_context(|| format!("version {version}, {done} done, {begun} begun"))?;
                let schema = Schema::read(backend, &place.url).await?.to_string();
                ensure!(schema == expected, "version {version}, {done} done, {begun} begun:\n{schema}");
            }
        }
        Ok(())
    })
}

pub(crate) fn refuse_another_text_of_their_version(backend: Backend) -> Result<()> {
    block_on(async {
        let place = backend.place()?.context("a place")?;
        version_1(backend, &place.url).await?;
        ask::rows(
            &place.url,
            "CREATE TABLE host_migration_steps (version BIGINT PRIMARY KEY, checksum VARCHAR(191) NOT NULL, begun BIGINT NOT NULL)",
        )
        .await?;
        ask::rows(&place.url, "INSERT INTO host_migration_steps VALUES (2, 'of another program', 3)").await?;
        let Err(error) = migrate::apply(&place.url.parse()?, &SystemClock).await else {
            anyhow::bail!("a migration went on that another program had begun")
        };
        ensure!(error.to_string().contains("version 2") && error.to_string().contains("other statements"), "{error}");
        Ok(())
    })
}
