//! Instants that remember the offset they are written with, and their text: RFC 3339.

use std::fmt;
use std::str::FromStr;

use super::civil::{DAY_SECONDS, Date};
use super::error::{Invalid, TriggerError};
use crate::model::Timestamp;

/// Microseconds of a second.
pub(super) const MICROS: i64 = 1_000_000;

/// A point in time at which a trigger fires, with the offset of its local time.
///
/// The text form is RFC 3339 with that offset, no fraction where it is zero and six digits where it is not, and
/// `+00:00` (never `Z`) for UTC: `2026-03-29T03:00:00+02:00`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fire {
    /// When.
    pub at: Timestamp,
    /// How far local time is ahead of UTC then.
    pub offset_seconds: i32,
}

impl Fire {
    /// The instant `micros` microseconds after 1970, if UTC and local time are inside the years 1 to 9999.
    pub(super) fn from_micros(micros: i64, offset_seconds: i32) -> Option<Fire> {
        Timestamp::from_micros(micros.checked_add(i64::from(offset_seconds) * MICROS)?)?;
        Some(Fire { at: Timestamp::from_micros(micros)?, offset_seconds })
    }

    /// The instant `seconds` after 1970, if UTC and local time are inside the years 1 to 9999.
    pub(super) fn from_seconds(seconds: i64, offset_seconds: i32) -> Option<Fire> {
        Fire::from_micros(seconds.checked_mul(MICROS)?, offset_seconds)
    }

    /// `at`, written in UTC.
    pub const fn utc(at: Timestamp) -> Fire {
        Fire { at, offset_seconds: 0 }
    }

    /// Reads RFC 3339, strictly: `2026-03-29T03:00:00.5+02:00`. Digits beyond the sixth are dropped.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub(super) fn parse(text: &str) -> Result<Fire, String> {
        const SHAPE: &str = "is not an RFC 3339 time such as 2026-03-29T01:30:00Z or 2026-03-29T01:30:00.5+02:00";
        let (local, micros, offset_seconds) = split(text).ok_or(SHAPE)?;
        let [year, month, day, hour, minute, second] = local;
        let date = i32::try_from(year)
            .ok()
            .zip(u8::try_from(month).ok().zip(u8::try_from(day).ok()))
            .and_then(|(year, (month, day))| Date::new(year, month, day))
            .ok_or("names a date that does not exist")?;
        if hour > 23 || minute > 59 || second > 59 {
            return Err(
                "names a time of day that does not exist (hours go to 23, minutes and seconds to 59)".to_owned()
            );
        }
        let seconds = i64::from(date.day_number()) * DAY_SECONDS + hour * 3600 + minute * 60 + second;
        Timestamp::from_micros((seconds - i64::from(offset_seconds)) * MICROS + micros)
            .map(|at| Fire { at, offset_seconds })
            .ok_or_else(|| "is outside the years 1 to 9999 in UTC".to_owned())
    }
}

/// In UTC.
impl From<Timestamp> for Fire {
    fn from(at: Timestamp) -> Self {
        Fire::utc(at)
    }
}

/// RFC 3339; the offset is kept.
impl FromStr for Fire {
    type Err = TriggerError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Fire::parse(text).map_err(|problem| Invalid::new("", problem).token(text).into())
    }
}

