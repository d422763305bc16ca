use std::time::Duration;

use super::*;
use crate::model::{Payload, Target};

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time in this test")
}

/// A schedule that fires every minute from noon, and has not fired yet.
fn every_minute() -> Schedule {
    let created_at = at("2026-05-01T12:00:00Z");
    let trigger = Trigger::from_json(r#"{"type":"interval","minutes":1}"#, created_at).expect("a trigger");
    Schedule {
        id: "minutely".parse().expect("an id"),
        task_id: "p:t".parse().expect("an id"),
        trigger: trigger.to_json().to_string(),
        trigger_state: trigger.initial_state().to_json(),
        args: Payload::no_args(),
        coalesce: Coalesce::Latest,
        max_jitter: Duration::ZERO,
        settings: Settings::default(),
        pause: None,
        next_fire_time: Some(created_at),
        last_fire_time: None,
        created_at,
    }
}

fn task() -> Task {
    Task {
        id: "p:t".parse().expect("an id"),
        target: Target::Native { function: "t".parse().expect("a name") },
        description: String::new(),
        args_schema: None,
        result_schema: None,
        example_args: None,
        configured: Settings::default(),
        declared: Settings::default(),
        defaults: Settings::default(),
    }
}

fn plan_at(now: &str, schedule: &Schedule, task: Option<&Task>) -> Plan {
    let mut planner = Planner {
        now: at(now),
        ids: &mut JobIdSource::new(fastrand::Rng::with_seed(1)),
        random: &mut fastrand::Rng::with_seed(2),
        catch_up_max: 5,
    };
    planner.plan(schedule, task, LeaseToken::from_bytes([1; 16]))
}

fn fire_times(plan: &Plan) -> Vec<String> {
    plan.fire
        .jobs
        .iter()
        .filter_map(|job| job.scheduled_fire_time)
        .map(|time| time.to_string()[11..19].to_owned())
        .collect()
}

#[test]
fn coalescing_decides_which_missed_fire_times_become_jobs() {
    let cases = [
        (Coalesce::Latest, vec!["12:03:00"], 3),
        (Coalesce::Earliest, vec!["12:00:00"], 3),
        (Coalesce::All, vec!["12:00:00", "12:01:00", "12:02:00", "12:03:00"], 0),
    ];
    for (coalesce, expected, skipped) in cases {
        let plan = plan_at("2026-05-01T12:03:30Z", &Schedule { coalesce, ..every_minute() }, Some(&task()));
        assert_eq!(fire_times(&plan), expected, "{coalesce:?}");
        assert_eq!(plan.skipped.count, skipped, "{coalesce:?}");
        assert_eq!(plan.fire.next_fire_time, Some(at("2026-05-01T12:04:00Z")), "{coalesce:?}");
    }
}

#[test]
fn catching_up_all_fires_is_bounded_and_the_rest_is_counted() {
    let plan = plan_at("2027-05-01T12:00:00Z", &Schedule { coalesce: Coalesce::All, ..every_minute() }, Some(&task()));
    assert_eq!(fire_times(&plan), ["12:00:00", "12:01:00", "12:02:00", "12:03:00", "12:04:00"]);
    assert_eq!(plan.skipped.count, 365 * 24 * 60 + 1 - 5);
    assert_eq!(plan.fire.next_fire_time, Some(at("2027-05-01T12:01:00Z")));
}

#[test]
fn jitter_never_reaches_the_following_fire_time() {
    let schedule = Schedule { max_jitter: Duration::from_secs(3600), coalesce: Coalesce::All, ..every_minute() };
    for now in 0..5 {
        let plan = plan_at(&format!("2026-05-01T12:0{now}:00Z"), &schedule, Some(&task()));
        for job in &plan.fire.jobs {
            assert!(job.jitter < Duration::from_secs(60), "{:?}", job.jitter);
            assert_eq!(Some(job.due_at), job.scheduled_fire_time.map(|time| time.saturating_add(job.jitter)));
        }
    }
}

#[test]
fn a_job_inherits_from_its_schedule_then_from_its_task() {
    let grace = |secs| Some(GraceTime::Within(Duration::from_secs(secs)));
    let declared = Settings { misfire_grace_time: grace(10), priority: Some(4), ..Settings::default() };
    let task = Task { declared, ..task() };
    let schedule = Schedule { settings: Settings { priority: Some(9), ..Settings::default() }, ..every_minute() };
    let plan = plan_at("2026-05-01T12:00:00Z", &schedule, Some(&task));
    let job = &plan.fire.jobs[0];
    assert_eq!(job.settings.priority, 9);
    assert_eq!(job.start_deadline, Some(at("2026-05-01T12:00:10Z")));
}

#[test]
fn a_schedule_whose_task_is_gone_still_makes_jobs_that_will_tell_so() {
    let plan = plan_at("2026-05-01T12:00:00Z", &every_minute(), None);
    assert_eq!(plan.fire.jobs.len(), 1);
}

#[test]
fn a_clock_that_went_back_makes_no_jobs_and_loses_no_fire() {
    let plan = plan_at("2026-05-01T11:00:00Z", &every_minute(), Some(&task()));
    assert!(plan.fire.jobs.is_empty());
    assert_eq!(plan.fire.next_fire_time, Some(at("2026-05-01T12:00:00Z")));
}

#[test]
fn a_trigger_that_cannot_be_read_pauses_its_schedule_and_changes_nothing_else() {
    let broken = Schedule { trigger: r#"{"type":"lunar"}"#.to_owned(), ..every_minute() };
    let plan = plan_at("2026-05-01T12:00:00Z", &broken, Some(&task()));
    assert!(
        matches!(&plan.fire.pause, Some(Pause::Failed(reason)) if reason.contains("lunar")),
        "{:?}",
        plan.fire.pause
    );
    assert!(matches!(plan.event, EventKind::ScheduleDeserializationFailed { .. }));
    assert_eq!(plan.fire.next_fire_time, broken.next_fire_time);
    assert_eq!(plan.fire.trigger_state, broken.trigger_state);
}

#[test]
fn a_trigger_that_fails_pauses_its_schedule_with_the_reason() {
    let trigger = r#"{"type":"and","threshold":0,"max_iterations":10,"triggers":[
        {"type":"cron","minute":"0","timezone":"UTC"},{"type":"cron","minute":"30","timezone":"UTC"}]}"#;
    let created_at = every_minute().created_at;
    let parsed = Trigger::from_json(trigger, created_at).expect("a trigger");
    let schedule = Schedule {
        trigger: parsed.to_json().to_string(),
        trigger_state: parsed.initial_state().to_json(),
        ..every_minute()
    };
    let plan = plan_at("2026-05-02T12:00:00Z", &schedule, Some(&task()));
    assert!(matches!(&plan.fire.pause, Some(Pause::Failed(_))));
    assert!(matches!(plan.event, EventKind::ScheduleFailed { .. }));
    assert!(plan.fire.jobs.is_empty());
}

