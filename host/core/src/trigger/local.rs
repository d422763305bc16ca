//! Times of a wall clock, for those who name its zone beside them.

use std::str::FromStr;

use super::error::{Invalid, TriggerError};
use super::fire::{Fire, MICROS};
use super::zone::{DstPolicy, Zone};

/// A date and a time of day without an offset: `2026-12-01T10:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalTime {
    /// Microseconds since 1970 on the wall clock.
    micros: i64,
}

impl LocalTime {
    /// The instant at which the wall clock of a zone shows this time.
    ///
    /// # Errors
    /// [`TriggerError::Invalid`] for an unknown zone, for a time that the clock skips under [`DstGap::Skip`](super::DstGap::Skip), and for one
    /// that it shows twice under [`DstFold::Both`](super::DstFold::Both).
    pub fn in_zone(self, zone: &str, policy: DstPolicy) -> Result<Fire, TriggerError> {
        let zone = Zone::parse("timezone", zone)?;
        let (seconds, fraction) = (self.micros.div_euclid(MICROS), self.micros.rem_euclid(MICROS));
        let fault = |problem: &str| Invalid::new("", problem).token(self.to_string());
        let instant = match zone.resolve(seconds, policy) {
            [Some(instant), None] => instant,
            [Some(_), Some(_)] => return Err(fault("comes twice, because the clock is put back").into()),
            [None, _] => return Err(fault("does not exist, because the clock is put forward").into()),
        };
        let offset = zone.offset_at(instant);
        // Of a time that is skipped what counts is the end of the gap, to the second.
        let is_shown = instant + i64::from(offset) == seconds;
        Fire::from_micros(instant * MICROS + if is_shown { fraction } else { 0 }, offset)
            .ok_or_else(|| fault("is outside the years 1 to 9999").into())
    }
}

/// `2026-12-01T10:00`, `2026-12-01 10:00:30.5`.
impl FromStr for LocalTime {
    type Err = TriggerError;

    fn from_str(text: &str) -> Result<LocalTime, TriggerError> {
        const SHAPE: &str = "is not a date with a time of day such as 2026-12-01T10:00 or 2026-12-01T10:00:30";
        let wrong = || Invalid::new("", SHAPE).token(text.chars().take(40).collect::<String>());
        let (date, time) = text.split_once(['T', 't', ' ']).ok_or_else(wrong)?;
        if time.contains(['Z', 'z', '+', '-']) {
            return Err(wrong().into());
        }
        let seconds = if time.len() == 5 { ":00" } else { "" };
        let shown_in_utc = Fire::parse(&format!("{date}T{time}{seconds}Z")).map_err(|problem| {
            if problem.starts_with("is not an RFC 3339 time") { wrong() } else { Invalid::new("", problem).token(text) }
        })?;
        Ok(LocalTime { micros: shown_in_utc.at.as_micros() })
    }
}

impl std::fmt::Display for LocalTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown_in_utc = Fire::from_micros(self.micros, 0).map(|fire| fire.to_string()).unwrap_or_default();
        f.write_str(shown_in_utc.trim_end_matches("+00:00"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{DstFold, DstGap};
    use super::*;

    fn in_berlin(text: &str, gap: DstGap, fold: DstFold) -> Result<String, String> {
        let time: LocalTime = text.parse().map_err(|error: TriggerError| error.to_string())?;
        let fire = time.in_zone("Europe/Berlin", DstPolicy { gap, fold });
        fire.map(|fire| fire.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_local_time_is_the_instant_at_which_the_clock_of_its_zone_shows_it() {
        let usual = |text: &str| in_berlin(text, DstGap::RunAfter, DstFold::First);
        for (text, expected) in [
            ("2026-12-01T10:00", "2026-12-01T10:00:00+01:00"),
            ("2026-07-01 10:00:30", "2026-07-01T10:00:30+02:00"),
            ("2026-07-01T10:00:30.25", "2026-07-01T10:00:30.250000+02:00"),
            ("2026-03-29T02:30:00.5", "2026-03-29T03:00:00+02:00"),
            ("2026-10-25T02:30", "2026-10-25T02:30:00+02:00"),
        ] {
            assert_eq!(usual(text).as_deref(), Ok(expected), "{text}");
        }
        assert_eq!(
            in_berlin("2026-10-25T02:30", DstGap::Skip, DstFold::Last).as_deref(),
            Ok("2026-10-25T02:30:00+01:00")
        );
    }

    #[test]
    fn a_time_that_does_not_exist_or_comes_twice_is_refused_where_the_policy_says_so() {
        let skipped = in_berlin("2026-03-29T02:30", DstGap::Skip, DstFold::First).expect_err("the clock skips it");
        assert!(skipped.contains("does not exist"), "{skipped}");
        let doubled = in_berlin("2026-10-25T02:30", DstGap::RunAfter, DstFold::Both).expect_err("it comes twice");
        assert!(doubled.contains("comes twice"), "{doubled}");
        let time: LocalTime = "2026-12-01T10:00".parse().unwrap();
        assert!(time.in_zone("Europe/Berln", DstPolicy::default()).unwrap_err().to_string().contains("Europe/Berlin"));
    }

    #[test]
    fn what_has_an_offset_or_another_shape_is_no_local_time() {
        for text in [
            "",
            "tomorrow",
            "2026-12-01",
            "2026-12-01T10",
            "2026-12-01T10:00Z",
            "2026-12-01T10:00:00+01:00",
            "2026-02-30T10:00",
            "2026-12-01T25:00",
            "2026-12-01T10:00 ",
        ] {
            assert!(text.parse::<LocalTime>().is_err(), "{text} was accepted");
        }
    }
}
