//! Starting, stopping, and hearing of what happens.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use host::Host;
use host::app::{AppError, EventFilter, Received};
use host::embed::{State, TaskContext};
use host::model::{ErrorKind, EventKind, EventType, JobState, Outcome};
use host::store::memory::MemoryStore;
use tokio::sync::Notify;

use tests::wait::wait_for;

fn only(event: EventType) -> EventFilter {
    EventFilter { types: vec![event] }
}

#[tokio::test]
async fn a_host_is_started_once_and_again_after_it_was_stopped() {
    let host = Host::builder().task("noop", || async { anyhow::Ok(()) }).start().await.expect("starts");
    assert!(matches!(host.start().await, Err(AppError::Refused { .. })));
    host.run::<()>("noop", ()).await.expect("a result");
    host.stop();
    host.wait_until_stopped().await.expect("stops");
    assert_eq!(host.state(), State::Stopped);
    host.start().await.expect("starts again");
    host.run::<()>("noop", ()).await.expect("a result");
    host.close().await;
    assert!(host.submit("noop", ()).await.is_err(), "it is closed");
}

#[tokio::test]
async fn two_hosts_of_one_identity_do_not_work_at_the_same_time() {
    let store = Arc::new(MemoryStore::new());
    let host = || Host::builder().store_of(store.clone()).identity("one");
    let first = host().start().await.expect("starts");
    let second = host().open().await.expect("opens");
    assert!(matches!(second.start().await, Err(AppError::Refused { .. })));
    assert_eq!(second.state(), State::Stopped);
    first.stop();
    first.wait_until_stopped().await.expect("stops");
    second.start().await.expect("starts");
    second.close().await;
}

#[tokio::test]
async fn a_task_may_stop_the_host_that_runs_it() {
    let host = Host::builder().task("enough", |context: TaskContext| async move {
        if let Some(host) = context.host() {
            host.stop();
        }
        anyhow::Ok("done")
    });
    let host = host.open().await.expect("opens");
    let id = host.submit("enough", ()).await.expect("is queued");
    let report = host.run_until_stopped().await.expect("stops");
    assert_eq!(report.interrupted, 0);
    assert_eq!(host.result::<String>(id).await.expect("a result"), "done");
    host.close().await;
}

