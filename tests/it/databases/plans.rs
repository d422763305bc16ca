//! Hot statements and their indexes, on tables with enough rows that a planner has a choice.
//!
//! What a planner goes by is held still, so that its answer does not depend on what runs beside the test. Statistics are taken when the test
//! says so, from all pages, and at no other time; and a reader holds a snapshot from the beginning on, so that nothing of the many jobs that
//! have ended is cleared away. MariaDB counts what is not cleared away yet: without the snapshot it chose by how far that had come, another
//! plan in one run of two. With it, it is told the worst that it can be told, which is also what a long backup tells it.
//!
//! Plans are looked at, and not the rows that a statement has read, because the rows depend on what is in the tables at the moment, and an
//! index that is wrong reads few of them as long as little is in the queue.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail, ensure};
use host::model::{BucketName, ErrorKind, JobError, JobSettings, JobSpec, KvKey, KvWrite, KvWrites, Outcome};
use host::store::sql::SqlStore;
use host::store::sql::explain::Known;
use host::store::*;
use serde_json::Value;
use tests::backends::{Backend, options};
use tests::factory::{Factory, add, release, schedule, scheduler, success, t, task};

use crate::{ask, block_on};

/// Finished jobs.
const FINISHED: usize = 20_000;

/// Queued ones, a part of them not yet due.
const QUEUED: usize = 2_000;

/// Schedules.
const SCHEDULES: usize = 1_000;

/// The tables that hot statements look at.
const TABLES: [&str; 9] =
    ["numbers", "tasks", "schedules", "jobs", "job_logs", "groups", "queues", "kv_entries", "fires"];

/// What the names of tables and indexes begin with. The list of hot statements leaves it out, and so does this file.
const PREFIX: &str = "host_";

/// Tasks without jobs, so that reading all of them is not the cheapest way to one.
const IDLE_TASKS: usize = 300;

/// Tasks with jobs. The first has a limit.
const TASKS: [&str; 4] = ["p:limited", "p:work", "p:other", "p:rare"];

pub(crate) fn use_their_index(backend: Backend) -> Result<()> {
    block_on(async {
        let place = backend.place()?.context("the store has a place")?;
        let store = SqlStore::open(&place.url.parse()?, options(true)).await?;
        for table in TABLES {
            only_asked_statistics(backend, &place.url, table).await?;
        }
        // Statistics of empty tables, on which a planner that believes them reads everything, and then those of full ones.
        analyse(backend, &place.url).await?;
        let snapshot = ask::snapshot(&place.url, "SELECT id FROM host_jobs").await?;
        let known = fill(&store).await?;
        let mut wrong = check(backend, &store, &known, "with the statistics of empty tables").await?;
        analyse(backend, &place.url).await?;
        wrong.extend(check(backend, &store, &known, "with fresh statistics").await?);
        drop(snapshot);
        store.close().await;
        ensure!(wrong.is_empty(), "{}", wrong.join("\n\n"));
        Ok(())
    })
}

async fn analyse(backend: Backend, url: &str) -> Result<()> {
    let tables = TABLES.map(|table| format!("{PREFIX}{table}")).join(", ");
    let statement = if backend == Backend::Mysql { format!("ANALYZE TABLE {tables}") } else { "ANALYZE".to_owned() };
    ask::rows(url, &statement).await.map(drop)
}

/// Statistics of the table are taken when they are asked for, from all its pages.
async fn only_asked_statistics(backend: Backend, url: &str, table: &str) -> Result<()> {
    let change = match backend {
        Backend::Mysql => "STATS_PERSISTENT = 1, STATS_AUTO_RECALC = 0, STATS_SAMPLE_PAGES = 65535",
        Backend::Postgres => "SET (autovacuum_enabled = false)",
        Backend::Sqlite | Backend::Memory => return Ok(()),
    };
    ask::rows(url, &format!("ALTER TABLE {PREFIX}{table} {change}")).await.map(drop)
}

/// The name of a table or index as this file has it.
fn short(name: &str) -> &str {
    name.strip_prefix(PREFIX).unwrap_or(name)
}

