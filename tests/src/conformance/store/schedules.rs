//! Schedules: adding, pausing, firing.

use std::time::Duration;

use host::model::{
    Coalesce, ConflictPolicy, GraceTime, JobId, JobSpec, LeaseToken, Overlap, Pause, PauseAfter, Schedule,
    ScheduleLife, Settings,
};
use host::store::{
    AddSchedule, AfterFire, FireSchedule, Fired, PauseSchedule, ResumeFrom, ScheduleAdded, ScheduleCounts,
    ScheduleFilter, SetSchedule, StoreError, Subject, UnpauseSchedule,
};

use super::{Rig, cases};
use crate::factory::{LEASE, add, fired, schedule, schedule_id, scheduler, t, task, task_id};

cases![
    a_schedule_is_read_back_as_it_was,
    a_taken_id_is_refused_and_nothing_changes,
    replacing_keeps_when_it_was_created_and_last_fired,
    skipping_keeps_the_old_one,
    several_schedules_are_added_together_or_none_of_them,
    schedules_are_listed_by_id_in_pages,
    schedules_can_be_listed_by_task,
    schedules_are_counted_and_those_that_are_paused,
    removing_answers_what_was_removed,
    due_schedules_are_acquired_earliest_first_with_their_tasks,
    a_leased_schedule_is_not_acquired_again_until_the_lease_runs_out,
    acquiring_again_with_the_same_token_answers_the_same,
    paused_and_finished_schedules_are_not_acquired,
    firing_stores_jobs_and_progress_and_ends_the_lease,
    firing_with_a_lost_lease_changes_nothing,
    a_fire_that_has_been_made_is_not_made_again,
    a_schedule_that_is_replaced_or_added_again_fires_its_times_again,
    a_lease_that_is_kept_holds_for_the_next_part_of_a_fire,
    a_schedule_that_is_put_off_is_free_and_looked_at_again_then,
    pausing_ends_the_lease_on_it,
    pausing_a_paused_one_keeps_its_reason,
    a_trigger_that_fails_pauses_its_schedule_with_the_reason,
    unpausing_goes_on_where_it_was_or_where_it_is_put,
    unpausing_what_has_changed_meanwhile_is_refused,
    a_schedule_that_is_set_keeps_its_place_and_loses_its_lease,
    setting_what_has_changed_or_fired_meanwhile_is_refused,
    the_next_due_time_is_the_earliest_fire_or_end_of_lease,
    replacing_a_leased_schedule_ends_the_lease,
    many_schedules_fire_in_one_call,
];

async fn a_schedule_is_read_back_as_it_was(rig: Rig) {
    let full = Schedule {
        coalesce: Coalesce::All,
        max_jitter: Duration::from_micros(1_500_001),
        settings: Settings {
            misfire_grace_time: Some(GraceTime::Within(Duration::from_secs(5))),
            priority: Some(-7),
            pause_after: Some(PauseAfter::Never),
            until_success: Some(true),
            max_fires: std::num::NonZeroU32::new(9),
            ..Settings::default()
        },
        fire_count: 8,
        failures: 3,
        pause: Some(Pause::Failed("no such zone".into())),
        last_fire_time: Some(t(-10)),
        ..schedule("nightly", 5)
    };
    assert_eq!(rig.a.schedule_add(add(full.clone())).await.expect("added"), ScheduleAdded::Added);
    assert_eq!(rig.b.schedule_get(&full.id).await.expect("read"), Some(full));
    assert_eq!(rig.b.schedule_get(&schedule_id("none")).await.expect("read"), None);
}

async fn a_taken_id_is_refused_and_nothing_changes(rig: Rig) {
    rig.a.schedule_add(add(schedule("s", 5))).await.expect("added");
    let again = rig.b.schedule_add(add(schedule("s", 99))).await;
    assert!(matches!(again, Err(StoreError::AlreadyExists(_))), "{again:?}");
    assert_eq!(rig.a.schedule_get(&schedule_id("s")).await.expect("read"), Some(schedule("s", 5)));
}

