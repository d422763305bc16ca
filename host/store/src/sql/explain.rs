//! How the databases would run the statements of the hot paths: for the test that holds each to its index.
//!
//! A statement that is run for every batch of jobs, for every due schedule or for every page of a list belongs into the list here, with the
//! indexes that it must use. What is not there is run by people, at start or at clean-up, and may look at whole tables.

use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr};

use super::{SqlStore, StoreError};
use crate::model::{JobId, LeaseToken, ScheduleId, SchedulerId, TaskId, Timestamp};
use crate::sql::drivers::connection::Connection;
use crate::sql::drivers::tx::Fault;
use crate::sql::statements::query::{Dialect, Query, q};
use crate::sql::statements::value::{Arg, Kind, Value, args, list, values};

/// Things that are there, so that a database that looks at the arguments plans for what it will meet.
#[derive(Debug, Clone)]
pub struct Known {
    /// Jobs.
    pub jobs: Vec<JobId>,
    /// Need not exist: the plan is the same.
    pub schedule: ScheduleId,
    /// A task that may run only so many jobs at once.
    pub task: TaskId,
    /// A holder of leases.
    pub holder: SchedulerId,
    /// The token of those leases.
    pub token: LeaseToken,
    /// What is due and what has expired is measured by it.
    pub now: Timestamp,
}

/// A hot statement and how the database would run it.
#[derive(Debug, Clone)]
pub struct Explained {
    /// The name of its file.
    pub statement: &'static str,
    /// The indexes that it must use and no others; `TABLE primary` for a primary key.
    pub indexes: &'static [&'static str],
    /// What the database answers. On SQLite its words, a step per line; on MySQL the table, the access type and the key, a step per line
    /// (its JSON is none where arguments are bytes); on PostgreSQL JSON, and that twice: planned for these arguments, and for any, as it
    /// does for a prepared statement after a while.
    pub plans: Vec<String>,
}

/// A hot statement, its arguments and its indexes.
type Hot = (Query, Vec<Arg>, &'static [&'static str]);

