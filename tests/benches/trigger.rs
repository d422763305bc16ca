//! How long triggers take beside the crates `croner` and `cron`, in one run on one machine, so that the ratios mean
//! something wherever it runs.
//!
//! `cargo bench -p tests --bench trigger`

#![expect(clippy::disallowed_methods, reason = "measures how long the code takes, which no injected clock can tell")]

use std::hint::black_box;
use std::str::FromStr;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeZone};
use chrono_tz::Tz;
use host::model::Timestamp;
use host::trigger::{Keep, RuleOptions, Trigger, batch};

const ZONE: Tz = Tz::Europe__Berlin;
const FIRES: usize = 1_000_000;
const EXPRESSIONS: usize = 1_000;

fn main() {
    // `cargo test --benches` passes this: show that everything runs, and take no time over it.
    let quick = std::env::args().any(|argument| argument == "--test");
    let fires = if quick { 1_000 } else { FIRES };
    println!("a million next fires of `*/5 9-17 * * mon-fri` in {ZONE}");
    next_fires(fires);
    println!("\nparse and 10 fires of 1,000 different expressions in {ZONE}");
    parse_and_fire(if quick { 1 } else { 20 });
    println!("\nwhat the others cannot express");
    jumps(if quick { 10 } else { 1_000 });
}

/// Prints how long each took, and how many times as long as the first.
fn report(rows: &[(&str, Duration, u64)], per: u64) {
    let own = rows[0].1.as_secs_f64();
    for (name, took, check) in rows {
        let each = took.as_secs_f64() * 1e9 / per as f64;
        println!("  {name:<8} {each:>12.1} ns each   {:>6.2} x   (check {check})", took.as_secs_f64() / own);
    }
}

/// The fastest of three runs: the others were disturbed by something.
fn fastest(mut run: impl FnMut() -> u64) -> (Duration, u64) {
    let mut best: Option<(Duration, u64)> = None;
    for _ in 0..3 {
        let started = Instant::now();
        let check = run();
        let took = started.elapsed();
        if best.is_none_or(|(fastest, _)| took < fastest) {
            best = Some((took, check));
        }
    }
    best.unwrap_or_default()
}

fn start() -> DateTime<Tz> {
    ZONE.with_ymd_and_hms(2026, 1, 1, 0, 0, 0).single().expect("a time that exists once")
}

fn options() -> RuleOptions {
    let created_at = Timestamp::try_from(start()).expect("a time in range");
    RuleOptions { timezone: Some(ZONE.name().to_owned()), ..RuleOptions::new(created_at) }
}

/// The three must agree on the last fire, or they did not do the same work.
fn next_fires(count: usize) {
    let trigger = Trigger::from_cron_expression("*/5 9-17 * * mon-fri", &options()).expect("a valid expression");
    let (own, own_check) = fastest(|| {
        let mut state = trigger.initial_state();
        let mut last = 0;
        for _ in 0..count {
            let fire = black_box(trigger.next(&mut state)).expect("no error").expect("no end");
            last = fire.at.as_micros() / 1_000_000;
        }
        last.unsigned_abs()
    });
    let croner = croner::Cron::from_str("*/5 9-17 * * mon-fri").expect("a valid expression");
    let (theirs, croner_check) = fastest(|| {
        let fires = croner.iter_from(start(), croner::Direction::Forward).take(count);
        fires.last().map_or(0, |fire| fire.timestamp().unsigned_abs())
    });
    let cron = cron::Schedule::from_str("0 */5 9-17 * * mon-fri").expect("a valid expression");
    let (others, cron_check) = fastest(|| {
        let fires = cron.after(&(start() - Duration::from_secs(1))).take(count);
        fires.last().map_or(0, |fire| fire.timestamp().unsigned_abs())
    });
    report(&[("host", own, own_check), ("croner", theirs, croner_check), ("cron", others, cron_check)], count as u64);
}

