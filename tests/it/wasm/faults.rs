//! Each way to end badly ends with its own kind of error, in words that help, and disturbs nobody.

use std::time::Duration;

use host::executor::{Retry, Verdict};
use host::model::ErrorKind;
use serde_json::{Value, json};

use super::{Ended, Run, Sandbox};

/// Runs a fault while a sleeping job runs beside it, which must not notice.
async fn beside_another(task: &str, args: Value, change: impl FnOnce(&mut Run)) -> Ended {
    let (sandbox, digest) = Sandbox::with_faults().await;
    let mut run = Run::new(digest, task, args);
    change(&mut run);
    let other = Run::new(digest, "sleep", json!({"ms": 50}));
    let (ended, undisturbed) = tokio::join!(sandbox.run(run), sandbox.run(other));
    assert_eq!(undisturbed.value(), Value::Null);
    let after = sandbox.run(Run::new(digest, "echo", json!({"value": "still here"}))).await;
    assert_eq!(after.value(), json!("still here"));
    ended
}

fn assert_error(ended: &Ended, kind: ErrorKind, words: &[&str]) {
    let error = ended.error();
    assert_eq!(error.kind, kind, "{error:?}");
    for word in words {
        assert!(error.message.contains(word), "`{word}` is not in: {}", error.message);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_ends_when_its_fuel_is_used_up() {
    let ended = beside_another("spin", json!({}), |run| run.limits.fuel = 50_000_000).await;
    assert_error(&ended, ErrorKind::OutOfFuel, &["50000000", "--fuel"]);
    assert_eq!(ended.finished.usage.fuel, 50_000_000);
    assert!(
        ended.error().backtrace.as_deref().is_some_and(|stack| stack.contains("faults.wasm!")),
        "{:?}",
        ended.error()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_with_fuel_to_spare_ends_at_its_time_limit() {
    let ended = beside_another("spin", json!({}), |run| {
        run.limits.fuel = u64::MAX;
        run.limits.timeout = Duration::from_millis(200);
    })
    .await;
    assert_error(&ended, ErrorKind::TimedOut, &["200ms", "--timeout"]);
    assert!(ended.finished.usage.wall >= Duration::from_millis(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_waits_inside_the_host_ends_at_its_time_limit() {
    // Ten minutes, which nobody who runs tests waits for.
    let ended =
        beside_another("sleep", json!({"ms": 600_000}), |run| run.limits.timeout = Duration::from_millis(100)).await;
    assert_error(&ended, ErrorKind::TimedOut, &["100ms"]);
    assert!(ended.finished.usage.wall < Duration::from_secs(600), "{:?}", ended.finished.usage.wall);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allocation_without_end_is_reported_as_a_want_of_memory() {
    let ended = beside_another("allocates", json!({}), |_| {}).await;
    assert_error(&ended, ErrorKind::OutOfMemory, &["64 MiB", "--memory"]);
    assert!(ended.finished.usage.peak_memory_bytes <= 64 << 20);
    assert!(ended.finished.usage.peak_memory_bytes > 48 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn recursion_without_end_is_a_trap_with_its_stack() {
    let ended = beside_another("recurses", json!({}), |_| {}).await;
    assert_error(&ended, ErrorKind::Trap, &["recursed too deeply"]);
    assert!(ended.error().backtrace.as_deref().is_some_and(|stack| stack.contains("recurses")), "{:?}", ended.error());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_reported_with_its_message_and_place_also_when_the_log_is_full() {
    let ended = beside_another("panics", json!({"message": "no luck"}), |_| {}).await;
    assert_error(&ended, ErrorKind::Panic, &["no luck", "endings.rs:"]);
    let ended = beside_another("panics_after_logging", json!({}), |_| {}).await;
    assert_error(&ended, ErrorKind::Panic, &["after 2 MiB of log", "endings.rs:"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exit_is_reported_with_its_code_and_zero_is_no_success() {
    for code in [0, 3] {
        let ended = beside_another("exits", json!({"code": code}), |_| {}).await;
        // WASI 0.2 as Rust uses it knows success and failure only.
        assert_error(&ended, ErrorKind::Exited, &["exit code", if code == 0 { "code 0" } else { "code 1" }]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_is_a_trap() {
    let ended = beside_another("aborts", json!({}), |_| {}).await;
    assert_error(&ended, ErrorKind::Trap, &["aborted"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_over_the_limit_is_refused_by_size() {
    let ended = beside_another("returns", json!({"bytes": 2 << 20}), |_| {}).await;
    assert_error(&ended, ErrorKind::ResultTooLarge, &["1 MiB"]);
    // So large that it is not even read.
    let ended = beside_another("returns", json!({"bytes": 20 << 20}), |run| run.limits.memory_bytes = 512 << 20).await;
    assert_error(&ended, ErrorKind::ResultTooLarge, &["1 MiB"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_nobody_could_read_again_is_refused() {
    let (sandbox, digest) = Sandbox::with_faults().await;
    let nested = |depth: u32| sandbox.run(Run::new(digest, "returns_nested", json!({"depth": depth})));
    assert!(nested(64).await.value().is_array());
    for depth in [65, 128] {
        assert_error(&nested(depth).await, ErrorKind::ResultTooLarge, &["64 levels"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guests_own_errors_come_with_cause_code_and_advice_on_retrying() {
    let (sandbox, digest) = Sandbox::with_faults().await;
    let ended = sandbox.run(Run::new(digest, "permanent", json!({}))).await;
    assert_error(&ended, ErrorKind::GuestError, &["it cannot be done"]);
    let context = &ended.error().context;
    assert_eq!(context[..2], ["the cause", "the cause of the cause"]);
    assert!(context.iter().any(|line| line.contains("cannot")), "{context:?}");
    let retry = |ended: &Ended| match ended.finished.verdict {
        Verdict::Failure { retry, .. } => retry,
        _ => panic!("no failure"),
    };
    assert_eq!(retry(&ended), Retry::Never);
    let ended = sandbox.run(Run::new(digest, "flaky", json!({"times": 1}))).await;
    assert_eq!(retry(&ended), Retry::Backoff);
    let ended = sandbox.run(Run::new(digest, "retry_after", json!({"ms": 1500}))).await;
    assert_eq!(retry(&ended), Retry::After(Duration::from_millis(1500)));
    let ended = sandbox.run(Run::new(digest, "echo", json!({"valu": 1}))).await;
    assert_error(&ended, ErrorKind::GuestError, &["invalid arguments"]);
    assert_eq!(retry(&ended), Retry::Never);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_any_length_is_cut_and_keeps_its_message() {
    let (sandbox, digest) = Sandbox::with_faults().await;
    // 101 texts: 4 MB, which the host could read as a whole, and 20 MB, which it could not.
    for bytes in [40_000, 200_000] {
        let ended = sandbox.run(Run::new(digest, "fails_at_length", json!({"bytes": bytes}))).await;
        let error = ended.error();
        assert_eq!(
            error.kind,
            ErrorKind::GuestError,
            "{bytes}: {}",
            error.message.chars().take(200).collect::<String>()
        );
        assert!(error.message.starts_with("xxx") && error.message.len() <= 16 * 1024, "{} bytes", error.message.len());
        assert_eq!(error.context.len(), 32);
        assert!(error.context.iter().all(|cause| cause.len() <= 16 * 1024));
    }
}
