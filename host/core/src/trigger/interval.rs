//! Fires at a fixed distance in elapsed time.

use super::error::Invalid;
use super::fire::{Fire, MICROS};
use crate::model::Timestamp;

/// Fires at its start and then every `length` of elapsed time, whatever the wall clock does.
///
/// An interval of 24 hours fires an hour later on the wall clock after a change to summer time; what keeps to the wall
/// clock is a calendar interval or a cron rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntervalTrigger {
    parts: Parts,
    /// Microseconds, more than 0.
    length: i64,
    start: Fire,
    end: Option<Fire>,
}

/// The length as it was written, kept so that it is written back the same way.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Parts {
    pub(super) weeks: i64,
    pub(super) days: i64,
    pub(super) hours: i64,
    pub(super) minutes: i64,
    pub(super) seconds: f64,
    pub(super) microseconds: i64,
}

// `seconds` is finite: a JSON number, or a whole number of ours.
impl Eq for Parts {}

/// The longest interval, in microseconds: longer than the time there is.
const LENGTH_MAX: i128 = 10_000 * 366 * 86_400 * 1_000_000;

impl IntervalTrigger {
    pub(super) fn new(parts: Parts, start: Fire, end: Option<Fire>) -> Result<Self, Box<Invalid>> {
        let length = parts.micros().ok_or_else(|| Invalid::new("", "interval is longer than 10,000 years"))?;
        if length < 0 {
            return Err(Invalid::new("", "interval is negative").allowed("a sum of its parts above 0"));
        }
        if length == 0 {
            return Err(Invalid::new("", "interval has no length")
                .allowed("weeks, days, hours, minutes, seconds and microseconds whose sum is at least a microsecond"));
        }
        if let Some(end) = end.filter(|end| end.at < start.at) {
            return Err(Invalid::new("end_time", format!("is before the start_time {start}")).token(end.to_string()));
        }
        Ok(IntervalTrigger { parts, length, start, end })
    }

    pub(super) fn parts(&self) -> &Parts {
        &self.parts
    }

    /// The length in microseconds.
    pub(super) fn length(&self) -> i64 {
        self.length
    }

    pub(super) fn start(&self) -> Fire {
        self.start
    }

    pub(super) fn end(&self) -> Option<Fire> {
        self.end
    }

    /// The same with a beginning as many lengths earlier as are needed for it to be no later than `from`, or as there is time for.
    pub(super) fn reaching_back(&self, from: Timestamp) -> IntervalTrigger {
        let earlier = (self.start.at.as_micros() - from.as_micros()).max(0) / self.length;
        let begin = |lengths: i64| {
            Fire::from_micros(self.start.at.as_micros() - lengths * self.length, self.start.offset_seconds)
        };
        let start = begin(earlier).unwrap_or(self.start);
        IntervalTrigger { start, ..self.clone() }
    }

    /// The first fire after an instant; with `None` the first of all.
    pub(super) fn next_after(&self, after: Option<Timestamp>) -> Option<Fire> {
        let start = self.start.at.as_micros();
        let steps = match after {
            Some(after) if after >= self.start.at => (after.as_micros() - start) / self.length + 1,
            _ => 0,
        };
        let at = steps.checked_mul(self.length)?.checked_add(start)?;
        let fire = Fire::from_micros(at, self.start.offset_seconds)?;
        self.end.is_none_or(|end| fire.at <= end.at).then_some(fire)
    }

    /// How many fires lie after `after` and not after `until`.
    pub(super) fn count(&self, after: Option<Timestamp>, until: Timestamp) -> u64 {
        let Some(first) = self.next_after(after) else { return 0 };
        let until = self.end.map_or(until, |end| end.at.min(until)).as_micros();
        let span = until - first.at.as_micros();
        if span < 0 { 0 } else { u64::try_from(span / self.length + 1).unwrap_or(0) }
    }
}

impl Parts {
    /// The sum in microseconds, rounded once, half to even. `None` where it is absurdly long.
    pub(super) fn micros(&self) -> Option<i64> {
        let whole = [(self.weeks, 604_800), (self.days, 86_400), (self.hours, 3_600), (self.minutes, 60)]
            .into_iter()
            .map(|(count, seconds)| i128::from(count) * seconds * i128::from(MICROS))
            .sum::<i128>()
            + i128::from(self.microseconds);
        let sum = whole.checked_add(decimal_micros(self.seconds)?)?;
        (sum.abs() <= LENGTH_MAX).then(|| i64::try_from(sum).ok())?
    }
}

/// Seconds, as the decimal number that was written, in microseconds, half to even.
fn decimal_micros(seconds: f64) -> Option<i128> {
    if !seconds.is_finite() || seconds.abs() > 1e15 {
        return None;
    }
    // The shortest text that reads back as the same number is what somebody wrote: 0.0000025 is two and a half
    // microseconds, although the nearest binary number is not.
    let text = format!("{}", seconds.abs());
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let (kept, rest) = fraction.split_at(fraction.len().min(6));
    let mut micros: i128 = format!("{whole}{kept:0<6}").parse().ok()?;
    let half = rest.starts_with('5') && rest[1..].bytes().all(|digit| digit == b'0');
    if if half { micros % 2 == 1 } else { rest.bytes().next().is_some_and(|digit| digit >= b'5') } {
        micros += 1;
    }
    Some(if seconds < 0.0 { -micros } else { micros })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_rounded_half_to_even_as_they_are_written() {
        for (seconds, micros) in [
            (0.0, 0),
            (1.0, 1_000_000),
            (0.1, 100_000),
            (0.000_002_5, 2),
            (0.000_003_5, 4),
            (0.000_000_5, 0),
            (0.000_000_500_1, 1),
            (-0.000_001_5, -2),
            (1e-7, 0),
            (1.000_000_7, 1_000_001),
            (86_400.25, 86_400_250_000),
        ] {
            assert_eq!(decimal_micros(seconds), Some(micros), "{seconds}");
        }
        assert_eq!(decimal_micros(f64::INFINITY), None);
        assert_eq!(decimal_micros(1e300), None);
    }
}