#[test]
fn a_fire_that_is_due_is_made_although_the_one_after_it_cannot_be_found() {
    // Both fire at noon; from then on they pass each other by half a minute.
    let trigger = r#"{"type":"and","threshold":0,"max_iterations":10,"triggers":[
        {"type":"interval","minutes":1,"start_time":"2026-05-01T12:00:00Z"},
        {"type":"or","triggers":[{"type":"date","run_time":"2026-05-01T12:00:00Z"},
            {"type":"interval","minutes":1,"start_time":"2026-05-01T12:00:30Z"}]}]}"#;
    let parsed = Trigger::from_json(trigger, every_minute().created_at).expect("a trigger");
    let schedule = Schedule {
        trigger: parsed.to_json(),
        trigger_state: parsed.initial_state().to_json(),
        next_fire_time: Some(at("2026-05-01T12:00:00Z")),
        ..every_minute()
    };
    let plan = plan_at("2026-05-01T12:00:01Z", &schedule, Some(&task()));
    assert_eq!(fire_times(&plan), ["12:00:00"]);
    assert!(matches!(&plan.fire.pause, Some(Pause::Failed(reason)) if reason.contains("max_iterations")));
    assert!(matches!(plan.event, EventKind::ScheduleFailed { .. }));
    assert_eq!(plan.fire.last_fire_time, Some(at("2026-05-01T12:00:00Z")));
    // Unpaused without a change it is looked at again, fails again, and makes no second job.
    let again = Schedule {
        trigger_state: plan.fire.trigger_state.clone(),
        next_fire_time: plan.fire.next_fire_time,
        ..schedule
    };
    assert!(again.next_fire_time.is_some());
    let plan = plan_at("2026-05-01T12:10:00Z", &again, Some(&task()));
    assert_eq!(fire_times(&plan), [""; 0]);
    assert!(matches!(&plan.fire.pause, Some(Pause::Failed(_))));
}
