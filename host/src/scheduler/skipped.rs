//! Fire times that passed without a job of their own, told to the operator without flooding the log: once for each schedule, and then at most
//! once a minute, with the sum of what came in between. An interval of a millisecond would else write hundreds of lines a second.

use std::collections::HashMap;
use std::time::Duration;

use crate::model::{ScheduleId, Timestamp};
use crate::trigger::Skipped;

/// How often at most a schedule is told of.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);
/// How often it is looked whether a sum has waited long enough.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);
/// Most schedules that are remembered. Of those beyond it each fire is told.
const SCHEDULES_MAX: usize = 10_000;

/// What was told when, and what was not told yet.
#[derive(Debug, Default)]
pub(super) struct SkippedFires {
    schedules: HashMap<ScheduleId, Entry>,
    checked_at: Option<Timestamp>,
}

#[derive(Debug)]
struct Entry {
    reported_at: Timestamp,
    unreported: Skipped,
}

impl Entry {
    /// Whether it may be told of. A clock that was set back does not keep it silent.
    fn is_due(&self, now: Timestamp) -> bool {
        now < self.reported_at || now.saturating_since(self.reported_at) >= REPORT_INTERVAL
    }

    fn take(&mut self, now: Timestamp) -> Skipped {
        self.reported_at = now;
        std::mem::take(&mut self.unreported)
    }
}

impl SkippedFires {
    /// Adds what one fire passed over, and answers what is to be told now, if anything.
    pub(super) fn add(&mut self, id: &ScheduleId, skipped: Skipped, now: Timestamp) -> Option<Skipped> {
        if skipped.count == 0 {
            return None;
        }
        if let Some(entry) = self.schedules.get_mut(id) {
            entry.unreported.count = entry.unreported.count.saturating_add(skipped.count);
            entry.unreported.or_more |= skipped.or_more;
            return entry.is_due(now).then(|| entry.take(now));
        }
        if self.schedules.len() < SCHEDULES_MAX {
            self.schedules.insert(id.clone(), Entry { reported_at: now, unreported: Skipped::default() });
        }
        Some(skipped)
    }

    /// The sums that have waited for a minute, of schedules that do not pass over anything any more.
    pub(super) fn overdue(&mut self, now: Timestamp) -> Vec<(ScheduleId, Skipped)> {
        let is_too_early = self.checked_at.is_some_and(|at| now >= at && now.saturating_since(at) < CHECK_INTERVAL);
        if is_too_early {
            return Vec::new();
        }
        self.checked_at = Some(now);
        self.collect(|entry| entry.is_due(now), now)
    }

    /// The sums that were not told yet, whatever their age.
    pub(super) fn rest(mut self, now: Timestamp) -> Vec<(ScheduleId, Skipped)> {
        self.collect(|_| true, now)
    }

    /// The sums of the entries that are chosen. Those of them that had none are forgotten.
    fn collect(&mut self, is_chosen: impl Fn(&Entry) -> bool, now: Timestamp) -> Vec<(ScheduleId, Skipped)> {
        let mut sums = Vec::new();
        self.schedules.retain(|id, entry| {
            if !is_chosen(entry) {
                return true;
            }
            let sum = entry.take(now);
            let has_sum = sum.count > 0;
            if has_sum {
                sums.push((id.clone(), sum));
            }
            has_sum
        });
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ScheduleId {
        ScheduleId::new(text).expect("an id")
    }

    fn at(seconds: u64) -> Timestamp {
        let noon: Timestamp = "2026-05-01T12:00:00Z".parse().expect("a time");
        noon.saturating_add(Duration::from_secs(seconds))
    }

    fn skipped(count: u64) -> Skipped {
        Skipped { count, or_more: false }
    }

    #[test]
    fn a_schedule_that_passes_over_fires_all_the_time_is_reported_once_a_minute_with_the_sum() {
        let mut fires = SkippedFires::default();
        let mut told = Vec::new();
        for round in 0..1_200 {
            let now = at(round / 4);
            told.extend(fires.overdue(now).into_iter().map(|(_, sum)| sum.count));
            told.extend(fires.add(&id("fast"), skipped(3), now).map(|sum| sum.count));
        }
        told.extend(fires.rest(at(300)).into_iter().map(|(_, sum)| sum.count));
        assert!(told.len() <= 7, "{} lines in five minutes", told.len());
        assert_eq!(told.iter().sum::<u64>(), 3_600, "and nothing is left out: {told:?}");
    }

    #[test]
    fn schedules_are_reported_apart_and_what_passes_nothing_over_is_not() {
        let mut fires = SkippedFires::default();
        assert_eq!(fires.add(&id("a"), skipped(0), at(0)), None);
        assert_eq!(fires.add(&id("a"), skipped(5), at(0)), Some(skipped(5)));
        assert_eq!(fires.add(&id("b"), skipped(7), at(1)), Some(skipped(7)));
        assert_eq!(fires.add(&id("a"), Skipped { count: 2, or_more: true }, at(2)), None);
        assert_eq!(fires.overdue(at(30)), []);
        assert_eq!(fires.overdue(at(61)), [(id("a"), Skipped { count: 2, or_more: true })]);
        assert_eq!(fires.schedules.len(), 1, "of `b` nothing is left to tell");
    }

    #[test]
    fn a_clock_that_was_set_back_keeps_nothing_silent() {
        let mut fires = SkippedFires::default();
        assert!(fires.add(&id("a"), skipped(1), at(3_600)).is_some());
        assert_eq!(fires.add(&id("a"), skipped(1), at(0)), Some(skipped(1)));
    }
}
