//! Catching up: whatever was missed, the wanted fires are found, the state stands after all of them, and the cost does
//! not grow with their number.

use host::model::Timestamp;
use host::trigger::{CatchUp, Keep, Skipped, Trigger, TriggerError};
use serde_json::json;

use super::{at, measured, trigger};

fn every_second() -> Trigger {
    trigger(json!({"type": "cron", "second": "*", "timezone": "Europe/Berlin", "start_time": "2026-01-01T00:00:00Z"}))
}

/// When the trigger fires after what was due.
fn next(found: &CatchUp) -> Option<Timestamp> {
    found.next.as_ref().expect("the next fire can be told").map(|fire| fire.at)
}

#[test]
fn nothing_due_leaves_the_state_where_it_is() {
    let trigger = every_second();
    let state = trigger.initial_state();
    let found = trigger.catch_up(&state, at("2025-12-31T23:59:59.999999Z"), Keep::Latest).expect("no error");
    assert!(found.fires.is_empty());
    assert_eq!(found.skipped, Skipped { count: 0, or_more: false });
    assert_eq!(found.state, state);
    assert_eq!(next(&found), Some(at("2026-01-01T00:00:00Z")));
}

#[test]
fn a_fire_at_this_very_instant_is_due() {
    let trigger = every_second();
    let now = at("2026-01-01T00:00:00Z");
    let found = trigger.catch_up(&trigger.initial_state(), now, Keep::Earliest).expect("no error");
    assert_eq!(found.fires.iter().map(|fire| fire.at).collect::<Vec<_>>(), [now]);
    assert_eq!(next(&found), Some(at("2026-01-01T00:00:01Z")));
}

#[test]
fn a_year_of_missed_seconds_costs_no_more_than_an_hour_of_them() {
    let trigger = every_second();
    let now = at("2027-01-01T00:00:00.5Z");
    for keep in [Keep::Latest, Keep::Earliest, Keep::All { at_most: 1_000 }] {
        let (found, took) = measured(|| trigger.catch_up(&trigger.initial_state(), now, keep).expect("no error"));
        // Visiting each of the 31 million would take seconds even in a program that is built for speed.
        assert!(took.as_millis() < 1_000, "{took:?}");
        let (count, first) = match keep {
            Keep::Latest => (1, "2027-01-01T00:00:00Z"),
            Keep::Earliest => (1, "2026-01-01T00:00:00Z"),
            Keep::All { at_most } => (at_most, "2026-01-01T00:00:00Z"),
        };
        assert_eq!((found.fires.len(), found.fires[0].at), (count, at(first)));
        assert!(found.skipped.or_more && found.skipped.count >= 999, "{:?}", found.skipped);
        assert_eq!(next(&found), Some(at("2027-01-01T00:00:01Z")));
        assert_eq!(trigger.peek(&found.state), found.next);
    }
}

#[test]
fn missed_fires_of_an_interval_are_counted_exactly_however_many_they_are() {
    let interval = trigger(json!({"type": "interval", "microseconds": 1, "start_time": "2026-01-01T00:00:00Z"}));
    let now = at("2026-01-02T00:00:00Z");
    let found = interval.catch_up(&interval.initial_state(), now, Keep::Latest).expect("no error");
    assert_eq!(found.fires[0].at, now);
    assert_eq!(found.skipped, Skipped { count: 86_400_000_000, or_more: false });
    let found = interval.catch_up(&interval.initial_state(), now, Keep::All { at_most: 7 }).expect("no error");
    assert_eq!(found.skipped, Skipped { count: 86_400_000_001 - 7, or_more: false });
}

