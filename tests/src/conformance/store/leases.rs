//! Leases on jobs: extensions, tokens, what a late holder may still do.

use std::time::Duration;

use host::model::{CancelRequest, JobState, LogLevel, LogLine, Progress};
use host::store::{CancelAsked, Cancelled, Extended, Hold, JobReport, ReadLogs, Released};

use super::{Rig, cases};
use crate::factory::{extend, recover, release, releases, success, t};

cases![
    a_held_lease_is_extended,
    a_line_extends_as_the_queue_does_and_goes_on_after_a_call_that_was_dropped,
    extending_twice_to_the_same_time_is_held_twice,
    extending_with_another_token_changes_nothing,
    extending_tells_which_jobs_are_to_stop,
    whoever_holds_leases_is_told_which_jobs_are_to_stop_and_within_what_time,
    a_grace_period_holds_until_another_one_is_asked_for_and_ends_with_the_request,
    each_extension_stands_alone,
    a_late_holder_whom_nobody_missed_may_still_release,
    a_late_release_changes_nothing_once_the_job_was_taken_back,
    a_second_release_changes_nothing,
    a_late_report_changes_nothing,
    log_lines_come_back_in_order_and_once,
    log_lines_can_be_read_from_a_place_on,
    progress_is_kept_until_the_next_attempt,
];

fn line(attempt: u32, sequence: u32) -> LogLine {
    LogLine {
        attempt,
        sequence,
        at: t(1),
        level: LogLevel::Warn,
        target: "guest".into(),
        message: format!("line {attempt}.{sequence} äöü"),
        fields: vec![("k".into(), "v\n".into())],
    }
}

async fn a_held_lease_is_extended(rig: Rig) {
    rig.add(rig.make.job("p:work")).await;
    let (id, token) = rig.acquire_one(0).await;
    let request = extend(20, vec![(id, token)]);
    let answer = rig.a.job_extend(request).await.expect("extended");
    assert_eq!(answer, [Extended { id, token, hold: Hold::Extended, cancel_requested: None }]);
    assert_eq!(rig.job(id).await.lease.expect("leased").expires_at, t(30));
    assert!(rig.b.recover(recover(29)).await.expect("recovered").requeued.is_empty());
}

