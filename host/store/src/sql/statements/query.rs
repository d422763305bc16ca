//! The statements, and how one text serves three databases.
//!
//! A statement is a file. Files in `queries/common` are read by all three dialects; where the words must differ, each dialect
//! has its own file of the same name. The texts are plain SQL with `?` for arguments and these marks besides:
//!
//! | mark | SQLite, MySQL | PostgreSQL |
//! |---|---|---|
//! | `IN (?*)` | `IN (?, ?, ?)`, a `?` for each value | `= ANY($1)`, one array |
//! | `?rows(b t i)` | `VALUES (?, ?, ?), …` | `SELECT * FROM unnest($1::bytea[], $2::text[], $3::bigint[])` |
//! | `?table(id b, at i)` | a table `v` with those columns, made of its values | `unnest(…) AS v(id, at)` |
//! | `?now` | SQLite: an argument; MySQL: an argument, and where that is null, the server's time | as MySQL |
//! | `/*lock*/`, `/*claim*/`, `/*share*/` | SQLite: nothing (one writer); MySQL: as PostgreSQL | `FOR UPDATE`, `FOR UPDATE SKIP LOCKED`, `FOR SHARE` |
//! | `/*each*/` | what follows, once for each row of arguments, joined by `UNION ALL` | not used: it has `LATERAL` |
//!
//! Kinds: `b` bytes, `i` integer, `t` text.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

use super::value::{Arg, Value};

/// Which database a text is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::sql) enum Dialect {
    Sqlite,
    Postgres,
    Mysql,
}

/// A statement.
#[derive(Debug, Clone, Copy)]
pub(in crate::sql) struct Query {
    pub(in crate::sql) name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
    mysql: &'static str,
}

macro_rules! file {
    ($folder:literal, $name:ident) => {
        include_str!(concat!("../queries/", $folder, "/", stringify!($name), ".sql"))
    };
}

macro_rules! queries {
    (
        common { $($common:ident)* }
        mysql_differs { $($mysql:ident)* }
        both_differ { $($both:ident)* }
        all_differ { $($each:ident)* }
        postgres_only { $($postgres:ident)* }
    ) => {
        $(pub(in crate::sql) const $common: Query = Query {
            name: stringify!($common),
            sqlite: file!("common", $common), postgres: file!("common", $common), mysql: file!("common", $common),
        };)*
        $(pub(in crate::sql) const $mysql: Query = Query {
            name: stringify!($mysql),
            sqlite: file!("common", $mysql), postgres: file!("common", $mysql), mysql: file!("mysql", $mysql),
        };)*
        $(pub(in crate::sql) const $both: Query = Query {
            name: stringify!($both),
            sqlite: file!("common", $both), postgres: file!("postgres", $both), mysql: file!("mysql", $both),
        };)*
        $(pub(in crate::sql) const $each: Query = Query {
            name: stringify!($each),
            sqlite: file!("sqlite", $each), postgres: file!("postgres", $each), mysql: file!("mysql", $each),
        };)*
        // The others do without, and never see the text.
        $(pub(in crate::sql) const $postgres: Query = Query {
            name: stringify!($postgres),
            sqlite: file!("postgres", $postgres), postgres: file!("postgres", $postgres), mysql: file!("postgres", $postgres),
        };)*
        /// Every statement, for tests.
        #[cfg(test)]
        pub(in crate::sql) const ALL: &[Query] = &[$($common,)* $($mysql,)* $($both,)* $($each,)* $($postgres,)*];
    };
}

/// The statements by the names of their files.
#[allow(
    non_upper_case_globals,
    reason = "a statement has the name of its file, so that searching for one finds the other"
)]
pub(in crate::sql) mod q {
    use super::Query;

