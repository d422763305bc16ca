//! The recorded cases: what APScheduler 4 answers where it is right, what is right where it is not, and what both must
//! refuse; and for the dialects of cron what others answer, each case with its source.

use host::model::Timestamp;
use host::trigger::{Trigger, TriggerError, batch};
use serde_json::Value;

const ANSWERS: &str = include_str!("../../fixtures/trigger/triggers.jsonl");
const CORRECTED: &str = include_str!("../../fixtures/trigger/triggers-corrected.jsonl");
const REFUSED: &str = include_str!("../../fixtures/trigger/trigger-errors.jsonl");
const DIALECTS: &str = include_str!("../../fixtures/trigger/dialects.jsonl");

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().expect("a valid time")
}

/// The cases tagged `fold-first` were made from those with both passes by striking out the second ones, and count and
/// `exhausted` were left as if the triggers ended there. What they say is how the answer begins.
fn shorten(case: &mut Value) {
    if case["trigger"].get("end_time").is_none() {
        case["count"] = case["expect"].as_array().map(Vec::len).into();
        case["exhausted"] = false.into();
    }
}

/// Every line whose answer is not the expected one, with both.
fn wrong_answers(lines: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for line in lines.lines() {
        let mut case: Value = serde_json::from_str(line).expect("a JSON line");
        if case["tags"].as_array().is_some_and(|tags| tags.contains(&"fold-first".into())) {
            shorten(&mut case);
        }
        let answer: Value = serde_json::from_str(&batch::answer(&case.to_string(), now())).expect("a JSON answer");
        let same = ["id", "expect", "exhausted", "error"].iter().all(|key| case.get(key) == answer.get(key));
        if !same {
            wrong.push(format!("{line}\n   answered {answer}"));
        }
    }
    wrong
}

#[test]
fn every_recorded_answer_is_given() {
    assert_eq!(ANSWERS.lines().count(), 1_013);
    let wrong = wrong_answers(ANSWERS);
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_corrected_answer_is_given() {
    assert_eq!(CORRECTED.lines().count(), 85);
    let wrong = wrong_answers(CORRECTED);
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_answer_of_other_crons_is_given_in_their_dialects() {
    assert_eq!(DIALECTS.lines().count(), 236);
    let wrong = wrong_answers(DIALECTS);
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    let of = |source: &str| DIALECTS.lines().filter(|line| line.contains(&format!("\"source\": \"{source}"))).count();
    assert_eq!((of("Quartz"), of("cronsim"), of("croniter"), of("corrected")), (155, 45, 34, 2));
}

#[test]
fn every_faulty_input_is_refused_and_the_refusal_names_its_field() {
    assert_eq!(REFUSED.lines().count(), 111);
    for line in REFUSED.lines() {
        let case: Value = serde_json::from_str(line).expect("a JSON line");
        match Trigger::from_value(&case["trigger"], now()) {
            Err(TriggerError::Invalid(invalid)) => assert!(!invalid.problem.is_empty(), "{line}"),
            other => panic!("{line}\n   gave {other:?}"),
        }
        let answer: Value = serde_json::from_str(&batch::answer(line, now())).expect("a JSON answer");
        assert_eq!(answer["id"], case["id"]);
        assert!(answer["error"].is_string() && answer.get("expect").is_none(), "{answer}");
    }
}

#[test]
fn every_recorded_trigger_survives_being_written_and_read() {
    for line in ANSWERS.lines().chain(CORRECTED.lines()).chain(DIALECTS.lines()) {
        let case: Value = serde_json::from_str(line).expect("a JSON line");
        let trigger = Trigger::from_value(&case["trigger"], now()).expect("a valid trigger");
        // Read with another time of creation: what is written must not depend on it.
        let again = Trigger::from_json(&trigger.to_json(), Timestamp::EPOCH).expect("what was written is valid");
        assert_eq!(trigger, again, "{line}");
        assert_eq!(trigger.to_json(), again.to_json(), "{line}");
    }
}

#[test]
fn every_recorded_trigger_has_a_description_without_loose_ends() {
    for line in ANSWERS.lines().chain(CORRECTED.lines()).chain(DIALECTS.lines()) {
        let case: Value = serde_json::from_str(line).expect("a JSON line");
        let text = Trigger::from_value(&case["trigger"], now()).expect("a valid trigger").describe();
        assert!(!text.is_empty() && !text.contains("  ") && !text.contains(" ,") && !text.ends_with(' '), "{text:?}");
    }
}
