//! What clients send: the words of the flags, as JSON.

use std::borrow::Cow;
use std::fmt::Display;
use std::num::NonZeroU32;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use serde_json::{Map, Value};

use super::super::problem::Problem;
use crate::app::{App, SettingName};
use crate::config::units::{parse_duration, parse_size};
use crate::config::words::{
    parse_backoff, parse_count, parse_grace_time, parse_max_fires, parse_parallelism, parse_pause_after,
};
use crate::model::{
    Backoff, Coalesce, ConcurrencyKey, Digest, ExecutorName, GraceTime, Hook, HookSettings, Metadata, Overlap,
    Parallelism, PauseAfter, QueueName, Settings, Timestamp,
};
use crate::trigger::{DayMatch, Dialect, Fire, Rule, RuleOptions, Trigger, TriggerEdit, TriggerError};

/// A value that is written as a text, or as a number where it is one.
pub(super) struct Word<T>(pub(super) T);

/// What can be read from such a text, with the rules of the flag of that name.
pub(super) trait Read: Sized {
    fn read(text: &str) -> Result<Self, String>;
}

impl<T> JsonSchema for Word<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Word".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "number"]})
    }
}

impl<'de, T: Read> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Word<T>, D::Error> {
        let text = match Value::deserialize(deserializer)? {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            other => return Err(D::Error::custom(format!("`{other}` is neither a text nor a number"))),
        };
        T::read(&text).map(Word).map_err(|error| {
            // Some errors name the text themselves.
            let named = format!("`{text}`");
            D::Error::custom(if error.starts_with(&named) { error } else { format!("{named}: {error}") })
        })
    }
}

/// Implements [`Read`] by a function.
macro_rules! read_by {
    ($($type:ty: $read:expr;)*) => {
        $(impl Read for $type {
            fn read(text: &str) -> Result<Self, String> {
                let read = $read;
                read(text).map_err(|error| text_of(&error))
            }
        })*
    };
}

fn text_of(error: &impl Display) -> String {
    error.to_string()
}

/// A size in bytes.
pub(super) struct Size(u64);

read_by! {
    std::time::Duration: parse_duration;
    Size: |text: &str| parse_size(text).map(Size);
    u64: parse_count;
    u32: |text: &str| text.parse::<u32>();
    i32: |text: &str| text.parse::<i32>();
    Parallelism: parse_parallelism;
    PauseAfter: parse_pause_after;
    NonZeroU32: parse_max_fires;
    Hook: |text: &str| text.parse::<Hook>();
    GraceTime: parse_grace_time;
    Backoff: parse_backoff;
    ConcurrencyKey: |text: &str| text.parse::<ConcurrencyKey>();
    QueueName: |text: &str| text.parse::<QueueName>();
    ExecutorName: |text: &str| text.parse::<ExecutorName>();
    Overlap: |text: &str| text.parse::<Overlap>();
    Timestamp: |text: &str| text.parse::<Timestamp>();
    Fire: |text: &str| text.parse::<Fire>();
    SettingName: |text: &str| SettingName::from_name(text).ok_or("it is no setting");
    Coalesce: |text: &str| match text {
        "latest" => Ok(Coalesce::Latest),
        "earliest" => Ok(Coalesce::Earliest),
        "all" => Ok(Coalesce::All),
        _ => Err("it is `latest`, `earliest` or `all`"),
    };
}

/// Settings over those that are inherited.
#[derive(Deserialize, Default, JsonSchema)]
#[schemars(rename = "Settings")]
#[serde(deny_unknown_fields, default)]
pub(super) struct SettingsGiven {
    max_running_jobs: Option<Word<Parallelism>>,
    max_running_per_key: Option<Word<Parallelism>>,
    concurrency_key: Option<Word<ConcurrencyKey>>,
    queue: Option<Word<QueueName>>,
    misfire_grace_time: Option<Word<GraceTime>>,
    overlap: Option<Word<Overlap>>,
    pause_after: Option<Word<PauseAfter>>,
    until_success: Option<bool>,
    max_fires: Option<Word<NonZeroU32>>,
    on_failure: Option<Word<Hook>>,
    on_success: Option<Word<Hook>>,
    on_missed: Option<Word<Hook>>,
    executor: Option<Word<ExecutorName>>,
    timeout: Option<Word<std::time::Duration>>,
    fuel: Option<Word<u64>>,
    memory: Option<Word<Size>>,
    max_attempts: Option<Word<u32>>,
    backoff: Option<Word<Backoff>>,
    priority: Option<Word<i32>>,
    result_ttl: Option<Word<std::time::Duration>>,
    metadata: Map<String, Value>,
}

/// The value of a word that was said.
pub(super) fn said<T>(word: Option<Word<T>>) -> Option<T> {
    word.map(|word| word.0)
}