#[test]
fn what_is_not_wanted_lies_between_two_fires_that_are_shown() {
    let second = every_second();
    let between = |now: &str, keep| {
        let found = second.catch_up(&second.initial_state(), at(now), keep).expect("no error");
        found.skipped_between.map(|(first, last)| (first.at, last.at))
    };
    let first = at("2026-01-01T00:00:00Z");
    assert_eq!(between("2026-01-01T00:00:00Z", Keep::Latest), None, "the only one is wanted");
    // A few are visited, many are jumped over.
    for now in ["2026-01-01T00:00:09Z", "2026-02-01T00:00:00Z"] {
        assert_eq!(between(now, Keep::Latest), Some((first, at(now))), "the last one is wanted");
        assert_eq!(between(now, Keep::Earliest), Some((at("2026-01-01T00:00:01Z"), at(now))));
        assert_eq!(between(now, Keep::All { at_most: 3 }), Some((at("2026-01-01T00:00:03Z"), at(now))));
        assert_eq!(between(now, Keep::All { at_most: 0 }), Some((first, at(now))));
    }
    assert_eq!(between("2026-01-01T00:00:02Z", Keep::All { at_most: 3 }), None);
}

#[test]
fn all_of_them_are_capped_and_the_rest_is_reported() {
    let hourly = trigger(json!({"type": "cron", "minute": 0, "start_time": "2026-01-01T00:00:00Z"}));
    let now = at("2026-01-01T09:30:00Z");
    let found = hourly.catch_up(&hourly.initial_state(), now, Keep::All { at_most: 4 }).expect("no error");
    let hours: Vec<_> = found.fires.iter().map(|fire| fire.to_string()[11..13].to_owned()).collect();
    assert_eq!(hours, ["00", "01", "02", "03"]);
    assert_eq!(found.skipped, Skipped { count: 6, or_more: false });
    assert_eq!(next(&found), Some(at("2026-01-01T10:00:00Z")));
    let none = hourly.catch_up(&hourly.initial_state(), now, Keep::All { at_most: 0 }).expect("no error");
    assert_eq!((none.fires.len(), none.skipped.count), (0, 10));
}

#[test]
fn a_trigger_that_ends_in_the_meantime_gives_its_last_fire_and_no_next_one() {
    let ended = trigger(json!({"type": "cron", "second": "*", "start_time": "2026-01-01T00:00:00Z",
        "end_time": "2026-03-01T12:00:00Z"}));
    let found = ended.catch_up(&ended.initial_state(), at("2026-06-01T00:00:00Z"), Keep::Latest).expect("no error");
    assert_eq!(found.fires[0].at, at("2026-03-01T12:00:00Z"));
    assert_eq!(found.next, Ok(None));
    assert_eq!(ended.peek(&found.state).expect("no error"), None);
}

#[test]
fn combined_and_calendar_triggers_catch_up_as_well() {
    let seconds = json!({"type": "cron", "second": "*", "start_time": "2026-01-01T00:00:00Z"});
    let fives = json!({"type": "interval", "seconds": 5, "start_time": "2026-01-01T00:00:00Z"});
    let both = json!([seconds, fives]);
    let monthly = json!({"type": "calendar_interval", "months": 1, "days": 1, "start_date": "2026-01-01"});
    let now = at("2026-12-31T23:59:58Z");
    for (value, latest) in [
        (json!({"type": "or", "triggers": both}), "2026-12-31T23:59:58Z"),
        (json!({"type": "and", "triggers": both, "threshold": 0}), "2026-12-31T23:59:55Z"),
        (monthly, "2026-12-12T00:00:00Z"),
    ] {
        let trigger = trigger(value.clone());
        let found = trigger.catch_up(&trigger.initial_state(), now, Keep::Latest).expect("no error");
        assert_eq!(found.fires[0].at, at(latest), "{value}");
        assert_eq!(trigger.peek(&found.state), found.next, "{value}");
        assert!(next(&found).is_some_and(|next| next > now), "{value}");
    }
}

#[test]
fn a_clock_at_the_end_of_time_is_caught_up_with() {
    let trigger = every_second();
    let found = trigger.catch_up(&trigger.initial_state(), Timestamp::MAX, Keep::Latest).expect("no error");
    assert_eq!(found.fires[0].at, at("9999-12-31T22:59:59Z"));
    assert_eq!(found.next, Ok(None));
}