async fn a_line_extends_as_the_queue_does_and_goes_on_after_a_call_that_was_dropped(rig: Rig) {
    rig.add(rig.make.job("p:work")).await;
    let (id, token) = rig.acquire_one(0).await;
    let mut line = rig.a.lease_line();
    for now in [10, 20, 30] {
        // Dropped at some point of its way, which may be before its beginning or after its end.
        let mut dropped = Box::pin(line.extend(extend(now - 5, vec![(id, token)])));
        for _ in 0..now {
            if futures_util::FutureExt::now_or_never(&mut dropped).is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(dropped);
        let request = extend(now, vec![(id, token), (id, rig.make.token())]);
        let answer = loop {
            // A store that fails on request fails here as well, and nothing is tried again on a line.
            match line.extend(request.clone()).await {
                Ok(answer) if answer[0].hold != Hold::Busy => break answer,
                Ok(_) | Err(_) => {}
            }
        };
        assert_eq!(answer.iter().map(|it| it.hold).collect::<Vec<_>>(), [Hold::Extended, Hold::Lost]);
        assert!(rig.job(id).await.lease.expect("leased").expires_at >= t(now + 10));
    }
}

async fn extending_twice_to_the_same_time_is_held_twice(rig: Rig) {
    rig.add(rig.make.job("p:work")).await;
    let (id, token) = rig.acquire_one(0).await;
    let request = extend(0, vec![(id, token)]);
    assert_eq!(rig.a.job_extend(request.clone()).await.expect("extended")[0].hold, Hold::Extended);
    assert_eq!(rig.b.job_extend(request).await.expect("extended")[0].hold, Hold::Extended);
}

async fn extending_with_another_token_changes_nothing(rig: Rig) {
    rig.add(rig.make.job("p:work")).await;
    let (id, _) = rig.acquire_one(0).await;
    let request = extend(89, vec![(id, rig.make.token())]);
    assert_eq!(rig.a.job_extend(request).await.expect("asked")[0].hold, Hold::Lost);
    assert_eq!(rig.job(id).await.lease.expect("leased").expires_at, t(10));
}

async fn extending_tells_which_jobs_are_to_stop(rig: Rig) {
    rig.add(rig.make.job("p:work")).await;
    let (id, token) = rig.acquire_one(0).await;
    assert_eq!(rig.b.job_cancel(id, None, t(1)).await.expect("asked"), Cancelled::Asked);
    assert_eq!(rig.job(id).await.state, JobState::Running);
    let request = extend(10, vec![(id, token)]);
    let answer = rig.a.job_extend(request).await.expect("extended");
    assert_eq!(
        answer,
        [Extended { id, token, hold: Hold::Extended, cancel_requested: Some(CancelRequest::default()) }]
    );
}

async fn whoever_holds_leases_is_told_which_jobs_are_to_stop_and_within_what_time(rig: Rig) {
    for _ in 0..3 {
        rig.add(rig.make.job("p:work")).await;
    }
    let (asked, token) = rig.acquire_one(0).await;
    let (other, other_token) = rig.acquire_one(0).await;
    let (elsewhere, _) = rig.acquire_one(0).await;
    let leases = vec![(asked, token), (other, other_token), (elsewhere, rig.make.token()), (rig.make.job_id(), token)];
    assert_eq!(rig.a.job_cancel_asked(leases.clone()).await.expect("looked"), []);
    assert_eq!(rig.a.job_cancel_asked(Vec::new()).await.expect("looked"), []);
    let grace = Some(Duration::from_micros(1_500_001));
    assert_eq!(rig.b.job_cancel(asked, grace, t(1)).await.expect("asked"), Cancelled::Asked);
    rig.b.job_cancel(elsewhere, grace, t(1)).await.expect("asked");
    let told = CancelAsked { id: asked, token, request: CancelRequest { grace } };
    assert_eq!(rig.a.job_cancel_asked(leases.clone()).await.expect("looked"), [told]);
    assert_eq!(rig.job(asked).await.cancel_requested, Some(told.request));
    assert_eq!(rig.job(asked).await.lease.expect("leased").expires_at, t(10), "to look extends no lease");
    let answer = rig.a.job_extend(extend(2, leases)).await.expect("extended");
    assert_eq!(answer[0].cancel_requested, Some(told.request));
}

async fn a_grace_period_holds_until_another_one_is_asked_for_and_ends_with_the_request(rig: Rig) {
    rig.add(rig.make.job("p:work")).await;
    let (id, token) = rig.acquire_one(0).await;
    let (long, none) = (Some(Duration::from_secs(60)), Some(Duration::ZERO));
    for (asked, holds) in [(None, None), (long, long), (None, long), (none, none), (None, none)] {
        rig.b.job_cancel(id, asked, t(1)).await.expect("asked");
        assert_eq!(rig.job(id).await.cancel_requested, Some(CancelRequest { grace: holds }), "{asked:?}");
    }
    rig.a.job_release(releases(1, release(id, token, success(1_000)))).await.expect("released");
    let retried = rig.a.job_retry(id, t(2)).await.expect("queued again");
    assert_eq!(retried.cancel_requested, None);
    let (_, token) = rig.acquire_one(3).await;
    assert_eq!(rig.b.job_cancel(id, None, t(4)).await.expect("asked"), Cancelled::Asked);
    let told = rig.a.job_cancel_asked(vec![(id, token)]).await.expect("looked");
    assert_eq!(told, [CancelAsked { id, token, request: CancelRequest { grace: None } }]);
}

async fn each_extension_stands_alone(rig: Rig) {
    rig.add(rig.make.job("p:work")).await;
    rig.add(rig.make.job("p:work")).await;
    let (one, token) = rig.acquire_one(0).await;
    let (two, _) = rig.acquire_one(0).await;
    let unknown = rig.make.job_id();
    let leases = vec![(unknown, token), (two, token), (one, token)];
    let answer = rig.a.job_extend(extend(40, leases)).await.expect("asked");
    let held: Vec<_> = answer.iter().map(|extended| (extended.id, extended.hold)).collect();
    assert_eq!(held, [(unknown, Hold::Lost), (two, Hold::Lost), (one, Hold::Extended)]);
}

async fn a_late_holder_whom_nobody_missed_may_still_release(rig: Rig) {
    rig.add(rig.make.job("p:work")).await;
    let (id, token) = rig.acquire_one(0).await;
    let released = rig.a.job_release(releases(500, release(id, token, success(900)))).await.expect("released");
    assert_eq!(released, [Released::Stored]);
}

async fn a_late_release_changes_nothing_once_the_job_was_taken_back(rig: Rig) {
    rig.add(rig.make.job("p:work")).await;
    let (id, token) = rig.acquire_one(0).await;
    rig.b.recover(recover(10)).await.expect("recovered");
    let (_, second) = rig.acquire_one(11).await;
    let late = rig.a.job_release(releases(12, release(id, token, success(900)))).await.expect("asked");
    assert_eq!(late, [Released::LeaseLost]);
    let job = rig.job(id).await;
    assert_eq!((job.state, job.lease.expect("leased").token), (JobState::Running, second));
}

async fn a_second_release_changes_nothing(rig: Rig) {
    rig.add(rig.make.job("p:work")).await;
    let (id, token) = rig.acquire_one(0).await;
    rig.a.job_release(releases(1, release(id, token, success(900)))).await.expect("released");
    let again = rig.a.job_release(releases(2, release(id, token, success(901)))).await.expect("asked");
    assert_eq!(again, [Released::LeaseLost]);
    assert_eq!(rig.job(id).await.finished_at, Some(t(1)));
}

async fn logs(rig: &Rig, id: host::model::JobId, after: Option<(u32, u32)>, limit: usize) -> Vec<(u32, u32)> {
    let lines = rig.b.job_logs(ReadLogs { id, after, limit }).await.expect("read").lines;
    lines.iter().map(|line| (line.attempt, line.sequence)).collect()
}

async fn a_late_report_changes_nothing(rig: Rig) {
    rig.add(rig.make.job("p:work")).await;
    let (id, _) = rig.acquire_one(0).await;
    let progress = Some(Progress { done: 1, total: None, note: String::new() });
    let report = JobReport { id, token: rig.make.token(), lines: vec![line(1, 0)], progress };
    rig.a.job_report(vec![report]).await.expect("asked");
    assert_eq!(logs(&rig, id, None, 9).await, []);
    assert_eq!(rig.job(id).await.progress, None);
}

async fn log_lines_come_back_in_order_and_once(rig: Rig) {
    rig.add(rig.make.job("p:work")).await;
    let (id, token) = rig.acquire_one(0).await;
    let report = |lines| JobReport { id, token, lines, progress: None };
    rig.a.job_report(vec![report(vec![line(1, 1), line(1, 0)])]).await.expect("reported");
    rig.a.job_report(vec![report(vec![line(1, 1), line(1, 2)])]).await.expect("reported");
    let mut last = release(id, token, success(9));
    last.lines = vec![line(1, 2), line(1, 3)];
    rig.a.job_release(releases(1, last)).await.expect("released");
    assert_eq!(logs(&rig, id, None, 99).await, [(1, 0), (1, 1), (1, 2), (1, 3)]);
    let lines = rig.b.job_logs(ReadLogs { id, after: None, limit: 1 }).await.expect("read").lines;
    assert_eq!(lines, [line(1, 0)]);
}

async fn log_lines_can_be_read_from_a_place_on(rig: Rig) {
    rig.add(rig.make.job("p:work")).await;
    let (id, token) = rig.acquire_one(0).await;
    let lines = vec![line(1, 0), line(1, 1), line(2, 0), line(2, 1)];
    rig.a.job_report(vec![JobReport { id, token, lines, progress: None }]).await.expect("reported");
    assert_eq!(logs(&rig, id, Some((1, 0)), 2).await, [(1, 1), (2, 0)]);
    assert_eq!(logs(&rig, id, Some((2, 1)), 2).await, []);
}

async fn progress_is_kept_until_the_next_attempt(rig: Rig) {
    rig.add(rig.make.job("p:work")).await;
    let (id, token) = rig.acquire_one(0).await;
    let progress = Progress { done: u64::MAX, total: Some(0), note: "half".into() };
    let report = JobReport { id, token, lines: Vec::new(), progress: Some(progress.clone()) };
    rig.a.job_report(vec![report]).await.expect("reported");
    assert_eq!(rig.job(id).await.progress, Some(progress.clone()));
    rig.b.recover(recover(10)).await.expect("recovered");
    assert_eq!(rig.job(id).await.progress, Some(progress));
    rig.acquire_one(11).await;
    assert_eq!(rig.job(id).await.progress, None);
}