impl SqlStore {
    /// How many round trips the calls so far have made; a transaction's begin and end are one each.
    pub fn round_trips(&self) -> u64 {
        self.texts.round_trips.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Asks the database how it would run each hot statement.
    ///
    /// # Errors
    /// [`StoreError::Backend`] where the database does not say.
    pub async fn explain_hot_statements(&self, known: &Known) -> Result<Vec<Explained>, StoreError> {
        let mut explained = Vec::new();
        for (query, arguments, indexes) in hot(known) {
            if is_elsewhere(query, self.database.dialect()) {
                continue;
            }
            let plans = self.explain(query, arguments).await.map_err(|fault| self.fault(query.name, fault))?;
            explained.push(Explained { statement: query.name, indexes, plans });
        }
        Ok(explained)
    }

    async fn explain(&self, query: Query, arguments: Vec<Arg>) -> Result<Vec<String>, Fault> {
        let mut connection = self.database.reader().await?;
        let (text, arguments) = self.texts.fill(query, arguments);
        match self.database.dialect() {
            Dialect::Sqlite => {
                let text = sql(format!("EXPLAIN QUERY PLAN {}", text.as_str()));
                let mut steps = Vec::new();
                for mut row in connection.fetch(text, arguments).await? {
                    let (_id, _parent, _unused) = (row.int()?, row.int()?, row.int()?);
                    steps.push(row.text()?);
                }
                Ok(vec![steps.join("\n")])
            }
            Dialect::Mysql => {
                let text = sql(format!("EXPLAIN {}", text.as_str()));
                let mut steps = Vec::new();
                for mut row in connection.fetch(text, arguments).await? {
                    // Read past, whatever type this server gives them.
                    let (_id, _kind) = (row.maybe_bytes(), row.maybe_text());
                    let [table, access, _possible, key] =
                        [row.maybe_text()?, row.maybe_text()?, row.maybe_text()?, row.maybe_text()?];
                    let words = [table, access, key].map(|word| word.unwrap_or_else(|| "-".into()));
                    steps.push(words.join(" "));
                }
                Ok(vec![steps.join("\n")])
            }
            Dialect::Postgres => {
                let generic = explain_generic(&mut *connection, text.as_str(), &arguments).await?;
                let text = sql(format!("EXPLAIN (FORMAT JSON) {}", text.as_str()));
                Ok(vec![answer(&mut *connection, text, arguments).await?, generic])
            }
        }
    }
}

/// Whether another dialect has the statement for itself.
fn is_elsewhere(query: Query, dialect: Dialect) -> bool {
    query.name == q::job_take.name && dialect != Dialect::Postgres
}

fn sql(text: String) -> SqlStr {
    AssertSqlSafe(text).into_sql_str()
}

async fn answer(connection: &mut dyn Connection, text: SqlStr, arguments: Vec<Arg>) -> Result<String, Fault> {
    let mut rows = connection.fetch(text, arguments).await?;
    Ok(rows.pop().map(|mut row| row.text()).transpose()?.unwrap_or_default())
}

/// PostgreSQL's plan for any arguments.
async fn explain_generic(connection: &mut dyn Connection, text: &str, arguments: &[Arg]) -> Result<String, Fault> {
    let types: Vec<&str> = arguments.iter().flat_map(types).collect();
    let (types, nulls) = (types.join(", "), vec!["NULL"; types.len()].join(", "));
    let (types, nulls) =
        if types.is_empty() { Default::default() } else { (format!("({types})"), format!("({nulls})")) };
    connection.script(sql(format!("SET plan_cache_mode = force_generic_plan; PREPARE hot {types} AS {text}"))).await?;
    let plan = answer(connection, sql(format!("EXPLAIN (FORMAT JSON) EXECUTE hot {nulls}")), Vec::new()).await;
    connection.script("DEALLOCATE hot; RESET plan_cache_mode".into_sql_str()).await?;
    plan
}

/// The types of an argument as PostgreSQL calls them: rows are an array for each column.
fn types(argument: &Arg) -> Vec<&'static str> {
    let array = |value: &Value| match value.kind() {
        Kind::Int => "bigint[]",
        Kind::Text => "text[]",
        Kind::Bytes => "bytea[]",
    };
    match argument {
        Arg::One(value) => vec![array(value).trim_end_matches("[]")],
        Arg::List(values) => values.iter().take(1).map(array).collect(),
        Arg::Rows(rows) => rows.iter().take(1).flatten().map(array).collect(),
    }
}

/// Every hot statement.
fn hot(known: &Known) -> Vec<Hot> {
    let mut all = acquiring(known);
    all.extend(placing(known));
    all.extend(holding(known));
    all.extend(reading(known));
    all.extend(scheduling(known));
    all
}

fn acquiring(known: &Known) -> Vec<Hot> {
    let Known { holder, token, now, task, .. } = known;
    let (token, now, limit) = (*token, *now, 100_i64);
    let ids = || list(known.jobs.iter().copied());
    let mut claim = args![holder, token, now, holder, now];
    claim.push(ids());
    let keys = ["default/wasm", "default/", "other/wasm"];
    let mut peek = args![holder, token, now, now, now];
    peek.push(Arg::Rows(keys.iter().map(|key| values![*key, "default"]).collect()));
    let mut take = args![holder, token, now];
    take.push(Arg::Rows(keys.iter().map(|key| values![*key, "default", 0_i64, limit]).collect()));
    take.extend(args![1_i64, limit, holder, token, 15_000_000_i64, holder]);
    vec![
        (
            q::job_take,
            take,
            &[
                "jobs_leased",
                "jobs_deadline",
                "jobs_waiting",
                "host_numbers primary",
                "jobs_ready",
                "queues primary",
                "jobs primary",
            ],
        ),
        (
            q::job_peek,
            peek,
            &["jobs_leased", "jobs_deadline", "jobs_waiting", "host_numbers primary", "jobs_ready", "queues primary"],
        ),
        (
            q::job_ready_candidates,
            vec![Arg::Rows(keys.iter().map(|key| values![*key, 10_i64]).collect())],
            &["jobs_ready"],
        ),
        (q::job_ready_claim, args!["default/wasm", limit], &["jobs_ready"]),
        (q::job_ready_keys, args![limit], &["jobs_ready"]),
        (q::job_ready_tasks, args!["default/wasm", "default/wasm", limit], &["jobs_ready_tasks"]),
        (q::job_task_candidates, vec![Arg::Rows(vec![values!["default/wasm", &known.task]])], &["jobs_ready_tasks"]),
        (q::job_ready_lock, vec![ids()], &["jobs primary"]),
        (q::job_claim, claim, &["jobs primary"]),
        (q::job_claimed, args![holder, token], &["jobs_leased"]),
        (q::job_missed_select, args![now, limit], &["jobs_deadline"]),
        (q::job_wake_select, args![now, limit], &["jobs_waiting"]),
        (q::job_unique_free, args!["order 17", task, now], &["jobs_unique"]),
        (q::job_unique_get, args!["order 17", task], &["jobs_unique"]),
        (q::job_only_select, args![known.jobs[0]], &["jobs primary"]),
    ]
}

