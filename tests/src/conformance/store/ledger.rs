//! What is written down of each due time, and for how long.

use host::model::{ConflictPolicy, Fate, FireLine, JobSpec, LeaseToken, Overlap, Pause, Schedule};
use host::store::{
    AddSchedule, AfterFire, FireSchedule, Fired, PassedFires, PauseSchedule, ReadHistory, Record, Restore, ResumeFrom,
    SetSchedule, TrimHistory, UnpauseSchedule,
};

use super::{Rig, cases};
use crate::factory::{self, LEASE, add, schedule, schedule_id, t};

cases![
    a_due_time_that_gets_a_job_has_a_line_with_it,
    due_times_that_share_a_job_share_its_line,
    due_times_of_which_the_same_becomes_share_a_line,
    a_job_that_comes_too_late_to_start_is_reported_as_such,
    a_fire_that_is_stored_twice_has_its_lines_once,
    a_fire_that_is_not_stored_has_no_line,
    a_fire_that_had_a_job_is_reported_as_such,
    what_a_change_passes_over_has_a_line,
    a_schedule_that_is_replaced_while_it_is_due_leaves_a_line,
    lines_are_read_in_pages_the_latest_first,
    lines_go_by_age_and_by_number,
    lines_go_with_their_schedule,
    lines_stay_where_an_import_leaves_the_schedule_and_go_where_it_replaces_it,
    many_schedules_get_their_lines_in_one_call,
];

fn passed(first: i64, last: i64, count: u64, fate: Fate) -> PassedFires {
    PassedFires { first: t(first), last: t(last), count, or_more: false, fate, reason: "so it is".into() }
}

/// A fire of the schedule `s` at that time, that goes on ten seconds later.
fn fire_of(at: i64, jobs: Vec<JobSpec>) -> FireSchedule {
    FireSchedule { at: t(at + 1), ..factory::fire("s", LeaseToken::from_bytes([0; 16]), at, jobs) }
}

/// Leases the schedule `s`, and stores that fire of it.
async fn fire(rig: &Rig, fire: FireSchedule) {
    let request = host::store::AcquireSchedules { now: fire.at, ..rig.make.acquire_schedules(0, 1) };
    let token = request.token;
    assert_eq!(rig.a.schedule_acquire(request).await.expect("acquired").schedules.len(), 1, "it is due at {}", fire.at);
    let answers = rig.a.schedule_fire(vec![FireSchedule { token, ..fire }]).await.expect("fired");
    assert!(matches!(answers[..], [Fired::Stored { .. }]), "{answers:?}");
}

async fn history(rig: &Rig, id: &str) -> Vec<FireLine> {
    let page = rig.b.schedule_history(ReadHistory { id: schedule_id(id), before: None, limit: 1_000 }).await;
    let mut page = page.expect("read");
    assert_eq!((page.unreadable, page.next), (Vec::new(), None));
    page.rows.reverse();
    page.rows
}

/// The due times, how many, and what became of them, by line.
fn shape(lines: &[FireLine]) -> Vec<(host::model::Timestamp, host::model::Timestamp, u64, Fate)> {
    lines.iter().map(|line| (line.first, line.last, line.count, line.fate)).collect()
}

async fn a_due_time_that_gets_a_job_has_a_line_with_it(rig: Rig) {
    rig.a.schedule_add(add(schedule("s", 5))).await.expect("added");
    assert!(history(&rig, "s").await.is_empty());
    let (first, second) = (rig.make.fired("s", 5), rig.make.fired("s", 15));
    let ids = [first.id, second.id];
    fire(&rig, fire_of(5, vec![first])).await;
    let last = FireSchedule { next_fire_time: None, ..fire_of(15, vec![second]) };
    fire(&rig, last).await;
    let line = |number, at, is_end| FireLine {
        number,
        first: t(at),
        last: t(at),
        count: 1,
        or_more: false,
        at: t(at + 1),
        fate: Fate::Queued,
        jobs: vec![ids[usize::try_from(number).expect("small") - 1]],
        reason: String::new(),
        is_end,
    };
    assert_eq!(history(&rig, "s").await, [line(1, 5, false), line(2, 15, true)]);
}

