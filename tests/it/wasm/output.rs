//! What guests say, captured within bounds.

use host::executor::Report;
use host::model::LogLevel;
use serde_json::json;

use super::{Run, Sandbox};

#[tokio::test(flavor = "multi_thread")]
async fn log_stdout_and_stderr_are_captured_in_order() {
    let (sandbox, digest) = Sandbox::with_faults().await;
    let ended = sandbox.run(Run::new(digest, "says_something", json!({}))).await;
    ended.value();
    let lines: Vec<(&str, &str, LogLevel)> =
        ended.lines().iter().map(|line| (line.target.as_str(), line.message.as_str(), line.level)).collect();
    assert_eq!(lines[0], ("stdout", "to stdout", LogLevel::Info));
    assert_eq!(lines[1], ("stderr", "to stderr", LogLevel::Warn));
    assert_eq!((lines[2].1, lines[2].2), ("to the log", LogLevel::Warn));
    assert_eq!(ended.lines()[2].fields, [("number".to_owned(), "7".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_prints_too_much_goes_on_and_what_was_dropped_is_told() {
    let (sandbox, digest) = Sandbox::with_faults().await;
    for (task, bytes) in [("prints", 8 << 20), ("prints_errors", 4 << 20), ("logs", 4 << 20)] {
        let ended = sandbox.run(Run::new(digest, task, json!({"bytes": bytes}))).await;
        if task != "logs" {
            assert!(ended.value().as_u64().is_some_and(|written| written >= bytes), "{:?}", ended.value());
        }
        let lines = ended.lines();
        let kept: usize = lines.iter().map(|line| line.message.len()).sum();
        assert!(kept <= (1 << 20) + 1_000 && lines.len() <= 10_001, "{task}: {kept} bytes in {} lines", lines.len());
        assert!(kept > 900_000, "{task}: only {kept} bytes were kept");
        let last = lines.last().expect("a last line");
        assert!(last.target == "host" && last.message.contains("were dropped"), "{task}: {last:?}");
        assert!(lines.iter().enumerate().all(|(n, line)| line.sequence as usize == n), "{task}: out of order");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_text_become_text_that_can_be_stored() {
    let (sandbox, digest) = Sandbox::with_faults().await;
    let ended = sandbox.run(Run::new(digest, "prints_garbage", json!({}))).await;
    let line = ended.lines()[0].message.clone();
    assert!(line.ends_with("no newline") && !line.contains('\0'), "{line:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_progress_arrives() {
    let (sandbox, digest) = Sandbox::with_faults().await;
    let ended = sandbox.run(Run::new(digest, "reports_progress", json!({"times": 500}))).await;
    let last = ended.reports.iter().rev().find_map(|report| match report {
        Report::Progress(progress) => Some(progress),
        Report::Line(_) => None,
    });
    assert_eq!(last.map(|progress| progress.done), Some(500));
}