/// Fills the tables, and answers what may be asked for.
async fn fill(store: &SqlStore) -> Result<Known> {
    let make = Factory::new(1);
    for id in TASKS {
        store.task_put(task(id, (id == TASKS[0]).then_some(1_000))).await?;
    }
    for at in 0..IDLE_TASKS {
        store.task_put(task(&format!("p:idle{at}"), Some(1))).await?;
    }
    for at in 0..SCHEDULES {
        let task_id = task(TASKS[at % 3], None).id;
        let due = schedule(&format!("s{at}"), i64::try_from(at)?);
        store.schedule_add(add(host::model::Schedule { task_id, ..due })).await?;
    }
    fill_buckets(store).await?;
    let due = store.schedule_acquire(make.acquire_schedules(0, 1)).await?;
    ensure!(due.schedules.len() == 1, "a schedule is due");
    let finished = (0..FINISHED).map(|at| JobSpec {
        schedule_id: (at % 2 == 0).then(|| schedule(&format!("s{}", at % SCHEDULES), 0).id),
        ..keyed(make.job(TASKS[at % 3]), at)
    });
    store.job_add(finished.collect()).await?;
    let mut left = FINISHED;
    while left > 0 {
        left -= finish(store, &make).await?;
    }
    let queued = (0..QUEUED).map(|at| {
        let job = keyed(make.job(TASKS[at % 3]), at % 60);
        let settings = JobSettings { priority: i32::try_from(at % 5).unwrap_or(0), ..job.settings.clone() };
        let due_at = if at % 4 == 0 { t(10_000) } else { t(0) };
        JobSpec { settings, due_at, start_deadline: (at % 4 == 1).then(|| t(20_000)), ..job }
    });
    store.job_add(queued.collect()).await?;
    let request = make.acquire(1, 50);
    let (holder, token) = (request.holder.clone(), request.token);
    let running = store.job_acquire(request).await?.jobs;
    ensure!(running.len() == 50, "{} jobs are running", running.len());
    let jobs = running.iter().map(|job| job.spec.id).collect();
    Ok(Known { jobs, schedule: schedule("s500", 0).id, task: task(TASKS[0], None).id, holder, token, now: t(500) })
}

/// Ten buckets of many keys.
async fn fill_buckets(store: &SqlStore) -> Result<()> {
    for name in (0..10).map(|at| format!("bucket{at}")).chain(["cursors".to_owned()]) {
        let bucket = BucketName::new(&name)?;
        let write = |at| {
            let (key, value) = (KvKey::new(&format!("key {at}"))?, Some([7; 100].as_slice().into()));
            Ok(KvWrite { bucket: bucket.clone(), key, value, expected: None })
        };
        let writes = (0..500).map(write).collect::<Result<_>>()?;
        store.kv_write(WriteKv { now: t(0), writes: KvWrites { writes, bucket_bytes_max: u64::MAX } }).await?;
    }
    Ok(())
}

/// A job of the limited task with a concurrency key; others as they are.
fn keyed(job: JobSpec, at: usize) -> JobSpec {
    let concurrency_key = (job.task_id == task(TASKS[0], None).id).then(|| format!("customer {at}"));
    JobSpec { settings: JobSettings { concurrency_key, ..job.settings }, ..job }
}

/// Ends a batch of jobs; one in a hundred as an error.
async fn finish(store: &SqlStore, make: &Factory) -> Result<usize> {
    let request = AcquireJobs { holder: scheduler("filler"), ..make.acquire(0, 1_000) };
    let token = request.token;
    let jobs = store.job_acquire(request).await?.jobs;
    ensure!(!jobs.is_empty(), "jobs are left, but none can be acquired");
    let ending = |at: usize| match (at % 100, success(100_000 + i64::try_from(at).unwrap_or(0))) {
        (0, Ending::Finished { expires_at, .. }) => {
            let error = Some(JobError::new(ErrorKind::GuestError, "no"));
            Ending::Finished { outcome: Outcome::Error, result: None, error, expires_at }
        }
        (_, ending) => ending,
    };
    let line = |sequence| host::model::LogLine {
        attempt: 1,
        sequence,
        at: t(1),
        level: host::model::LogLevel::Info,
        target: "here".into(),
        message: "done".into(),
        fields: Vec::new(),
    };
    let releases = jobs.iter().enumerate().map(|(at, job)| {
        let lines = if at % 4 == 0 { vec![line(0), line(1)] } else { Vec::new() };
        ReleaseJob { lines, ..release(job.spec.id, token, ending(at)) }
    });
    store.job_release(ReleaseJobs { now: t(2), releases: releases.collect() }).await?;
    Ok(jobs.len())
}

/// A look at a table, as a plan has it.
#[derive(Debug)]
struct Look {
    /// The index, called as the list of hot statements calls it; `None` for none.
    index: Option<String>,
    /// Whether it goes from one end of the index to the other.
    is_whole: bool,
}