async fn due_times_that_share_a_job_share_its_line(rig: Rig) {
    rig.a.schedule_add(add(schedule("s", 5))).await.expect("added");
    let job = rig.make.fired("s", 45);
    let latest = FireSchedule { passed: Some(passed(5, 35, 4, Fate::Coalesced)), ..fire_of(45, vec![job.clone()]) };
    fire(&rig, FireSchedule { next_fire_time: Some(t(55)), ..latest }).await;
    let earliest = vec![rig.make.fired("s", 55)];
    let fire_55 = FireSchedule { at: t(80), next_fire_time: Some(t(85)), ..fire_of(55, earliest) };
    fire(&rig, FireSchedule { passed: Some(passed(65, 75, 2, Fate::Coalesced)), ..fire_55 }).await;
    let skipped = FireSchedule { overlap: Overlap::Skip, ..fire_of(95, vec![rig.make.fired("s", 95)]) };
    fire(&rig, FireSchedule { passed: Some(passed(85, 85, 1, Fate::Coalesced)), ..skipped }).await;
    let lines = history(&rig, "s").await;
    let expected =
        [(t(5), t(45), 5, Fate::Coalesced), (t(55), t(75), 3, Fate::Coalesced), (t(85), t(95), 2, Fate::Overlap)];
    assert_eq!(shape(&lines), expected);
    assert_eq!((lines[0].jobs.clone(), lines[0].reason.as_str()), (vec![job.id], "so it is"));
    assert!(lines[2].jobs.is_empty() && lines[2].reason.contains("skip: job"), "{:?}", lines[2]);
}

async fn due_times_of_which_the_same_becomes_share_a_line(rig: Rig) {
    rig.a.schedule_add(add(schedule("s", 1))).await.expect("added");
    let jobs: Vec<JobSpec> = (1..4).map(|at| rig.make.fired("s", at)).collect();
    let ids: Vec<_> = jobs.iter().map(|job| job.id).collect();
    let cap = PassedFires { or_more: true, ..passed(4, 9, 6, Fate::CatchUp) };
    fire(&rig, FireSchedule { passed: Some(cap), next_fire_time: Some(t(10)), ..fire_of(9, jobs) }).await;
    let jobs = (10..13).map(|at| rig.make.fired("s", at)).collect();
    let skip = FireSchedule { overlap: Overlap::QueueOne, next_fire_time: Some(t(13)), ..fire_of(12, jobs) };
    fire(&rig, skip).await;
    let lines = history(&rig, "s").await;
    let expected = [(t(1), t(3), 3, Fate::Queued), (t(4), t(9), 6, Fate::CatchUp), (t(10), t(12), 3, Fate::Overlap)];
    assert_eq!(shape(&lines), expected);
    assert_eq!((&lines[0].jobs, lines[1].or_more), (&ids, true));
    let jobs = (13..16).map(|at| rig.make.fired("s", at)).collect();
    let replace = FireSchedule { overlap: Overlap::ReplaceQueued, next_fire_time: Some(t(16)), ..fire_of(15, jobs) };
    fire(&rig, replace).await;
    let lines = history(&rig, "s").await;
    assert_eq!(shape(&lines[3..]), [(t(13), t(14), 2, Fate::Overlap), (t(15), t(15), 1, Fate::Queued)]);
    assert!(lines[4].reason.starts_with("in place of job"), "{:?}", lines[4]);
}

async fn a_job_that_comes_too_late_to_start_is_reported_as_such(rig: Rig) {
    rig.a.schedule_add(add(schedule("s", 5))).await.expect("added");
    let late = JobSpec { start_deadline: Some(t(7)), ..rig.make.fired("s", 5) };
    let in_time = JobSpec { start_deadline: Some(t(9)), ..rig.make.fired("s", 6) };
    fire(&rig, FireSchedule { at: t(9), next_fire_time: Some(t(15)), ..fire_of(6, vec![late, in_time]) }).await;
    let lines = history(&rig, "s").await;
    assert_eq!(shape(&lines), [(t(5), t(5), 1, Fate::Missed), (t(6), t(6), 1, Fate::Queued)]);
    assert_eq!(lines[0].jobs.len(), 1, "it ends as missed");
}