#[tokio::test]
async fn a_host_that_is_dropped_ends_its_jobs_in_order() {
    let store = Arc::new(MemoryStore::new());
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let host = Host::builder().store_of(store.clone()).task("waits", {
        let (begun, go_on) = (Arc::clone(&begun), Arc::clone(&go_on));
        move || {
            let (begun, go_on) = (Arc::clone(&begun), Arc::clone(&go_on));
            async move {
                begun.notify_one();
                go_on.notified().await;
                anyhow::Ok(())
            }
        }
    });
    let host = host.start().await.expect("starts");
    let id = host.submit("waits", ()).await.expect("is queued");
    begun.notified().await;
    drop(host);
    let other = Host::builder().store_of(store).open().await.expect("opens");
    assert_eq!(other.app().job_get(id).await.expect("the job").state, JobState::Running);
    go_on.notify_one();
    other.result::<()>(id).await.expect("it was not interrupted");
    wait_for("the host to say goodbye", || async {
        let status = other.app().status().await.expect("a status");
        status.schedulers.iter().all(|scheduler| scheduler.stopped_at.is_some()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_schedule_may_be_asked_for_at_each_start() {
    let host = Host::builder().task("tick", || async { anyhow::Ok(()) }).start().await.expect("starts");
    let every = Duration::from_millis(20);
    let added = host.every("tick", "ticks", every, ()).await.expect("is added");
    let again = host.every("tick", "ticks", Duration::from_secs(5), ()).await.expect("stays");
    assert_eq!(added.schedule.trigger, again.schedule.trigger);
    let fired = host.next_event(only(EventType::JobReleased), Duration::from_secs(60)).await;
    assert!(matches!(fired.map(|event| event.kind), Some(EventKind::JobReleased(_))));
    host.close().await;
}

#[tokio::test]
async fn events_are_heard_by_callback_once_and_within_a_time() {
    let host = Host::builder().task("noop", || async { anyhow::Ok(()) }).start().await.expect("starts");
    let (all, first) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
    let callback = {
        let all = Arc::clone(&all);
        move |received| all.lock().expect("no panic held it").push(received)
    };
    let guard = host.on_event(only(EventType::JobReleased), callback);
    let once = host.once(only(EventType::JobReleased), {
        let first = Arc::clone(&first);
        move |event| first.lock().expect("no panic held it").push(event)
    });
    for _ in 0..3 {
        host.run::<()>("noop", ()).await.expect("a result");
    }
    wait_for("three events", || async { (all.lock().expect("no panic held it").len() == 3).then_some(()) }).await;
    assert!(all.lock().expect("no panic held it").iter().all(|received| matches!(received, Received::Event(_))));
    wait_for("one event", || async { (first.lock().expect("no panic held it").len() == 1).then_some(()) }).await;
    drop((guard, once));
    host.run::<()>("noop", ()).await.expect("a result");
    assert_eq!(host.next_event(only(EventType::PluginRemoved), Duration::from_millis(1)).await, None);
    assert_eq!(all.lock().expect("no panic held it").len(), 3, "it heard something after it was dropped");
    assert_eq!(first.lock().expect("no panic held it").len(), 1, "it was called more than once");
    host.close().await;
}

#[tokio::test]
async fn a_caller_who_gives_up_while_it_starts_leaves_a_host_that_works_or_does_not() {
    let host = Host::builder().task("noop", || async { anyhow::Ok(()) }).open().await.expect("opens");
    {
        let mut starting = std::pin::pin!(host.start());
        // Once, so that it has begun.
        let _pending = futures_util::poll!(starting.as_mut());
    }
    host.run::<()>("noop", ()).await.expect("it goes on");
    host.close().await;
}

#[tokio::test]
async fn events_say_where_a_job_comes_from_and_why_it_failed() {
    let host = Host::builder().task("fails", || async { Err::<(), _>("no luck") }).open().await.expect("opens");
    let types = vec![EventType::JobAcquired, EventType::JobReleased, EventType::SchedulerStopped];
    let mut events = host.events(EventFilter { types });
    let mut next = async || match events.next().await {
        Some(Received::Event(event)) => event.kind,
        other => panic!("no event: {other:?}"),
    };
    host.every("fails", "often", Duration::from_secs(3600), ()).await.expect("is added");
    host.start().await.expect("starts");
    let EventKind::JobAcquired { schedule_id, scheduled_fire_time, .. } = next().await else { panic!("another event") };
    assert_eq!(schedule_id.as_ref().map(|id| id.as_str()), Some("often"));
    let EventKind::JobReleased(job) = next().await else { panic!("another event") };
    assert_eq!((&job.schedule_id, job.scheduled_fire_time), (&schedule_id, scheduled_fire_time));
    assert_eq!((job.outcome, job.scheduler_id.as_ref()), (Some(Outcome::Error), Some(host.identity())));
    assert!(scheduled_fire_time.is_some() && job.started_at >= scheduled_fire_time, "{job:?}");
    let error = job.error.as_ref().expect("it failed");
    assert_eq!((error.kind, &*error.message), (ErrorKind::GuestError, "no luck"));

    host.submit("fails", ()).await.expect("is queued");
    let EventKind::JobAcquired { schedule_id, scheduled_fire_time, .. } = next().await else { panic!("another event") };
    assert_eq!((schedule_id, scheduled_fire_time), (None, None));
    assert!(matches!(next().await, EventKind::JobReleased(job) if job.schedule_id.is_none()));
    host.stop();
    let identity = host.identity().clone();
    assert_eq!(next().await, EventKind::SchedulerStopped { scheduler_id: identity, error: None });
    host.close().await;
}
