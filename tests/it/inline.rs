//! Native tasks keep the contract of the executors.

use std::sync::Arc;
use std::time::Duration;

use host::clock::{Clock as _, ManualClock, SystemClock};
use host::executor::inline::{InlineExecutor, NativeContext, NativeError};
use host::executor::{Executor as _, Finished, Invocation, Report, Retry, RunControl, Runnable, Verdict};
use host::model::{ErrorKind, LogLevel, Target, TaskName};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

fn name(text: &str) -> TaskName {
    TaskName::new(text).expect("a name")
}

fn executor(clock: &ManualClock) -> InlineExecutor {
    InlineExecutor::new(Arc::new(clock.clone()))
        .with(name("double"), |_, args| async move {
            let number = args["number"].as_i64().ok_or_else(|| NativeError::permanent("`number` is missing"))?;
            Ok(json!(number * 2))
        })
        .with(name("waits"), |_, _| std::future::pending::<Result<Value, NativeError>>())
        .with(name("listens"), |context: NativeContext, _| async move {
            context.cancelled().cancelled().await;
            Err(NativeError::retryable("gave up"))
        })
        .with(name("nests"), |_, args| async move {
            let depth = args["depth"].as_u64().unwrap_or_default();
            Ok((0..depth).fold(json!(0), |inner, _| json!([inner])))
        })
        .with(name("panics"), |_, _| -> std::future::Ready<Result<Value, NativeError>> { panic!("no luck") })
        .with(name("rambles"), |_, _| async {
            Err(NativeError { context: vec!["y".repeat(100_000); 100], ..NativeError::permanent("x".repeat(100_000)) })
        })
        .with(name("chats"), |context: NativeContext, _| async move {
            for n in 0..5 {
                context.log(LogLevel::Info, &format!("line {n}"));
            }
            Ok(Value::Null)
        })
}

fn invocation(clock: &ManualClock, task: &str, args: Value) -> Invocation {
    let mut invocation = crate::wasm::native_invocation(args);
    invocation.runnable = Arc::new(Runnable { target: Target::Native { function: name(task) }, plugin: None });
    invocation.started_at = clock.now();
    invocation.limits.timeout = Duration::from_secs(60);
    invocation.limits.log_lines = 3;
    invocation
}

struct Reins {
    control: RunControl,
    reports: mpsc::Receiver<Report>,
}

fn reins() -> Reins {
    let (sender, reports) = mpsc::channel(16);
    let control = RunControl { cancel: CancellationToken::new(), kill: CancellationToken::new(), reports: sender };
    Reins { control, reports }
}

async fn run(task: &str, args: Value) -> Finished {
    let clock = ManualClock::new(SystemClock.now());
    executor(&clock).run(invocation(&clock, task, args), reins().control).await
}

fn kind(finished: &Finished) -> (ErrorKind, Retry) {
    match &finished.verdict {
        Verdict::Failure { error, retry } => (error.kind, *retry),
        other => panic!("no failure: {other:?}"),
    }
}

#[tokio::test]
async fn a_closure_gets_its_arguments_and_its_error_is_the_jobs() {
    let Verdict::Success(payload) = run("double", json!({"number": 21})).await.verdict else { panic!("no success") };
    assert_eq!(&*payload.data, b"42");
    assert_eq!(kind(&run("double", json!({})).await), (ErrorKind::GuestError, Retry::Never));
    assert_eq!(kind(&run("unknown", json!({})).await).0, ErrorKind::PluginUnavailable);
}

#[tokio::test]
async fn a_result_is_accepted_up_to_the_depth_that_can_be_read_again() {
    assert!(matches!(run("nests", json!({"depth": 64})).await.verdict, Verdict::Success(_)));
    assert_eq!(kind(&run("nests", json!({"depth": 65})).await).0, ErrorKind::ResultTooLarge);
    assert_eq!(kind(&run("nests", json!({"depth": 1_000})).await).0, ErrorKind::ResultTooLarge);
}

#[tokio::test]
async fn an_error_of_any_length_is_cut_and_keeps_its_message() {
    let Verdict::Failure { error, .. } = run("rambles", json!({})).await.verdict else { panic!("no failure") };
    assert!(error.message.starts_with("xxx") && error.message.len() < 20_000, "{} bytes", error.message.len());
    assert!(error.context.len() == 32 && error.context.iter().all(|cause| cause.len() < 20_000));
}

#[tokio::test]
async fn a_panic_ends_its_own_attempt_only() {
    assert_eq!(kind(&run("panics", json!({})).await).0, ErrorKind::Panic);
}

#[tokio::test]
async fn time_limit_cancelling_and_stop_end_a_closure_that_awaits() {
    let clock = ManualClock::new(SystemClock.now());
    let executor = executor(&clock);
    let waiting = executor.run(invocation(&clock, "waits", json!({})), reins().control);
    let moving = async { clock.advance(Duration::from_secs(61)) };
    let (finished, ()) = tokio::join!(waiting, moving);
    assert_eq!(kind(&finished).0, ErrorKind::TimedOut);

    let reins_of_killed = reins();
    reins_of_killed.control.kill.cancel();
    let killed = executor.run(invocation(&clock, "waits", json!({})), reins_of_killed.control).await;
    assert_eq!(killed.verdict, Verdict::Cancelled);

    let reins_of_asked = reins();
    reins_of_asked.control.cancel.cancel();
    let asked = executor.run(invocation(&clock, "listens", json!({})), reins_of_asked.control).await;
    assert_eq!(asked.verdict, Verdict::Cancelled);
}

#[tokio::test]
async fn lines_over_the_limit_are_counted_and_told() {
    let clock = ManualClock::new(SystemClock.now());
    let mut reins = reins();
    executor(&clock).run(invocation(&clock, "chats", json!({})), reins.control).await;
    let mut messages = Vec::new();
    while let Ok(Report::Line(line)) = reins.reports.try_recv() {
        messages.push(line.message);
    }
    assert_eq!(messages, ["line 0", "line 1", "line 2", "2 more lines were dropped"]);
}