async fn a_fire_that_is_stored_twice_has_its_lines_once(rig: Rig) {
    rig.a.schedule_add(add(schedule("s", 5))).await.expect("added");
    let request = rig.make.acquire_schedules(9, 1);
    rig.a.schedule_acquire(request.clone()).await.expect("acquired");
    let then = AfterFire::Keep { now: t(9), lease: LEASE };
    let jobs = vec![rig.make.fired("s", 5), rig.make.fired("s", 6)];
    let part = FireSchedule { token: request.token, then, next_fire_time: Some(t(7)), ..fire_of(6, jobs) };
    for _ in 0..2 {
        rig.a.schedule_fire(vec![part.clone()]).await.expect("fired");
    }
    let rest = FireSchedule { token: request.token, continues: true, ..fire_of(7, vec![rig.make.fired("s", 7)]) };
    rig.a.schedule_fire(vec![rest]).await.expect("fired");
    let lines = history(&rig, "s").await;
    assert_eq!(shape(&lines), [(t(5), t(6), 2, Fate::Queued), (t(7), t(7), 1, Fate::Queued)]);
    assert_eq!(lines.iter().map(|line| line.number).collect::<Vec<_>>(), [1, 2]);
}

async fn a_fire_that_is_not_stored_has_no_line(rig: Rig) {
    rig.a.schedule_add(add(schedule("s", 5))).await.expect("added");
    let answers = rig.a.schedule_fire(vec![fire_of(5, vec![rig.make.fired("s", 5)])]).await.expect("asked");
    assert_eq!(answers, [Fired::LeaseLost]);
    let nothing = FireSchedule { next_fire_time: Some(t(5)), last_fire_time: None, ..fire_of(5, Vec::new()) };
    fire(&rig, FireSchedule { then: AfterFire::PutOff { until: t(9) }, ..nothing }).await;
    assert!(history(&rig, "s").await.is_empty());
}

async fn a_fire_that_had_a_job_is_reported_as_such(rig: Rig) {
    rig.a.schedule_add(add(schedule("s", 5))).await.expect("added");
    rig.add(rig.make.fired("s", 5)).await;
    fire(&rig, fire_of(5, vec![rig.make.fired("s", 5)])).await;
    let lines = history(&rig, "s").await;
    assert_eq!((shape(&lines), lines[0].jobs.len()), (vec![(t(5), t(5), 1, Fate::HadJob)], 0));
}

async fn what_a_change_passes_over_has_a_line(rig: Rig) {
    rig.a.schedule_add(add(Schedule { pause: Some(Pause::Asked), ..schedule("s", 5) })).await.expect("added");
    let resume = ResumeFrom {
        expected_next_fire_time: Some(t(5)),
        trigger_state: "ahead".into(),
        next_fire_time: Some(t(105)),
        at: t(100),
        passed: Some(passed(5, 95, 10, Fate::Paused)),
    };
    let unpause = UnpauseSchedule { id: schedule_id("s"), resume: Some(resume) };
    let expected = rig.b.schedule_unpause(unpause.clone()).await.expect("unpaused");
    rig.b.schedule_unpause(unpause).await.expect_err("it has changed");
    let changed = Schedule { next_fire_time: Some(t(300)), ..expected.clone() };
    let set = |expected: &Schedule| SetSchedule {
        expected: expected.clone(),
        schedule: changed.clone(),
        at: t(200),
        passed: Some(passed(105, 195, 10, Fate::Changed)),
    };
    rig.a.schedule_set(set(&expected)).await.expect("set");
    rig.a.schedule_set(set(&expected)).await.expect_err("it has changed");
    let lines = history(&rig, "s").await;
    assert_eq!(shape(&lines), [(t(5), t(95), 10, Fate::Paused), (t(105), t(195), 10, Fate::Changed)]);
    assert_eq!((lines[0].at, lines[0].reason.as_str(), lines[1].number), (t(100), "so it is", 2));
    fire(&rig, fire_of(300, vec![rig.make.fired("s", 300)])).await;
    assert_eq!(history(&rig, "s").await[2].number, 3, "numbers go on");
    rig.a.schedule_pause(PauseSchedule { id: schedule_id("s"), reason: Pause::Asked }).await.expect("paused");
    rig.a.schedule_unpause(UnpauseSchedule { id: schedule_id("s"), resume: None }).await.expect("unpaused");
    assert_eq!(history(&rig, "s").await.len(), 3, "nothing was passed over");
}