async fn check(backend: Backend, store: &SqlStore, known: &Known, when: &str) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for explained in store.explain_hot_statements(known).await? {
        let expected: BTreeSet<&str> = explained.indexes.iter().map(|index| short(index)).collect();
        for plan in &explained.plans {
            let looks = looks(backend, plan).with_context(|| format!("{}: {plan}", explained.statement))?;
            // MySQL looks at the end of an index, or at the row of a key, while it plans, and then has nothing left to do.
            if backend == Backend::Mysql && plan == "- - -" {
                continue;
            }
            let used: BTreeSet<&str> = looks.iter().map(|look| look.index.as_deref().unwrap_or("no index")).collect();
            if used != expected || looks.iter().any(|look| look.is_whole) {
                let name = explained.statement;
                wrong.push(format!("{name}, {when}: expected {expected:?}, found {looks:?} in\n{plan}"));
            }
        }
    }
    Ok(wrong)
}

fn looks(backend: Backend, plan: &str) -> Result<Vec<Look>> {
    match backend {
        Backend::Sqlite => Ok(plan.lines().filter_map(sqlite_look).collect()),
        Backend::Mysql => Ok(plan.lines().filter_map(mysql_look).collect()),
        Backend::Postgres => {
            let mut looks = Vec::new();
            postgres_looks(&serde_json::from_str(plan)?, false, &mut looks);
            Ok(looks)
        }
        Backend::Memory => bail!("the memory has no plans"),
    }
}

/// Partial indexes that hold only what is leased at the moment, so that looking at all of it is what they are for.
const SMALL: [&str; 2] = ["jobs_running", "schedules_leased"];

/// The tables whose size is the catalogue's, whatever waits in the queue: a join may as well read them whole.
const CATALOGUE: [&str; 3] = ["tasks primary", "numbers primary", "queues primary"];

fn may_be_read_whole(index: Option<&str>) -> bool {
    index.is_some_and(|index| SMALL.contains(&index) || CATALOGUE.contains(&index))
}

/// A step such as `SEARCH jobs USING COVERING INDEX jobs_ready (partition=?)`, where it looks at a table of ours. The rest are steps over
/// what other steps made: lists of arguments, subqueries, the rows of a recursion.
fn sqlite_look(step: &str) -> Option<Look> {
    let (word, rest) = step.split_once(' ')?;
    let table = short(rest.split(' ').next().unwrap_or_default());
    let index = rest.split_once("INDEX ").and_then(|(_, rest)| rest.split(' ').next());
    let is_ours = matches!(word, "SCAN" | "SEARCH") && (index.is_some() || TABLES.contains(&table));
    is_ours.then(|| {
        let primary = |index: &str| {
            Some(format!("{} primary", short(index.strip_prefix("sqlite_autoindex_")?).strip_suffix("_1")?))
        };
        let index = index.map(|index| primary(index).unwrap_or_else(|| short(index).to_owned()));
        // A table without row ids is its own primary key.
        let index = index.or_else(|| rest.contains("USING PRIMARY KEY").then(|| format!("{table} primary")));
        Look { is_whole: word == "SCAN" && !may_be_read_whole(index.as_deref()), index }
    })
}

/// A step such as `jobs range jobs_ready`.
fn mysql_look(step: &str) -> Option<Look> {
    let mut words = step.split(' ');
    let (table, access, key) = (words.next()?, words.next()?, words.next()?);
    // The alias of tasks in the statements that look for a partition.
    let table = if table == "t" { "tasks" } else { short(table) };
    TABLES.contains(&table).then(|| {
        let index = match key {
            // The rows of a table are the leaves of its primary key.
            "-" if access == "ALL" => Some(format!("{table} primary")),
            "-" => None,
            "PRIMARY" => Some(format!("{table} primary")),
            key => Some(short(key).to_owned()),
        };
        Look { is_whole: matches!(access, "ALL" | "index") && !may_be_read_whole(index.as_deref()), index }
    })
}

/// `is_cut`: whether the node above takes only the first rows.
fn postgres_looks(node: &Value, is_cut: bool, looks: &mut Vec<Look>) {
    match node {
        Value::Array(nodes) => nodes.iter().for_each(|node| postgres_looks(node, is_cut, looks)),
        Value::Object(fields) => {
            let text = |name: &str| fields.get(name).and_then(Value::as_str);
            let kind = text("Node Type").unwrap_or_default();
            if text("Relation Name").is_some() && kind.contains("Scan") {
                let primary = |index: &str| Some(format!("{} primary", index.strip_suffix("_pkey")?));
                let index = text("Index Name").map(short);
                let index = index.map(|index| primary(index).unwrap_or_else(|| index.to_owned()));
                let is_first_rows = is_cut && text("Filter").is_none() && index.is_some();
                let is_whole = text("Index Cond").is_none() && !is_first_rows && !may_be_read_whole(index.as_deref());
                looks.push(Look { index, is_whole });
            }
            fields.values().for_each(|field| postgres_looks(field, kind == "Limit", looks));
        }
        _ => {}
    }
}
