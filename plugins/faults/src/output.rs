//! Too much of it, or none that can be read.

use std::io::Write as _;

use guest_sdk::{Context, TaskError, log, task};

/// Prints this many bytes to stdout, in lines of 100.
#[task]
fn prints(bytes: u64) -> u64 {
    write_lines(std::io::stdout().lock(), bytes)
}

/// Prints this many bytes to stderr, in lines of 100.
#[task]
fn prints_errors(bytes: u64) -> u64 {
    write_lines(std::io::stderr().lock(), bytes)
}

/// Answers with the bytes that found a taker.
fn write_lines(mut out: impl std::io::Write, bytes: u64) -> u64 {
    let line = [[b'x'; 99].as_slice(), b"\n"].concat();
    let written = (0..bytes.div_ceil(100)).take_while(|_| out.write_all(&line).is_ok()).count();
    u64::try_from(written).unwrap_or(u64::MAX) * 100
}

/// Prints one line of each kind: to stdout, to stderr, and to the log.
#[task]
fn says_something() -> Result<(), TaskError> {
    println!("to stdout");
    eprintln!("to stderr");
    log::warn!(number = 7, "to the log");
    Ok(())
}

/// Prints bytes that are no UTF-8, an unfinished line, and control characters.
#[task]
fn prints_garbage() -> Result<(), TaskError> {
    let mut out = std::io::stdout().lock();
    out.write_all(b"\xff\xfe\x00 \x1b[31mred\x1b[0m \xe2\x80\xae rtl, no newline")?;
    out.flush()?;
    Ok(())
}

/// Opens an escape sequence of the terminal in each of its texts, and closes it in the last one; then fails in such words.
#[task]
fn opens_escapes() -> Result<(), TaskError> {
    let closing = "value\u{7}\u{1b}\\".to_owned();
    log::log(log::Level::Info, "\u{1b}]0;target", "\u{1b}Pmessage", &[("\u{9d}name", closing)]);
    Err(TaskError::permanent("\u{1b}]0;the cause").context("\u{1b}_it failed\u{202e}"))
}

/// Logs this many bytes, in lines of 1,000.
#[task]
fn logs(bytes: u64) {
    fill_log(bytes);
}

/// Logs one line of this many bytes.
#[task]
fn logs_a_long_line(bytes: usize) {
    log::log(log::Level::Info, "faults", &"x".repeat(bytes), &[]);
}

pub(crate) fn fill_log(bytes: u64) {
    let line = "x".repeat(1_000);
    for _ in 0..bytes.div_ceil(1_000) {
        log::log(log::Level::Info, "faults", &line, &[]);
    }
}

/// Returns a string of this many bytes.
#[task]
fn returns(bytes: usize) -> String {
    "x".repeat(bytes)
}

/// Returns a value that has no form in JSON: a map whose keys are no text.
#[task]
fn returns_nonsense() -> std::collections::BTreeMap<Pair, u8> {
    [(Pair(1, 2), 3)].into()
}

/// A key that JSON cannot have.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, schemars::JsonSchema)]
struct Pair(u8, u8);

/// Returns lists in lists, this deep.
#[task]
fn returns_nested(depth: u32) -> serde_json::Value {
    (0..depth).fold(serde_json::Value::Null, |inner, _| serde_json::Value::Array(vec![inner]))
}

/// Fails with an error of this many bytes, with as many again in each of 100 causes.
#[task]
fn fails_at_length(bytes: usize) -> Result<(), TaskError> {
    let text = "x".repeat(bytes);
    Err((0..100).fold(TaskError::permanent(text.clone()), |error, _| error.context(text.clone())))
}

/// Reports progress this many times, and more of it than there is.
#[task]
fn reports_progress(ctx: &Context, times: u64) {
    for time in 0..times {
        ctx.progress_note(time + 1, times / 2, "over the top");
    }
}
