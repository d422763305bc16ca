//! Whatever the text, reading a trigger ends soon and without a panic, and what was read is sound: it is written and
//! read back as the same, its fire times strictly increase, and its state survives being stored.
//!
//! `cargo +nightly fuzz run --fuzz-dir tests/fuzz trigger tests/fuzz/corpus/trigger tests/fuzz/seeds/trigger`
//! (new inputs go to `corpus`, which is not kept; `seeds` is)

#![no_main]

use host_core::model::Timestamp;
use host_core::trigger::{Keep, RuleOptions, Trigger, TriggerState, batch};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let now = Timestamp::from_micros(1_774_746_000_000_000).expect("2026 is in range");
    // The first letter chooses the parser.
    let Some(kind) = text.chars().next() else { return };
    let rest = &text[kind.len_utf8()..];
    let options = RuleOptions { timezone: Some("Europe/Berlin".to_owned()), ..RuleOptions::new(now) };
    let read = match kind {
        'c' => Trigger::from_cron_expression(rest, &options),
        'p' => Trigger::from_calendar_phrase(rest, &options),
        's' => {
            if let Ok(state) = TriggerState::from_json(rest) {
                assert_eq!(TriggerState::from_json(&state.to_json()), Ok(state));
            }
            return;
        }
        'b' => {
            // A line may rightly ask for many fires; that they end soon is not for this test to say.
            if !rest.contains("count") {
                batch::answer(rest, now);
            }
            return;
        }
        _ => Trigger::from_json(text, now),
    };
    match read {
        Ok(trigger) => check(&trigger, now),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

fn check(trigger: &Trigger, now: Timestamp) {
    let again = Trigger::from_json(&trigger.to_json(), Timestamp::EPOCH).expect("what was written is valid");
    assert_eq!(&again, trigger);
    assert!(!trigger.describe().is_empty());
    trigger.notes();
    let mut state = trigger.initial_state();
    let mut before = None;
    for _ in 0..5 {
        let Ok(Some(fire)) = trigger.next(&mut state) else { break };
        assert!(before.is_none_or(|before| fire.at > before), "{fire} does not increase");
        before = Some(fire.at);
        state = TriggerState::from_json(&state.to_json()).expect("what was written is valid");
    }
    if let Ok(found) = trigger.catch_up(&trigger.initial_state(), now, Keep::Latest) {
        let is_ahead = !matches!(found.next, Ok(Some(next)) if next.at <= now);
        assert!(found.fires.iter().all(|fire| fire.at <= now) && is_ahead);
    }
}
