//! Content that cannot be read, or that the database refuses: somebody else changed it, a disk did, or a newer version wrote it. It is
//! reported, ends or waits, and harms nothing but itself.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use host::broker::{Delivery, Subscription};
use host::clock::{Clock as _, SystemClock};
use host::model::{Coalesce, ErrorKind, EventKind, JobId, JobState, Outcome, Pause, Payload, Schedule, ScheduleId};
use host::scheduler::Handle;
use host::store::{AddSchedule, DefectKind, JobFilter, Store, StoreError};
use serde_json::json;
use tests::backends::{Backend, Place, open};
use tests::cli::User;
use tests::factory;
use tests::stage::{Stage, succeed, unlimited};
use tests::wait::wait_for;

use crate::{ask, block_on};

/// Every second.
const SECONDS: &str = r#"{"type":"interval","seconds":1}"#;

/// A stage on a database that can be changed behind the store's back.
struct Meddled {
    place: Place,
    stage: Stage,
    events: Subscription,
}

impl Meddled {
    async fn new(backend: Backend) -> Result<Meddled> {
        let place = backend.place()?.context("the store has a place")?;
        let stage = Stage::with_store(open(&place.url).await?);
        stage.clock.set(SystemClock.now());
        let events = stage.broker.subscribe();
        Ok(Meddled { place, stage, events })
    }

    async fn change(&self, statement: &str) -> Result<()> {
        ask::rows(&self.place.url, statement).await.map(|_| ())
    }

    async fn event(&mut self, is_it: impl Fn(&EventKind) -> bool) -> Result<EventKind> {
        until(&mut self.events, is_it).await
    }

    /// Lets time pass until a job of a schedule has succeeded.
    async fn fires(&self, schedule: &str) {
        let is_it = |id: &Option<ScheduleId>| id.as_ref().is_some_and(|id| id.as_str() == schedule);
        self.stage
            .advance_until("a schedule to fire", Duration::from_millis(100), || async {
                let jobs = self.stage.jobs().await;
                jobs.iter().any(|job| is_it(&job.spec.schedule_id) && job.outcome == Some(Outcome::Success))
            })
            .await;
    }

    async fn close(self, scheduler: Handle) {
        self.stage.stop_in_time(scheduler).await;
        self.stage.store.close().await;
    }
}

pub(crate) fn unreadable_job(backend: Backend) -> Result<()> {
    block_on(async {
        let mut on = Meddled::new(backend).await?;
        let task = on.stage.task("t", unlimited(), succeed()).await;
        let (bad, good) = (on.stage.job(&task).await, on.stage.job(&task).await);
        let (bad_id, good_id) = (bad.id, good.id);
        on.stage.store.job_add(vec![bad, good]).await?;
        // Asked for in a table of its own: MariaDB would not look at the table that it changes.
        let oldest = "(SELECT id FROM (SELECT id FROM host_jobs ORDER BY id LIMIT 1) AS oldest)";
        on.change(&format!("UPDATE host_jobs SET settings = '{{' WHERE id = {oldest}")).await?;
        let scheduler = on.stage.start(Stage::options("one")).await;
        ensure!(on.stage.finished(good_id).await.outcome == Some(Outcome::Success), "the other one did not run");
        let told = on.event(|kind| matches!(kind, EventKind::JobDeserializationFailed { .. })).await?;
        let is_it = matches!(&told, EventKind::JobDeserializationFailed { job_id, message } if *job_id == bad_id && !message.is_empty());
        ensure!(is_it, "{told:?}");
        let store = &on.stage.store;
        let filter = JobFilter { outcome: Some(Outcome::DeserializationFailed), limit: 9, ..JobFilter::default() };
        let page = store.job_list(filter).await?;
        ensure!(page.rows.is_empty() && page.unreadable.len() == 1, "{page:?}");
        ensure!(matches!(store.job_get(bad_id).await, Err(StoreError::Unreadable { .. })), "it is readable");
        let counts = store.job_counts().await?;
        ensure!((counts.queued, counts.running, counts.finished) == (0, 0, 2), "{counts:?}");
        on.close(scheduler).await;
        Ok(())
    })
}

