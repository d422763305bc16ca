//! Times: microseconds, and the ends of what can be told.

use host::model::{JobSpec, Schedule, Timestamp};

use super::{Rig, cases, ids};
use crate::factory::{add, recover, schedule, t};

cases![
    microseconds_are_kept,
    times_before_1970_and_at_the_ends_come_back,
    a_microsecond_decides_whether_a_job_is_due,
    a_job_due_at_the_end_of_time_never_is,
    a_store_with_a_clock_tells_about_the_right_time,
    a_lease_ends_exactly_at_its_time,
];

fn micros(micros: i64) -> Timestamp {
    Timestamp::from_micros(t(0).as_micros() + micros).expect("in range")
}

async fn microseconds_are_kept(rig: Rig) {
    let spec = rig.add(JobSpec { due_at: micros(123_457), created_at: micros(1), ..rig.make.job("p:work") }).await;
    assert_eq!(rig.job(spec.id).await.spec, spec);
}

async fn times_before_1970_and_at_the_ends_come_back(rig: Rig) {
    let ends = [Timestamp::MIN, Timestamp::MAX, Timestamp::from_micros(-1).expect("in range"), Timestamp::EPOCH];
    for (at, time) in ends.into_iter().enumerate() {
        let stored = Schedule { created_at: time, last_fire_time: Some(time), ..schedule(&format!("s{at}"), 0) };
        rig.a.schedule_add(add(stored.clone())).await.expect("added");
        assert_eq!(rig.b.schedule_get(&stored.id).await.expect("read"), Some(stored));
    }
}

async fn a_microsecond_decides_whether_a_job_is_due(rig: Rig) {
    let spec = rig.add(JobSpec { due_at: micros(10), ..rig.make.job("p:work") }).await;
    let early = host::store::AcquireJobs { now: micros(9), ..rig.make.acquire(0, 1) };
    assert!(rig.a.job_acquire(early).await.expect("asked").jobs.is_empty());
    let due = host::store::AcquireJobs { now: micros(10), ..rig.make.acquire(0, 1) };
    assert_eq!(ids(&rig.a.job_acquire(due).await.expect("acquired").jobs), [spec.id]);
}

async fn a_job_due_at_the_end_of_time_never_is(rig: Rig) {
    rig.add(JobSpec { due_at: Timestamp::MAX, ..rig.make.job("p:work") }).await;
    assert!(rig.acquire(1_000_000_000, 1).await.is_empty());
    assert_eq!(rig.b.job_next_due(t(0)).await.expect("read"), Some(Timestamp::MAX));
}

async fn a_store_with_a_clock_tells_about_the_right_time(rig: Rig) {
    use host::clock::Clock as _;
    // No wrapping asks again: the answer is about this moment.
    let mut tries = 0;
    let (before, told) = loop {
        let before = host::clock::SystemClock.now();
        match rig.a.store_clock().await {
            Ok(told) => break (before, told.now),
            Err(error) => assert!(error.is_transient() && tries < 100, "{error}"),
        }
        tries += 1;
    };
    let after = host::clock::SystemClock.now();
    let slack = std::time::Duration::from_secs(5);
    if let Some(told) = told {
        // Server and test share the machine.
        assert!(told >= before.saturating_sub(slack) && told <= after.saturating_add(slack), "{told}");
    }
}

async fn a_lease_ends_exactly_at_its_time(rig: Rig) {
    rig.add(rig.make.job("p:work")).await;
    rig.acquire_one(0).await;
    let early = host::store::Recover { over_at: micros(9_999_999), ..recover(10) };
    assert!(rig.a.recover(early).await.expect("recovered").requeued.is_empty());
    assert_eq!(rig.a.recover(recover(10)).await.expect("recovered").requeued.len(), 1);
}
