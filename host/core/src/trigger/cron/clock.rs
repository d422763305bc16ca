//! The times of day that a cron trigger allows.

use super::field::Values;

/// The times of day that match the fields hour, minute and second; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Clock {
    hours: u32,
    minutes: u64,
    seconds: u64,
    /// The first time of day, in seconds.
    first: u32,
    /// The seconds of an hour after which its first match comes.
    first_of_hour: u32,
}

const EVERY_HOUR: u32 = (1 << 24) - 1;

impl Clock {
    #[expect(clippy::cast_possible_truncation, reason = "hours have 24 bits")]
    pub(super) fn new(hour: &Values, minute: &Values, second: &Values) -> Clock {
        let (hours, minutes, seconds) = (hour.bits as u32, minute.bits, second.bits);
        let first_of_hour = minutes.trailing_zeros() * 60 + seconds.trailing_zeros();
        Clock { hours, minutes, seconds, first: hours.trailing_zeros() * 3600 + first_of_hour, first_of_hour }
    }

    /// Whether every hour of the day is allowed, so that the rule runs through any change of the clock by itself.
    pub(super) fn runs_through_every_hour(&self) -> bool {
        self.hours == EVERY_HOUR
    }

    /// The first time of day, in seconds.
    pub(super) fn first(&self) -> u32 {
        self.first
    }

    /// The first time of day that is not before `second_of_day`.
    pub(super) fn at_or_after(&self, second_of_day: u32) -> Option<u32> {
        let (hour, in_hour) = (second_of_day / 3600, second_of_day % 3600);
        if self.hours >> hour & 1 == 1 {
            let (minute, second) = (in_hour / 60, in_hour % 60);
            if self.minutes >> minute & 1 == 1 {
                let seconds = self.seconds >> second << second;
                if seconds != 0 {
                    return Some(hour * 3600 + minute * 60 + seconds.trailing_zeros());
                }
            }
            let minutes = self.minutes >> minute >> 1 << 1 << minute;
            if minutes != 0 {
                return Some(hour * 3600 + minutes.trailing_zeros() * 60 + self.seconds.trailing_zeros());
            }
        }
        let hours = self.hours >> hour >> 1 << 1 << hour;
        (hours != 0).then(|| hours.trailing_zeros() * 3600 + self.first_of_hour)
    }

    pub(super) fn hours(&self) -> u32 {
        self.hours
    }

    pub(super) fn minutes(&self) -> u64 {
        self.minutes
    }

    pub(super) fn seconds(&self) -> u64 {
        self.seconds
    }
}