fn placing(known: &Known) -> Vec<Hot> {
    let task = &known.task;
    let group = || vec![Arg::Rows(vec![values![task, "acme"], values![task, ""]])];
    let keys = || vec![Arg::Rows(vec![values![task, "acme", 10_i64], values![task, "other", 10_i64]])];
    let tasks = || vec![Arg::Rows(vec![values![task, 10_i64], values!["p:other", 10_i64]])];
    let places = known.jobs.iter().map(|id| super::places::example_row(*id)).collect();
    vec![
        (q::task_rules, vec![list([task, task])], &["tasks primary"]),
        (q::group_lock, group(), &["groups primary"]),
        (q::group_update, vec![Arg::Rows(vec![values![task, "", 1_i64]])], &["groups primary"]),
        (q::key_first, keys(), &["jobs_key_places"]),
        (q::key_last, keys(), &["jobs_key_places"]),
        (q::task_first, tasks(), &["jobs_task_places"]),
        (q::task_last, tasks(), &["jobs_task_places"]),
        (q::job_place_lock, vec![list(known.jobs.iter().copied())], &["jobs primary"]),
        (q::job_place_wait, vec![list(known.jobs.iter().copied())], &["jobs primary"]),
        (q::job_place, vec![Arg::Rows(places)], &["jobs primary"]),
        (q::job_places, vec![list(known.jobs.iter().copied())], &["jobs primary"]),
    ]
}

fn holding(known: &Known) -> Vec<Hot> {
    let Known { holder, token, now, .. } = known;
    let (now, limit) = (*now, 100_i64);
    let (text, number, bytes) = (None::<String>, None::<i64>, None::<Vec<u8>>);
    let ids = || list(known.jobs.iter().copied());
    let rows = |make: &dyn Fn(JobId) -> Vec<Value>| vec![Arg::Rows(known.jobs.iter().map(|id| make(*id)).collect())];
    let mut extend = args![now];
    extend.push(ids());
    let finish = |id| {
        let end = values![id, *token, "success", now, now, text.clone(), bytes.clone(), text.clone(), text.clone()];
        [end, values![bytes.clone(), number, text.clone()]].concat()
    };
    let requeue = |id| {
        let back = values![id, now, 1_i64, number, number, 0_i64, 0_i64, 1_i64, number];
        [back, values![text.clone(), text.clone(), bytes.clone(), text.clone()]].concat()
    };
    vec![
        (q::job_lock, vec![ids()], &["jobs primary"]),
        (q::job_extend, extend, &["jobs primary"]),
        (q::job_progress, rows(&|id| values![id, "{}"]), &["jobs primary"]),
        (q::job_finish, rows(&finish), &["jobs primary"]),
        (q::job_end, rows(&|id| values![id, "cancelled", now, now, text.clone(), number]), &["jobs primary"]),
        (q::job_requeue, rows(&requeue), &["jobs primary"]),
        (q::job_cancel_ask, args![number, known.jobs[0]], &["jobs primary"]),
        (q::job_cancel_asked, vec![ids()], &["jobs primary"]),
        (q::job_expired_select, args![now, holder, limit], &["jobs_running"]),
        (q::job_lock_free, vec![ids()], &["jobs primary"]),
        (q::job_leases, vec![ids()], &["jobs primary"]),
        (q::job_gone_select, args![now, limit], &["jobs_expiring"]),
        (q::job_delete, vec![ids()], &["jobs primary"]),
        (q::job_log_delete, vec![ids()], &["job_logs primary"]),
    ]
}

