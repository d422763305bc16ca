//! Operations, on a memory store and with a clock that is moved by hand: what the command line cannot show from outside.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use host::app::{
    App, AppError, Arguments, ConfigureTask, EventFilter, JobStart, NewJob, NewSchedule, Parts, Received,
    RegisterPlugin, ResumeAt, ScheduleChange, SettingName, Unique,
};
use host::broker::local::LocalBroker;
use host::broker::{Broker, BrokerError, Subscription};
use host::clock::ManualClock;
use host::config::Caps;
use host::executor::{Footprint, InspectError, Inspection, PluginInspector};
use host::model::{
    ConflictPolicy, Digest, Event, EventType, GraceTime, Grant, JobState, Metadata, Outcome, Parallelism, Payload,
    PluginName, Schedule, ScheduleId, SchedulerId, Settings, TaskDeclaration, TaskName, Timestamp,
};
use host::store::memory::MemoryStore;
use host::store::{Housekeeping as _, SchedulerRow};
use host::trigger::{Rule, RuleOptions, Trigger, TriggerEdit};
use serde_json::json;

/// An inspector that finds the tasks that a test names, and counts how often it was asked.
struct Declared {
    tasks: Mutex<Vec<TaskDeclaration>>,
    asked: AtomicUsize,
}

#[async_trait]
impl PluginInspector for Declared {
    async fn inspect(&self, component: Vec<u8>, _grants: &[Grant]) -> Result<Inspection, InspectError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Ok(Inspection {
            digest: host::app::digest_of(component).await.expect("a digest"),
            imports: Vec::new(),
            tasks: self.tasks.lock().expect("no panic held it").clone(),
            footprint: Footprint { initial_memory_bytes: 0, list_fuel: 0, compile: Duration::ZERO },
        })
    }
}

/// A broker that is out of reach.
struct Gone;

#[async_trait]
impl Broker for Gone {
    async fn publish(&self, _events: Vec<Event>) -> Result<(), BrokerError> {
        Err(BrokerError { broker: "gone", source: Arc::new(std::io::Error::other("no route")) })
    }

    fn subscribe(&self) -> Subscription {
        LocalBroker::new().subscribe()
    }

    async fn reaches_other_processes(&self) -> bool {
        false
    }

    async fn close(&self) {}
}

struct World {
    app: App,
    store: Arc<MemoryStore>,
    clock: ManualClock,
    inspector: Arc<Declared>,
}

fn noon() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().expect("RFC 3339")
}

fn world_with(broker: Arc<dyn Broker>, task_defaults: Settings) -> World {
    let clock = ManualClock::new(noon());
    let inspector = Arc::new(Declared { tasks: Mutex::default(), asked: AtomicUsize::new(0) });
    let store = Arc::new(MemoryStore::new());
    let app = App::new(Parts {
        store: store.clone(),
        broker,
        inspector: Some(Arc::clone(&inspector) as Arc<dyn PluginInspector>),
        clock: Arc::new(clock.clone()),
        random: fastrand::Rng::with_seed(7),
        task_defaults,
        caps: Caps::default(),
    });
    World { app, store, clock, inspector }
}

fn world() -> World {
    world_with(Arc::new(LocalBroker::new()), Settings::default())
}

impl World {
    /// Registers a plugin of one version, made of `bytes`, with these tasks.
    async fn register(&self, plugin: &str, bytes: &[u8], tasks: &[(&str, Settings)]) {
        let declared = tasks.iter().map(|(name, settings)| TaskDeclaration {
            name: TaskName::new(name).expect("a name"),
            description: String::new(),
            args_schema: None,
            result_schema: None,
            example_args: None,
            settings: settings.clone(),
        });
        *self.inspector.tasks.lock().expect("no panic held it") = declared.collect();
        self.app.plugin_register(request(plugin, bytes)).await.expect("it is registered");
    }

    fn every(&self, length: Duration) -> Trigger {
        Trigger::every(length, &RuleOptions::new(noon())).expect("a length")
    }
}

