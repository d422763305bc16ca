//! The figures of a log, one line at a time.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

/// What a log says.
#[derive(Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LogFigures {
    /// All lines that are not empty.
    pub lines: u64,
    /// Lines by level, for the levels that occur.
    pub by_level: BTreeMap<String, u64>,
    /// The first and the last time stamp, as they stand there.
    pub span: Option<(String, String)>,
    /// The most frequent messages; numbers in them are taken to be alike.
    pub most_frequent: Vec<Repeated>,
    /// Whether there were so many different messages that rare ones are not counted.
    pub truncated: bool,
}

/// A message that came more than once.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Repeated {
    /// The message, each number in it as `#`.
    pub message: String,
    /// How often.
    pub times: u64,
}

/// How many different messages are told apart. A log without end must not take memory without end.
const MESSAGES_MAX: usize = 50_000;
/// How much of a message is looked at.
const MESSAGE_CHARS_MAX: usize = 200;

#[derive(Default)]
pub(crate) struct Counter {
    figures: LogFigures,
    messages: HashMap<String, u64>,
}

impl Counter {
    pub(crate) fn add(&mut self, line: &str) {
        if line.trim().is_empty() {
            return;
        }
        self.figures.lines += 1;
        let mut words = line.split_whitespace().peekable();
        if let Some(stamp) = words.next_if(|word| is_time_stamp(word)) {
            match &mut self.figures.span {
                Some((_, last)) => stamp.clone_into(last),
                span => *span = Some((stamp.to_owned(), stamp.to_owned())),
            }
        }
        if let Some(level) = words.peek().and_then(|word| level(word)) {
            words.next();
            *self.figures.by_level.entry(level.to_owned()).or_default() += 1;
        }
        let message = shape(&words.collect::<Vec<_>>().join(" "));
        let is_room = self.messages.len() < MESSAGES_MAX;
        match self.messages.entry(message) {
            Entry::Occupied(mut times) => *times.get_mut() += 1,
            Entry::Vacant(place) if is_room => {
                place.insert(1);
            }
            Entry::Vacant(_) => self.figures.truncated = true,
        }
    }

    pub(crate) fn finish(self, top: usize) -> LogFigures {
        let repeated = self.messages.into_iter().filter(|(_, times)| *times > 1);
        let mut messages: Vec<_> = repeated.map(|(message, times)| Repeated { message, times }).collect();
        messages.sort_by(|left, right| right.times.cmp(&left.times).then_with(|| left.message.cmp(&right.message)));
        messages.truncate(top);
        LogFigures { most_frequent: messages, ..self.figures }
    }
}

/// Something that begins like `2026-01-02`.
fn is_time_stamp(word: &str) -> bool {
    let bytes = word.as_bytes();
    bytes.len() >= 10 && bytes[4] == b'-' && bytes[7] == b'-' && bytes[..4].iter().all(u8::is_ascii_digit)
}

/// The level that a word names, whatever its case and brackets.
fn level(word: &str) -> Option<&'static str> {
    let word = word.trim_matches(|c: char| !c.is_ascii_alphabetic()).to_ascii_lowercase();
    Some(match word.as_str() {
        "trace" => "trace",
        "debug" => "debug",
        "info" | "notice" => "info",
        "warn" | "warning" => "warn",
        "error" | "err" | "fatal" | "critical" => "error",
        _ => return None,
    })
}

/// The message with each number as `#`.
fn shape(message: &str) -> String {
    let mut shape = String::with_capacity(message.len().min(MESSAGE_CHARS_MAX));
    let mut in_number = false;
    for c in message.chars().take(MESSAGE_CHARS_MAX) {
        let digit = c.is_ascii_digit();
        if !(digit && in_number) {
            shape.push(if digit { '#' } else { c });
        }
        in_number = digit;
    }
    shape
}

impl LogFigures {
    pub(crate) fn to_markdown(&self) -> String {
        let mut text = String::from("# Log summary\n\n");
        let _ = writeln!(text, "{} lines", self.lines);
        if let Some((first, last)) = &self.span {
            let _ = writeln!(text, "from {first} to {last}");
        }
        text.push_str("\n| level | lines |\n|---|---|\n");
        for (level, lines) in &self.by_level {
            let _ = writeln!(text, "| {level} | {lines} |");
        }
        text.push_str("\n| times | message |\n|---|---|\n");
        for Repeated { message, times } in &self.most_frequent {
            let _ = writeln!(text, "| {times} | {} |", message.replace('|', "\\|"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(lines: &[&str]) -> LogFigures {
        let mut counter = Counter::default();
        lines.iter().for_each(|line| counter.add(line));
        counter.finish(10)
    }

    #[test]
    fn levels_are_known_in_every_dress() {
        let figures = figures(&["INFO a", "[warning] b", "2026-01-01 Error: c", "no level here", "", "   "]);
        assert_eq!(figures.lines, 4);
        let counted: Vec<_> = figures.by_level.iter().map(|(level, lines)| (level.as_str(), *lines)).collect();
        assert_eq!(counted, [("error", 1), ("info", 1), ("warn", 1)]);
    }

    #[test]
    fn messages_that_differ_in_numbers_only_are_one() {
        let figures = figures(&["INFO took 12 ms", "INFO took 3450 ms", "INFO other"]);
        assert_eq!(figures.most_frequent, [Repeated { message: "took # ms".into(), times: 2 }]);
    }

    #[test]
    fn the_span_reaches_from_the_first_stamp_to_the_last() {
        let figures = figures(&["2026-01-01T00:00:00Z a", "no stamp", "2026-01-03T00:00:00Z b"]);
        assert_eq!(figures.span, Some(("2026-01-01T00:00:00Z".into(), "2026-01-03T00:00:00Z".into())));
    }

    #[test]
    fn memory_is_bounded_whatever_the_log_says() {
        let mut counter = Counter::default();
        // Letters, since numbers would be taken to be alike.
        for number in 0..=MESSAGES_MAX {
            let text: String = number.to_string().bytes().map(|digit| char::from(digit - b'0' + b'a')).collect();
            counter.add(&text);
        }
        assert_eq!(counter.messages.len(), MESSAGES_MAX);
        assert!(counter.finish(1).truncated);
    }
}