#[test]
fn fires_that_are_due_are_given_although_the_one_after_them_cannot_be_found() {
    // Both fire together at 00:00 and 00:10, and never again within ten iterations.
    let tens = json!({"type": "interval", "minutes": 10, "start_time": "2026-01-01T00:00:00Z",
        "end_time": "2026-01-01T00:10:00Z"});
    let off_beat = json!({"type": "interval", "minutes": 10, "start_time": "2026-01-01T00:15:00Z"});
    let on_beat = json!({"type": "interval", "minutes": 10, "start_time": "2026-01-01T00:00:00Z"});
    let trigger = trigger(json!({"type": "and", "threshold": 0, "max_iterations": 10, "triggers": [
        on_beat, {"type": "or", "triggers": [tens, off_beat]}]}));
    let both = ["2026-01-01T00:00:00Z", "2026-01-01T00:10:00Z"].map(at);
    for (keep, wanted, skipped) in
        [(Keep::Latest, &both[1..], 1), (Keep::Earliest, &both[..1], 1), (Keep::All { at_most: 9 }, &both[..], 0)]
    {
        let found = trigger.catch_up(&trigger.initial_state(), at("2026-01-01T06:00:00Z"), keep).expect("its state");
        assert_eq!(found.fires.iter().map(|fire| fire.at).collect::<Vec<_>>(), wanted, "{keep:?}");
        assert_eq!(found.skipped, Skipped { count: skipped, or_more: false }, "{keep:?}");
        assert!(matches!(found.next, Err(TriggerError::MaxIterations { limit: 10 })), "{:?}", found.next);
        let again = trigger.catch_up(&found.state, at("2026-01-01T06:00:00Z"), keep).expect("its state");
        assert_eq!((again.fires.len(), &again.state), (0, &found.state), "no fire comes twice");
    }
}

/// Fires once a day, and is costly to ask: it looks at every second of the day.
fn daily_by_the_second() -> Trigger {
    trigger(json!({"type": "and", "threshold": 0, "max_iterations": 1_000_000, "triggers": [
        {"type": "interval", "seconds": 1, "start_time": "2016-01-01T00:00:00Z"},
        {"type": "cron", "hour": 0, "minute": 0, "second": 7, "start_time": "2016-01-01T00:00:00Z"}]}))
}

#[test]
fn fires_that_are_costly_to_find_are_jumped_over_after_a_few_and_the_latest_is_found() {
    let (trigger, now) = (daily_by_the_second(), at("2026-05-01T12:00:00Z"));
    for (keep, wanted) in [(Keep::Latest, "2026-05-01T00:00:07Z"), (Keep::Earliest, "2016-01-01T00:00:07Z")] {
        let found = trigger.catch_up(&trigger.initial_state(), now, keep).expect("no error");
        assert_eq!(found.fires.iter().map(|fire| fire.at).collect::<Vec<_>>(), [at(wanted)], "{keep:?}");
        assert!(found.skipped.or_more && found.skipped.count < 10, "{:?}", found.skipped);
        assert_eq!(next(&found), Some(at("2026-05-02T00:00:07Z")), "{keep:?}");
        assert!(!found.is_cut_short);
    }
}

#[test]
fn all_fires_that_are_costly_to_find_come_in_several_calls_and_none_is_missing() {
    let (trigger, now) = (daily_by_the_second(), at("2016-01-12T12:00:00Z"));
    let (mut state, mut fires, mut calls) = (trigger.initial_state(), Vec::new(), 0);
    let last = loop {
        let found = trigger.catch_up(&state, now, Keep::All { at_most: 1_000 }).expect("no error");
        assert!(!found.fires.is_empty(), "each call finds one at least");
        assert_eq!(found.skipped, Skipped::default());
        fires.extend(found.fires.iter().map(|fire| fire.at));
        calls += 1;
        if !found.is_cut_short {
            break found;
        }
        assert_eq!(next(&found), fires.last().copied());
        state = found.state;
    };
    let days: Vec<_> = (1..=12).map(|day| at(&format!("2016-01-{day:02}T00:00:07Z"))).collect();
    assert_eq!(fires, days);
    assert_eq!(next(&last), Some(at("2016-01-13T00:00:07Z")));
    assert!(calls > 1, "{calls}");
}