fn request(plugin: &str, bytes: &[u8]) -> RegisterPlugin {
    RegisterPlugin::new(PluginName::new(plugin).expect("a name"), bytes.to_vec())
}

fn id(text: &str) -> ScheduleId {
    ScheduleId::new(text).expect("an id")
}

#[tokio::test]
async fn none_of_a_components_code_runs_when_its_digest_is_another_one() {
    let world = world();
    let expected_digest = Some(Digest::from_bytes([0; 32]));
    let refused = world.app.plugin_register(RegisterPlugin { expected_digest, ..request("p", b"bytes") }).await;
    assert!(matches!(refused, Err(AppError::Refused { .. })), "{refused:?}");
    assert_eq!(world.inspector.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_an_author_declares_beyond_the_caps_is_cut_and_told_and_an_operator_may_give_it() {
    let world = world();
    let declared = Settings { priority: Some(i32::MAX), max_attempts: Some(1_000), ..Settings::default() };
    world.register("p", b"bytes", &[("greedy", declared)]).await;
    let planned = world.app.plugin_plan(request("p", b"bytes")).await.expect("it is fit").registration;
    assert_eq!(planned.notes.len(), 2, "{:?}", planned.notes);
    assert!(planned.notes[0].contains("p:greedy") && planned.notes[0].contains("gets 0"), "{:?}", planned.notes);
    let job = world.app.job_submit(NewJob::new("greedy")).await.expect("it is queued");
    let settings = world.app.job_get(job).await.expect("it is there").spec.settings;
    assert_eq!((settings.priority, settings.max_attempts), (0, 10));
    let settings = Settings { priority: Some(7), ..Settings::default() };
    world.app.plugin_register(RegisterPlugin { settings, ..request("p", b"bytes") }).await.expect("it is registered");
    let job = world.app.job_submit(NewJob::new("greedy")).await.expect("it is queued");
    assert_eq!(world.app.job_get(job).await.expect("it is there").spec.settings.priority, 7);
}

#[tokio::test]
async fn a_job_inherits_from_configuration_before_attributes_before_defaults() {
    let defaults =
        Settings { priority: Some(1), fuel: Some(1_000), timeout: Some(Duration::from_secs(1)), ..Settings::default() };
    let world = world_with(Arc::new(LocalBroker::new()), defaults);
    let declared = Settings { priority: Some(2), fuel: Some(2_000), ..Settings::default() };
    world.register("p", b"one", &[("t", declared)]).await;
    let configured = Settings { priority: Some(3), metadata: metadata(json!({"a": 1})), ..Settings::default() };
    let change = ConfigureTask { id: "t".to_owned(), settings: configured, ..ConfigureTask::default() };
    world.app.task_configure(change).await.expect("it is configured");

    let own = Settings { metadata: metadata(json!({"b": 2})), ..Settings::default() };
    let job = world.app.job_submit(NewJob { settings: own, ..NewJob::new("t") }).await.expect("it is queued");
    let settings = world.app.job_get(job).await.expect("it is there").spec.settings;
    assert_eq!((settings.priority, settings.fuel, settings.timeout), (3, 2_000, Duration::from_secs(1)));
    assert_eq!(settings.metadata, metadata(json!({"a": 1, "b": 2})));
}

#[tokio::test]
async fn what_is_configured_survives_a_new_version_of_the_plugin() {
    let world = world();
    world.register("p", b"one", &[("t", Settings::default())]).await;
    let settings =
        Settings { misfire_grace_time: Some(GraceTime::Within(Duration::from_secs(9))), ..Settings::default() };
    let change = ConfigureTask { id: "p:t".to_owned(), settings, ..ConfigureTask::default() };
    world.app.task_configure(change).await.expect("it is configured");
    let newer =
        Settings { misfire_grace_time: Some(GraceTime::Unlimited), max_attempts: Some(4), ..Settings::default() };
    world.register("p", b"two", &[("t", newer)]).await;
    let resolved = world.app.task_resolve("t").await.expect("it is there").task.resolved();
    assert_eq!(resolved.misfire_grace_time, GraceTime::Within(Duration::from_secs(9)));
    assert_eq!(resolved.max_attempts, 4);
}

#[tokio::test]
async fn what_has_changed_since_it_was_reviewed_is_not_carried_out() {
    let world = world();
    world.register("p", b"one", &[("t", Settings::default())]).await;
    let rights = vec![Grant::Env { name: "TZ".into(), value: None }];
    let reviewed =
        world.app.plugin_plan(RegisterPlugin { grants: rights, ..request("p", b"two") }).await.expect("it is fit");
    let name = PluginName::new("p").expect("a name");
    world.clock.advance(Duration::from_secs(1));
    world.register("p", b"three", &[("t", Settings::default())]).await;
    let back = world.app.plugin_version_plan(&name, None, None).await.expect("there is an older one");
    world.clock.advance(Duration::from_secs(1));
    world.register("p", b"four", &[("t", Settings::default())]).await;
    for refused in [
        world.app.plugin_carry_out(reviewed.clone()).await.map(|_| ()),
        world.app.plugin_rollback(back).await.map(|_| ()),
    ] {
        let Err(error @ AppError::Refused { .. }) = refused else { panic!("{refused:?}") };
        assert!(error.to_string().contains("reviewed") && error.hint().is_some_and(|hint| hint.contains("try again")));
    }
    let four = host::app::digest_of(b"four".to_vec()).await.expect("a digest");
    assert_eq!(world.app.plugin_get(&name).await.expect("it is there").digest, four);
    // Whoever has looked again can go on.
    let again = world.app.plugin_plan(request("p", b"two")).await.expect("it is fit");
    world.app.plugin_carry_out(again).await.expect("nothing has changed");
}

#[tokio::test]
async fn a_broker_that_is_gone_changes_nothing_about_what_was_stored() {
    let world = world_with(Arc::new(Gone), Settings::default());
    world.register("p", b"one", &[("t", Settings::default())]).await;
    let job = world.app.job_submit(NewJob::new("t")).await.expect("it is queued");
    assert_eq!(world.app.job_get(job).await.expect("it is there").state, JobState::Queued);
    world.app.job_cancel(job, None).await.expect("it is cancelled");
    let job = world.app.job_wait(job).await.expect("it has ended");
    assert_eq!(job.outcome, Some(Outcome::Cancelled));
}

#[tokio::test]
async fn arguments_are_compared_with_the_tasks_schema_unless_nobody_is_to_look() {
    let world = world();
    world.register("p", b"one", &[("t", Settings::default())]).await;
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": false});
    for task in world.inspector.tasks.lock().expect("no panic held it").iter_mut() {
        task.args_schema = Some(schema.to_string());
    }
    world.app.plugin_register(request("p", b"two")).await.expect("it is registered");
    let args = || json!({"n": "seven", "m": 1}).into();
    let schedule = || NewSchedule { args: args(), ..NewSchedule::new("t", world.every(Duration::from_secs(60))) };
    let refusals = [
        world.app.job_submit(NewJob { args: args(), ..NewJob::new("t") }).await.expect_err("a text is no number"),
        world.app.schedule_add(schedule()).await.expect_err("a text is no number"),
    ];
    for refused in refusals {
        let AppError::Invalid { what, causes, .. } = refused else { panic!("the input must be changed: {refused:?}") };
        assert_eq!(what, "the arguments do not fit the task `p:t`");
        assert_eq!(
            causes,
            ["`m`: there is no such name; there are: n", "`n`: expected a whole number, found \"seven\""]
        );
    }
    world.app.job_submit(NewJob { args: args(), unchecked: true, ..NewJob::new("t") }).await.expect("nobody looks");
    world.app.schedule_add(NewSchedule { unchecked: true, ..schedule() }).await.expect("nobody looks");
}

#[tokio::test]
async fn how_many_jobs_of_a_task_may_run_is_said_of_tasks_only() {
    let world = world();
    world.register("p", b"one", &[("t", Settings::default())]).await;
    let settings = Settings { max_running_jobs: Some(Parallelism::Unlimited), ..Settings::default() };
    let job = world.app.job_submit(NewJob { settings: settings.clone(), ..NewJob::new("t") }).await;
    assert!(matches!(job, Err(AppError::Invalid { .. })), "{job:?}");
    let schedule = NewSchedule { settings, ..NewSchedule::new("t", world.every(Duration::from_secs(60))) };
    let schedule = world.app.schedule_add(schedule).await;
    assert!(matches!(schedule, Err(AppError::Invalid { .. })), "{schedule:?}");
}

#[tokio::test]
async fn a_wait_with_an_end_answers_the_job_as_it_is_then() {
    let world = world();
    world.register("p", b"one", &[("t", Settings::default())]).await;
    let id = world.app.job_submit(NewJob::new("t")).await.expect("it is queued");
    let at_once = world.app.job_wait_within(id, Some(Duration::ZERO)).await.expect("it is there");
    assert_eq!(at_once.state, JobState::Queued);
    let time = async {
        for _ in 0..60 {
            world.clock.advance(Duration::from_millis(100));
            tokio::task::yield_now().await;
        }
    };
    let waiting = world.app.job_wait_within(id, Some(Duration::from_secs(5)));
    let (job, ()) = tokio::join!(waiting, time);
    assert_eq!(job.expect("it is there").state, JobState::Queued);
    world.app.job_cancel(id, None).await.expect("it is cancelled");
    let ended = world.app.job_wait_within(id, Some(Duration::ZERO)).await.expect("it is there");
    assert_eq!(ended.state, JobState::Finished, "an end that is there is seen however short the wait");
}

#[tokio::test]
async fn only_who_runs_jobs_and_was_heard_of_lately_is_a_worker_that_lives() {
    let world = world();
    let row = |id: &str, role: &str, seen_at: Timestamp, stopped_at: Option<Timestamp>| SchedulerRow {
        id: SchedulerId::new(id).expect("an identity"),
        role: role.to_owned(),
        started_at: noon(),
        seen_at,
        stopped_at,
        queues: Vec::new(),
        abilities: Vec::new(),
        incarnation: tests::factory::incarnation("first"),
        memory: None,
    };
    let now = noon().saturating_add(Duration::from_secs(60));
    world.clock.advance(Duration::from_secs(60));
    let lately = now.saturating_sub(Duration::from_secs(10));
    for row in [
        row("lives", "both", now, None),
        row("also", "worker", lately, None),
        row("fires", "scheduler", now, None),
        row("stopped", "worker", now, Some(now)),
        row("silent", "worker", noon(), None),
    ] {
        world.store.scheduler_put(tests::factory::heard_of(row)).await.expect("it is stored");
    }
    let alive = world.app.workers_alive().await.expect("a list");
    let ids: Vec<&str> = alive.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(ids, ["also", "lives"]);
}

#[tokio::test]
async fn a_schedule_that_takes_the_place_of_another_answers_the_other() {
    let world = world();
    world.register("p", b"one", &[("t", Settings::default())]).await;
    let schedule = |paused| NewSchedule {
        id: Some(id("s")),
        paused,
        conflict: ConflictPolicy::Replace,
        ..NewSchedule::new("t", world.every(Duration::from_secs(60)))
    };
    let added = world.app.schedule_add(schedule(true)).await.expect("it is added");
    assert_eq!(added.replaced, None);
    let replaced = world.app.schedule_add(schedule(false)).await.expect("it is replaced").replaced;
    assert!(replaced.expect("there was one").pause.is_some());
}

#[tokio::test]
async fn waiting_looks_into_the_store_although_no_hint_comes() {
    let world = world_with(Arc::new(Gone), Settings::default());
    world.register("p", b"one", &[("t", Settings::default())]).await;
    let job = world.app.job_submit(NewJob::new("t")).await.expect("it is queued");
    let end_it = async {
        world.app.job_cancel(job, None).await.expect("it is cancelled");
        world.clock.advance(Duration::from_secs(1));
    };
    let (ended, ()) = tokio::join!(world.app.job_wait(job), end_it);
    assert_eq!(ended.expect("it has ended").outcome, Some(Outcome::Cancelled));
}

#[tokio::test]
async fn events_are_published_after_the_change_and_only_to_who_asked() {
    let world = world();
    world.register("p", b"one", &[("t", Settings::default())]).await;
    let mut added = world.app.events(EventFilter { types: vec![EventType::JobAdded] });
    let schedule = NewSchedule::new("t", world.every(Duration::from_secs(60)));
    world.app.schedule_add(schedule).await.expect("it is added");
    let job = world.app.job_submit(NewJob::new("t")).await.expect("it is queued");
    let Some(Received::Event(event)) = added.next().await else { panic!("an event") };
    assert_eq!(event.kind.event_type(), EventType::JobAdded);
    assert!(world.app.job_get(job).await.is_ok());
}

#[tokio::test]
async fn unpausing_from_now_passes_over_what_was_missed_and_unpausing_plainly_does_not() {
    let world = world();
    world.register("p", b"one", &[("t", Settings::default())]).await;
    for name in ["from-now", "plain"] {
        let schedule =
            NewSchedule { id: Some(id(name)), ..NewSchedule::new("t", world.every(Duration::from_secs(60))) };
        world.app.schedule_add(schedule).await.expect("it is added");
        world.app.schedule_pause(&id(name)).await.expect("it is paused");
    }
    world.clock.advance(Duration::from_secs(3_630));
    let from_now = world.app.schedule_unpause(&id("from-now"), Some(ResumeAt::Now)).await.expect("it goes on");
    assert_eq!(from_now.next_fire_time, Some(noon().saturating_add(Duration::from_secs(3_660))));
    let plain = world.app.schedule_unpause(&id("plain"), None).await.expect("it goes on");
    assert_eq!(plain.next_fire_time, Some(noon()));
}

#[tokio::test]
async fn a_trigger_that_never_fires_makes_no_schedule() {
    let world = world();
    world.register("p", b"one", &[("t", Settings::default())]).await;
    let never = Trigger::from_json(r#"{"type":"cron","month":2,"day":30}"#, noon()).expect("it can be read");
    let refused = world.app.schedule_add(NewSchedule::new("t", never)).await;
    assert!(matches!(refused, Err(AppError::Invalid { .. })), "{refused:?}");
    let (schedules, _) = world.app.schedule_list(host::store::ScheduleFilter::default(), 10).await.expect("a list");
    assert_eq!(schedules, []);
}

fn metadata(value: serde_json::Value) -> Metadata {
    Metadata(value.as_object().expect("an object").clone())
}

#[tokio::test]
async fn a_schedule_that_is_run_makes_a_job_of_its_own_that_no_fire_counts() {
    let world = world();
    world.register("p", b"one", &[("t", Settings::default())]).await;
    let settings = Settings { priority: Some(4), ..Settings::default() };
    let new = NewSchedule {
        id: Some(id("s")),
        args: json!({"name": "Ada"}).into(),
        settings,
        paused: true,
        ..NewSchedule::new("t", world.every(Duration::from_secs(60)))
    };
    let schedule = world.app.schedule_add(new).await.expect("it is added").schedule;
    let jobs = [world.app.schedule_run(&id("s")).await, world.app.schedule_run(&id("s")).await];
    for job in jobs {
        let job = world.app.job_get(job.expect("a job")).await.expect("it is there").spec;
        assert!(job.is_manual() && job.fire().is_none());
        assert_eq!((job.schedule_id.as_ref(), &job.args), (Some(&schedule.id), &schedule.args));
        assert_eq!((job.settings.priority, job.start_deadline), (4, None));
    }
    assert_eq!(world.app.schedule_get(&id("s")).await.expect("it is there"), schedule, "it has not moved");
    let missing = world.app.schedule_run(&id("none")).await.expect_err("there is none");
    assert!(matches!(missing, AppError::NotFound { .. }), "{missing}");
}

#[tokio::test]
async fn a_schedule_is_changed_in_one_respect_and_keeps_the_rest() {
    let world = world();
    world.register("p", b"one", &[("t", Settings::default())]).await;
    let new = NewSchedule {
        id: Some(id("s")),
        args: json!({"name": "Ada", "times": 2}).into(),
        settings: Settings { priority: Some(4), queue: "mail".parse().ok(), ..Settings::default() },
        ..NewSchedule::new("t", world.every(Duration::from_secs(3_600)))
    };
    let before = world.app.schedule_add(new).await.expect("it is added").schedule;
    let set = async |change: ScheduleChange| world.app.schedule_set(&id("s"), &change).await;
    let changed = set(ScheduleChange { max_jitter: Some(Duration::from_secs(5)), ..ScheduleChange::default() }).await;
    let changed = changed.expect("it is changed");
    let mut expected = Schedule { max_jitter: Duration::from_secs(5), ..before.clone() };
    assert_eq!((&changed.before, &changed.after), (&before, &expected));
    assert_eq!(changed.fires_before, changed.fires_after);
    let args = Arguments::Typed(vec![("name".to_owned(), "Grace".to_owned())]);
    set(ScheduleChange { args, ..ScheduleChange::default() }).await.expect("it is changed");
    expected.args = Payload::json(&json!({"name": "Grace", "times": 2}));
    let unset = ScheduleChange { unset: vec![SettingName::Queue], ..ScheduleChange::default() };
    set(unset).await.expect("it is changed");
    expected.settings.queue = None;
    let trigger = TriggerEdit { rule: Some(Rule::Every(Duration::from_secs(60))), ..TriggerEdit::default() };
    let changed = set(ScheduleChange { trigger: trigger.clone(), ..ScheduleChange::default() }).await.expect("changed");
    let after = world.app.schedule_get(&id("s")).await.expect("it is there");
    assert_eq!(changed.after, after);
    let moved = (after.trigger.clone(), after.trigger_state.clone(), after.next_fire_time);
    (expected.trigger, expected.trigger_state, expected.next_fire_time) = moved;
    assert_eq!(after, expected);
    assert_eq!((changed.fires_before.len(), changed.fires_after.len()), (5, 5));
    let distance = |fires: &[host::trigger::Fire]| fires[1].at.saturating_since(fires[0].at);
    assert_eq!(distance(&changed.fires_after), Duration::from_secs(60));
    let again = set(ScheduleChange { trigger, ..ScheduleChange::default() }).await.expect("nothing is changed");
    assert_eq!(again.before, again.after);
}

#[tokio::test]
async fn a_change_that_is_not_acceptable_changes_nothing() {
    let world = world();
    world.register("p", b"one", &[("t", Settings::default())]).await;
    let new = NewSchedule { id: Some(id("s")), ..NewSchedule::new("t", world.every(Duration::from_secs(60))) };
    let before = world.app.schedule_add(new).await.expect("it is added").schedule;
    let past = "2000-01-01T00:00:00Z".parse().expect("a time");
    let rule = |rule| TriggerEdit { rule: Some(rule), ..TriggerEdit::default() };
    for change in [
        ScheduleChange { trigger: rule(Rule::Calendar("never".to_owned())), ..ScheduleChange::default() },
        ScheduleChange { max_jitter: Some(Duration::MAX), ..ScheduleChange::default() },
        ScheduleChange {
            trigger: TriggerEdit { end: Some(Some(past)), ..TriggerEdit::default() },
            ..ScheduleChange::default()
        },
        ScheduleChange {
            settings: Settings { max_running_jobs: Some(Parallelism::Unlimited), ..Settings::default() },
            ..ScheduleChange::default()
        },
    ] {
        let refused = world.app.schedule_set(&id("s"), &change).await;
        assert!(matches!(refused, Err(AppError::Invalid { .. })), "{refused:?}");
        assert_eq!(world.app.schedule_get(&id("s")).await.expect("it is there"), before);
    }
}

#[tokio::test]
async fn a_unique_key_is_answered_with_its_job_while_it_holds() {
    let world = world();
    world.register("p", b"one", &[("t", Settings::default())]).await;
    let submit = async |key: &str, within| {
        let unique = Unique { key: key.to_owned(), within };
        world.app.job_submit_unique(NewJob::new("t"), unique).await
    };
    let first = submit("order 17", None).await.expect("it is queued");
    assert!(first.is_new);
    let again = submit("order 17", None).await.expect("it is answered");
    assert_eq!((again.id, again.is_new), (first.id, false));
    let week = Duration::from_secs(7 * 86_400);
    let kept = submit("weekly", Some(week)).await.expect("it is queued");
    let job = world.app.job_get(kept.id).await.expect("it is there").spec;
    assert_eq!(job.settings.result_ttl, week, "it is kept as long as its key");
    assert_eq!(job.settings.unique_key.expect("it has one").until, Some(job.created_at.saturating_add(week)));
    for (key, within) in
        [("", None), (" a", None), (&*"x".repeat(129), None), ("a\u{200b}", None), ("a", Some(Duration::MAX))]
    {
        let refused = submit(key, within).await;
        assert!(matches!(refused, Err(AppError::Invalid { .. })), "{key}: {refused:?}");
    }
}

#[tokio::test]
async fn a_job_waits_until_its_time() {
    let world = world();
    world.register("p", b"one", &[("t", Settings::default())]).await;
    let due = async |start| {
        let id = world.app.job_submit(NewJob { start, ..NewJob::new("t") }).await.expect("it is queued");
        let job = world.app.job_get(id).await.expect("it is there").spec;
        job.due_at.as_micros() - job.created_at.as_micros()
    };
    assert_eq!(due(JobStart::Now).await, 0);
    assert_eq!(due(JobStart::In(Duration::from_secs(90))).await, 90_000_000);
    assert_eq!(due(JobStart::At("2000-01-01T00:00:00Z".parse().expect("a time"))).await, 0);
    let later = noon().saturating_add(Duration::from_secs(86_400 * 365 * 20));
    assert!(due(JobStart::At(later)).await > 0);
    let refused = world.app.job_submit(NewJob { start: JobStart::In(Duration::MAX), ..NewJob::new("t") }).await;
    assert!(matches!(refused, Err(AppError::Invalid { .. })), "{refused:?}");
}

#[tokio::test]
async fn schedules_are_added_together_or_not_at_all() {
    let world = world();
    world.register("p", b"one", &[("t", Settings::default())]).await;
    let check = async |name: &str| {
        let new = NewSchedule { id: Some(id(name)), ..NewSchedule::new("t", world.every(Duration::from_secs(60))) };
        world.app.schedule_check(new).await.expect("it can be added")
    };
    assert!(!world.app.schedule_exists(&id("a")).await.expect("it is looked for"));
    let twice = vec![check("a").await, check("b").await, check("a").await];
    let refused = world.app.schedules_add(twice).await.expect_err("one ID is taken");
    assert!(matches!(refused, AppError::Refused { .. }), "{refused}");
    assert!(!world.app.schedule_exists(&id("a")).await.expect("it is looked for"));
    let added = world.app.schedules_add(vec![check("a").await, check("b").await]).await.expect("both are added");
    assert_eq!(added.iter().map(|created| created.schedule.id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert!(world.app.schedule_exists(&id("b")).await.expect("it is looked for"));
}