pub(crate) fn newer_job(backend: Backend) -> Result<()> {
    block_on(async {
        let on = Meddled::new(backend).await?;
        let task = on.stage.task("t", unlimited(), succeed()).await;
        let mut newer = Vec::new();
        // More than a worker takes at once.
        for _ in 0..7 {
            newer.push(on.stage.job(&task).await);
        }
        on.stage.store.job_add(newer.clone()).await?;
        on.change(
            "UPDATE host_jobs SET settings = REPLACE(settings, '\"usual\":1', '\"usual\":1,\"calendar\":\"skip\"')",
        )
        .await?;
        let options = host::scheduler::Options { max_concurrent_jobs: 3, ..Stage::options("older") };
        let scheduler = on.stage.start(options).await;
        let good = on.stage.submit(on.stage.job(&task).await).await;
        ensure!(on.stage.finished(good).await.attempt == 1, "the one behind them did not run");
        let counts = on.stage.store.job_counts().await?;
        ensure!((counts.queued, counts.finished) == (7, 1), "{counts:?}");
        let page = on.stage.store.job_list(JobFilter { limit: 9, ..JobFilter::default() }).await?;
        let kinds: Vec<DefectKind> = page.unreadable.iter().map(|bad| bad.defect.kind).collect();
        ensure!(kinds == [DefectKind::Newer; 7], "{page:?}");
        // Somebody who can read them comes.
        on.change("UPDATE host_jobs SET settings = REPLACE(settings, ',\"calendar\":\"skip\"', '')").await?;
        for spec in newer {
            let finished = || async { on.stage.stored(spec.id).await.state == JobState::Finished };
            on.stage.advance_until("the job to run", Duration::from_secs(1), finished).await;
            let job = on.stage.stored(spec.id).await;
            ensure!((job.outcome, job.attempt, job.crashes) == (Some(Outcome::Success), 1, 0), "{job:?}");
        }
        on.close(scheduler).await;
        Ok(())
    })
}

pub(crate) fn unreadable_schedule(backend: Backend) -> Result<()> {
    block_on(async {
        let mut on = Meddled::new(backend).await?;
        let task = on.stage.task("t", unlimited(), succeed()).await;
        for id in ["damaged", "good", "newer", "newer rule"] {
            on.stage.schedule(id, &task, SECONDS, Coalesce::Latest).await;
        }
        on.change("UPDATE host_schedules SET settings = '[' WHERE id = 'damaged'").await?;
        on.change("UPDATE host_schedules SET coalesce_policy = 'never' WHERE id = 'newer'").await?;
        let lunar = r#"UPDATE host_schedules SET trigger_json = '{"type":"lunar"}' WHERE id = 'newer rule'"#;
        on.change(lunar).await?;
        let scheduler = on.stage.start(Stage::options("one")).await;
        let told = on.event(|kind| matches!(kind, EventKind::ScheduleDeserializationFailed { .. })).await?;
        let is_it = matches!(&told, EventKind::ScheduleDeserializationFailed { schedule_id, message }
            if schedule_id.as_str() == "damaged" && !message.is_empty());
        ensure!(is_it, "{told:?}");
        on.fires("good").await;
        ensure!(
            on.stage.jobs().await.iter().all(|job| job
                .spec
                .schedule_id
                .as_ref()
                .is_some_and(|id| id.as_str() == "good"))
        );
        on.change("UPDATE host_schedules SET settings = '{}', coalesce_policy = 'all'").await?;
        let get = async |id| on.stage.store.schedule_get(&ScheduleId::new(id)?).await?.context("it is gone");
        let mended = get("damaged").await?;
        let rests = matches!(&mended.pause, Some(Pause::Failed(reason)) if reason.contains("cannot be read"));
        ensure!(rests, "{:?}", mended.pause);
        // Those of a newer version go on as soon as somebody is there who can read them.
        let newer = get("newer rule").await?;
        ensure!(newer.pause.is_none() && newer.trigger.contains("lunar"), "{newer:?}");
        on.change(&format!("UPDATE host_schedules SET trigger_json = '{SECONDS}' WHERE id = 'newer rule'")).await?;
        on.fires("newer").await;
        on.fires("newer rule").await;
        on.close(scheduler).await;
        Ok(())
    })
}