async fn replacing_keeps_when_it_was_created_and_last_fired(rig: Rig) {
    let old = Schedule { last_fire_time: Some(t(-5)), ..schedule("s", 5) };
    rig.a.schedule_add(add(old)).await.expect("added");
    let new = Schedule { created_at: t(50), task_id: task_id("p:other"), ..schedule("s", 60) };
    let request = AddSchedule { schedule: new.clone(), conflict: ConflictPolicy::Replace };
    assert_eq!(rig.b.schedule_add(request).await.expect("replaced"), ScheduleAdded::Replaced);
    let stored = rig.a.schedule_get(&new.id).await.expect("read").expect("there");
    assert_eq!(stored, Schedule { created_at: t(0), last_fire_time: Some(t(-5)), ..new });
}

async fn skipping_keeps_the_old_one(rig: Rig) {
    rig.a.schedule_add(add(schedule("s", 5))).await.expect("added");
    let request = AddSchedule { schedule: schedule("s", 99), conflict: ConflictPolicy::Skip };
    assert_eq!(rig.a.schedule_add(request).await.expect("skipped"), ScheduleAdded::Skipped);
    assert_eq!(rig.b.schedule_get(&schedule_id("s")).await.expect("read"), Some(schedule("s", 5)));
}

async fn several_schedules_are_added_together_or_none_of_them(rig: Rig) {
    assert_eq!(rig.a.schedule_add_all(Vec::new()).await.expect("nothing is added"), []);
    rig.a.schedule_add(add(schedule("taken", 5))).await.expect("added");
    for third in ["taken", "first"] {
        let requests = vec![add(schedule("first", 1)), add(schedule("second", 2)), add(schedule(third, 3))];
        let refused = rig.b.schedule_add_all(requests).await;
        let Err(StoreError::AlreadyExists(subject)) = refused else { panic!("{refused:?}") };
        assert_eq!(subject, Subject::Schedule(schedule_id(third)));
        assert_eq!(rig.a.schedule_counts().await.expect("counted").all, 1, "{third}");
    }
    let under = |conflict, id, due| AddSchedule { schedule: schedule(id, due), conflict };
    let requests = vec![
        under(ConflictPolicy::Error, "first", 1),
        under(ConflictPolicy::Replace, "taken", 7),
        under(ConflictPolicy::Skip, "first", 9),
    ];
    let added = rig.b.schedule_add_all(requests).await.expect("added");
    assert_eq!(added, [ScheduleAdded::Added, ScheduleAdded::Replaced, ScheduleAdded::Skipped]);
    for (id, due) in [("first", 1), ("taken", 7)] {
        assert_eq!(rig.a.schedule_get(&schedule_id(id)).await.expect("read"), Some(schedule(id, due)));
    }
    assert_eq!(rig.a.schedule_next_due().await.expect("read"), Some(t(1)));
}