/// Expressions that all three understand and mean alike: hours and minutes of every form, weekdays, days, months.
fn expressions() -> Vec<String> {
    let hours = ["*", "0", "9-17", "*/2", "6,18", "3"];
    let days = ["* * *", "* * mon-fri", "1 * *", "*/10 * *", "* jan-mar *", "15 6 *", "* * sun"];
    (0..EXPRESSIONS)
        .map(|index| {
            let minute = match index % 5 {
                0 => format!("*/{}", 2 + index / 5 % 28),
                1 => format!("{}", index / 5 % 60),
                2 => format!("{}-{}", index / 5 % 30, 30 + index / 7 % 30),
                3 => format!("{},{}", index / 5 % 30, 30 + index / 7 % 30),
                _ => format!("{}-{}/{}", index / 5 % 20, 40 + index / 7 % 20, 2 + index % 9),
            };
            format!("{minute} {} {}", hours[index / 3 % hours.len()], days[index / 11 % days.len()])
        })
        .collect()
}

fn parse_and_fire(rounds: usize) {
    let all = expressions();
    let seconds: Vec<String> = all.iter().map(|expression| format!("0 {expression}")).collect();
    let options = options();
    let (own, own_check) = fastest(|| {
        let mut sum = 0_u64;
        for expression in all.iter().cycle().take(rounds * EXPRESSIONS) {
            let trigger = Trigger::from_cron_expression(expression, &options).expect("a valid expression");
            let mut state = trigger.initial_state();
            for _ in 0..10 {
                let fire = trigger.next(&mut state).expect("no error").expect("no end");
                sum = sum.wrapping_add((fire.at.as_micros() / 1_000_000).unsigned_abs());
            }
        }
        sum
    });
    let (theirs, croner_check) = fastest(|| {
        let mut sum = 0_u64;
        for expression in all.iter().cycle().take(rounds * EXPRESSIONS) {
            let cron = croner::Cron::from_str(expression).expect("a valid expression");
            for fire in cron.iter_from(start(), croner::Direction::Forward).take(10) {
                sum = sum.wrapping_add(fire.timestamp().unsigned_abs());
            }
        }
        sum
    });
    let (others, cron_check) = fastest(|| {
        let mut sum = 0_u64;
        for expression in seconds.iter().cycle().take(rounds * EXPRESSIONS) {
            let cron = cron::Schedule::from_str(expression).expect("a valid expression");
            for fire in cron.after(&(start() - Duration::from_secs(1))).take(10) {
                sum = sum.wrapping_add(fire.timestamp().unsigned_abs());
            }
        }
        sum
    });
    let per = (rounds * EXPRESSIONS) as u64;
    report(&[("host", own, own_check), ("croner", theirs, croner_check), ("cron", others, cron_check)], per);
}

fn jumps(rounds: usize) {
    let now = Timestamp::from_micros(1_798_761_600_000_000).expect("2027 is in range");
    let created_at = Timestamp::from_micros(1_767_225_600_000_000).expect("2026 is in range");
    let read = |text: &str| Trigger::from_json(text, created_at).expect("a valid trigger");
    let every_second = read(r#"{"type":"cron","second":"*","timezone":"Europe/Berlin"}"#);
    let (missed, skipped) = fastest(|| {
        let state = every_second.initial_state();
        (0..rounds)
            .map(|_| every_second.catch_up(&state, now, Keep::Latest).map_or(0, |found| found.skipped.count))
            .sum()
    });
    let never = read(r#"{"type":"cron","month":2,"day":30,"timezone":"Europe/Berlin"}"#);
    let (impossible, found) = fastest(|| (0..rounds).map(|_| u64::from(never.first_fire().is_ok())).sum());
    let rare = read(r#"{"type":"cron","month":2,"day":29,"day_of_week":"mon","week":9,"timezone":"Europe/Berlin"}"#);
    let (far, fires) = fastest(|| (0..rounds).map(|_| u64::from(rare.first_fire().is_ok())).sum());
    let line =
        r#"{"id":1,"count":10,"trigger":{"type":"cron","minute":"*/5","hour":"9-17","timezone":"Europe/Berlin"}}"#;
    let (batch, bytes) = fastest(|| (0..rounds).map(|_| batch::answer(line, now).len() as u64).sum());
    for (name, took, check) in [
        ("a year of missed seconds, caught up", missed, skipped),
        ("30 February, found out", impossible, found),
        ("Monday 29 February in week 9", far, fires),
        ("a line of `trigger next --batch`", batch, bytes),
    ] {
        println!("  {name:<38} {:>10.1} us   (check {check})", took.as_secs_f64() * 1e6 / rounds as f64);
    }
}
