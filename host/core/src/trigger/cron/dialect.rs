//! The dialects of cron expressions, by name.

/// Which of cron's dialects an expression is read in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Dialect {
    /// Crontab's five fields, with `last` and `2nd fri` for days: what the JSON form means where it names no dialect.
    #[default]
    Classic,
    /// Also Quartz's `L`, `L-3`, `LW`, `15W`, `5#2`, `5L` and `?`; five fields, six with the seconds first, or seven with the year last.
    /// Weekdays are numbered as crontab does: 0 and 7 are Sunday.
    Extended,
    /// Quartz's own: six fields with the seconds first, or seven with the year last; weekdays from 1, which is Sunday, to 7; ranges may run
    /// over the end of a field.
    Quartz,
}

impl Dialect {
    pub(in crate::trigger) const NAMES: [(&'static str, Dialect); 3] =
        [("classic", Dialect::Classic), ("extended", Dialect::Extended), ("quartz", Dialect::Quartz)];

    /// The name in the JSON form.
    pub fn name(self) -> &'static str {
        match self {
            Dialect::Classic => "classic",
            Dialect::Extended => "extended",
            Dialect::Quartz => "quartz",
        }
    }
}

/// How the day of the month and the weekday work together where a rule restricts both.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DayMatch {
    /// Both must match.
    #[default]
    And,
    /// Either is enough, as in classic cron. As there, a field that begins with `*` does not count as restricted.
    Or,
}

impl DayMatch {
    pub(in crate::trigger) const NAMES: [(&'static str, DayMatch); 2] = [("and", DayMatch::And), ("or", DayMatch::Or)];

    /// The name in the JSON form.
    pub fn name(self) -> &'static str {
        match self {
            DayMatch::And => "and",
            DayMatch::Or => "or",
        }
    }
}
