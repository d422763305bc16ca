//! What a guest says: its log, stdout and stderr, and progress, captured line by line within bounds.
//!
//! A guest that says too much goes on undisturbed: what is over the limit is counted and dropped, and one last line tells
//! how much. The streams are never closed, because a guest whose `println!` fails would panic for want of a log.
//!
//! Nothing here waits. Lines that the receiver has no room for stay in a queue, which is bounded by the same limits, and
//! go out with a later line, at a tick of the epoch, or after the guest has ended.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use tokio::sync::mpsc;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use super::memory::HostBytes;
use super::work::{KEPT_LINE, LINE, Work};
use crate::executor::{AttemptClock, Report};
use crate::model::limits::{LOG_LINE_BYTES_MAX, MESSAGE_BYTES_MAX};
use crate::model::{JobError, LogLevel, LogLine, Progress, SecretValue};

/// The target under which a plugin reports its panic.
const PANIC_TARGET: &str = "jobs:panic";
/// The target of the lines that the host itself adds.
const HOST_TARGET: &str = "host";
/// Longest target, and longest name of a field, in bytes.
const NAME_BYTES_MAX: usize = 256;
/// Most fields of one line.
const FIELDS_MAX: usize = 32;
/// How many of the last lines of stderr are remembered for the explanation of a crash.
const TAIL_LINES: usize = 20;
/// What a guest may write to a stream at once.
const WRITE_BYTES_MAX: usize = 64 * 1024;
/// Shortest secret that is taken out of what a guest says.
const HIDDEN_BYTES_MIN: usize = 8;

/// The two output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What a guest said of its panic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PanicRecord {
    /// The panic's own message.
    pub(super) message: String,
    /// `file:line:column`, as far as it is known.
    pub(super) place: Option<String>,
}

/// How much is kept, and where it goes.
pub(super) struct OutputOptions {
    /// The attempt that speaks.
    pub(super) attempt: u32,
    /// Bytes kept.
    pub(super) bytes_max: usize,
    /// Lines kept.
    pub(super) lines_max: usize,
    /// Where lines and progress go; `None` where nobody listens.
    pub(super) reports: Option<mpsc::Sender<Report>>,
    /// The time of each line.
    pub(super) clock: AttemptClock,
}

/// The capture of one guest. Clones capture for the same one.
#[derive(Clone)]
pub(super) struct Output(Arc<Mutex<Capture>>);

struct Capture {
    options: OutputOptions,
    lines: u32,
    bytes: usize,
    is_full: bool,
    dropped_lines: u64,
    dropped_bytes: u64,
    pending: VecDeque<LogLine>,
    progress: Option<Progress>,
    stdout: PartialLine,
    stderr: PartialLine,
    stderr_tail: VecDeque<String>,
    panic: Option<PanicRecord>,
    /// Values that are not shown.
    hidden: Vec<String>,
    work: Work,
    /// Lines that wait for room, and the last ones of stderr.
    host_bytes: HostBytes,
}

/// The beginning of a line whose end was not written yet.
#[derive(Default)]
struct PartialLine {
    text: Vec<u8>,
    /// Bytes beyond the longest line.
    cut: u64,
}

impl Output {
    /// An empty capture.
    pub(super) fn new(options: OutputOptions) -> Output {
        Output(Arc::new(Mutex::new(Capture {
            options,
            lines: 0,
            bytes: 0,
            is_full: false,
            dropped_lines: 0,
            dropped_bytes: 0,
            pending: VecDeque::new(),
            progress: None,
            stdout: PartialLine::default(),
            stderr: PartialLine::default(),
            stderr_tail: VecDeque::new(),
            panic: None,
            hidden: Vec::new(),
            work: Work::default(),
            host_bytes: HostBytes::default(),
        })))
    }

    /// What the host keeps of it, and whatever else the host keeps for the same guest.
    pub(super) fn host_bytes(&self) -> HostBytes {
        self.capture().host_bytes.clone()
    }

    /// Where is noted what the capture costs.
    pub(super) fn work(&self) -> Work {
        self.capture().work.clone()
    }

    fn capture(&self) -> MutexGuard<'_, Capture> {
        // A capture is whole between any two of its statements; a panic elsewhere does not make it wrong.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line of the guest's structured log.
    pub(super) fn log(&self, level: LogLevel, target: String, message: String, fields: Vec<(String, String)>) {
        let mut capture = self.capture();
        let fields_bytes: usize = fields.iter().map(|(name, value)| name.len() + value.len()).sum();
        capture.work.note_bytes(target.len() + message.len() + fields_bytes);
        capture.work.note(LINE.saturating_mul(fields.len() as u64));
        let message = capture.without_hidden(message);
        let fields: Vec<(String, String)> =
            fields.into_iter().map(|(name, value)| (name, capture.without_hidden(value))).collect();
        if target == PANIC_TARGET {
            capture.panic = Some(PanicRecord::from_log(&message, &fields));
        }
        capture.line(level, clipped(target, NAME_BYTES_MAX), clipped(message, LOG_LINE_BYTES_MAX), fields);
        capture.send_pending();
    }

