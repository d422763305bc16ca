//! Stored triggers and states: what version 1 wrote is read for ever.

use host::model::Timestamp;
use host::trigger::{Trigger, TriggerError, TriggerState};
use serde_json::{Value, json};

use super::{at, texts, trigger};

/// The first version's fixtures: trigger, state after two fires, and the fires that follow.
const FIXTURES: [(&str, &str); 7] = [
    ("date", include_str!("../../fixtures/trigger/v1/date.json")),
    ("interval", include_str!("../../fixtures/trigger/v1/interval.json")),
    ("cron", include_str!("../../fixtures/trigger/v1/cron.json")),
    ("crontab", include_str!("../../fixtures/trigger/v1/crontab.json")),
    ("calendar_interval", include_str!("../../fixtures/trigger/v1/calendar_interval.json")),
    ("and", include_str!("../../fixtures/trigger/v1/and.json")),
    ("or", include_str!("../../fixtures/trigger/v1/or.json")),
];

#[test]
fn what_version_1_stored_goes_on_where_it_stopped() {
    for (name, fixture) in FIXTURES {
        let fixture: Value = serde_json::from_str(fixture).expect("valid JSON");
        let trigger = Trigger::from_value(&fixture["trigger"], Timestamp::EPOCH).expect("a valid trigger");
        assert_eq!(fixture["trigger"]["type"], name);
        let mut state = TriggerState::from_json(&fixture["state"].to_string()).expect("a valid state");
        for expected in fixture["then"].as_array().expect("a list") {
            let fire = trigger.next(&mut state).expect("no error");
            assert_eq!(json!(fire.map(|fire| fire.to_string())), *expected, "{name}");
        }
    }
}

#[test]
fn what_is_written_today_is_what_version_1_wrote() {
    for (name, fixture) in FIXTURES {
        let fixture: Value = serde_json::from_str(fixture).expect("valid JSON");
        let trigger = Trigger::from_value(&fixture["trigger"], Timestamp::EPOCH).expect("a valid trigger");
        assert_eq!(trigger.to_value(), fixture["trigger"], "{name}");
        let mut state = trigger.initial_state();
        for _ in 0..2 {
            trigger.next(&mut state).expect("no error");
        }
        let written: Value = serde_json::from_str(&state.to_json()).expect("valid JSON");
        assert_eq!(written, fixture["state"], "{name}");
    }
}

#[test]
fn a_state_that_cannot_be_read_is_refused_with_the_reason() {
    for (text, reason) in [
        ("", "not JSON"),
        ("{}", "no version"),
        (r#"{"v":2}"#, "version is 2"),
        (r#"{"v":1,"after":5}"#, "not a text"),
        (r#"{"v":1,"after":"yesterday"}"#, "yesterday"),
        (r#"{"v":1,"date":"2026-02-30"}"#, "not a date"),
        (r#"{"v":1,"afterwards":"2026-01-01T00:00:00Z"}"#, "afterwards"),
        (r#"{"v":1,"children":{}}"#, "not a list"),
        (r#"{"v":1,"children":[1]}"#, "not an object"),
    ] {
        let error = TriggerState::from_json(text).expect_err("it is no state").to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
}

#[test]
fn a_state_of_another_trigger_is_refused_before_it_does_harm() {
    let cron = trigger(json!({"type": "cron", "hour": 3}));
    let or = trigger(json!({"type": "or", "triggers": [{"type": "cron", "hour": 3}, {"type": "cron", "hour": 4}]}));
    let mut state = or.initial_state();
    assert!(matches!(cron.next(&mut state), Err(TriggerError::State { .. })));
    assert!(matches!(or.next(&mut cron.initial_state()), Err(TriggerError::State { .. })));
    assert!(matches!(cron.skip_to(&mut state, at("2026-01-01T00:00:00Z")), Err(TriggerError::State { .. })));
    assert_eq!(state, or.initial_state());
}

#[test]
fn a_state_skips_forward_and_never_back() {
    let cron = trigger(json!({"type": "cron", "hour": 3, "start_time": "2026-01-01T00:00:00Z"}));
    let mut state = cron.initial_state();
    cron.skip_to(&mut state, at("2026-05-01T03:00:00Z")).expect("its own state");
    let fire = cron.peek(&state).expect("no error").expect("one more");
    assert_eq!(fire.to_string(), "2026-05-01T03:00:00+00:00");
    cron.skip_to(&mut state, at("2026-02-01T00:00:00Z")).expect("its own state");
    assert_eq!(cron.peek(&state).expect("no error"), Some(fire));
}

#[test]
fn the_start_of_a_trigger_that_gives_none_is_its_creation() {
    let created = at("2026-03-03T10:30:00.250000Z");
    let first = |value: Value| texts(&Trigger::from_value(&value, created).expect("a valid trigger"), 1).join("");
    assert_eq!(first(json!({"type": "interval", "minutes": 5})), "2026-03-03T10:30:00.250000+00:00");
    assert_eq!(first(json!({"type": "cron", "minute": "*"})), "2026-03-03T10:31:00+00:00");
    // A calendar interval begins on the first date whose time is not over yet.
    let calendar =
        |hour: u8| json!({"type": "calendar_interval", "days": 7, "hour": hour, "timezone": "Europe/Berlin"});
    assert_eq!(first(calendar(12)), "2026-03-03T12:00:00+01:00");
    assert_eq!(first(calendar(11)), "2026-03-04T11:00:00+01:00");
}
