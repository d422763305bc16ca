use std::time::Duration;

use super::*;
use crate::model::{Payload, ScheduleLife, Target};
use crate::store::{Defect, Unreadable};

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time in this test")
}

/// A schedule that fires every minute from noon, and has not fired yet.
fn every_minute() -> Schedule {
    let created_at = at("2026-05-01T12:00:00Z");
    let trigger = Trigger::from_json(r#"{"type":"interval","minutes":1}"#, created_at).expect("a trigger");
    Schedule {
        id: "minutely".parse().expect("an id"),
        life: ScheduleLife::from_number(3),
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
        overruns_since: None,
        fire_count: 0,
        failures: 0,
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

fn plan_leased(now: &str, catch_up_max: usize, leased: &LeasedSchedule) -> Plan {
    let mut planner = Planner {
        now: at(now),
        lease: Duration::from_secs(15),
        ids: &mut JobIdSource::new(fastrand::Rng::with_seed(1)),
        triggers: &mut Triggers::default(),
        random: &mut fastrand::Rng::with_seed(2),
        catch_up_max,
    };
    planner.plan(leased, LeaseToken::from_bytes([1; 16]))
}

fn plan_at(now: &str, schedule: &Schedule, task: Option<&Task>) -> Plan {
    plan_leased(now, 5, &LeasedSchedule { schedule: schedule.clone(), task: Ok(task.cloned()) })
}

/// The plan's last part.
fn last(plan: &Plan) -> &FireSchedule {
    plan.parts.back().expect("a plan has parts")
}

fn jobs(plan: &Plan) -> Vec<&JobSpec> {
    plan.parts.iter().flat_map(|part| &part.jobs).collect()
}

fn pause(plan: &Plan) -> Option<&str> {
    match &last(plan).then {
        AfterFire::Pause(Pause::Failed(reason)) => Some(reason),
        _ => None,
    }
}

fn fire_times(plan: &Plan) -> Vec<String> {
    jobs(plan)
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
        assert_eq!(last(&plan).next_fire_time, Some(at("2026-05-01T12:04:00Z")), "{coalesce:?}");
    }
}

#[test]
fn catching_up_all_fires_is_bounded_and_the_rest_is_counted() {
    let plan = plan_at("2027-05-01T12:00:00Z", &Schedule { coalesce: Coalesce::All, ..every_minute() }, Some(&task()));
    assert_eq!(fire_times(&plan), ["12:00:00", "12:01:00", "12:02:00", "12:03:00", "12:04:00"]);
    assert_eq!(plan.skipped.count, 365 * 24 * 60 + 1 - 5);
    assert_eq!(last(&plan).next_fire_time, Some(at("2027-05-01T12:01:00Z")));
}

#[test]
fn due_times_without_jobs_of_their_own_are_reported_with_the_reason() {
    for (coalesce, now, expected) in [
        (Coalesce::Latest, "12:00:30", None),
        (Coalesce::Latest, "12:03:30", Some(("12:00:00", "12:03:00", 3, Fate::Coalesced))),
        (Coalesce::Earliest, "12:03:30", Some(("12:01:00", "12:03:00", 3, Fate::Coalesced))),
        (Coalesce::All, "12:03:30", None),
        (Coalesce::All, "12:09:30", Some(("12:05:00", "12:09:00", 5, Fate::CatchUp))),
    ] {
        let plan = plan_at(&format!("2026-05-01T{now}Z"), &Schedule { coalesce, ..every_minute() }, Some(&task()));
        let time = |text: &str| at(&format!("2026-05-01T{text}Z"));
        let passed = last(&plan).passed.as_ref();
        assert!(passed.is_none_or(|passed| !passed.reason.is_empty() && !passed.or_more));
        let found = passed.map(|passed| (passed.first, passed.last, passed.count, passed.fate));
        let expected = expected.map(|(first, last, count, fate)| (time(first), time(last), count, fate));
        assert_eq!(found, expected, "{coalesce:?} at {now}");
    }
}

#[test]
fn jitter_never_reaches_the_following_fire_time() {
    let schedule = Schedule { max_jitter: Duration::from_secs(3600), coalesce: Coalesce::All, ..every_minute() };
    for now in 0..5 {
        let plan = plan_at(&format!("2026-05-01T12:0{now}:00Z"), &schedule, Some(&task()));
        for job in jobs(&plan) {
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
    let job = jobs(&plan)[0];
    assert_eq!(job.settings.priority, 9);
    assert_eq!(job.start_deadline, Some(at("2026-05-01T12:00:10Z")));
}

#[test]
fn a_schedule_whose_task_is_gone_still_makes_jobs_that_will_tell_so() {
    let plan = plan_at("2026-05-01T12:00:00Z", &every_minute(), None);
    assert_eq!(jobs(&plan).len(), 1);
}

#[test]
fn a_clock_that_went_back_makes_no_jobs_and_loses_no_fire() {
    let plan = plan_at("2026-05-01T11:00:00Z", &every_minute(), Some(&task()));
    assert!(jobs(&plan).is_empty());
    assert_eq!(last(&plan).next_fire_time, Some(at("2026-05-01T12:00:00Z")));
}

#[test]
fn a_damaged_trigger_pauses_its_schedule_and_changes_nothing_else() {
    for (trigger, state) in
        [("{", None), ("[]", None), (r#""daily""#, None), ("", None), (r#"{"type":"date"}"#, Some("{"))]
    {
        let broken = Schedule {
            trigger: if state.is_some() { every_minute().trigger } else { trigger.to_owned() },
            trigger_state: state.map_or_else(|| every_minute().trigger_state, str::to_owned),
            ..every_minute()
        };
        let plan = plan_at("2026-05-01T12:00:00Z", &broken, Some(&task()));
        assert!(pause(&plan).is_some(), "{trigger}: {plan:?}");
        assert!(matches!(plan.event, Some(EventKind::ScheduleDeserializationFailed { .. })));
        assert_eq!(last(&plan).next_fire_time, broken.next_fire_time);
        assert_eq!(last(&plan).trigger_state, broken.trigger_state);
    }
}

#[test]
fn what_a_newer_version_has_written_puts_its_schedule_off_and_changes_nothing() {
    let newer_task = || {
        let defect = Defect::newer("unknown field `overlap`");
        Err(Unreadable { id: "p:t".into(), defect })
    };
    let cases = [
        (Schedule { trigger: r#"{"type":"lunar","phase":"full"}"#.into(), ..every_minute() }, Ok(None), "lunar"),
        (Schedule { trigger_state: r#"{"v":2,"at":[1]}"#.into(), ..every_minute() }, Ok(None), "version"),
        (every_minute(), newer_task(), "overlap"),
    ];
    for (schedule, task, word) in cases {
        let leased = LeasedSchedule { schedule: schedule.clone(), task };
        let plan = plan_leased("2026-05-01T12:00:08Z", 5, &leased);
        let part = last(&plan);
        assert!(plan.put_off.as_ref().is_some_and(|reason| reason.contains(word)), "{:?}", plan.put_off);
        assert_eq!(
            part.then,
            AfterFire::PutOff { until: at("2026-05-01T12:00:16Z") },
            "as long again as it has waited"
        );
        assert_eq!((&part.trigger_state, part.next_fire_time), (&schedule.trigger_state, schedule.next_fire_time));
        assert!(jobs(&plan).is_empty() && plan.event.is_none());
    }
}

#[test]
fn a_schedule_whose_task_is_damaged_fires_and_its_jobs_will_tell() {
    let task = Err(Unreadable { id: "p:t".into(), defect: Defect::damaged("no JSON") });
    let plan = plan_leased("2026-05-01T12:00:00Z", 5, &LeasedSchedule { schedule: every_minute(), task });
    assert_eq!(fire_times(&plan), ["12:00:00"]);
}

#[test]
fn a_large_fire_comes_in_parts_and_the_trigger_stands_after_each_where_it_ends() {
    // Three of them fit into a call.
    let args = Payload::json(&serde_json::Value::String("x".repeat(BATCH_BYTES_MAX / 3 - 10)));
    let schedule = Schedule { coalesce: Coalesce::All, args, ..every_minute() };
    let leased = LeasedSchedule { schedule: schedule.clone(), task: Ok(Some(task())) };
    let plan = plan_leased("2026-05-01T12:07:30Z", 100, &leased);
    assert_eq!(plan.parts.iter().map(|part| part.jobs.len()).collect::<Vec<_>>(), [3, 3, 2]);
    let whole = fire_times(&plan);
    assert_eq!((whole.len(), whole[0].as_str(), whole[7].as_str()), (8, "12:00:00", "12:07:00"));
    let ends: Vec<_> =
        plan.parts.iter().map(|part| part.last_fire_time.map(|at| at.to_string()[11..19].to_owned())).collect();
    assert_eq!(ends, ["12:02:00", "12:05:00", "12:07:00"].map(|end| Some(end.to_owned())));
    assert!(matches!(plan.parts[1].then, AfterFire::Keep { .. }) && plan.parts[2].then == AfterFire::Free);
    // Whoever takes over after a part makes the same fires as were left.
    let rest = |part: &FireSchedule| Schedule {
        trigger_state: part.trigger_state.clone(),
        next_fire_time: part.next_fire_time,
        ..schedule.clone()
    };
    for (parts, part) in plan.parts.iter().enumerate().take(2) {
        let leased = LeasedSchedule { schedule: rest(part), task: Ok(Some(task())) };
        let taken_over = plan_leased("2026-05-01T12:07:30Z", 100, &leased);
        assert_eq!(fire_times(&taken_over), whole[3 * (parts + 1)..]);
        assert_eq!(last(&taken_over).trigger_state, last(&plan).trigger_state);
    }
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
    assert!(pause(&plan).is_some());
    assert!(matches!(plan.event, Some(EventKind::ScheduleFailed { .. })));
    assert!(jobs(&plan).is_empty());
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
    assert!(pause(&plan).is_some_and(|reason| reason.contains("max_iterations")));
    assert!(matches!(plan.event, Some(EventKind::ScheduleFailed { .. })));
    assert_eq!(last(&plan).last_fire_time, Some(at("2026-05-01T12:00:00Z")));
    // Unpaused without a change it is looked at again, fails again, and makes no second job.
    let again = Schedule {
        trigger_state: last(&plan).trigger_state.clone(),
        next_fire_time: last(&plan).next_fire_time,
        ..schedule
    };
    assert!(again.next_fire_time.is_some());
    let plan = plan_at("2026-05-01T12:10:00Z", &again, Some(&task()));
    assert_eq!(fire_times(&plan), [""; 0]);
    assert!(pause(&plan).is_some());
}