async fn a_schedule_that_is_replaced_while_it_is_due_leaves_a_line(rig: Rig) {
    rig.a.schedule_add(add(schedule("s", 5))).await.expect("added");
    fire(&rig, fire_of(5, vec![rig.make.fired("s", 5)])).await;
    let replace = |created_at| {
        let schedule = Schedule { created_at: t(created_at), ..schedule("s", 25) };
        rig.a.schedule_add(AddSchedule { schedule, conflict: ConflictPolicy::Replace })
    };
    replace(20).await.expect("replaced");
    replace(21).await.expect("replaced, and not due");
    let lines = history(&rig, "s").await;
    assert_eq!(shape(&lines), [(t(5), t(5), 1, Fate::Queued), (t(15), t(15), 1, Fate::Replaced)]);
    assert!(lines[1].or_more && lines[1].at == t(20), "{:?}", lines[1]);
}

async fn lines_are_read_in_pages_the_latest_first(rig: Rig) {
    rig.a.schedule_add(add(schedule("s", 5))).await.expect("added");
    for at in [5, 15, 25, 35, 45] {
        fire(&rig, fire_of(at, vec![rig.make.fired("s", at)])).await;
    }
    let (mut before, mut numbers) = (None, Vec::new());
    loop {
        let page = rig.b.schedule_history(ReadHistory { id: schedule_id("s"), before, limit: 2 }).await.expect("read");
        numbers.push(page.rows.iter().map(|line| line.number).collect::<Vec<_>>());
        let Some(next) = page.next else { break };
        before = Some(next.parse().expect("a number"));
    }
    assert_eq!(numbers, [vec![5, 4], vec![3, 2], vec![1]]);
    let none = ReadHistory { id: schedule_id("none"), before: None, limit: 2 };
    assert!(rig.b.schedule_history(none).await.expect("read").rows.is_empty());
}

async fn lines_go_by_age_and_by_number(rig: Rig) {
    for id in ["a", "b", "c"] {
        rig.a.schedule_add(add(schedule(id, 5))).await.expect("added");
    }
    for at in [5, 15, 25] {
        let request = rig.make.acquire_schedules(at, 3);
        let acquired = rig.a.schedule_acquire(request.clone()).await.expect("acquired").schedules;
        let fires = acquired.iter().map(|leased| {
            let id = leased.schedule.id.clone();
            let jobs = vec![rig.make.fired(id.as_str(), at)];
            FireSchedule { id, token: request.token, ..fire_of(at, jobs) }
        });
        rig.a.schedule_fire(fires.collect()).await.expect("fired");
    }
    let numbers = async |id: &str| history(&rig, id).await.iter().map(|line| line.number).collect::<Vec<_>>();
    let trim = async |before, keep| {
        let (mut after, mut calls) = (None, 0);
        loop {
            let request = TrimHistory { before: t(before), keep, after, limit: 2 };
            after = rig.a.trim_history(request).await.expect("trimmed");
            calls += 1;
            if after.is_none() {
                return calls;
            }
        }
    };
    assert_eq!(trim(0, 3).await, 1);
    assert_eq!(numbers("a").await, [1, 2, 3], "all are young and few enough");
    assert!(trim(16, 9).await >= 2, "two schedules a call");
    for id in ["a", "b", "c"] {
        assert_eq!(numbers(id).await, [2, 3], "what is of 16 is not before it");
    }
    trim(0, 1).await;
    for id in ["a", "b", "c"] {
        assert_eq!(numbers(id).await, [3]);
    }
    trim(1_000, 1).await;
    assert_eq!(numbers("b").await, [0; 0]);
    let request = rig.make.acquire_schedules(35, 1);
    let acquired = rig.a.schedule_acquire(request.clone()).await.expect("acquired").schedules;
    let id = acquired[0].schedule.id.clone();
    let jobs = vec![rig.make.fired(id.as_str(), 35)];
    let next = FireSchedule { id: id.clone(), token: request.token, ..fire_of(35, jobs) };
    rig.a.schedule_fire(vec![next]).await.expect("fired");
    assert_eq!(numbers(id.as_str()).await, [4], "a number is not given again");
}