    /// How far the guest has come; only the latest counts.
    pub(super) fn progress(&self, progress: Progress) {
        let mut capture = self.capture();
        capture.work.note_bytes(progress.note.len());
        capture.work.note(KEPT_LINE);
        let note = capture.without_hidden(progress.note);
        capture.progress = Some(Progress { note: clipped(note, MESSAGE_BYTES_MAX), ..progress });
        capture.send_pending();
    }

    /// Shows this secret nowhere from now on. One that is short, or no text, could stand in a line for other reasons.
    pub(super) fn hide(&self, secret: &SecretValue) {
        if let Ok(text) = std::str::from_utf8(secret.reveal()).map(str::trim)
            && text.len() >= HIDDEN_BYTES_MIN
        {
            self.capture().hidden.push(text.to_owned());
        }
    }

    /// Takes secrets out of the words of an error.
    pub(super) fn hide_in(&self, error: &mut JobError) {
        let capture = self.capture();
        for text in std::iter::once(&mut error.message).chain(&mut error.context) {
            *text = capture.without_hidden(std::mem::take(text));
        }
    }

    /// Bytes that the guest wrote to a stream.
    pub(super) fn write(&self, stream: Stream, bytes: &[u8]) {
        let mut capture = self.capture();
        capture.work.note_bytes(bytes.len());
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            match piece.strip_suffix(b"\n") {
                Some(rest) => {
                    capture.append(stream, rest);
                    capture.end_line(stream);
                }
                None => capture.append(stream, piece),
            }
        }
        capture.send_pending();
    }

    /// Sends what has been waiting for room, as far as there is room now.
    pub(super) fn send_pending(&self) {
        self.capture().send_pending();
    }

    /// The guest has ended: lines without an end are lines, and if something was dropped, a last line says so.
    pub(super) fn finish(&self) {
        let mut capture = self.capture();
        capture.end_partial(Stream::Stdout);
        capture.end_partial(Stream::Stderr);
        capture.tell_dropped();
        capture.send_pending();
    }

    /// What is still waiting for room, progress last, and where it should go.
    pub(super) fn take_pending(&self) -> (Vec<Report>, Option<mpsc::Sender<Report>>) {
        let mut capture = self.capture();
        let pending = std::mem::take(&mut capture.pending);
        capture.host_bytes.remove(pending.iter().map(size_of_line).sum());
        let mut reports: Vec<Report> = pending.into_iter().map(Report::Line).collect();
        reports.extend(capture.progress.take().map(Report::Progress));
        (reports, capture.options.reports.clone())
    }

    /// The guest's panic: what it reported, or else what the Rust runtime prints on stderr.
    pub(super) fn panic(&self) -> Option<PanicRecord> {
        let capture = self.capture();
        capture.panic.clone()
    }

    /// A panic that only stderr tells of.
    pub(super) fn panic_on_stderr(&self) -> Option<PanicRecord> {
        let capture = self.capture();
        PanicRecord::from_stderr(&capture.stderr_tail)
    }
}

impl Capture {
    fn without_hidden(&self, mut text: String) -> String {
        for hidden in &self.hidden {
            self.work.note_bytes(text.len());
            if text.contains(hidden) {
                text = text.replace(hidden, "[secret]");
            }
        }
        text
    }

