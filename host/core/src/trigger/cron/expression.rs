//! Cron expressions as a whole: their words, the fields that these are, and the names that stand for some of them.

use super::super::error::{Invalid, nearest};
use super::dialect::Dialect;
use super::field::Field;

/// The fields of the longest expression, in its order. The shorter ones are parts of it.
const SEVEN_FIELDS: [Field; 7] =
    [Field::Second, Field::Minute, Field::Hour, Field::Day, Field::Month, Field::DayOfWeek, Field::Year];

impl Dialect {
    /// The fields of an expression of so many words, in their order.
    pub(super) fn order(self, words: usize) -> Option<&'static [Field]> {
        match (self, words) {
            (Dialect::Classic | Dialect::Extended, 5) => Some(&SEVEN_FIELDS[1..6]),
            (Dialect::Extended | Dialect::Quartz, 6) => Some(&SEVEN_FIELDS[..6]),
            (Dialect::Extended | Dialect::Quartz, 7) => Some(&SEVEN_FIELDS),
            _ => None,
        }
    }

    fn wanted(self) -> (&'static str, &'static str) {
        match self {
            Dialect::Classic => ("a crontab string has five", FIVE),
            Dialect::Extended => {
                ("a crontab string has five, six with the seconds first, or seven with the year last", FIVE)
            }
            Dialect::Quartz => (
                "a Quartz expression has six, or seven with the year last",
                "second minute hour day month day_of_week, as in `0 */5 9-17 ? * MON-FRI`",
            ),
        }
    }
}

const FIVE: &str = "minute hour day month day_of_week, as in `*/5 9-17 * * mon-fri`";

/// The nicknames of classic cron and what they stand for.
pub(in crate::trigger) const NICKNAMES: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// The five fields that a nickname stands for.
pub(in crate::trigger) fn nickname(key: &str, text: &str) -> Result<&'static str, Box<Invalid>> {
    if let Some((_, fields)) = NICKNAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
        return Ok(fields);
    }
    if text.eq_ignore_ascii_case("@reboot") {
        return Err(
            Invalid::new(key, "is the start of a machine, which is no time that a schedule could wait for").token(text)
        );
    }
    let names = NICKNAMES.map(|(name, _)| name);
    Err(Invalid::new(key, "is not a nickname")
        .token(text)
        .allowed(format!("{}, @every and a duration", names.join(", ")))
        .suggestion(nearest(text, names)))
}

/// The words of an expression, each with its place in characters.
pub(in crate::trigger) fn words(expression: &str) -> Vec<(usize, &str)> {
    let mut words = Vec::with_capacity(7);
    let mut rest = expression;
    let mut at = 0;
    loop {
        let word = rest.trim_start_matches(|blank: char| blank.is_ascii_whitespace());
        at += rest.len() - word.len();
        if word.is_empty() {
            return words;
        }
        let length = word.find(|blank: char| blank.is_ascii_whitespace()).unwrap_or(word.len());
        words.push((at, &word[..length]));
        at += word[..length].chars().count();
        rest = &word[length..];
    }
}

/// An expression that does not have the fields of its dialect.
pub(super) fn wrong_count(key: &str, expression: &str, count: usize, dialect: Dialect) -> Box<Invalid> {
    let (wanted, allowed) = dialect.wanted();
    if expression.trim_start().starts_with('@') {
        let fields = nickname(key, expression.trim()).ok().map(str::to_owned);
        let invalid = Invalid::new(key, "is a nickname, which this form does not know").token(expression);
        return invalid.allowed(allowed).suggestion(fields);
    }
    let plural = if count == 1 { "" } else { "s" };
    Invalid::new(key, format!("has {count} field{plural} where {wanted}")).token(expression).allowed(allowed)
}
