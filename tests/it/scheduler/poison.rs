//! Things that cannot be read, and things that the store refuses: each costs itself, and nobody else.

use std::sync::Arc;
use std::time::Duration;

use host::broker::{Delivery, Subscription};
use host::clock::Clock;
use host::model::{Coalesce, ErrorKind, EventKind, JobId, JobState, Outcome, Pause, Payload, ScheduleId, Settings};
use host::scheduler::Handle;
use host::store::memory::MemoryStore;
use host::store::{AddSchedule, Defect, JobQueue as _, ScheduleQueue as _, UnpauseSchedule};
use tests::doubles::damaged::{Damaged, Refusal};
use tests::stage::{Stage, at, succeed, unlimited};
use tests::wait::wait_for;

/// Every ten seconds.
const TENS: &str = r#"{"type":"interval","seconds":10}"#;

/// A stage whose store can be damaged.
struct Poisoned {
    stage: Stage,
    store: Arc<Damaged>,
    events: Subscription,
}

impl Poisoned {
    fn new() -> Poisoned {
        let store = Arc::new(Damaged::new(Arc::new(MemoryStore::new())));
        let stage = Stage::with_store(Arc::<Damaged>::clone(&store));
        let events = stage.broker.subscribe();
        Poisoned { stage, store, events }
    }

    async fn event(&mut self, is_it: impl Fn(&EventKind) -> bool) -> EventKind {
        loop {
            match self.events.next().await.expect("the broker delivers") {
                Delivery::Event(event) if is_it(&event.kind) => return event.kind,
                _ => {}
            }
        }
    }

    /// Queues jobs of tasks, in that order.
    async fn queue(&self, tasks: &[&str]) -> Vec<JobId> {
        let mut jobs = Vec::new();
        for name in tasks {
            let task = self.stage.task(name, unlimited(), succeed()).await;
            jobs.push(self.stage.job(&task).await);
        }
        let ids = jobs.iter().map(|job| job.id).collect();
        self.store.job_add(jobs).await.expect("the store takes jobs");
        ids
    }

    async fn finishes_after(&self, id: JobId) {
        let is_over = || async { self.stage.stored(id).await.state == JobState::Finished };
        self.stage.advance_until("a job to finish", Duration::from_millis(500), is_over).await;
    }

    /// The fire times of a schedule that have jobs.
    async fn fires(&self, id: &ScheduleId) -> Vec<host::model::Timestamp> {
        let jobs = self.stage.jobs().await;
        let mut times: Vec<_> = jobs
            .iter()
            .filter(|job| job.spec.schedule_id.as_ref() == Some(id))
            .filter_map(|job| job.spec.scheduled_fire_time)
            .collect();
        times.sort();
        times
    }

    async fn pause_of(&self, id: &ScheduleId) -> Option<Pause> {
        self.store.schedule_get(id).await.expect("the store answers").expect("it exists").pause
    }

    async fn passes(&self, time: Duration, step: Duration) {
        let end = self.stage.clock.now().saturating_add(time);
        self.stage.advance_until("time to pass", step, || async { self.stage.clock.now() >= end }).await;
    }

    async fn stop(self, scheduler: Handle) {
        self.stage.stop_in_time(scheduler).await;
    }
}

#[tokio::test]
async fn a_task_that_cannot_be_read_ends_its_own_jobs_and_costs_no_other_an_attempt() {
    let on = Poisoned::new();
    let ids = on.queue(&["damaged", "good", "newer", "damaged", "good", "newer"]).await;
    for (name, defect) in [("damaged", Defect::damaged("a disk failed")), ("newer", Defect::newer("overlap"))] {
        on.store.damage().tasks.insert(name.parse().expect("an id"), defect);
    }
    let scheduler = on.stage.start(Stage::options("one")).await;
    for good in [ids[1], ids[4]] {
        let job = on.stage.finished(good).await;
        assert_eq!((job.outcome, job.attempt, job.crashes), (Some(Outcome::Success), 1, 0));
    }
    for damaged in [ids[0], ids[3]] {
        let job = on.stage.finished(damaged).await;
        let error = job.error.expect("it has an error");
        assert_eq!((job.outcome, job.attempt, job.crashes), (Some(Outcome::Error), 1, 0));
        assert_eq!(error.kind, ErrorKind::PluginUnavailable);
        assert!(error.message.contains("a disk failed"), "{error:?}");
    }
    on.passes(Duration::from_secs(300), Duration::from_secs(1)).await;
    for newer in [ids[2], ids[5]] {
        let job = on.stage.stored(newer).await;
        assert_eq!((job.state, job.attempt, job.crashes), (JobState::Queued, 0, 0), "it waits for whoever can read it");
    }
    on.store.damage().tasks.clear();
    for newer in [ids[2], ids[5]] {
        on.finishes_after(newer).await;
        assert_eq!(on.stage.stored(newer).await.attempt, 1);
    }
    on.stop(scheduler).await;
}