async fn schedules_are_listed_by_id_in_pages(rig: Rig) {
    for id in ["d", "a", "c", "b", "E"] {
        rig.a.schedule_add(add(schedule(id, 5))).await.expect("added");
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let filter = ScheduleFilter { after, limit: 2, ..ScheduleFilter::default() };
        let page = rig.b.schedule_list(filter).await.expect("listed");
        assert!(page.rows.len() <= 2);
        seen.extend(page.rows.iter().map(|row| row.id.to_string()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["E", "a", "b", "c", "d"]);
}

async fn schedules_are_counted_and_those_that_are_paused(rig: Rig) {
    assert_eq!(rig.b.schedule_counts().await.expect("counted"), ScheduleCounts::default());
    for at in 0..5 {
        rig.a.schedule_add(add(schedule(&format!("s{at}"), at))).await.expect("added");
    }
    // One that has no more fire times rests, and is not paused.
    rig.a.schedule_add(add(Schedule { next_fire_time: None, ..schedule("over", 0) })).await.expect("added");
    assert_eq!(rig.b.schedule_counts().await.expect("counted"), ScheduleCounts { all: 6, paused: 0 });
    for id in ["s1", "s3", "over"] {
        let request = PauseSchedule { id: schedule_id(id), reason: Pause::Asked };
        rig.a.schedule_pause(request).await.expect("paused");
    }
    assert_eq!(rig.b.schedule_counts().await.expect("counted"), ScheduleCounts { all: 6, paused: 3 });
    rig.a.schedule_remove(&schedule_id("s1")).await.expect("removed");
    assert_eq!(rig.b.schedule_counts().await.expect("counted"), ScheduleCounts { all: 5, paused: 2 });
}

async fn schedules_can_be_listed_by_task(rig: Rig) {
    rig.a.schedule_add(add(schedule("mine", 5))).await.expect("added");
    rig.a.schedule_add(add(Schedule { task_id: task_id("p:other"), ..schedule("other", 5) })).await.expect("added");
    let filter = ScheduleFilter { task_id: Some(task_id("p:other")), limit: 10, ..ScheduleFilter::default() };
    let page = rig.b.schedule_list(filter).await.expect("listed");
    assert_eq!(page.rows.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["other"]);
}

async fn removing_answers_what_was_removed(rig: Rig) {
    rig.a.schedule_add(add(schedule("s", 5))).await.expect("added");
    let removed = rig.b.schedule_remove(&schedule_id("s")).await.expect("removed").expect("it was there");
    assert_eq!((removed.task_id, removed.schedule), (Some(task_id("p:work")), Ok(schedule("s", 5))));
    assert_eq!(rig.a.schedule_remove(&schedule_id("s")).await.expect("asked"), None);
    assert_eq!(rig.a.schedule_next_due().await.expect("read"), None);
}

async fn due_schedules_are_acquired_earliest_first_with_their_tasks(rig: Rig) {
    rig.a.task_put(task("p:work", None)).await.expect("stored");
    for (id, due) in [("late", 5), ("early", 1), ("next", 3), ("future", 11)] {
        rig.a.schedule_add(add(schedule(id, due))).await.expect("added");
    }
    rig.a.schedule_add(add(Schedule { task_id: task_id("gone"), ..schedule("orphan", 4) })).await.expect("added");
    let two = rig.a.schedule_acquire(rig.make.acquire_schedules(10, 2)).await.expect("acquired").schedules;
    assert_eq!(two.iter().map(|leased| leased.schedule.id.as_str()).collect::<Vec<_>>(), ["early", "next"]);
    assert_eq!(two[0].task, Ok(Some(task("p:work", None))));
    let rest = rig.b.schedule_acquire(rig.make.acquire_schedules(10, 9)).await.expect("acquired").schedules;
    assert_eq!(rest.iter().map(|leased| leased.schedule.id.as_str()).collect::<Vec<_>>(), ["orphan", "late"]);
    assert_eq!(rest[0].task, Ok(None));
}

async fn a_leased_schedule_is_not_acquired_again_until_the_lease_runs_out(rig: Rig) {
    rig.a.schedule_add(add(schedule("s", 5))).await.expect("added");
    let first = rig.make.acquire_schedules(5, 1);
    assert_eq!(rig.a.schedule_acquire(first).await.expect("acquired").schedules.len(), 1);
    assert!(rig.b.schedule_acquire(rig.make.acquire_schedules(14, 1)).await.expect("asked").schedules.is_empty());
    assert_eq!(rig.b.schedule_acquire(rig.make.acquire_schedules(15, 1)).await.expect("acquired").schedules.len(), 1);
}

async fn acquiring_again_with_the_same_token_answers_the_same(rig: Rig) {
    for (id, due) in [("a", 2), ("b", 1), ("c", 3)] {
        rig.a.schedule_add(add(schedule(id, due))).await.expect("added");
    }
    let request = rig.make.acquire_schedules(5, 2);
    let names = |acquired: host::store::AcquiredSchedules| {
        acquired.schedules.iter().map(|leased| leased.schedule.id.to_string()).collect::<Vec<_>>()
    };
    let first = names(rig.a.schedule_acquire(request.clone()).await.expect("acquired"));
    assert_eq!(first, ["b", "a"]);
    assert_eq!(names(rig.b.schedule_acquire(request).await.expect("acquired")), first);
}

async fn paused_and_finished_schedules_are_not_acquired(rig: Rig) {
    rig.a.schedule_add(add(Schedule { pause: Some(Pause::Asked), ..schedule("paused", 1) })).await.expect("added");
    rig.a.schedule_add(add(Schedule { next_fire_time: None, ..schedule("over", 1) })).await.expect("added");
    assert!(rig.b.schedule_acquire(rig.make.acquire_schedules(100, 9)).await.expect("asked").schedules.is_empty());
    assert_eq!(rig.b.schedule_next_due().await.expect("read"), None);
}

/// Leases the schedule `s`, which is due at 5.
async fn leased(rig: &Rig) -> FireSchedule {
    rig.a.schedule_add(add(schedule("s", 5))).await.expect("added");
    let request = rig.make.acquire_schedules(5, 1);
    rig.a.schedule_acquire(request.clone()).await.expect("acquired");
    FireSchedule {
        id: schedule_id("s"),
        token: request.token,
        jobs: vec![rig.make.fired("s", 5)],
        trigger_state: "moved".into(),
        next_fire_time: Some(t(15)),
        last_fire_time: Some(t(5)),
        at: t(5),
        overlap: Overlap::default(),
        max_fires: None,
        continues: false,
        passed: None,
        then: AfterFire::Free,
    }
}

async fn firing_stores_jobs_and_progress_and_ends_the_lease(rig: Rig) {
    let fire = leased(&rig).await;
    assert_eq!(rig.a.schedule_fire(vec![fire.clone()]).await.expect("fired"), [fired()]);
    let stored = rig.b.schedule_get(&fire.id).await.expect("read").expect("there");
    assert_eq!(stored.trigger_state, "moved");
    assert_eq!((stored.next_fire_time, stored.last_fire_time), (Some(t(15)), Some(t(5))));
    assert_eq!(rig.job(fire.jobs[0].id).await.spec, fire.jobs[0]);
    assert_eq!(rig.b.schedule_acquire(rig.make.acquire_schedules(15, 1)).await.expect("acquired").schedules.len(), 1);
}

async fn firing_with_a_lost_lease_changes_nothing(rig: Rig) {
    let late = leased(&rig).await;
    let taken = rig.b.schedule_acquire(rig.make.acquire_schedules(20, 1)).await.expect("acquired");
    assert_eq!(taken.schedules.len(), 1);
    assert_eq!(rig.a.schedule_fire(vec![late.clone()]).await.expect("asked"), [Fired::LeaseLost]);
    assert_eq!(rig.b.job_get(late.jobs[0].id).await.expect("read"), None);
    assert_eq!(rig.b.schedule_get(&late.id).await.expect("read"), Some(schedule("s", 5)));
}

async fn a_fire_that_has_been_made_is_not_made_again(rig: Rig) {
    let fire = leased(&rig).await;
    let made = rig.add(rig.make.fired("s", 5)).await;
    let answers = rig.a.schedule_fire(vec![fire.clone()]).await.expect("fired");
    assert_eq!(left_out(&answers), [fire.jobs[0].id]);
    assert_eq!(rig.b.job_get(fire.jobs[0].id).await.expect("read"), None, "that fire had its job");
    assert!(rig.b.job_get(made.id).await.expect("read").is_some());
    assert_eq!(rig.b.job_counts().await.expect("counted").queued, 1);
}

async fn a_schedule_that_is_replaced_or_added_again_fires_its_times_again(rig: Rig) {
    let fire = leased(&rig).await;
    assert_eq!(rig.a.schedule_fire(vec![fire]).await.expect("fired"), [fired()]);
    for (life, is_removed) in [(8, false), (9, true)] {
        if is_removed {
            rig.b.schedule_remove(&schedule_id("s")).await.expect("removed").expect("it was there");
        }
        let life = ScheduleLife::from_number(life);
        let request =
            AddSchedule { schedule: Schedule { life, ..schedule("s", 5) }, conflict: ConflictPolicy::Replace };
        rig.b.schedule_add(request).await.expect("stored");
        let request = rig.make.acquire_schedules(6, 1);
        let again = rig.a.schedule_acquire(request.clone()).await.expect("acquired").schedules.remove(0).schedule;
        assert_eq!(again.life, life);
        let job = JobSpec { schedule_life: life, ..rig.make.fired("s", 5) };
        let id = job.id;
        let fire = FireSchedule { token: request.token, ..fire_of(vec![job, rig.make.fired("s", 5)]) };
        let second = fire.jobs[1].id;
        assert_eq!(left_out(&rig.a.schedule_fire(vec![fire]).await.expect("fired")), [second]);
        assert_eq!(rig.job(id).await.spec.schedule_life, life);
    }
}

async fn a_lease_that_is_kept_holds_for_the_next_part_of_a_fire(rig: Rig) {
    let first = leased(&rig).await;
    let first =
        FireSchedule { then: AfterFire::Keep { now: t(20), lease: LEASE }, next_fire_time: Some(t(6)), ..first };
    let rest = FireSchedule { token: first.token, ..fire_of(vec![rig.make.fired("s", 6)]) };
    assert_eq!(rig.a.schedule_fire(vec![first.clone()]).await.expect("fired"), [fired()]);
    assert!(rig.b.schedule_acquire(rig.make.acquire_schedules(29, 1)).await.expect("asked").schedules.is_empty());
    assert_eq!(rig.b.schedule_next_due().await.expect("read"), Some(t(30)), "the end of the lease");
    // The answer was lost, and the part is sent again.
    let again = FireSchedule { jobs: vec![rig.make.fired("s", 5)], ..first };
    assert_eq!(left_out(&rig.a.schedule_fire(vec![again.clone()]).await.expect("fired")), [again.jobs[0].id]);
    assert_eq!(rig.a.schedule_fire(vec![rest]).await.expect("fired"), [fired()]);
    assert_eq!(rig.b.job_counts().await.expect("counted").queued, 2);
    assert_eq!(rig.a.schedule_fire(vec![again]).await.expect("asked"), [Fired::LeaseLost], "the lease has ended");
}

async fn a_schedule_that_is_put_off_is_free_and_looked_at_again_then(rig: Rig) {
    let fire = leased(&rig).await;
    let put_off = FireSchedule {
        jobs: Vec::new(),
        trigger_state: "{}".into(),
        next_fire_time: Some(t(5)),
        last_fire_time: None,
        then: AfterFire::PutOff { until: t(20) },
        ..fire
    };
    assert_eq!(rig.a.schedule_fire(vec![put_off]).await.expect("stored"), [fired()]);
    assert_eq!(rig.b.schedule_get(&schedule_id("s")).await.expect("read"), Some(schedule("s", 5)), "it is as it was");
    assert_eq!(rig.b.schedule_next_due().await.expect("read"), Some(t(20)));
    assert!(rig.b.schedule_acquire(rig.make.acquire_schedules(19, 1)).await.expect("asked").schedules.is_empty());
    assert_eq!(rig.b.schedule_acquire(rig.make.acquire_schedules(20, 1)).await.expect("acquired").schedules.len(), 1);
}

/// The jobs that the only fire of a call has left out.
fn left_out(answers: &[Fired]) -> Vec<JobId> {
    match answers {
        [Fired::Stored { left_out, .. }] => left_out.clone(),
        other => panic!("not stored: {other:?}"),
    }
}

/// A fire of the schedule `s` that goes on at 15.
fn fire_of(jobs: Vec<JobSpec>) -> FireSchedule {
    FireSchedule {
        id: schedule_id("s"),
        token: LeaseToken::from_bytes([0; 16]),
        jobs,
        trigger_state: "moved".into(),
        next_fire_time: Some(t(15)),
        last_fire_time: Some(t(5)),
        at: t(5),
        overlap: Overlap::default(),
        max_fires: None,
        continues: false,
        passed: None,
        then: AfterFire::Free,
    }
}

async fn pausing_ends_the_lease_on_it(rig: Rig) {
    let fire = leased(&rig).await;
    let paused =
        rig.b.schedule_pause(PauseSchedule { id: fire.id.clone(), reason: Pause::Asked }).await.expect("paused");
    assert_eq!(paused.pause, Some(Pause::Asked));
    assert_eq!(rig.a.schedule_fire(vec![fire]).await.expect("asked"), [Fired::LeaseLost]);
}

async fn pausing_a_paused_one_keeps_its_reason(rig: Rig) {
    let broken = Pause::Failed("why".into());
    rig.a.schedule_add(add(Schedule { pause: Some(broken.clone()), ..schedule("s", 5) })).await.expect("added");
    let id = schedule_id("s");
    let again = rig.b.schedule_pause(PauseSchedule { id, reason: Pause::Asked }).await.expect("paused");
    assert_eq!(again.pause, Some(broken));
    let none = rig.b.schedule_pause(PauseSchedule { id: schedule_id("none"), reason: Pause::Asked }).await;
    assert!(matches!(none, Err(StoreError::NotFound(_))), "{none:?}");
}

async fn a_trigger_that_fails_pauses_its_schedule_with_the_reason(rig: Rig) {
    let fire = leased(&rig).await;
    let broken = Pause::Failed("the zone is gone".into());
    let failing =
        FireSchedule { jobs: Vec::new(), then: AfterFire::Pause(broken.clone()), last_fire_time: None, ..fire };
    assert_eq!(rig.a.schedule_fire(vec![failing]).await.expect("fired"), [fired()]);
    let stored = rig.b.schedule_get(&schedule_id("s")).await.expect("read").expect("there");
    assert_eq!((stored.pause, stored.last_fire_time), (Some(broken), None));
    assert_eq!(rig.b.schedule_next_due().await.expect("read"), None);
}

async fn unpausing_goes_on_where_it_was_or_where_it_is_put(rig: Rig) {
    let id = schedule_id("s");
    rig.a.schedule_add(add(Schedule { pause: Some(Pause::Asked), ..schedule("s", 5) })).await.expect("added");
    let going = rig.a.schedule_unpause(UnpauseSchedule { id: id.clone(), resume: None }).await.expect("unpaused");
    assert_eq!((going.pause, going.next_fire_time), (None, Some(t(5))));
    let resume = ResumeFrom {
        expected_next_fire_time: Some(t(5)),
        trigger_state: "ahead".into(),
        next_fire_time: Some(t(100)),
        at: t(50),
        passed: None,
    };
    let ahead = rig.a.schedule_unpause(UnpauseSchedule { id, resume: Some(resume) }).await.expect("moved");
    assert_eq!((ahead.trigger_state.as_str(), ahead.next_fire_time), ("ahead", Some(t(100))));
    assert_eq!(rig.b.schedule_next_due().await.expect("read"), Some(t(100)));
}

async fn unpausing_what_has_changed_meanwhile_is_refused(rig: Rig) {
    rig.a.schedule_add(add(Schedule { pause: Some(Pause::Asked), ..schedule("s", 5) })).await.expect("added");
    let resume = ResumeFrom {
        expected_next_fire_time: Some(t(4)),
        trigger_state: "x".into(),
        next_fire_time: None,
        at: t(50),
        passed: None,
    };
    let refused = rig.a.schedule_unpause(UnpauseSchedule { id: schedule_id("s"), resume: Some(resume) }).await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
    let stored = rig.b.schedule_get(&schedule_id("s")).await.expect("read").expect("there");
    assert_eq!((stored.pause, stored.next_fire_time), (Some(Pause::Asked), Some(t(5))));
}

async fn a_schedule_that_is_set_keeps_its_place_and_loses_its_lease(rig: Rig) {
    let old = Schedule { last_fire_time: Some(t(-5)), ..schedule("s", 5) };
    rig.a.schedule_add(add(old.clone())).await.expect("added");
    let request = rig.make.acquire_schedules(6, 10);
    let token = request.token;
    assert_eq!(rig.a.schedule_acquire(request).await.expect("leased").schedules.len(), 1);
    let new = Schedule { max_jitter: Duration::from_secs(3), next_fire_time: Some(t(8)), ..old.clone() };
    rig.b
        .schedule_set(SetSchedule { expected: old.clone(), schedule: new.clone(), at: t(50), passed: None })
        .await
        .expect("set");
    assert_eq!(rig.a.schedule_get(&old.id).await.expect("read"), Some(new.clone()));
    assert_eq!(rig.a.schedule_fire(vec![plain_fire(&old, token)]).await.expect("answered"), [Fired::LeaseLost]);
    assert_eq!(rig.a.schedule_next_due().await.expect("read"), Some(t(8)));
    let due = rig.a.schedule_acquire(rig.make.acquire_schedules(8, 10)).await.expect("leased").schedules;
    assert_eq!(due.len(), 1);
    assert_eq!(due[0].schedule, new);
    let paused = Schedule { pause: Some(Pause::Asked), ..new.clone() };
    rig.b.schedule_set(SetSchedule { expected: new, schedule: paused, at: t(50), passed: None }).await.expect("set");
    assert_eq!(rig.a.schedule_next_due().await.expect("read"), None);
}

/// A fire without jobs, after which the trigger stands elsewhere.
fn plain_fire(schedule: &Schedule, token: LeaseToken) -> FireSchedule {
    FireSchedule {
        id: schedule.id.clone(),
        token,
        jobs: Vec::new(),
        trigger_state: "further".to_owned(),
        next_fire_time: schedule.next_fire_time,
        last_fire_time: None,
        at: t(5),
        overlap: Overlap::default(),
        max_fires: None,
        continues: false,
        passed: None,
        then: AfterFire::Free,
    }
}

async fn setting_what_has_changed_or_fired_meanwhile_is_refused(rig: Rig) {
    let seen = schedule("s", 5);
    rig.a.schedule_add(add(seen.clone())).await.expect("added");
    let set = async |expected: &Schedule, micros| {
        let schedule = Schedule { max_jitter: Duration::from_micros(micros), ..expected.clone() };
        rig.b.schedule_set(SetSchedule { expected: expected.clone(), schedule, at: t(50), passed: None }).await
    };
    set(&seen, 1).await.expect("set");
    let refused = set(&seen, 2).await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
    let seen = rig.a.schedule_get(&seen.id).await.expect("read").expect("there");
    assert_eq!(seen.max_jitter, Duration::from_micros(1));
    let request = rig.make.acquire_schedules(6, 10);
    let token = request.token;
    rig.a.schedule_acquire(request).await.expect("leased");
    rig.a.schedule_fire(vec![plain_fire(&seen, token)]).await.expect("fired");
    let refused = set(&seen, 3).await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
    let none = set(&schedule("none", 5), 4).await;
    assert!(matches!(none, Err(StoreError::NotFound(_))), "{none:?}");
}

async fn the_next_due_time_is_the_earliest_fire_or_end_of_lease(rig: Rig) {
    assert_eq!(rig.a.schedule_next_due().await.expect("read"), None);
    rig.a.schedule_add(add(schedule("b", 30))).await.expect("added");
    rig.a.schedule_add(add(schedule("a", 5))).await.expect("added");
    assert_eq!(rig.b.schedule_next_due().await.expect("read"), Some(t(5)));
    rig.a.schedule_acquire(rig.make.acquire_schedules(6, 1)).await.expect("acquired");
    assert_eq!(rig.b.schedule_next_due().await.expect("read"), Some(t(16)), "the end of the lease");
}

async fn replacing_a_leased_schedule_ends_the_lease(rig: Rig) {
    let fire = leased(&rig).await;
    let request = AddSchedule { schedule: schedule("s", 7), conflict: ConflictPolicy::Replace };
    rig.b.schedule_add(request).await.expect("replaced");
    assert_eq!(rig.a.schedule_fire(vec![fire]).await.expect("asked"), [Fired::LeaseLost]);
    let request = host::store::AcquireSchedules { holder: scheduler("two"), ..rig.make.acquire_schedules(7, 1) };
    assert_eq!(rig.b.schedule_acquire(request).await.expect("acquired").schedules.len(), 1);
}

async fn many_schedules_fire_in_one_call(rig: Rig) {
    for at in 0..150 {
        rig.a.schedule_add(add(schedule(&format!("s{at:03}"), 5))).await.expect("added");
    }
    let request = rig.make.acquire_schedules(5, 150);
    let acquired = rig.a.schedule_acquire(request.clone()).await.expect("acquired").schedules;
    assert_eq!(acquired.len(), 150);
    let fires = acquired.iter().map(|leased| FireSchedule {
        id: leased.schedule.id.clone(),
        token: request.token,
        jobs: vec![rig.make.fired(leased.schedule.id.as_str(), 5)],
        trigger_state: "moved".into(),
        next_fire_time: None,
        last_fire_time: Some(t(5)),
        at: t(5),
        overlap: Overlap::default(),
        max_fires: None,
        continues: false,
        passed: None,
        then: AfterFire::Free,
    });
    let answers = rig.a.schedule_fire(fires.collect()).await.expect("fired");
    assert!(answers.iter().all(|answer| *answer == fired()));
    assert_eq!(rig.b.job_counts().await.expect("counted").queued, 150);
    assert_eq!(rig.b.schedule_next_due().await.expect("read"), None);
}