pub(crate) fn unreadable_task(backend: Backend) -> Result<()> {
    block_on(async {
        let on = Meddled::new(backend).await?;
        let mut jobs = Vec::new();
        for name in ["damaged", "good", "newer"] {
            let task = on.stage.task(name, unlimited(), succeed()).await;
            on.stage.schedule(name, &task, SECONDS, Coalesce::Latest).await;
            for _ in 0..3 {
                jobs.push((name, on.stage.job(&task).await));
            }
        }
        on.stage.store.job_add(jobs.iter().map(|(_, job)| job.clone()).collect()).await?;
        on.change(r#"UPDATE host_tasks SET declared = '{"max_attempts":"x"}' WHERE id = 'damaged'"#).await?;
        on.change(r#"UPDATE host_tasks SET declared = '{"calendar":"skip"}' WHERE id = 'newer'"#).await?;
        let scheduler = on.stage.start(Stage::options("one")).await;
        on.fires("good").await;
        let ids = |wanted: &str| -> Vec<JobId> {
            jobs.iter().filter(|(name, _)| *name == wanted).map(|(_, job)| job.id).collect()
        };
        for id in ids("good") {
            let job = on.stage.finished(id).await;
            ensure!((job.outcome, job.attempt, job.crashes) == (Some(Outcome::Success), 1, 0), "{job:?}");
        }
        for id in ids("damaged") {
            let job = on.stage.finished(id).await;
            let error = job.error.as_ref().context("it has an error")?;
            ensure!((job.outcome, job.attempt, job.crashes) == (Some(Outcome::Error), 1, 0), "{job:?}");
            ensure!(error.kind == ErrorKind::PluginUnavailable && error.message.contains("unreadable"), "{error:?}");
        }
        for id in ids("newer") {
            // It is taken now and then, to look whether its task can be read by now, and put back.
            wait_for("the job to wait as it was", || async {
                let job = on.stage.stored(id).await;
                ((job.state, job.attempt, job.crashes) == (JobState::Queued, 0, 0)).then_some(())
            })
            .await;
        }
        // Whoever can read the task runs its jobs, and fires its schedule.
        on.change("UPDATE host_tasks SET declared = '{}'").await?;
        on.stage.store.task_put(factory::task("another", None)).await?;
        on.fires("newer").await;
        for id in ids("newer") {
            let ends = || async { on.stage.stored(id).await.state == JobState::Finished };
            on.stage.advance_until("the job to run", Duration::from_secs(1), ends).await;
            ensure!(on.stage.stored(id).await.outcome == Some(Outcome::Success));
        }
        on.close(scheduler).await;
        Ok(())
    })
}

/// What people are told of rows that cannot be read, by every command that meets them.
pub(crate) fn told_by_commands(backend: Backend) -> Result<()> {
    let place = backend.place()?.context("the store has a place")?;
    block_on(async {
        let store = open(&place.url).await?;
        let tasks = vec![factory::task("p:greet", None), factory::task("p:damaged", None)];
        store.plugin_put(factory::plugin(b"p", tasks)).await?;
        store.schedule_add(factory::add(factory::schedule("bad", 5))).await?;
        store.close().await;
        ask::rows(&place.url, r#"UPDATE host_tasks SET declared = '{"max_attempts":"x"}' WHERE id = 'p:damaged'"#)
            .await?;
        ask::rows(&place.url, "UPDATE host_schedules SET settings = '[' WHERE id = 'bad'").await?;
        anyhow::Ok(())
    })?;
    let user = User::new().with_env("HOST_STORE", &place.url);
    let listed = user.host(["tasks"]);
    ensure!(listed.code == Some(0) && listed.out.contains("p:greet"), "{listed:?}");
    ensure!(listed.err.contains("warning: task `p:damaged` is unreadable: "), "{listed:?}");
    let status = user.ok(["status"]);
    ensure!(
        status.contains("2 tasks") && status.contains("task `p:damaged`") && status.contains("schedule `bad`"),
        "{status}"
    );
    user.ok(["submit", "greet"]);
    let refused = user.host(["submit", "damaged"]);
    ensure!(refused.code == Some(6) && refused.err.contains("task `p:damaged` is unreadable"), "{refused:?}");
    ensure!(refused.err.contains("hint: register the plugin `p` again"), "{refused:?}");
    ensure!(user.host(["tasks", "remove", "damaged"]).code == Some(6));
    way_out_of_a_derived_task(&user, &place)?;
    way_out_of_a_job(&user, &place)?;
    let removed = user.host(["schedules", "remove", "bad"]);
    ensure!(removed.code == Some(0) && removed.out.contains("is removed; it was unreadable"), "{removed:?}");
    ensure!(user.host(["schedules", "remove", "bad"]).code == Some(4));
    Ok(())
}

/// A task that an operator made is refused by its name, and can be removed.
fn way_out_of_a_derived_task(user: &User, place: &Place) -> Result<()> {
    user.ok(["tasks", "configure", "mine", "--from", "p:greet"]);
    user.ok(["schedule", "mine", "--id", "of mine", "--interval", "1h"]);
    let damage = r#"UPDATE host_tasks SET declared = '{"max_attempts":"x"}' WHERE id = 'mine'"#;
    block_on(ask::rows(&place.url, damage))?;
    for args in
        [&["tasks", "show", "mine"][..], &["submit", "mine"], &["tasks", "configure", "mine", "--timeout", "3s"]]
    {
        let refused = user.host(args);
        ensure!(refused.code == Some(6), "{args:?}: {refused:?}");
        ensure!(refused.err.contains("hint: `host tasks remove mine` removes it"), "{args:?}: {refused:?}");
    }
    ensure!(user.host(["schedules"]).out.contains("task unreadable"), "the schedule's task is there");
    let shown = user.json(&["schedules", "show", "of mine"]);
    ensure!(shown["state"] == "task_unreadable", "{shown}");
    let removed = user.host(["tasks", "remove", "mine"]);
    ensure!(removed.code == Some(0) && removed.out.contains("is removed; it was unreadable"), "{removed:?}");
    ensure!(user.host(["tasks", "remove", "mine"]).code == Some(4));
    ensure!(user.json(&["schedules", "show", "of mine"])["state"] == "task_missing");
    Ok(())
}

/// A waiting job that cannot be read is refused by its id, and can be ended.
fn way_out_of_a_job(user: &User, place: &Place) -> Result<()> {
    let id = user.ok(["submit", "greet"]);
    let latest = "(SELECT id FROM (SELECT id FROM host_jobs ORDER BY id DESC LIMIT 1) AS latest)";
    block_on(ask::rows(&place.url, &format!("UPDATE host_jobs SET settings = '{{' WHERE id = {latest}")))?;
    let hint = format!("hint: `host jobs cancel {id}` ends it");
    for command in ["show", "logs", "result", "retry"] {
        let refused = user.host(["jobs", command, &id]);
        ensure!(refused.code == Some(6), "{command}: {refused:?}");
        ensure!(command == "retry" || refused.err.contains(&hint), "{command}: {refused:?}");
    }
    let cancelled = user.host(["jobs", "cancel", &id]);
    ensure!(cancelled.code == Some(0) && cancelled.out.contains("is cancelled"), "{cancelled:?}");
    let again = user.host(["jobs", "cancel", &id]);
    ensure!(again.code == Some(6) && again.err.contains("has ended already"), "{again:?}");
    Ok(())
}

/// Statements that have the database refuse the jobs of the schedule `bad`.
fn refusing(backend: Backend) -> &'static [&'static str] {
    match backend {
        Backend::Postgres => &[
            "CREATE FUNCTION host_picky() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN IF NEW.schedule_id = 'bad' THEN RAISE EXCEPTION 'no room for it'; END IF; RETURN NEW; END $$",
            "CREATE TRIGGER host_picky BEFORE INSERT ON host_jobs FOR EACH ROW EXECUTE FUNCTION host_picky()",
        ],
        Backend::Mysql => &["CREATE TRIGGER host_picky BEFORE INSERT ON host_jobs FOR EACH ROW
            BEGIN IF NEW.schedule_id = 'bad' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no room for it'; END IF; END"],
        _ => &["CREATE TRIGGER host_picky BEFORE INSERT ON host_jobs WHEN NEW.schedule_id = 'bad'
            BEGIN SELECT RAISE(ABORT, 'no room for it'); END"],
    }
}

pub(crate) fn refused_fire(backend: Backend) -> Result<()> {
    block_on(async {
        let mut on = Meddled::new(backend).await?;
        let task = on.stage.task("t", unlimited(), succeed()).await;
        for number in 0..20 {
            on.stage.schedule(&format!("good {number}"), &task, SECONDS, Coalesce::Latest).await;
        }
        let bad = on.stage.schedule("bad", &task, SECONDS, Coalesce::Latest).await;
        for statement in refusing(backend) {
            on.change(statement).await?;
        }
        let scheduler = on.stage.start(Stage::options("one")).await;
        let told = on.event(|kind| matches!(kind, EventKind::ScheduleFailed { .. })).await?;
        let is_it = matches!(&told, EventKind::ScheduleFailed { schedule_id, message }
            if *schedule_id == bad && message.contains("no room for it"));
        ensure!(is_it, "{told:?}");
        for number in 0..20 {
            on.fires(&format!("good {number}")).await;
        }
        let paused = on.stage.store.schedule_get(&bad).await?.context("it is gone")?;
        ensure!(
            matches!(&paused.pause, Some(Pause::Failed(reason)) if reason.contains("no room for it")),
            "{paused:?}"
        );
        ensure!(paused.last_fire_time.is_none(), "nothing of the fire is stored");
        on.close(scheduler).await;
        Ok(())
    })
}

pub(crate) fn large_catch_up(backend: Backend) -> Result<()> {
    /// More than a server takes at once, all together.
    const FIRES: u64 = 25;
    block_on(async {
        let on = Meddled::new(backend).await?;
        let task = on.stage.task("t", unlimited(), succeed()).await;
        // A server's clock decides what is due, and it cannot be moved: the past is where the schedule begins.
        let now = on.stage.clock.now();
        let began = now.saturating_sub(Duration::from_secs(3_600 * (FIRES - 1)));
        on.stage.clock.set(began);
        let large = on.stage.schedule("large", &task, r#"{"type":"interval","hours":1}"#, Coalesce::All).await;
        let stored = on.stage.store.schedule_get(&large).await?.context("it is gone")?;
        let args = Payload::json(&json!({"text": "x".repeat(900_000)}));
        replace(&*on.stage.store, Schedule { args, ..stored }).await?;
        on.stage.clock.set(now);
        on.stage.schedule("small", &task, SECONDS, Coalesce::Latest).await;
        let scheduler = on.stage.start(Stage::options("one")).await;
        on.fires("small").await;
        let small = on.stage.jobs().await;
        on.stage
            .advance_until("the large one to catch up", Duration::from_millis(10), || async {
                fires_of(&on.stage, &large).await.len() as u64 >= FIRES
            })
            .await;
        let times = fires_of(&on.stage, &large).await;
        let expected: Vec<_> = (0..FIRES).map(|n| began.saturating_add(Duration::from_secs(3_600 * n))).collect();
        ensure!(times == expected, "{times:?}");
        let first = small.iter().find(|job| job.spec.schedule_id.as_ref().is_some_and(|id| id.as_str() == "small"));
        ensure!(first.is_some(), "the small one waited");
        let stored = on.stage.store.schedule_get(&large).await?.context("it is gone")?;
        ensure!(stored.pause.is_none() && stored.next_fire_time > expected.last().copied(), "{stored:?}");
        on.close(scheduler).await;
        Ok(())
    })
}

async fn replace(store: &dyn Store, schedule: Schedule) -> Result<()> {
    let request = AddSchedule { schedule, conflict: host::model::ConflictPolicy::Replace };
    store.schedule_add(request).await.map(|_| ()).map_err(Into::into)
}

/// The fire times for which a schedule has made jobs, earliest first.
async fn fires_of(stage: &Stage, schedule: &ScheduleId) -> Vec<host::model::Timestamp> {
    let jobs = stage.jobs().await;
    let of_it = jobs.iter().filter(|job| job.spec.schedule_id.as_ref() == Some(schedule));
    let mut times: Vec<_> = of_it.filter_map(|job| job.spec.scheduled_fire_time).collect();
    times.sort();
    times
}

/// The first event of a kind, within a bound.
async fn until(events: &mut host::broker::Subscription, is_it: impl Fn(&EventKind) -> bool) -> Result<EventKind> {
    let end = SystemClock.now().saturating_add(tests::wait::PATIENCE);
    loop {
        tokio::select! {
            delivery = events.next() => match delivery.context("the broker is closed")? {
                Delivery::Event(event) if is_it(&event.kind) => return Ok(event.kind),
                _ => {}
            },
            () = SystemClock.sleep_until(end) => anyhow::bail!("no such event"),
        }
    }
}