/// The six numbers, the microseconds and the offset of an RFC 3339 text, their ranges not yet checked.
fn split(text: &str) -> Option<([i64; 6], i64, i32)> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = bytes.get(from..to)?;
        digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
    };
    let mark = |at: usize, allowed: &[u8]| bytes.get(at).is_some_and(|byte| allowed.contains(byte)).then_some(());
    for (at, allowed) in [(4, &b"-"[..]), (7, b"-"), (10, b"Tt"), (13, b":"), (16, b":")] {
        mark(at, allowed)?;
    }
    let local = [number(0, 4)?, number(5, 7)?, number(8, 10)?, number(11, 13)?, number(14, 16)?, number(17, 19)?];
    let mut at = 19;
    let mut micros = 0;
    if mark(at, b".").is_some() {
        let length = bytes[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if length == 0 {
            return None;
        }
        let kept = length.min(6);
        micros = number(at + 1, at + 1 + kept)? * 10_i64.pow(6 - u32::try_from(kept).ok()?);
        at += 1 + length;
    }
    let sign = match bytes.get(at)? {
        b'Z' | b'z' if bytes.len() == at + 1 => return Some((local, micros, 0)),
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    mark(at + 3, b":")?;
    let (hours, minutes) = (number(at + 1, at + 3)?, number(at + 4, at + 6)?);
    if bytes.len() != at + 6 || hours > 23 || minutes > 59 {
        return None;
    }
    Some((local, micros, i32::try_from(sign * (hours * 3600 + minutes * 60)).ok()?))
}

impl fmt::Display for Fire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // RFC 3339 has no seconds in an offset. Local mean time of the nineteenth century has; it is written with the
        // whole minutes of its offset, which leaves the instant what it is.
        let offset = self.offset_seconds / 60 * 60;
        let micros = self.at.as_micros() + i64::from(offset) * MICROS;
        let seconds = micros.div_euclid(MICROS);
        let fraction = micros.rem_euclid(MICROS);
        // Within a day of the years 1 to 9999, far from the ends of an `i32` of days.
        let date = Date::from_day_number(i32::try_from(seconds.div_euclid(DAY_SECONDS)).unwrap_or_default());
        let clock = seconds.rem_euclid(DAY_SECONDS);
        write!(f, "{:04}-{:02}-{:02}T", date.year, date.month, date.day)?;
        write!(f, "{:02}:{:02}:{:02}", clock / 3600, clock / 60 % 60, clock % 60)?;
        if fraction != 0 {
            write!(f, ".{fraction:06}")?;
        }
        let (sign, offset) = if offset < 0 { ('-', -offset) } else { ('+', offset) };
        write!(f, "{sign}{:02}:{:02}", offset / 3600, offset / 60 % 60)
    }
}

impl fmt::Debug for Fire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_keeps_its_offset_and_z_becomes_a_zero_offset() {
        for (text, expected) in [
            ("2026-03-29T03:00:00+02:00", "2026-03-29T03:00:00+02:00"),
            ("2026-03-29T03:00:00Z", "2026-03-29T03:00:00+00:00"),
            ("2026-03-29t03:00:00.5-00:00", "2026-03-29T03:00:00.500000+00:00"),
            ("0001-01-01T00:00:00.1234569-05:45", "0001-01-01T00:00:00.123456-05:45"),
            ("9999-12-31T23:59:59+14:00", "9999-12-31T23:59:59+14:00"),
        ] {
            assert_eq!(Fire::parse(text).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn text_that_is_not_rfc_3339_is_refused() {
        for text in [
            "",
            "yesterday",
            "2026-01-01",
            "2026-01-01T00:00:00",
            "2026-01-01 00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:60Z",
            "2026-02-29T00:00:00Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00+0200",
            "2026-01-01T00:00:00+24:00",
            "2026-01-01T00:00:00Zx",
            "2026-1-01T00:00:00Z",
            "+026-01-01T00:00:00Z",
            "0000-01-01T00:00:00Z",
            "9999-12-31T23:59:59-01:00",
            "2026-01-01T00:00:00+02:00 ",
            "２０２６-01-01T00:00:00Z",
        ] {
            assert!(Fire::parse(text).is_err(), "{text} was accepted");
        }
    }

    #[test]
    fn an_offset_with_seconds_is_written_in_whole_minutes_of_the_same_instant() {
        let fire = Fire { at: Timestamp::EPOCH, offset_seconds: 53 * 60 + 28 };
        assert_eq!(fire.to_string(), "1970-01-01T00:53:00+00:53");
    }
}