    queries! {
        common {
            catalog_lock catalog_revision_bump catalog_revision_get fire_delete fire_insert fire_list fire_trim fire_trim_select group_check group_count group_delete_idle group_delete_task
            group_limit group_list_task group_lock group_of_jobs job_cancel_ask job_cancel_asked job_claimed job_counts job_delete job_extend
            job_fire_select job_get job_gone_select job_holder_counts job_known job_leases job_list job_lock job_lock_free job_log_delete
            job_log_delete_to job_log_key_list job_log_line_delete job_log_list job_log_page job_log_select job_missed_select
            job_next_due job_only_select job_places_unread job_range job_ready_lock job_regroup job_restore job_select job_sizes
            job_unique_free job_unique_get job_unique_select job_unversioned job_version_clear job_version_select job_version_set
            job_versions job_wake_select
            kv_bucket_list kv_bucket_lock kv_delete kv_get kv_keys kv_page kv_select kv_sizes
            migration_insert migration_list migration_step_begin migration_step_get migration_step_insert number_select
            plugin_activate plugin_bytes_delete_unused plugin_bytes_get plugin_bytes_has plugin_bytes_insert plugin_deactivate
            plugin_delete plugin_get plugin_history plugin_list plugin_page plugin_select plugin_version_delete queue_counts queue_lock queue_paused
            rollout_clear rollout_get rollout_set
            schedule_counts schedule_delete schedule_due_select schedule_end_lock schedule_failures_set schedule_finish schedule_fires_lock schedule_fires_set schedule_finished_select schedule_free schedule_get schedule_lease
            schedule_leased schedule_list schedule_lock schedule_select schedule_unpause schedule_versions
            scheduler_delete_silent scheduler_list scheduler_lock scheduler_update task_delete task_jobs task_list
            task_of_plugin task_page task_rules task_select
        }
        mysql_differs {
            group_insert group_update job_claim job_claim_key job_end job_idle_select job_insert job_log_insert job_peek
            job_place job_place_lock job_place_wait job_places job_progress job_ready_claim job_ready_keys job_ready_tasks job_requeue
            kv_bucket_insert kv_bucket_update kv_put number_put plugin_put queue_put schedule_fire schedule_insert schedule_next_due schedule_pause schedule_put schedule_put_off
            scheduler_insert task_get task_put
        }
        both_differ {
            job_finish job_ready_candidates job_task_candidates job_unfinished_select key_first key_last schedule_fire_lock task_first task_last
        }
        all_differ {
            clock job_expired_select job_list_group job_list_outcome job_list_schedule job_list_task
            job_list_unfinished migration_lock migration_unlock migrations_exist schedule_list_task
        }
        postgres_only {
            job_take
        }
    }
}

/// Texts with their marks filled in, kept by how many values they were filled in for.
#[derive(Debug)]
pub(in crate::sql) struct Texts {
    dialect: Dialect,
    made: Mutex<HashMap<(&'static str, usize), Arc<str>>>,
    /// How many round trips were made, for tests.
    pub(in crate::sql) round_trips: AtomicU64,
}

impl Texts {
    pub(in crate::sql) fn new(dialect: Dialect) -> Texts {
        Texts { dialect, made: Mutex::default(), round_trips: AtomicU64::new(0) }
    }