async fn lines_go_with_their_schedule(rig: Rig) {
    for id in ["s", "other"] {
        rig.a.schedule_add(add(schedule(id, if id == "s" { 5 } else { 500 }))).await.expect("added");
    }
    let job = rig.make.fired("s", 5);
    let id = job.id;
    fire(&rig, fire_of(5, vec![job])).await;
    rig.a.job_cancel(id, None, t(6)).await.expect("cancelled");
    rig.a.schedule_remove(&schedule_id("s")).await.expect("removed");
    assert!(history(&rig, "s").await.is_empty());
    rig.a.schedule_add(add(schedule("s", 5))).await.expect("added");
    let last = FireSchedule { next_fire_time: None, ..fire_of(5, Vec::new()) };
    fire(&rig, FireSchedule { passed: Some(passed(5, 5, 1, Fate::CatchUp)), ..last }).await;
    assert_eq!(history(&rig, "s").await[0].number, 1, "it begins anew");
    rig.a.cleanup(t(1_000_000), 100).await.expect("cleaned up");
    rig.a.cleanup(t(1_000_000), 100).await.expect("cleaned up");
    assert_eq!(rig.b.schedule_get(&schedule_id("s")).await.expect("read"), None, "it is over and has no jobs");
    assert!(history(&rig, "s").await.is_empty());
}

async fn lines_stay_where_an_import_leaves_the_schedule_and_go_where_it_replaces_it(rig: Rig) {
    rig.a.schedule_add(add(schedule("s", 5))).await.expect("added");
    fire(&rig, fire_of(5, vec![rig.make.fired("s", 5)])).await;
    let there = rig.a.schedule_get(&schedule_id("s")).await.expect("read").expect("there");
    let restore = |schedule: Schedule| {
        let records = vec![Record::Schedule(Box::new(schedule))];
        rig.a.restore(Restore { now: t(6), records, conflict: ConflictPolicy::Replace, dry_run: false })
    };
    restore(there.clone()).await.expect("the same");
    assert_eq!(history(&rig, "s").await.len(), 1);
    restore(Schedule { trigger_state: "other".into(), ..there }).await.expect("replaced");
    assert!(history(&rig, "s").await.is_empty());
    fire(&rig, fire_of(15, vec![rig.make.fired("s", 15)])).await;
    assert_eq!(history(&rig, "s").await[0].number, 1);
}

async fn many_schedules_get_their_lines_in_one_call(rig: Rig) {
    for at in 0..150 {
        rig.a.schedule_add(add(schedule(&format!("s{at:03}"), 5))).await.expect("added");
    }
    for round in [5, 15] {
        let request = rig.make.acquire_schedules(round, 150);
        let acquired = rig.a.schedule_acquire(request.clone()).await.expect("acquired").schedules;
        let fires = acquired.iter().map(|leased| {
            let id = leased.schedule.id.clone();
            let jobs = vec![rig.make.fired(id.as_str(), round), rig.make.fired(id.as_str(), round + 1)];
            FireSchedule { id, token: request.token, overlap: Overlap::Skip, ..fire_of(round, jobs) }
        });
        rig.a.schedule_fire(fires.collect()).await.expect("fired");
    }
    for at in [0, 77, 149] {
        let lines = history(&rig, &format!("s{at:03}")).await;
        let expected =
            [(t(5), t(5), 1, Fate::Queued), (t(6), t(6), 1, Fate::Overlap), (t(15), t(16), 2, Fate::Overlap)];
        assert_eq!(shape(&lines), expected);
        assert_eq!(lines.iter().map(|line| line.number).collect::<Vec<_>>(), [1, 2, 3]);
    }
}
