//! Stopping guests: asked, made to, and forgotten.

use std::pin::pin;

use futures_util::future::{Either, select};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use host::executor::{Executor as _, MayBegin, Report, RunControl, Verdict};
use host::model::{Digest, ErrorKind};
use serde_json::{Value, json};
use tests::wait::PATIENCE;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Run, Sandbox};

/// Guests that compute at the same time: more than the threads that they share.
const SPINNERS: usize = 8;

/// A run with fuel to spare and more time than a test has patience.
fn endless(digest: Digest, task: &str, args: Value) -> Run {
    let mut run = Run::new(digest, task, args);
    run.limits.fuel = u64::MAX;
    run.limits.timeout = PATIENCE;
    run
}

/// What a run is controlled with: nobody asks it to stop, `kill` stops it, and what it says is heard.
fn control(kill: &CancellationToken) -> (RunControl, mpsc::Receiver<Report>) {
    let (reports, said) = mpsc::channel(8);
    (RunControl { may_begin: MayBegin::default(), cancel: CancellationToken::new(), kill: kill.clone(), reports }, said)
}

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
    for (task, args) in [("says_and_spins", json!({})), ("says_and_sleeps", json!({"ms": 600_000}))] {
        let kill = CancellationToken::new();
        let (control, mut begun) = control(&kill);
        let running = sandbox.executor.run(endless(digest, task, args).invocation(), control);
        tokio::pin!(running);
        tokio::select! {
            ended = &mut running => panic!("{task} ended by itself: {ended:?}"),
            said = begun.recv() => assert!(said.is_some(), "{task} never began"),
        }
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
    {
        let (control, mut begun) = control(&CancellationToken::new());
        let running = sandbox.executor.run(endless(digest, "says_and_spins", json!({})).invocation(), control);
        tokio::pin!(running);
        // It has begun, and the single place is taken.
        tokio::select! {
            ended = &mut running => panic!("it ended by itself: {ended:?}"),
            said = begun.recv() => assert!(said.is_some(), "it never began"),
        }
    }
    // With one place only, this ends exactly when the first guest is gone.
    let after = sandbox.run(Run::new(digest, "echo", json!({"value": 1}))).await;
    assert_eq!(after.value(), json!(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn computing_guests_share_the_threads() {
    let (sandbox, digest) = Sandbox::with_faults().await;
    let kill = CancellationToken::new();
    let (mut spinning, mut begun) = (Vec::new(), Vec::new());
    for _ in 0..SPINNERS {
        let (control, said) = control(&kill);
        spinning.push(sandbox.executor.run(endless(digest, "says_and_spins", json!({})).invocation(), control));
        begun.push(said);
    }
    let others = futures_util::future::join_all(spinning);
    tokio::pin!(others);
    let short = async {
        for said in &mut begun {
            assert!(said.recv().await.is_some(), "a guest never began");
        }
        sandbox.run(Run::new(digest, "echo", json!({"value": 1}))).await
    };
    // The others go on until they are killed, or for as long as `endless` lets them: a guest that is starved loses this race.
    let short = tokio::select! {
        spun = &mut others => panic!("a guest had to wait until others were done: {spun:?}"),
        short = short => short,
    };
    assert_eq!(short.value(), json!(1));
    kill.cancel();
    assert!(others.await.iter().all(|ended| ended.verdict == Verdict::Cancelled));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_gets_no_more_of_the_processors_by_running_more_attempts() {
    let sandbox = Sandbox::with(|options| options.concurrency = 64);
    let digest = sandbox.learn_faults().await;
    let computes = Run::new(digest, "burns", json!({"steps": 20_000_000}));
    let fuel = sandbox.run(computes.clone()).await.finished.usage.fuel;
    // Each of them would end before the other task's attempt if all attempts had the same share, and begins before it. As it is, they
    // have together what that one has alone, on as many processors as there are.
    let mut spins = Run::new(digest, "spin", json!({}));
    spins.limits.fuel = fuel / 2;
    let processors = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let mut others: FuturesUnordered<_> = (0..8 * processors.min(4)).map(|_| sandbox.run(spins.clone())).collect();
    let computes = pin!(sandbox.run(computes));
    match select(others.next(), computes).await {
        Either::Left((other, _)) => panic!("another one ended first: {:?}", other.map(|ended| ended.finished)),
        Either::Right((ended, _)) => assert!(matches!(ended.finished.verdict, Verdict::Success(_))),
    }
    while let Some(other) = others.next().await {
        assert_eq!(other.error().kind, ErrorKind::OutOfFuel);
    }
}