    /// The text of a statement for these arguments, and the arguments in the form that its database takes.
    pub(in crate::sql) fn fill(&self, query: Query, mut args: Vec<Arg>) -> (SqlStr, Vec<Arg>) {
        if self.dialect != Dialect::Postgres {
            args = args.into_iter().map(padded).collect();
        }
        let many = args.iter().find_map(|arg| match arg {
            Arg::One(_) => None,
            Arg::List(values) => Some(values.len()),
            Arg::Rows(rows) => Some(rows.len()),
        });
        // One array is one argument, however many values it has.
        let many = if self.dialect == Dialect::Postgres { 1 } else { many.unwrap_or(1) };
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let text = made.entry((query.name, many)).or_insert_with(|| Arc::from(expand(self.dialect, query, many)));
        (AssertSqlSafe(Arc::clone(text)).into_sql_str(), args)
    }
}

/// A list padded by repeating its last value to the next power of two, so that a statement exists in few lengths.
fn padded(arg: Arg) -> Arg {
    match arg {
        Arg::List(mut values) => {
            let last = values.last().cloned().unwrap_or(Value::Int(0));
            values.resize(values.len().next_power_of_two(), last);
            Arg::List(values)
        }
        other => other,
    }
}

/// The text for one dialect, with room for `many` values.
fn expand(dialect: Dialect, query: Query, many: usize) -> String {
    let text = match dialect {
        Dialect::Sqlite => query.sqlite,
        Dialect::Postgres => query.postgres,
        Dialect::Mysql => query.mysql,
    };
    let lock = |words: &'static str| if dialect == Dialect::Sqlite { "" } else { words };
    let share = if dialect == Dialect::Mysql { "LOCK IN SHARE MODE" } else { "FOR SHARE" };
    let mut text = text.replace("/*lock*/", lock("FOR UPDATE")).replace("/*claim*/", lock("FOR UPDATE SKIP LOCKED"));
    text = text.replace("/*share*/", lock(share));
    if let Some((comment, part)) = text.split_once("/*each*/") {
        text = format!("{comment}{}", repeat(part.trim(), " UNION ALL\n", many));
    }
    let list = match dialect {
        Dialect::Postgres => "= ANY(?)".to_owned(),
        _ => format!("IN ({})", repeat("?", ", ", many)),
    };
    text = text.replace("IN (?*)", &list);
    text = text.replace("?now", now(dialect));
    while let Some((before, kinds, after)) = mark(&text, "?rows(") {
        text = format!("{before}{}{after}", rows(dialect, &kinds, many));
    }
    while let Some((before, columns, after)) = mark(&text, "?table(") {
        text = format!("{before}{}{after}", table(dialect, &columns, many));
    }
    if dialect == Dialect::Postgres { numbered(&text) } else { text }
}

/// The text before a mark, what stands in its brackets, and the text after it.
fn mark(text: &str, name: &str) -> Option<(String, Vec<String>, String)> {
    let (before, rest) = text.split_once(name)?;
    let (inside, after) = rest.split_once(')')?;
    let split = if inside.contains(',') { ',' } else { ' ' };
    let words = if name == "?table(" { inside.split(',') } else { inside.split(split) };
    Some((before.to_owned(), words.map(|word| word.trim().to_owned()).collect(), after.to_owned()))
}

fn array(kind: &str) -> &'static str {
    match kind {
        "i" => "?::bigint[]",
        "t" => "?::text[]",
        _ => "?::bytea[]",
    }
}

/// The time of a statement, in microseconds: the one that is given, or else the server's. The same wherever it stands in the statement.
fn now(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "?",
        Dialect::Postgres => "COALESCE(?::bigint, CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000000 AS bigint))",
        Dialect::Mysql => "COALESCE(?, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)))",
    }
}

fn rows(dialect: Dialect, kinds: &[String], many: usize) -> String {
    if dialect == Dialect::Postgres {
        let arrays: Vec<&str> = kinds.iter().map(|kind| array(kind)).collect();
        return format!("SELECT * FROM unnest({})", arrays.join(", "));
    }
    let row = format!("({})", repeat("?", ", ", kinds.len()));
    format!("VALUES {}", repeat(&row, ", ", many))
}