#[tokio::test]
async fn a_look_up_that_fails_for_a_while_costs_nobody_an_attempt() {
    let on = Poisoned::new();
    let ids = on.queue(&["a", "b", "a", "c"]).await;
    on.store.damage().failing_lookups = 5;
    let scheduler = on.stage.start(Stage::options("one")).await;
    for id in ids {
        on.finishes_after(id).await;
        let job = on.stage.stored(id).await;
        assert_eq!((job.outcome, job.attempt, job.crashes), (Some(Outcome::Success), 1, 0));
    }
    assert!(on.store.calls("task_get") < 5 + 20, "each look at the store asked {} times", on.store.calls("task_get"));
    on.stop(scheduler).await;
}

#[tokio::test]
async fn jobs_that_only_a_newer_version_understands_are_left_alone_and_block_nobody() {
    let on = Poisoned::new();
    let ids = on.queue(&["t", "t", "t", "t", "t"]).await;
    for newer in &ids[..4] {
        on.store.damage().jobs.insert(*newer, Defect::newer("a state"));
    }
    let options = host::scheduler::Options { max_concurrent_jobs: 2, ..Stage::options("older") };
    let scheduler = on.stage.start(options).await;
    assert_eq!(on.stage.finished(ids[4]).await.attempt, 1);
    on.passes(Duration::from_secs(120), Duration::from_secs(1)).await;
    assert!(on.store.calls("job_acquire") < 500, "{} looks", on.store.calls("job_acquire"));
    assert!(on.stage.executor.attempts().iter().all(|(id, _)| *id == ids[4]), "they were not run");
    on.store.damage().jobs.clear();
    for newer in &ids[..4] {
        on.finishes_after(*newer).await;
        let job = on.stage.stored(*newer).await;
        assert_eq!((job.outcome, job.attempt, job.crashes), (Some(Outcome::Success), 1, 0));
    }
    on.stop(scheduler).await;
}

#[tokio::test]
async fn a_fire_that_is_refused_pauses_its_schedule_and_delays_no_other() {
    let mut on = Poisoned::new();
    let task = on.stage.task("t", unlimited(), succeed()).await;
    let mut schedules = Vec::new();
    for id in ["a", "b", "bad", "d", "e"] {
        schedules.push(on.stage.schedule(id, &task, TENS, Coalesce::All).await);
    }
    let bad = schedules.remove(2);
    on.store.damage().refused_fires.insert(bad.clone(), Refusal::Rejected);
    let scheduler = on.stage.start(Stage::options("one")).await;
    let told = on.event(|kind| matches!(kind, EventKind::ScheduleFailed { .. })).await;
    let EventKind::ScheduleFailed { schedule_id, message } = told else { panic!("{told:?}") };
    assert_eq!(schedule_id, bad);
    assert!(matches!(on.pause_of(&bad).await, Some(Pause::Failed(reason)) if reason == message));
    for id in &schedules {
        assert_eq!(on.fires(id).await, [at("12:00:00")]);
    }
    assert!(on.fires(&bad).await.is_empty());
    // Whoever mends it has every fire that is due.
    on.store.damage().refused_fires.clear();
    on.stage.clock.advance(Duration::from_secs(10));
    let unpause = UnpauseSchedule { id: bad.clone(), resume: None };
    on.store.schedule_unpause(unpause).await.expect("it is paused");
    on.passes(Duration::from_secs(2), Duration::from_millis(500)).await;
    wait_for("the fires", || async { (on.fires(&bad).await.len() == 2).then_some(()) }).await;
    on.stop(scheduler).await;
}

#[tokio::test]
async fn a_fire_that_keeps_failing_is_put_back_and_pauses_its_schedule_only_while_others_are_stored() {
    let on = Poisoned::new();
    let task = on.stage.task("t", unlimited(), succeed()).await;
    let bad = on.stage.schedule("bad", &task, TENS, Coalesce::All).await;
    on.store.damage().refused_fires.insert(bad.clone(), Refusal::Transient);
    let scheduler = on.stage.start(Stage::options("one")).await;
    on.passes(Duration::from_secs(600), Duration::from_secs(1)).await;
    assert_eq!(on.pause_of(&bad).await, None, "it may be the store, not the schedule");
    let tries = on.store.calls("schedule_fire");
    assert!(tries < 100, "{tries} tries in ten minutes");
    let good = on.stage.schedule("good", &task, TENS, Coalesce::All).await;
    let is_paused = || async { on.pause_of(&bad).await.is_some() };
    on.stage.advance_until("the schedule to be paused", Duration::from_secs(1), is_paused).await;
    assert!(!on.fires(&good).await.is_empty());
    on.stop(scheduler).await;
}