fn reading(known: &Known) -> Vec<Hot> {
    let (id, task, schedule) = (known.jobs[0], &known.task, &known.schedule);
    // What a filter adds to the statement of its page.
    let page = |first: Vec<Arg>| {
        let none = None::<String>;
        let rest = args![id, none.clone(), none.clone(), none.clone(), none.clone()];
        let group = args![none.clone(), none.clone()];
        [first, rest, args![none.clone(), none.clone(), none.clone(), none], group, args![101_i64]].concat()
    };
    vec![
        (q::job_get, args![id], &["jobs primary"]),
        (q::job_list, page(Vec::new()), &["jobs primary"]),
        (q::job_list_task, page(args![task]), &["jobs_task"]),
        (q::job_list_schedule, page(args![schedule]), &["jobs_schedule"]),
        (q::job_list_group, page(args!["none"]), &["jobs_of_group"]),
        (q::job_list_outcome, page(args!["error"]), &["jobs_outcome"]),
        (q::job_list_unfinished, page(Vec::new()), &["jobs_outcome"]),
        (q::job_log_list, args![id, 1_i64, 1_i64, 0_i64, 100_i64], &["job_logs primary"]),
        (q::job_next_due, args![known.now], &["jobs_waiting"]),
        (q::task_get, args![task], &["tasks primary", "jobs_running"]),
        (q::task_select, vec![list([task, task])], &["tasks primary"]),
        (q::schedule_get, args![schedule], &["schedules primary"]),
        (q::schedule_list, args![schedule, 101_i64], &["schedules primary"]),
        (q::schedule_list_task, args![task, schedule, 101_i64], &["schedules_task"]),
        (q::catalog_revision_get, Vec::new(), &["host_numbers primary"]),
        (q::kv_get, args!["cursors", "key 7"], &["kv_entries primary"]),
        (q::kv_keys, args!["cursors", "key", "key 7", 101_i64], &["kv_entries primary"]),
    ]
}

fn scheduling(known: &Known) -> Vec<Hot> {
    let Known { holder, token, now, schedule, .. } = known;
    let (token, now, limit, none) = (*token, *now, 100_i64, None::<String>);
    let mut lease = args![holder, token, now, now, now];
    lease.push(list([schedule, schedule]));
    let fire = values![schedule, "{}", now, now, 0_i64, none.clone(), now, None::<i64>, None::<i64>, 1_i64, 1_i64];
    vec![
        (q::schedule_due_select, args![now, limit], &["schedules_due"]),
        (q::schedule_lease, lease, &["schedules primary"]),
        (q::schedule_leased, args![holder, token], &["schedules_leased"]),
        (q::schedule_lock, vec![list([schedule, schedule])], &["schedules primary"]),
        (q::schedule_fire_lock, vec![list([schedule, schedule])], &["schedules primary", "jobs_unfinished"]),
        (q::job_unfinished_select, args![schedule, 1_000_i64], &["jobs_unfinished"]),
        (q::schedule_end_lock, vec![list([schedule, schedule])], &["schedules primary"]),
        (q::schedule_failures_set, args![1_i64, schedule], &["schedules primary"]),
        (q::schedule_finish, args![schedule], &["schedules primary"]),
        (q::schedule_fires_lock, args![schedule], &["schedules primary"]),
        (q::schedule_fires_set, args![1_i64, schedule], &["schedules primary"]),
        (q::fire_list, args![schedule, i64::MAX, 101_i64], &["fires primary"]),
        (q::fire_delete, vec![list([schedule, schedule])], &["fires primary"]),
        (q::fire_trim, args![schedule, 1_i64, now], &["fires primary"]),
        (q::schedule_fire, vec![Arg::Rows(vec![fire])], &["schedules primary"]),
        (q::schedule_next_due, Vec::new(), &["schedules_due"]),
        (q::schedule_free, args![now, holder], &["schedules_leased"]),
        (q::schedule_pause, args![none.clone(), schedule], &["schedules primary"]),
        (q::schedule_unpause, args![none, now, now, schedule], &["schedules primary"]),
        (q::schedule_delete, vec![list([schedule, schedule])], &["schedules primary"]),
    ]
}
