//! `and` and `or` beside brute force over the fires of their parts.

use std::collections::{BTreeSet, VecDeque};

use host::trigger::{Trigger, TriggerError};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{at, fires, measured, refusal, texts, trigger};

/// Parts that meet now and then.
fn part() -> impl Strategy<Value = Value> {
    let start = 1_767_225_600_i64;
    prop_oneof![
        (1_i64..20, 0_i64..12).prop_map(move |(minutes, shift)| {
            json!({"type": "interval", "minutes": minutes, "start_time": super::second(start + shift * 20).to_string()})
        }),
        (1_u32..30).prop_map(
            |step| json!({"type": "cron", "minute": format!("*/{step}"), "start_time": "2026-01-01T00:00:00Z"})
        ),
        (0_u32..60, 0_u32..60).prop_map(|(minute, second)| {
            json!({"type": "cron", "minute": minute, "second": second, "start_time": "2026-01-01T00:00:00Z"})
        }),
    ]
}

fn micros(trigger: &Trigger, count: usize) -> Vec<i64> {
    fires(trigger, count).iter().map(|fire| fire.at.as_micros()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn or_is_the_union_of_its_parts(parts in prop::collection::vec(part(), 1..4)) {
        let or = trigger(json!({"type": "or", "triggers": parts}));
        let union: BTreeSet<_> = parts.iter().flat_map(|part| micros(&trigger(part.clone()), 50)).collect();
        prop_assert_eq!(micros(&or, 50), union.into_iter().take(50).collect::<Vec<_>>());
    }

    #[test]
    fn and_without_a_threshold_is_the_intersection_of_its_parts(parts in prop::collection::vec(part(), 1..4)) {
        let and = trigger(json!({"type": "and", "triggers": parts, "threshold": 0, "max_iterations": 100_000}));
        let end = at("2026-01-03T00:00:00Z").as_micros();
        let sets = parts.iter().map(|part| micros(&trigger(part.clone()), 4_000).into_iter().collect::<BTreeSet<_>>());
        let common = sets.reduce(|all, part| &all & &part).unwrap_or_default();
        let common: Vec<_> = common.into_iter().filter(|time| *time < end).collect();
        let mut state = and.initial_state();
        let mut found = Vec::new();
        // Parts that never meet end in the iteration bound.
        while found.len() < common.len() {
            found.push(and.next(&mut state).expect("no error").expect("no end").at.as_micros());
        }
        prop_assert_eq!(found, common);
    }

    #[test]
    fn and_with_a_threshold_follows_its_procedure(
        parts in prop::collection::vec(part(), 2..4),
        threshold in 0_i64..200,
    ) {
        let and = trigger(json!({"type": "and", "triggers": parts, "threshold": threshold, "max_iterations": 100_000}));
        let mut pending: Vec<VecDeque<i64>> =
            parts.iter().map(|part| micros(&trigger(part.clone()), 600).into()).collect();
        let mut expected = Vec::new();
        // One list of times after the other runs out in the end; what was found until then must be found.
        while pending.iter().all(|times| times.len() > 1) {
            let earliest = pending.iter().map(|times| times[0]).min().expect("a part");
            let latest = pending.iter().map(|times| times[0]).max().expect("a part");
            for times in &mut pending {
                if times[0] - earliest <= threshold * 1_000_000 {
                    times.pop_front();
                }
            }
            if latest - earliest <= threshold * 1_000_000 {
                expected.push(earliest);
            }
        }
        expected.truncate(20);
        prop_assert_eq!(micros(&and, expected.len()), expected);
    }
}

#[test]
fn an_and_that_gave_up_goes_on_where_it_stopped() {
    // They meet at noon; two iterations a call are not enough to get there.
    let and = trigger(json!({"type": "and", "max_iterations": 2, "triggers": [
        {"type": "interval", "hours": 1, "start_time": "2026-01-01T00:00:00Z"},
        {"type": "date", "run_time": "2026-01-01T12:00:00Z"},
    ]}));
    let mut state = and.initial_state();
    let mut failures = 0;
    let fire = loop {
        match and.next(&mut state) {
            Err(TriggerError::MaxIterations { limit: 2 }) => failures += 1,
            other => break other.expect("no other error"),
        }
        assert!(failures < 20, "it does not get on");
    };
    assert_eq!(fire.map(|fire| fire.at), Some(at("2026-01-01T12:00:00Z")));
    assert_eq!(failures, 6);
}

#[test]
fn parts_that_never_meet_end_in_an_error_soon_even_when_they_are_nested() {
    let odd =
        |second: u32| json!({"type": "cron", "second": format!("{second}/2"), "start_time": "2026-01-01T00:00:00Z"});
    let never = json!({"type": "and", "threshold": 0, "triggers": [odd(0), odd(1)]});
    let error = trigger(never.clone()).first_fire().expect_err("they never meet").to_string();
    assert_eq!(error, "max_iterations: no common fire time within 10000 iterations of an `and` trigger");
    let mut nested = json!({"type": "or", "triggers": [odd(0), never]});
    for _ in 0..3 {
        nested = json!({"type": "and", "max_iterations": 1_000_000, "threshold": 0, "triggers": [nested, odd(1)]});
    }
    let trigger = trigger(nested);
    let mut state = trigger.initial_state();
    for _ in 0..3 {
        let (answer, took) = measured(|| trigger.next(&mut state));
        assert!(matches!(answer, Err(TriggerError::MaxIterations { .. })));
        assert!(took.as_secs() < 20, "{took:?}");
    }
}

#[test]
fn the_first_in_the_list_gives_the_offset_on_a_tie() {
    let date = |time: &str| json!({"type": "date", "run_time": time});
    let (east, utc) = (date("2026-01-01T01:00:00+01:00"), date("2026-01-01T00:00:00Z"));
    for kind in ["and", "or"] {
        let first = |parts: Value| texts(&trigger(json!({"type": kind, "triggers": parts})), 5);
        assert_eq!(first(json!([east, utc])), ["2026-01-01T01:00:00+01:00"]);
        assert_eq!(first(json!([utc, east])), ["2026-01-01T00:00:00+00:00"]);
    }
}

#[test]
fn nesting_and_number_of_parts_are_bounded() {
    let mut deep = json!({"type": "date", "run_time": "2026-01-01T00:00:00Z"});
    for _ in 0..7 {
        deep = json!({"type": "or", "triggers": [deep]});
    }
    trigger(deep.clone());
    assert!(refusal(json!({"type": "or", "triggers": [deep]})).contains("nested more than 8 deep"));
    let date = json!({"type": "date", "run_time": "2026-01-01T00:00:00Z"});
    trigger(json!({"type": "or", "triggers": vec![date.clone(); 99]}));
    assert!(refusal(json!({"type": "or", "triggers": vec![date; 100]})).contains("more than 100 triggers"));
}