    fn partial(&mut self, stream: Stream) -> &mut PartialLine {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    fn append(&mut self, stream: Stream, bytes: &[u8]) {
        let partial = self.partial(stream);
        let room = LOG_LINE_BYTES_MAX.saturating_sub(partial.text.len());
        let (kept, cut) = bytes.split_at(room.min(bytes.len()));
        partial.text.extend_from_slice(kept);
        partial.cut += cut.len() as u64;
    }

    fn end_partial(&mut self, stream: Stream) {
        let partial = self.partial(stream);
        if !partial.text.is_empty() || partial.cut > 0 {
            self.end_line(stream);
        }
    }

    fn end_line(&mut self, stream: Stream) {
        let partial = std::mem::take(self.partial(stream));
        let text = partial.text.strip_suffix(b"\r").unwrap_or(&partial.text);
        if self.is_full && stream == Stream::Stdout {
            self.drop_line(text.len() as u64 + partial.cut);
            return;
        }
        let mut message = self.without_hidden(without_nul(String::from_utf8_lossy(text).into_owned()));
        if partial.cut > 0 {
            message.push_str(&format!("… ({} more bytes)", partial.cut));
        }
        let (level, target) = match stream {
            Stream::Stdout => (LogLevel::Info, "stdout"),
            Stream::Stderr => (LogLevel::Warn, "stderr"),
        };
        if stream == Stream::Stderr {
            self.host_bytes.add(message.len());
            self.stderr_tail.push_back(message.clone());
            if self.stderr_tail.len() > TAIL_LINES
                && let Some(first) = self.stderr_tail.pop_front()
            {
                self.host_bytes.remove(first.len());
            }
        }
        self.line(level, target.to_owned(), message, Vec::new());
    }

    fn drop_line(&mut self, bytes: u64) {
        self.work.note(LINE);
        self.dropped_lines += 1;
        self.dropped_bytes += bytes;
    }

    fn line(&mut self, level: LogLevel, target: String, message: String, fields: Vec<(String, String)>) {
        let mut room = LOG_LINE_BYTES_MAX;
        let fields: Vec<(String, String)> = fields
            .into_iter()
            .take(FIELDS_MAX)
            .map(|(name, value)| {
                let value = clipped(value, room);
                room = room.saturating_sub(value.len());
                (clipped(name, NAME_BYTES_MAX), value)
            })
            .collect();
        let size = message.len() + fields.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        // Once full, always full: else short lines would slip in behind longer ones that were dropped.
        self.is_full |=
            self.lines as usize >= self.options.lines_max || self.bytes.saturating_add(size) > self.options.bytes_max;
        if self.is_full {
            self.drop_line(size as u64);
            return;
        }
        self.bytes += size;
        self.work.note(KEPT_LINE);
        self.push(level, target, message, fields);
    }

    fn push(&mut self, level: LogLevel, target: String, message: String, fields: Vec<(String, String)>) {
        let line = LogLine {
            attempt: self.options.attempt,
            sequence: self.lines,
            at: self.options.clock.now(),
            level,
            target,
            message,
            fields,
        };
        self.lines = self.lines.saturating_add(1);
        if self.options.reports.is_some() {
            self.host_bytes.add(size_of_line(&line));
            self.pending.push_back(line);
        }
    }

    fn tell_dropped(&mut self) {
        if self.dropped_lines == 0 {
            return;
        }
        let message = format!(
            "output limit reached ({} bytes, {} lines): {} more lines ({} bytes) were dropped",
            self.options.bytes_max, self.options.lines_max, self.dropped_lines, self.dropped_bytes
        );
        self.push(LogLevel::Warn, HOST_TARGET.to_owned(), message, Vec::new());
    }

    fn send_pending(&mut self) {
        let Some(reports) = &self.options.reports else { return };
        while !self.pending.is_empty() {
            let Ok(permit) = reports.try_reserve() else { return };
            if let Some(line) = self.pending.pop_front() {
                self.host_bytes.remove(size_of_line(&line));
                permit.send(Report::Line(line));
            }
        }
        if self.progress.is_some()
            && let Ok(permit) = reports.try_reserve()
            && let Some(progress) = self.progress.take()
        {
            permit.send(Report::Progress(progress));
        }
    }
}

impl PanicRecord {
    /// What the SDK's panic hook logs: the message, and the place in three fields.
    fn from_log(message: &str, fields: &[(String, String)]) -> PanicRecord {
        let field = |name: &str| fields.iter().find(|field| field.0 == name).map(|field| field.1.as_str());
        let place = field("file").map(|file| {
            [field("line"), field("column")]
                .into_iter()
                .flatten()
                .fold(file.to_owned(), |place, part| place + ":" + part)
        });
        PanicRecord { message: clipped(message.to_owned(), MESSAGE_BYTES_MAX), place }
    }

    /// What the Rust runtime prints: `thread 'main' (1) panicked at src/lib.rs:3:5:`, then the message, then a note.
    fn from_stderr(tail: &VecDeque<String>) -> Option<PanicRecord> {
        let at = tail.iter().rposition(|line| line.starts_with("thread '") && line.contains("panicked at "))?;
        let place = tail[at].split_once("panicked at ")?.1.trim_end_matches(':').to_owned();
        let message: Vec<&str> =
            tail.iter().skip(at + 1).map(String::as_str).take_while(|line| !line.starts_with("note: ")).collect();
        let message = clipped(message.join("\n").trim_end().to_owned(), MESSAGE_BYTES_MAX);
        Some(PanicRecord { message, place: Some(place) })
    }
}

/// What the host keeps for a line that waits for room.
fn size_of_line(line: &LogLine) -> usize {
    let fields = line.fields.iter().map(|(name, value)| size_of::<(String, String)>() + name.len() + value.len());
    size_of::<LogLine>() + line.target.len() + line.message.len() + fields.sum::<usize>()
}

/// `text` without NULs, which not every data store can keep, cut to `bytes_max` at the end of a character.
pub(super) fn clipped(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max));
        text.push('…');
    }
    without_nul(text)
}