impl SettingsGiven {
    /// The layer that they make.
    pub(super) fn settings(self, version: Option<Digest>) -> Settings {
        Settings {
            max_running_jobs: said(self.max_running_jobs),
            max_running_per_key: said(self.max_running_per_key),
            concurrency_key: said(self.concurrency_key),
            queue: said(self.queue),
            misfire_grace_time: said(self.misfire_grace_time),
            overlap: said(self.overlap),
            pause_after: said(self.pause_after),
            until_success: self.until_success,
            max_fires: said(self.max_fires),
            hooks: HookSettings {
                on_failure: said(self.on_failure),
                on_success: said(self.on_success),
                on_missed: said(self.on_missed),
            },
            executor: said(self.executor),
            timeout: said(self.timeout),
            fuel: said(self.fuel),
            memory_bytes: self.memory.map(|size| size.0.0),
            max_attempts: said(self.max_attempts),
            backoff: said(self.backoff),
            priority: said(self.priority),
            result_ttl: said(self.result_ttl),
            version,
            metadata: Metadata(self.metadata),
        }
    }
}

/// The version of the task's plugin that jobs are to be pinned to, where one was named.
pub(super) async fn pinned(app: &App, task: &str, version: Option<&str>) -> Result<Option<Digest>, Problem> {
    match version {
        Some(beginning) => Ok(Some(app.task_version(task, beginning).await?)),
        None => Ok(None),
    }
}

/// When something fires: one rule, with what belongs to it.
#[derive(JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "When")]
pub(super) struct WhenGiven {
    interval: Option<Word<std::time::Duration>>,
    cron: Option<String>,
    calendar: Option<String>,
    at: Option<Word<Fire>>,
    /// A trigger in its JSON form, which says everything itself.
    trigger: Option<Value>,
    timezone: Option<String>,
    start: Option<Word<Fire>>,
    end: Option<Word<Fire>>,
}

impl WhenGiven {
    /// The trigger of a schedule of that id.
    pub(super) fn trigger(self, now: Timestamp, id: &str) -> Result<Trigger, Problem> {
        let rules = [
            self.interval.is_some(),
            self.cron.is_some(),
            self.calendar.is_some(),
            self.at.is_some(),
            self.trigger.is_some(),
        ];
        if rules.into_iter().filter(|is_said| *is_said).count() != 1 {
            return Err(no_rule());
        }
        let is_whole = self.at.is_some() || self.trigger.is_some();
        if is_whole && (self.timezone.is_some() || self.start.is_some() || self.end.is_some()) {
            let detail = "`timezone`, `start` and `end` have no meaning beside `at` and `trigger`";
            return Err(Problem::bad_request(detail).with_hint("say it inside the trigger"));
        }
        let options = RuleOptions {
            timezone: self.timezone,
            start: said(self.start),
            end: said(self.end),
            hash_key: Some(id.to_owned()),
            ..RuleOptions::new(now)
        };
        let trigger = match (self.interval, self.cron, self.calendar, self.at, self.trigger) {
            (Some(length), ..) => Trigger::every(length.0, &options),
            (_, Some(expression), ..) => Trigger::from_cron_expression(&expression, &options),
            (_, _, Some(phrase), ..) => Trigger::from_calendar_phrase(&phrase, &options),
            (_, _, _, Some(at), _) => Ok(Trigger::at(at.0)),
            (_, _, _, _, Some(value)) => Trigger::from_value(&value, now),
            (None, None, None, None, None) => return Err(no_rule()),
        };
        trigger.map_err(|error| trigger_fault(&error))
    }

    /// What is to be different about the trigger of a schedule that is there.
    pub(super) fn edit(self, now: Timestamp, id: &str) -> Result<TriggerEdit, Problem> {
        let rule = match (self.interval, self.cron, self.calendar, self.at, self.trigger) {
            (None, None, None, None, None) => None,
            (Some(length), None, None, None, None) => Some(Rule::Every(length.0)),
            (None, Some(expression), None, None, None) => {
                Some(Rule::Cron { expression, dialect: Dialect::Extended, day_match: DayMatch::And })
            }
            (None, None, Some(phrase), None, None) => Some(Rule::Calendar(phrase)),
            (None, None, None, Some(at), None) => Some(Rule::Whole(Trigger::at(at.0))),
            (None, None, None, None, Some(value)) => {
                Some(Rule::Whole(Trigger::from_value(&value, now).map_err(|error| trigger_fault(&error))?))
            }
            _ => return Err(no_rule()),
        };
        Ok(TriggerEdit {
            rule,
            timezone: self.timezone,
            start: said(self.start),
            end: said(self.end).map(Some),
            hash_key: Some(id.to_owned()),
            ..TriggerEdit::default()
        })
    }
}

fn no_rule() -> Problem {
    Problem::bad_request("`when` has not one rule: it takes one of `interval`, `cron`, `calendar`, `at` and `trigger`")
}

fn trigger_fault(error: &TriggerError) -> Problem {
    Problem::bad_request(error.to_string())
        .with_hint("POST /api/v1/triggers/preview shows what a trigger does before it is used")
}
