//! The statements, and how one text serves three databases.
//!
//! A statement is a file. Files in `queries/common` are read by all three dialects; where the words must differ, each dialect
//! has its own file of the same name. The texts are plain SQL with `?` for arguments and three marks besides:
//!
//! | mark | SQLite, MySQL | PostgreSQL |
//! |---|---|---|
//! | `IN (?*)` | `IN (?, ?, ?)`, a `?` for each value | `= ANY($1)`, one array |
//! | `?rows(b t i)` | `VALUES (?, ?, ?), …` | `SELECT * FROM unnest($1::bytea[], $2::text[], $3::bigint[])` |
//! | `?table(id b, at i)` | a table `v` with those columns, made of its values | `unnest(…) AS v(id, at)` |
//! | `/*lock*/`, `/*claim*/` | SQLite: nothing (one writer); MySQL: as PostgreSQL | `FOR UPDATE`, `FOR UPDATE SKIP LOCKED` |
//!
//! Kinds: `b` bytes, `i` integer, `t` text.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

use super::value::{Arg, Value};

/// Which database a text is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
    Mysql,
}

/// A statement.
#[derive(Debug, Clone, Copy)]
pub(super) struct Query {
    pub(super) name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
    mysql: &'static str,
}

macro_rules! file {
    ($folder:literal, $name:ident) => {
        include_str!(concat!("queries/", $folder, "/", stringify!($name), ".sql"))
    };
}

macro_rules! queries {
    (
        common { $($common:ident)* }
        mysql_differs { $($mysql:ident)* }
        postgres_differs { $($postgres:ident)* }
        all_differ { $($each:ident)* }
    ) => {
        $(pub(in crate::store::sql) const $common: Query = Query {
            name: stringify!($common),
            sqlite: file!("common", $common), postgres: file!("common", $common), mysql: file!("common", $common),
        };)*
        $(pub(in crate::store::sql) const $mysql: Query = Query {
            name: stringify!($mysql),
            sqlite: file!("common", $mysql), postgres: file!("common", $mysql), mysql: file!("mysql", $mysql),
        };)*
        $(pub(in crate::store::sql) const $postgres: Query = Query {
            name: stringify!($postgres),
            sqlite: file!("common", $postgres), postgres: file!("postgres", $postgres), mysql: file!("common", $postgres),
        };)*
        $(pub(in crate::store::sql) const $each: Query = Query {
            name: stringify!($each),
            sqlite: file!("sqlite", $each), postgres: file!("postgres", $each), mysql: file!("mysql", $each),
        };)*
        /// Every statement, for tests.
        #[cfg(test)]
        pub(in crate::store::sql) const ALL: &[Query] = &[$($common,)* $($mysql,)* $($postgres,)* $($each,)*];
    };
}

/// The statements by the names of their files.
#[allow(
    non_upper_case_globals,
    reason = "a statement has the name of its file, so that searching for one finds the other"
)]
pub(super) mod q {
    use super::Query;

    queries! {
        common {
            catalog_lock catalog_revision_bump catalog_revision_get job_cancel_ask job_claimed
            job_counts job_delete job_extend job_get job_gone_select job_lock job_limited_tasks
            job_partition_after job_list job_lock_tasks job_log_delete job_log_delete_to job_log_key_list job_log_list
            job_missed_select job_next_due job_only_select job_shared_select
            job_wake job_wake_select migration_insert migration_list migration_step_begin migration_step_get
            migration_step_insert plugin_activate
            job_fire_select job_known job_log_line_delete job_log_page job_log_select job_range job_restore job_select job_sizes
            plugin_bytes_delete_unused plugin_bytes_get plugin_bytes_has plugin_bytes_insert
            plugin_deactivate plugin_delete plugin_get plugin_history plugin_list plugin_page plugin_select schedule_delete
            schedule_due_select schedule_finished_select schedule_free schedule_get schedule_lock
            schedule_lease schedule_leased schedule_list schedule_pause schedule_unpause
            scheduler_delete_silent scheduler_list task_delete task_list task_of_plugin task_select
            schedule_select task_page
        }
        mysql_differs {
            job_claim job_end job_finish job_insert job_log_insert job_partition_close job_peek job_progress job_repartition job_requeue
            job_running_counts plugin_put schedule_fire schedule_insert schedule_next_due schedule_put schedule_put_off scheduler_put
            task_get task_put
        }
        postgres_differs {
            job_partition_heads
        }
        all_differ {
            clock job_expired_select job_list_outcome job_list_schedule job_list_task
            job_list_unfinished migration_lock migration_unlock migrations_exist schedule_list_task
        }
    }
}

/// Texts with their marks filled in, kept by how many values they were filled in for.
#[derive(Debug)]
pub(super) struct Texts {
    dialect: Dialect,
    made: Mutex<HashMap<(&'static str, usize), Arc<str>>>,
}

impl Texts {
    pub(super) fn new(dialect: Dialect) -> Texts {
        Texts { dialect, made: Mutex::default() }
    }

    /// The text of a statement for these arguments, and the arguments in the form that its database takes.
    pub(super) fn fill(&self, query: Query, mut args: Vec<Arg>) -> (SqlStr, Vec<Arg>) {
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
    let mut text = text.replace("/*lock*/", lock("FOR UPDATE")).replace("/*claim*/", lock("FOR UPDATE SKIP LOCKED"));
    if query.name == q::job_partition_heads.name && dialect != Dialect::Postgres {
        text = repeat(text.trim_end(), " UNION ALL\n", many);
    }
    let list = match dialect {
        Dialect::Postgres => "= ANY(?)".to_owned(),
        _ => format!("IN ({})", repeat("?", ", ", many)),
    };
    text = text.replace("IN (?*)", &list);
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
                let left = ["?*", "?rows", "?table", "'?'"].into_iter().find(|mark| text.contains(mark));
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