fn table(dialect: Dialect, columns: &[String], many: usize) -> String {
    let pairs: Vec<(&str, &str)> = columns.iter().filter_map(|column| column.split_once(' ')).collect();
    match dialect {
        Dialect::Postgres => {
            let arrays: Vec<&str> = pairs.iter().map(|(_, kind)| array(kind)).collect();
            let names: Vec<&str> = pairs.iter().map(|(name, _)| *name).collect();
            format!("unnest({}) AS v({})", arrays.join(", "), names.join(", "))
        }
        Dialect::Sqlite => {
            let mut names = String::new();
            for (at, (name, _)) in pairs.iter().enumerate() {
                let comma = if at == 0 { "" } else { ", " };
                // Writing to a string cannot fail.
                let _fine = write!(names, "{comma}column{} AS {name}", at + 1);
            }
            let row = format!("({})", repeat("?", ", ", pairs.len()));
            format!("(SELECT {names} FROM (VALUES {})) AS v", repeat(&row, ", ", many))
        }
        Dialect::Mysql => {
            // Without the casts the server would take every argument for a text and refuse bytes that are none.
            let cast = |kind: &str| match kind {
                "i" => "CAST(? AS SIGNED)",
                "t" => "CAST(? AS CHAR CHARACTER SET utf8mb4)",
                _ => "CAST(? AS BINARY)",
            };
            let first: Vec<String> = pairs.iter().map(|(name, kind)| format!("{} AS {name}", cast(kind))).collect();
            let row: Vec<&str> = pairs.iter().map(|(_, kind)| cast(kind)).collect();
            let mut text = format!("(SELECT {}", first.join(", "));
            for _ in 1..many {
                let _fine = write!(text, " UNION ALL SELECT {}", row.join(", "));
            }
            text + ") AS v"
        }
    }
}

fn repeat(text: &str, between: &str, times: usize) -> String {
    vec![text; times.max(1)].join(between)
}

/// `?` to `$1`, `$2`, … None of our statements has a question mark inside quotes; a test holds that.
fn numbered(text: &str) -> String {
    let mut parts = text.split('?');
    let mut numbered = parts.next().unwrap_or_default().to_owned();
    for (at, part) in parts.enumerate() {
        let _fine = write!(numbered, "${}{part}", at + 1);
    }
    numbered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_statement_begins_with_its_own_name_and_has_no_mark_left() {
        for query in q::ALL {
            for dialect in [Dialect::Sqlite, Dialect::Postgres, Dialect::Mysql] {
                let text = expand(dialect, *query, 3);
                assert!(text.starts_with(&format!("-- {}\n", query.name)), "{dialect:?} {}", query.name);
                let left = ["?*", "?rows", "?table", "?now", "'?'"].into_iter().find(|mark| text.contains(mark));
                assert_eq!(left, None, "{dialect:?} {}: {text}", query.name);
                assert!(dialect != Dialect::Postgres || !text.contains('?'), "{}", query.name);
            }
        }
    }

    #[test]
    fn the_marks_become_what_each_database_understands() {
        let query = Query { name: "x", sqlite: TEXT, postgres: TEXT, mysql: TEXT };
        const TEXT: &str = "UPDATE t SET a = v.a FROM ?table(id b, a i) WHERE t.id = v.id AND k IN (?*)";
        assert_eq!(
            expand(Dialect::Postgres, query, 2),
            "UPDATE t SET a = v.a FROM unnest($1::bytea[], $2::bigint[]) AS v(id, a) WHERE t.id = v.id AND k = ANY($3)"
        );
        assert_eq!(
            expand(Dialect::Sqlite, query, 2),
            "UPDATE t SET a = v.a FROM (SELECT column1 AS id, column2 AS a FROM (VALUES (?, ?), (?, ?))) AS v \
             WHERE t.id = v.id AND k IN (?, ?)"
        );
    }

    #[test]
    fn lists_come_in_few_lengths() {
        let texts = Texts::new(Dialect::Sqlite);
        for length in 1..=1000 {
            let values = (0..length).map(Value::Int).collect();
            let (_, args) = texts.fill(q::job_delete, vec![Arg::List(values)]);
            assert!(matches!(&args[0], Arg::List(values) if values.len().is_power_of_two()));
        }
        assert!(texts.made.lock().expect("not poisoned").len() <= 11);
    }
}
