//! Fires at a time of day, every so many years, months, weeks and days.
//!
//! The walk goes from date to date: years and months are added first, keeping the day of the month, again and again
//! until the date exists (31 January, then 31 March); then weeks and days. The wall clock of the zone then says when
//! that date's time is. Where the clock skips it, `dst_gap` decides (`run_after`, the default: the first instant after
//! the gap; `skip`: that date is left out), and where it comes twice, `dst_fold` (`first`, the default, `last`, `both`).
//! Either way the walk goes on from the date.

use super::civil::{DAY_SECONDS, Date, LAST_YEAR, month_length};
use super::error::Invalid;
use super::fire::{Fire, MICROS};
use super::zone::{DstPolicy, Zone};
use crate::model::Timestamp;

/// Fires at a time of day, every so many years, months, weeks and days. See the module's documentation for the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CalendarTrigger {
    pub(super) step: Step,
    pub(super) time: TimeOfDay,
    pub(super) zone: Zone,
    pub(super) start: Date,
    pub(super) end: Option<Date>,
    pub(super) policy: DstPolicy,
}

/// How far it is from one date to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) years: u32,
    pub(super) months: u32,
    pub(super) weeks: u32,
    pub(super) days: u32,
}

/// A wall-clock time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TimeOfDay {
    pub(super) hour: u8,
    pub(super) minute: u8,
    pub(super) second: u8,
}

/// The greatest number of years, months, weeks or days: with more, nothing could follow the first date.
pub(super) const PART_MAX: u32 = 4_000_000;

impl CalendarTrigger {
    /// A trigger with its parts, checked against each other.
    pub(super) fn checked(self) -> Result<Self, Box<Invalid>> {
        if self.step == Step::default() {
            return Err(Invalid::new("", "calendar interval has no length")
                .allowed("years, months, weeks and days, at least one of them above 0"));
        }
        if self.end.is_some_and(|end| end < self.start) {
            return Err(Invalid::new("end_date", "is before the start_date"));
        }
        Ok(self)
    }

    /// The fire after `after` and the date it belongs to, on a walk that stands at `date`.
    pub(super) fn next_from(&self, date: Option<Date>, after: Option<Timestamp>) -> Option<(Fire, Date)> {
        let mut date = date.unwrap_or(self.start);
        let mut over = i32::MIN;
        if let Some(after) = after {
            // Two days are more than any offset and any doubled or missing day: what is before is certainly over.
            over = i32::try_from(after.as_micros().div_euclid(MICROS * DAY_SECONDS)).unwrap_or(i32::MAX) - 2;
            date = self.step.jump(date, over).unwrap_or(date);
        }
        loop {
            if self.end.is_some_and(|end| date > end) {
                return None;
            }
            if date.day_number() < over {
                date = self.step.after(date)?;
                continue;
            }
            for fire in self.fires(date).into_iter().flatten() {
                if after.is_none_or(|after| fire.at > after) {
                    return Some((fire, date));
                }
            }
            date = self.step.after(date)?;
        }
    }

    /// Which months the walk passes over because they are too short, for readers; empty where that happens to none.
    pub(super) fn passed_over(&self) -> String {
        let (months, days) = (self.step.total_months(), self.step.total_days());
        let day = self.start.day;
        if months == 0 || day <= 28 && days == 0 {
            return String::new();
        }
        if days > 0 {
            return ", passing over months that do not have the day".to_owned();
        }
        // The months come round again after twelve steps, and February is tried in a year that has no 29th.
        let first = i64::from(self.start.month) - 1;
        let reached = (0..12).map(|step| (first + step * months) % 12 + 1);
        let mut lengths = reached.filter_map(|month| u8::try_from(month).ok()).map(|month| month_length(2027, month));
        if lengths.all(|length| length >= day) {
            return String::new();
        }
        if day == 29 {
            ", left out in February without a 29th".to_owned()
        } else {
            format!(", only in months that have a day {day}")
        }
    }

    /// The instants at which a date's time of day is.
    fn fires(&self, date: Date) -> [Option<Fire>; 2] {
        let local = i64::from(date.day_number()) * DAY_SECONDS + self.time.seconds();
        self.zone
            .resolve(local, self.policy)
            .map(|instant| instant.and_then(|instant| Fire::from_seconds(instant, self.zone.offset_at(instant))))
    }
}

impl TimeOfDay {
    /// Seconds since midnight.
    pub(super) fn seconds(self) -> i64 {
        i64::from(self.hour) * 3600 + i64::from(self.minute) * 60 + i64::from(self.second)
    }
}

impl Step {
    fn total_months(self) -> i64 {
        i64::from(self.years) * 12 + i64::from(self.months)
    }

    fn total_days(self) -> i64 {
        i64::from(self.weeks) * 7 + i64::from(self.days)
    }

    /// The date after `date`, or `None` past the year 9999.
    fn after(self, date: Date) -> Option<Date> {
        let mut next = date;
        let months = self.total_months();
        if months > 0 {
            let mut count = 1;
            // Within four hundred years each day of the year comes up, so this ends, at the latest with the year 9999.
            next = loop {
                match add_months(date, months.checked_mul(count)?)? {
                    Some(found) => break found,
                    None => count += 1,
                }
            };
        }
        let days = self.total_days();
        if days == 0 {
            return Some(next);
        }
        let number = i32::try_from(i64::from(next.day_number()) + days).ok()?;
        (number <= LAST_DAY).then(|| Date::from_day_number(number)).and_then(Date::in_range)
    }

    /// The last date of the walk from `date` on that is not after the day `target`, where arithmetic can tell: for
    /// whole days, and for whole months. A mixture has to be walked.
    fn jump(self, date: Date, target: i32) -> Option<Date> {
        let ahead = i64::from(target) - i64::from(date.day_number());
        if ahead <= 0 {
            return None;
        }
        match (self.total_months(), self.total_days()) {
            (0, days) => {
                let number = i64::from(date.day_number()) + ahead / days * days;
                Date::from_day_number(i32::try_from(number).ok()?).in_range()
            }
            (months, 0) => {
                let target = Date::from_day_number(target);
                let between = i64::from(target.year - date.year) * 12 + i64::from(target.month) - i64::from(date.month);
                // One step less than fits, so that the day of the month cannot take the date past the target; then
                // back to a month that has the day.
                let mut count = between / months - 1;
                while count > 0 {
                    if let Some(found) = add_months(date, months * count)? {
                        return Some(found);
                    }
                    count -= 1;
                }
                None
            }
            _ => None,
        }
    }
}

/// 9999-12-31.
const LAST_DAY: i32 = 2_932_896;

/// The same day of the month `months` later: outer `None` past the year 9999, inner `None` where that month is too
/// short.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a remainder of 12, and a year that was checked"
)]
fn add_months(date: Date, months: i64) -> Option<Option<Date>> {
    let total = i64::from(date.year) * 12 + i64::from(date.month) - 1 + months;
    let year = total / 12;
    (year <= i64::from(LAST_YEAR)).then(|| Date::new(year as i32, (total % 12) as u8 + 1, date.day))
}