#[tokio::test]
async fn a_schedule_that_fails_for_a_while_has_every_fire_afterwards() {
    let on = Poisoned::new();
    let task = on.stage.task("t", unlimited(), succeed()).await;
    let bad = on.stage.schedule("bad", &task, TENS, Coalesce::All).await;
    on.store.damage().refused_fires.insert(bad.clone(), Refusal::Transient);
    let scheduler = on.stage.start(Stage::options("one")).await;
    on.passes(Duration::from_secs(30), Duration::from_secs(1)).await;
    assert!(on.fires(&bad).await.is_empty());
    on.store.damage().refused_fires.clear();
    let has_fired = || async { on.fires(&bad).await.len() >= 6 };
    on.stage.advance_until("the fires", Duration::from_secs(1), has_fired).await;
    let times = on.fires(&bad).await;
    let expected: Vec<_> =
        (0..times.len() as u64).map(|n| at("12:00:00").saturating_add(Duration::from_secs(10 * n))).collect();
    assert_eq!(times, expected);
    on.stop(scheduler).await;
}

#[tokio::test]
async fn a_due_schedule_that_somebody_else_holds_makes_nobody_spin() {
    let on = Poisoned::new();
    let task = on.stage.task("t", unlimited(), succeed()).await;
    let id = on.stage.schedule("s", &task, TENS, Coalesce::Latest).await;
    on.store.damage().locked.insert(id.clone());
    let scheduler = on.stage.start(Stage::options("one")).await;
    // Real time in which the clock stands still: whoever spins does so now.
    let steps = 100;
    for _ in 0..steps {
        on.passes(Duration::from_millis(50), Duration::from_millis(50)).await;
    }
    let looks = on.store.calls("schedule_acquire");
    assert!((10..=steps).contains(&looks), "{looks} looks in five seconds");
    on.store.damage().locked.clear();
    let has_fired = || async { !on.fires(&id).await.is_empty() };
    on.stage.advance_until("the schedule to fire", Duration::from_millis(50), has_fired).await;
    on.stop(scheduler).await;
}

#[tokio::test]
async fn a_result_that_is_refused_ends_its_job_with_an_error_and_every_other_is_stored() {
    let on = Poisoned::new();
    let ids = on.queue(&["t"; 9]).await;
    on.store.damage().refused_results.insert(ids[4], Refusal::Rejected);
    let scheduler = on.stage.start(Stage::options("one")).await;
    for id in &ids {
        on.finishes_after(*id).await;
        let job = on.stage.stored(*id).await;
        assert_eq!((job.attempt, job.crashes), (1, 0));
        if *id == ids[4] {
            let error = job.error.expect("it says why");
            assert_eq!((job.outcome, error.kind), (Some(Outcome::Error), ErrorKind::HostError), "{error:?}");
            assert!(job.result.is_none());
        } else {
            assert_eq!(job.outcome, Some(Outcome::Success));
        }
    }
    on.stop(scheduler).await;
}

#[tokio::test]
async fn what_a_newer_version_wrote_of_a_schedule_waits_and_fires_once_it_is_understood() {
    let on = Poisoned::new();
    let task = on.stage.task("t", unlimited(), succeed()).await;
    let newer = on.stage.schedule("newer", &task, TENS, Coalesce::All).await;
    let good = on.stage.schedule("good", &task, TENS, Coalesce::All).await;
    on.store.damage().schedules.insert(newer.clone(), Defect::newer("a policy"));
    let scheduler = on.stage.start(Stage::options("older")).await;
    on.passes(Duration::from_secs(60), Duration::from_millis(500)).await;
    assert!(on.fires(&newer).await.is_empty());
    assert!(on.fires(&good).await.len() >= 6);
    on.store.damage().schedules.clear();
    let has_fired = || async { on.fires(&newer).await.len() >= 7 };
    on.stage.advance_until("the schedule to fire", Duration::from_millis(500), has_fired).await;
    assert_eq!(on.fires(&newer).await[0], at("12:00:00"));
    on.stop(scheduler).await;
}

