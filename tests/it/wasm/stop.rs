//! Stopping guests: asked, made to, and forgotten.

use std::time::Duration;

use host::executor::{Executor as _, RunControl, Verdict};
use host::model::ErrorKind;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Run, Sandbox};

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_is_asked_to_stop_stops_by_itself() {
    let (sandbox, digest) = Sandbox::with_faults().await;
    let cancel = CancellationToken::new();
    let running =
        sandbox.run_with(Run::new(digest, "until_cancelled", json!({})), cancel.clone(), CancellationToken::new());
    let asking = async {
        tokio::task::yield_now().await;
        cancel.cancel();
    };
    let (ended, ()) = tokio::join!(running, asking);
    assert_eq!(ended.finished.verdict, Verdict::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_does_not_listen_is_stopped_wherever_it_is() {
    let (sandbox, digest) = Sandbox::with_faults().await;
    for (task, args) in [("spin", json!({})), ("sleep", json!({"ms": 60_000}))] {
        let (cancel, kill) = (CancellationToken::new(), CancellationToken::new());
        let mut run = Run::new(digest, task, args);
        run.limits.fuel = u64::MAX;
        let (sender, _receiver) = mpsc::channel(8);
        let control = RunControl { cancel: cancel.clone(), kill: kill.clone(), reports: sender };
        let running = sandbox.executor.run(run.invocation(), control);
        tokio::pin!(running);
        // It is certainly under way after two jobs of the same kind have come and gone.
        let others = async {
            sandbox.run(Run::new(digest, "sleep", json!({"ms": 20}))).await;
            sandbox.run(Run::new(digest, "noop", json!({}))).await;
        };
        tokio::select! {
            ended = &mut running => panic!("{task} ended by itself: {ended:?}"),
            () = others => {}
        }
        cancel.cancel();
        kill.cancel();
        assert_eq!(running.await.verdict, Verdict::Cancelled, "{task}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_claims_to_be_cancelled_unasked_has_failed() {
    let (sandbox, digest) = Sandbox::with_faults().await;
    let ended = sandbox.run(Run::new(digest, "claims_cancelled", json!({}))).await;
    assert_eq!(ended.error().kind, ErrorKind::GuestError);
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_wait_stops_the_guest_and_frees_its_place() {
    let sandbox = Sandbox::with(|options| options.concurrency = 1);
    let digest = {
        use host::executor::PluginInspector as _;
        sandbox.executor.inspect(super::FAULTS.clone(), &[]).await.expect("a sound plugin").digest
    };
    let mut run = Run::new(digest, "spin", json!({}));
    run.limits.fuel = u64::MAX;
    {
        let (sender, _receiver) = mpsc::channel(8);
        let control = RunControl { cancel: CancellationToken::new(), kill: CancellationToken::new(), reports: sender };
        let running = sandbox.executor.run(run.invocation(), control);
        tokio::pin!(running);
        // Polled often enough to have begun; the single place is then taken.
        for _ in 0..100 {
            assert!(futures_util::poll!(&mut running).is_pending());
            tokio::task::yield_now().await;
        }
    }
    // With one place only, this ends exactly when the first guest is gone.
    let after = sandbox.run(Run::new(digest, "echo", json!({"value": 1}))).await;
    assert_eq!(after.value(), json!(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn computing_guests_share_the_threads() {
    let (sandbox, digest) = Sandbox::with_faults().await;
    let spinning: Vec<_> = (0..8)
        .map(|_| {
            let mut run = Run::new(digest, "spin", json!({}));
            run.limits.fuel = u64::MAX;
            run.limits.timeout = Duration::from_secs(2);
            sandbox.run(run)
        })
        .collect();
    let others = futures_util::future::join_all(spinning);
    let short = sandbox.run(Run::new(digest, "echo", json!({"value": 1})));
    let (spun, short) = tokio::join!(others, short);
    assert!(short.finished.usage.wall < Duration::from_secs(1), "starved for {:?}", short.finished.usage.wall);
    assert!(spun.iter().all(|ended| ended.error().kind == ErrorKind::TimedOut));
}
