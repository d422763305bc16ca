//! Content that cannot be read: somebody else changed it, or a disk did. It is reported, ends or rests, and blocks nobody.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use host::broker::Delivery;
use host::clock::{Clock as _, SystemClock};
use host::model::{Coalesce, EventKind, Outcome, Pause, ScheduleId};
use host::store::{JobFilter, StoreError};
use tests::backends::{Backend, open};
use tests::stage::{Stage, succeed, unlimited};

use crate::{ask, block_on};

pub(crate) fn unreadable_job(backend: Backend) -> Result<()> {
    block_on(async {
        let place = backend.place()?.context("the store has a place")?;
        let stage = Stage::with_store(open(&place.url).await?);
        let task = stage.task("t", unlimited(), succeed()).await;
        let mut events = stage.broker.subscribe();
        let (bad, good) = (stage.job(&task).await, stage.job(&task).await);
        let (bad_id, good_id) = (bad.id, good.id);
        stage.store.job_add(vec![bad, good]).await?;
        // Asked for in a table of its own: MariaDB would not look at the table that it changes.
        let oldest = "(SELECT id FROM (SELECT id FROM host_jobs ORDER BY id LIMIT 1) AS oldest)";
        ask::rows(&place.url, &format!("UPDATE host_jobs SET settings = '{{' WHERE id = {oldest}")).await?;
        let scheduler = stage.start(Stage::options("one")).await;
        ensure!(stage.finished(good_id).await.outcome == Some(Outcome::Success), "the other one did not run");
        let told = until(&mut events, |kind| matches!(kind, EventKind::JobDeserializationFailed { .. })).await?;
        let is_it = matches!(&told, EventKind::JobDeserializationFailed { job_id, message } if *job_id == bad_id && !message.is_empty());
        ensure!(is_it, "{told:?}");
        let filter = JobFilter { outcome: Some(Outcome::DeserializationFailed), limit: 9, ..JobFilter::default() };
        let page = stage.store.job_list(filter).await?;
        ensure!(page.rows.is_empty() && page.unreadable.len() == 1, "{page:?}");
        ensure!(matches!(stage.store.job_get(bad_id).await, Err(StoreError::Corrupt { .. })), "it is readable");
        let counts = stage.store.job_counts().await?;
        ensure!((counts.queued, counts.running, counts.finished) == (0, 0, 2), "{counts:?}");
        scheduler.stop().await;
        stage.store.close().await;
        Ok(())
    })
}

pub(crate) fn unreadable_schedule(backend: Backend) -> Result<()> {
    block_on(async {
        let place = backend.place()?.context("the store has a place")?;
        let stage = Stage::with_store(open(&place.url).await?);
        stage.clock.set(SystemClock.now());
        let task = stage.task("t", unlimited(), succeed()).await;
        let mut events = stage.broker.subscribe();
        let trigger = r#"{"type":"interval","seconds":1}"#;
        for id in ["bad", "good"] {
            stage.schedule(id, &task, trigger, Coalesce::Latest).await;
        }
        ask::rows(&place.url, "UPDATE host_schedules SET coalesce_policy = 'never' WHERE id = 'bad'").await?;
        let scheduler = stage.start(Stage::options("one")).await;
        let failed = |kind: &EventKind| matches!(kind, EventKind::ScheduleDeserializationFailed { .. });
        let told = until(&mut events, failed).await?;
        let is_it = matches!(&told, EventKind::ScheduleDeserializationFailed { schedule_id, message }
            if schedule_id.as_str() == "bad" && message.contains("never"));
        ensure!(is_it, "{told:?}");
        stage
            .advance_until("the other schedule to fire", Duration::from_millis(100), || async {
                stage.jobs().await.iter().any(|job| job.outcome == Some(Outcome::Success))
            })
            .await;
        scheduler.stop().await;
        ask::rows(&place.url, "UPDATE host_schedules SET coalesce_policy = 'all' WHERE id = 'bad'").await?;
        let mended = stage.store.schedule_get(&ScheduleId::new("bad")?).await?.context("it is gone")?;
        let rests = matches!(&mended.pause, Some(Pause::Failed(reason)) if reason.contains("cannot be read"));
        ensure!(rests, "{:?}", mended.pause);
        stage.store.close().await;
        Ok(())
    })
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
