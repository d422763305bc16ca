//! What guests say, captured within bounds.

use host::config::Caps;
use host::executor::{Limits, Report};
use host::model::limits::ATTEMPT_LOG_MIN;
use host::model::{JobSettings, LogLevel};
use serde_json::json;

use super::{LIMITS, Run, Sandbox, settings};

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
async fn a_guest_that_prints_too_much_goes_on_and_what_was_dropped_is_reported() {
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

#[test]
fn all_attempts_of_a_job_together_log_no_more_than_a_job_may() {
    let caps = Caps::default();
    let (mut shared, mut least) = (0, 0);
    for max_attempts in [1, 2, 3, 4, 7, 10, 100, 1_000, u32::MAX] {
        let settings = JobSettings { max_attempts, ..settings(&LIMITS) };
        let Limits { log_bytes, log_lines, .. } = Limits::of(&settings, &caps);
        assert!(log_bytes <= caps.log_bytes && log_lines <= caps.log_lines, "{max_attempts} attempts");
        let attempts = usize::try_from(max_attempts).expect("64 bits");
        let is_within = log_bytes.saturating_mul(attempts) <= caps.job_log_bytes
            && log_lines.saturating_mul(attempts) <= caps.job_log_lines;
        // Where there are so many attempts that nothing would be left for each, each has a little.
        let has_least = log_bytes == ATTEMPT_LOG_MIN.0 || log_lines == ATTEMPT_LOG_MIN.1;
        assert!(is_within || has_least, "{max_attempts} attempts: {log_bytes} bytes, {log_lines} lines");
        (shared, least) = (shared + u32::from(is_within), least + u32::from(has_least));
    }
    assert!(shared > 3 && least > 0, "both are looked at");
}