#[tokio::test]
async fn much_to_catch_up_with_is_stored_in_parts_and_comes_after_the_first_fire_of_others() {
    let mut on = Poisoned::new();
    let task = on.stage.task("t", unlimited(), succeed()).await;
    let small = on.stage.schedule("small", &task, TENS, Coalesce::Latest).await;
    let large = on.stage.schedule("large", &task, r#"{"type":"interval","seconds":1}"#, Coalesce::All).await;
    let mut schedule = on.store.schedule_get(&large).await.expect("the store answers").expect("it exists");
    schedule.args = Payload::json(&serde_json::json!("x".repeat(900_000)));
    let replace = AddSchedule { schedule, conflict: host::model::ConflictPolicy::Replace };
    on.store.schedule_add(replace).await.expect("it is replaced");
    on.stage.clock.advance(Duration::from_secs(59));
    let options = host::scheduler::Options { role: host::scheduler::Role::Scheduler, ..Stage::options("one") };
    let scheduler = on.stage.start(options).await;
    for told in 0.. {
        let kind = on.event(|kind| matches!(kind, EventKind::JobAdded { .. })).await;
        if matches!(&kind, EventKind::JobAdded { schedule_id: Some(id), .. } if *id == small) {
            break;
        }
        assert!(told < 4, "all of the large one comes first");
    }
    wait_for("all fires", || async { (on.fires(&large).await.len() == 60).then_some(()) }).await;
    assert_eq!(on.fires(&small).await, [at("12:00:50")]);
    let expected: Vec<_> = (0..60).map(|n| at("12:00:00").saturating_add(Duration::from_secs(n))).collect();
    assert_eq!(on.fires(&large).await, expected);
    let calls = on.store.calls("schedule_fire");
    assert!((14..=20).contains(&calls), "{calls} calls for 54 MB");
    on.stop(scheduler).await;
}

#[tokio::test]
async fn a_fire_that_has_its_job_already_is_published_by_nobody_again() {
    let mut on = Poisoned::new();
    let task = on.stage.task("t", unlimited(), succeed()).await;
    let id = on.stage.schedule("s", &task, TENS, Coalesce::All).await;
    let schedule = on.store.schedule_get(&id).await.expect("the store answers").expect("it exists");
    let mut job = on.stage.job(&task).await;
    let known = job.id;
    job.schedule_id = Some(id.clone());
    job.schedule_life = schedule.life;
    job.scheduled_fire_time = Some(at("12:00:00"));
    job.settings = Settings::default().resolve().for_job(&host::model::Payload::no_args());
    on.store.job_add(vec![job]).await.expect("the store takes it");
    let scheduler = on.stage.start(Stage::options("one")).await;
    on.event(|kind| matches!(kind, EventKind::ScheduleUpdated { .. })).await;
    on.stage.clock.advance(Duration::from_secs(10));
    let told = on.event(|kind| matches!(kind, EventKind::JobAdded { .. })).await;
    let EventKind::JobAdded { job_id, .. } = told else { panic!("{told:?}") };
    assert_ne!(job_id, known);
    let job = on.stage.stored(job_id).await;
    assert_eq!(job.spec.scheduled_fire_time, Some(at("12:00:10")), "the first one told of is the second fire");
    assert_eq!(on.fires(&id).await.len(), 2);
    on.stop(scheduler).await;
}

#[tokio::test]
async fn a_trigger_that_is_costly_to_ask_keeps_no_other_from_firing_and_gets_there_in_parts() {
    // Once a day, and each second of the day is looked at. Twelve days were missed.
    const COSTLY: &str = r#"{"type":"and","threshold":0,"max_iterations":1000000,"triggers":[
        {"type":"interval","seconds":1,"start_time":"2026-04-20T00:00:00Z"},
        {"type":"cron","hour":0,"minute":0,"second":7,"start_time":"2026-04-20T00:00:00Z"}]}"#;
    let on = Poisoned::new();
    let task = on.stage.task("t", unlimited(), succeed()).await;
    let costly = on.stage.schedule("costly", &task, COSTLY, Coalesce::All).await;
    let plain = on.stage.schedule("plain", &task, TENS, Coalesce::All).await;
    let scheduler = on.stage.start(Stage::options("one")).await;
    wait_for("all fires", || async { (on.fires(&costly).await.len() == 12).then_some(()) }).await;
    let first: host::model::Timestamp = "2026-04-20T00:00:07Z".parse().expect("a time");
    let days: Vec<_> = (0..12).map(|day| first.saturating_add(Duration::from_secs(day * 86_400))).collect();
    assert_eq!(on.fires(&costly).await, days);
    assert_eq!(on.pause_of(&costly).await, None);
    let jobs = on.stage.jobs().await;
    let first_of = |id: ScheduleId| {
        jobs.iter().filter(|job| job.spec.schedule_id.as_ref() == Some(&id)).map(|job| job.spec.id).min()
    };
    assert!(first_of(plain) < first_of(costly), "the plain one comes first");
    on.stop(scheduler).await;
}