fn without_nul(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

/// One of the guest's output streams, as WASI wants it.
pub(super) struct CapturedStream {
    /// Which.
    pub(super) stream: Stream,
    /// Where it goes.
    pub(super) output: Output,
}

impl IsTerminal for CapturedStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for CapturedStream {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(CapturedStream { stream: self.stream, output: self.output.clone() })
    }

    /// Only WASI 0.3 asks for this form, which the host does not offer.
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::empty())
    }
}

#[async_trait]
impl OutputStream for CapturedStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.output.write(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

#[async_trait]
impl Pollable for CapturedStream {
    async fn ready(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock as _, SystemClock};

    fn output(bytes_max: usize, lines_max: usize, capacity: usize) -> (Output, mpsc::Receiver<Report>) {
        let (sender, receiver) = mpsc::channel(capacity);
        let clock = AttemptClock::begin(Arc::new(SystemClock), SystemClock.now());
        let options = OutputOptions { attempt: 1, bytes_max, lines_max, reports: Some(sender), clock };
        (Output::new(options), receiver)
    }

    fn lines(output: &Output, mut receiver: mpsc::Receiver<Report>) -> Vec<LogLine> {
        output.finish();
        let mut reports = Vec::new();
        while let Ok(report) = receiver.try_recv() {
            reports.push(report);
        }
        reports.extend(output.take_pending().0);
        let lines = reports.into_iter().filter_map(|report| match report {
            Report::Line(line) => Some(line),
            Report::Progress(_) => None,
        });
        lines.collect()
    }

    #[test]
    fn bytes_become_lines_however_they_are_cut() {
        let (output, receiver) = output(1000, 100, 16);
        for piece in ["one\ntw", "o\r\n", "\nlast"] {
            output.write(Stream::Stdout, piece.as_bytes());
        }
        let messages: Vec<String> = lines(&output, receiver).into_iter().map(|line| line.message).collect();
        assert_eq!(messages, ["one", "two", "", "last"]);
    }

    #[test]
    fn a_receiver_without_room_loses_no_line_and_no_order() {
        let (output, receiver) = output(100_000, 1000, 2);
        for n in 0..50 {
            output.write(Stream::Stdout, format!("{n}\n").as_bytes());
        }
        let kept = output.host_bytes();
        assert!(kept.bytes() >= 48 * size_of::<LogLine>() as u64, "what waits counts as the guest's memory");
        let lines = lines(&output, receiver);
        assert_eq!((lines.len(), kept.bytes()), (50, 0));
        assert!(lines.iter().enumerate().all(|(n, line)| line.sequence as usize == n && line.message == n.to_string()));
    }

    #[test]
    fn what_is_over_the_limit_is_counted_and_told_in_one_last_line() {
        let (output, receiver) = output(10, 100, 16);
        output.write(Stream::Stdout, b"12345\n1234567\n1\n");
        let lines = lines(&output, receiver);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].message, "12345");
        assert_eq!(lines[1].target, "host");
        assert!(lines[1].message.contains("2 more lines (8 bytes)"), "{}", lines[1].message);
    }

    #[test]
    fn a_long_line_is_cut_and_says_by_how_much() {
        let (output, receiver) = output(1 << 20, 100, 16);
        output.write(Stream::Stderr, &vec![b'x'; LOG_LINE_BYTES_MAX + 5]);
        let lines = lines(&output, receiver);
        assert!(lines[0].message.ends_with("… (5 more bytes)") && lines[0].level == LogLevel::Warn);
    }

    #[test]
    fn a_panic_is_known_from_the_log_or_from_stderr_even_when_the_log_is_full() {
        let (output, _receiver) = output(0, 0, 1);
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let fields = vec![field("file", "src/lib.rs"), field("line", "3"), field("column", "5")];
        output.log(LogLevel::Error, PANIC_TARGET.to_owned(), "no luck".to_owned(), fields);
        let expected = PanicRecord { message: "no luck".to_owned(), place: Some("src/lib.rs:3:5".to_owned()) };
        assert_eq!(output.panic(), Some(expected.clone()));
        output.write(Stream::Stderr, b"\nthread 'main' (1) panicked at src/lib.rs:3:5:\nno luck\nnote: run with\n");
        assert_eq!(output.panic_on_stderr(), Some(expected));
    }

    #[test]
    fn a_nul_is_replaced_because_not_every_store_can_keep_it() {
        assert_eq!(clipped("a\0b".to_owned(), 10), "a\u{fffd}b");
        assert_eq!(clipped("äöü".to_owned(), 3), "ä…");
    }
}
