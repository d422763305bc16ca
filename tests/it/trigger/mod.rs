//! Triggers: what they answer, beside recorded cases, measured defects of others, and brute force.

mod brute;
mod calendar;
mod catch_up;
mod combine;
mod defects;
mod dialects;
mod dst;
mod input;
mod state;
mod vectors;

use chrono::TimeZone;
use host::model::Timestamp;
use host::trigger::{Fire, Trigger, TriggerError};
use serde_json::Value;

/// A point in time.
fn at(text: &str) -> Timestamp {
    text.parse().expect("a valid time")
}

/// A point in time by its seconds since 1970.
fn second(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000).expect("a time in range")
}

/// A valid trigger, created at the beginning of 2026 where it matters.
fn trigger(value: Value) -> Trigger {
    Trigger::from_value(&value, at("2026-01-01T00:00:00Z")).unwrap_or_else(|error| panic!("{value}: {error}"))
}

/// Why a trigger is refused.
fn refusal(value: Value) -> String {
    match Trigger::from_value(&value, at("2026-01-01T00:00:00Z")) {
        Err(error @ TriggerError::Invalid(_)) => error.to_string(),
        other => panic!("{value} gave {other:?}"),
    }
}

/// The first fires, at most `count`.
fn fires(trigger: &Trigger, count: usize) -> Vec<Fire> {
    let mut state = trigger.initial_state();
    let mut fires = Vec::new();
    while fires.len() < count
        && let Some(fire) = trigger.next(&mut state).expect("no error")
    {
        fires.push(fire);
    }
    fires
}

/// The first fires as text.
fn texts(trigger: &Trigger, count: usize) -> Vec<String> {
    fires(trigger, count).iter().map(ToString::to_string).collect()
}

/// How long something takes.
#[expect(clippy::disallowed_methods, reason = "measures the code under test, which no injected clock can tell")]
fn measured<T>(work: impl FnOnce() -> T) -> (T, std::time::Duration) {
    let started = std::time::Instant::now();
    (work(), started.elapsed())
}

/// How far `chrono-tz` says local time is ahead of UTC.
fn offset(tz: chrono_tz::Tz, seconds: i64) -> i64 {
    use chrono::Offset;
    let utc = chrono::DateTime::from_timestamp(seconds, 0).expect("a time in range").naive_utc();
    i64::from(tz.offset_from_utc_datetime(&utc).fix().local_minus_utc())
}

/// The changes of a zone's offset in a year, found by looking at every quarter of an hour.
fn changes(tz: chrono_tz::Tz, year: i32) -> Vec<i64> {
    let start = chrono::NaiveDate::from_ymd_opt(year, 1, 1).expect("a valid date").and_time(chrono::NaiveTime::MIN);
    let start = start.and_utc().timestamp();
    let quarters = (0..366 * 96).map(|quarter| start + quarter * 900);
    quarters.filter(|&instant| offset(tz, instant) != offset(tz, instant - 900)).collect()
}
