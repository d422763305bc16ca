//! The lines of a crontab file.

use super::cron::DayMatch;
use super::error::{Invalid, TriggerError};
use super::{RuleOptions, Trigger};

/// What a line of a crontab file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CrontabLine {
    /// Nothing: it is empty, or a comment.
    Nothing,
    /// `CRON_TZ`: the time zone of the lines below it.
    Zone(String),
    /// Another variable, by its name. It is for the environment of the commands, `TZ` too.
    Variable(String),
    /// When to run what.
    Entry(CrontabEntry),
}

/// When to run what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrontabEntry {
    /// The fields or the nickname, as [`Trigger::from_cron_expression`] reads them.
    pub expression: String,
    /// How the day and the weekday work together.
    pub day_match: DayMatch,
    /// What stands behind the time.
    pub command: String,
}

impl CrontabLine {
    /// Reads one line, without its end.
    ///
    /// # Errors
    /// [`TriggerError::Invalid`] where there is no command. Whether the time is one shows in [`CrontabEntry::trigger`].
    pub fn read(line: &str) -> Result<CrontabLine, TriggerError> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return Ok(CrontabLine::Nothing);
        }
        if let Some((name, value)) = variable(line) {
            return Ok(match name {
                "CRON_TZ" => CrontabLine::Zone(value.to_owned()),
                _ => CrontabLine::Variable(name.to_owned()),
            });
        }
        let (count, time) = match line.as_bytes() {
            _ if line.starts_with("@every") => (2, "@every and its duration"),
            [b'@', ..] => (1, "its nickname"),
            _ => (5, "five fields"),
        };
        let (fields, command) =
            split(line, count).ok_or_else(|| Invalid::new("", format!("has no command behind {time}")))?;
        let (expression, day_match) = as_read_here(fields);
        Ok(CrontabLine::Entry(CrontabEntry { expression, day_match, command: command.to_owned() }))
    }
}

impl CrontabEntry {
    /// When it fires. Of a day and a weekday either is enough, as for cron; `options` say the rest.
    ///
    /// # Errors
    /// As [`Trigger::from_cron_expression`].
    pub fn trigger(&self, options: &RuleOptions) -> Result<Trigger, TriggerError> {
        let options = RuleOptions { day_match: self.day_match, ..options.clone() };
        Trigger::from_cron_expression(&self.expression, &options)
    }
}

/// The name and the value of `NAME = "value"`.
fn variable(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    let is_name = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let value = value.trim();
    let bare = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    is_name.then(|| (name, bare.unwrap_or(value)))
}

/// The first `count` words, and what follows them; `None` where nothing does.
fn split(line: &str, count: usize) -> Option<(&str, &str)> {
    let mut rest = line;
    for _ in 0..count {
        rest = rest.trim_start();
        rest = &rest[rest.find(char::is_whitespace)?..];
    }
    let fields = &line[..line.len() - rest.len()];
    Some((fields, rest.trim_start())).filter(|(_, command)| !command.is_empty())
}

/// The fields as they have the same meaning here. Cron counts the steps of `*/n` in the weekday from Sunday, which is 0, to Sunday, which is 7
/// as well; here they count from Monday. And it takes either of a day and a weekday only where neither begins with a star.
fn as_read_here(fields: &str) -> (String, DayMatch) {
    let mut words: Vec<String> = fields.split_whitespace().map(str::to_owned).collect();
    let stars = |index: usize| words.get(index).is_none_or(|word| word.starts_with('*'));
    let day_match = if stars(2) || stars(4) { DayMatch::And } else { DayMatch::Or };
    if let Some(weekday) = words.get_mut(4) {
        let item = |item: &str| match item.strip_prefix("*/").and_then(|step| step.parse().ok()) {
            Some(step @ 1..=7) => (0..=7).step_by(step).map(|day: usize| day.to_string()).collect::<Vec<_>>().join(","),
            _ => item.to_owned(),
        };
        *weekday = weekday.split(',').map(item).collect::<Vec<_>>().join(",");
    }
    (words.join(" "), day_match)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    fn entry(line: &str) -> CrontabEntry {
        match CrontabLine::read(line) {
            Ok(CrontabLine::Entry(entry)) => entry,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn an_entry_has_a_time_and_a_command() {
        let read = entry("  */5 9-17 * *\tmon-fri  greet --arg 'name=Ada'  ");
        assert_eq!((&*read.expression, &*read.command), ("*/5 9-17 * * mon-fri", "greet --arg 'name=Ada'"));
        let read = entry("@daily greet");
        assert_eq!((&*read.expression, &*read.command), ("@daily", "greet"));
        let read = entry("@every 5m greet");
        assert_eq!((&*read.expression, &*read.command), ("@every 5m", "greet"));
    }

    #[test]
    fn a_day_and_a_weekday_are_taken_as_cron_takes_them() {
        for (line, expected) in [
            ("0 9 13 * 5 greet", DayMatch::Or),
            ("0 9 13 * * greet", DayMatch::And),
            ("0 9 */2 * 1 greet", DayMatch::And),
            ("0 9 13 * */2 greet", DayMatch::And),
            ("@weekly greet", DayMatch::And),
        ] {
            assert_eq!(entry(line).day_match, expected, "{line}");
        }
    }

    #[test]
    fn steps_of_weekdays_count_from_sunday() {
        for (weekday, expected) in
            [("*/2", "0,2,4,6"), ("*/3", "0,3,6"), ("*/7", "0,7"), ("1,*/4", "1,0,4"), ("1-5/2", "1-5/2"), ("*", "*")]
        {
            assert_eq!(entry(&format!("0 9 * * {weekday} greet")).expression, format!("0 9 * * {expected}"));
        }
        assert_eq!(entry("0 9 */2 */3 1 greet").expression, "0 9 */2 */3 1");
        // A star in the weekday is a star to cron, whatever it is written as here: both must match.
        let rule = entry("0 9 13 * */3 greet").trigger(&RuleOptions::new(Timestamp::EPOCH)).expect("a rule");
        assert_eq!(rule.describe(), "at 09:00 on day 13 if it is a Wednesday, Saturday or Sunday, UTC");
    }

    #[test]
    fn variables_comments_and_empty_lines_are_no_entries() {
        let read = |line: &str| CrontabLine::read(line).expect("a line");
        for line in ["", "   ", "# 0 9 * * * greet", "  # a comment"] {
            assert_eq!(read(line), CrontabLine::Nothing, "{line}");
        }
        assert_eq!(read("CRON_TZ = Europe/Berlin"), CrontabLine::Zone("Europe/Berlin".to_owned()));
        assert_eq!(read("CRON_TZ=\"Asia/Tokyo\""), CrontabLine::Zone("Asia/Tokyo".to_owned()));
        assert_eq!(read("MAILTO=ops@example.com"), CrontabLine::Variable("MAILTO".to_owned()));
        assert_eq!(read("TZ=UTC"), CrontabLine::Variable("TZ".to_owned()));
    }

    #[test]
    fn a_time_without_a_command_is_refused() {
        let refused = |line: &str| CrontabLine::read(line).expect_err(line).to_string();
        assert_eq!(refused("0 9 * * *"), "has no command behind five fields");
        assert_eq!(refused("0 9 * *"), "has no command behind five fields");
        assert_eq!(refused("@daily"), "has no command behind its nickname");
        assert_eq!(refused("@every 5m"), "has no command behind @every and its duration");
    }
}
