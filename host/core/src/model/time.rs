//! Points in time, as every part of the runtime keeps them: UTC, in whole microseconds.
//!
//! Truncation to microseconds happens once, at construction, so that a time that was stored and read back is equal to
//! the one that was written, in every data store.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

/// A point in time between the years 1 and 9999, UTC, in whole microseconds.
///
/// Arithmetic saturates at the ends of that range: a deadline "300,000 years from now" is the end of time, not a panic.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// A text or number that names no [`Timestamp`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimestampError {
    /// The text is not RFC 3339.
    #[error("`{0}` is not an RFC 3339 time such as 2026-03-29T01:30:00Z or 2026-03-29T01:30:00.5+02:00")]
    Syntax(String),
    /// The time lies outside the years 1 to 9999.
    #[error("time is outside the years 1 to 9999")]
    OutOfRange,
}

impl Timestamp {
    /// 0001-01-01T00:00:00Z.
    pub const MIN: Timestamp = Timestamp(-62_135_596_800_000_000);
    /// 9999-12-31T23:59:59.999999Z.
    pub const MAX: Timestamp = Timestamp(253_402_300_799_999_999);
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Timestamp = Timestamp(0);

    /// The time `micros` microseconds after 1970-01-01T00:00:00Z, or `None` outside the years 1 to 9999.
    pub const fn from_micros(micros: i64) -> Option<Timestamp> {
        if micros < Self::MIN.0 || micros > Self::MAX.0 { None } else { Some(Timestamp(micros)) }
    }

    /// Microseconds since 1970-01-01T00:00:00Z, negative before.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// The same point in time for `chrono`.
    pub fn to_chrono(self) -> DateTime<Utc> {
        // The range of a `Timestamp` lies well inside chrono's (years -262,143 to 262,142).
        DateTime::from_timestamp_micros(self.0).unwrap_or_default()
    }

    /// This time plus `span`, at most [`Timestamp::MAX`].
    #[must_use]
    pub fn saturating_add(self, span: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(micros(span)).min(Self::MAX.0))
    }

    /// This time minus `span`, at least [`Timestamp::MIN`].
    #[must_use]
    pub fn saturating_sub(self, span: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(micros(span)).max(Self::MIN.0))
    }

    /// How long after `earlier` this is; zero where it is not after it.
    #[must_use]
    pub fn saturating_since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(u64::try_from(self.0 - earlier.0).unwrap_or(0))
    }
}

/// The whole microseconds of `span`, capped at what an `i64` holds.
fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

/// Drops what is finer than a microsecond.
impl<Tz: chrono::TimeZone> TryFrom<DateTime<Tz>> for Timestamp {
    type Error = TimestampError;

    fn try_from(time: DateTime<Tz>) -> Result<Self, Self::Error> {
        Timestamp::from_micros(time.timestamp_micros()).ok_or(TimestampError::OutOfRange)
    }
}

/// RFC 3339 with any offset; digits beyond the sixth are dropped.
impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        DateTime::parse_from_rfc3339(text).map_err(|_| TimestampError::Syntax(text.to_owned()))?.try_into()
    }
}

/// RFC 3339 in UTC with six digits: `2026-03-29T01:30:00.000000Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_chrono().to_rfc3339_opts(SecondsFormat::Micros, true))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_the_range_are_the_years_1_and_9999() {
        assert_eq!(Timestamp::MIN.to_string(), "0001-01-01T00:00:00.000000Z");
        assert_eq!(Timestamp::MAX.to_string(), "9999-12-31T23:59:59.999999Z");
        assert_eq!(Timestamp::from_micros(Timestamp::MAX.as_micros() + 1), None);
        assert_eq!(Timestamp::MAX.saturating_add(Duration::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::MIN.saturating_sub(Duration::MAX), Timestamp::MIN);
    }

    #[test]
    fn text_is_read_with_any_offset_and_written_in_utc() {
        let time: Timestamp = "2026-03-29T01:30:00.1234567+02:00".parse().expect("valid RFC 3339");
        assert_eq!(time.to_string(), "2026-03-28T23:30:00.123456Z");
        assert!("yesterday".parse::<Timestamp>().is_err());
    }
}
