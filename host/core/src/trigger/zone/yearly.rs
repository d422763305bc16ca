//! The rule by which a zone changes its offset year after year, read off its last years.

use std::ops::RangeInclusive;

use super::super::civil::{DAY_SECONDS, Date, weekday};

/// The changes of every year.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rule {
    changes: Vec<Change>,
}

/// One change in the course of a year: on a certain weekday within a certain week, at a certain time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Change {
    /// The first day of that week, counted from 1 March, so that leap days move nothing.
    first_day: i32,
    /// 0 is Monday.
    weekday: u8,
    /// The time of day, in seconds, on the clock before the change.
    second_of_day: i64,
    /// Seconds ahead of UTC before and after.
    before: i32,
    after: i32,
}

/// A change as it happened.
struct Observed {
    year: i32,
    /// Counted from 1 March.
    day: i32,
    change: Change,
}

impl Rule {
    /// The rule that explains the most years up to `last_year`. `None` where there is no change in that year, or where the years do not fix
    /// the rule: where they do not show each change on all seven days of its week.
    pub(super) fn of(starts: &[i64], offsets: &[i32], last_year: i32) -> Option<Rule> {
        let mut observed: Vec<Observed> = Vec::new();
        for index in 1..starts.len() {
            observed.push(Observed::new(starts[index], offsets[index - 1], offsets[index]));
        }
        let mut rule: Option<Vec<(Change, RangeInclusive<i32>)>> = None;
        for year in (0..=last_year).rev() {
            let of_year: Vec<&Observed> = observed.iter().filter(|observed| observed.year == year).collect();
            let Some(known) = &rule else {
                if of_year.is_empty() {
                    return None;
                }
                rule = Some(of_year.iter().map(|observed| (observed.change, observed.day..=observed.day)).collect());
                continue;
            };
            match widened(known, &of_year) {
                Some(widened) => rule = Some(widened),
                None => break,
            }
        }
        let changes = rule?.into_iter().map(|(change, days)| {
            let is_a_week = days.end() - days.start() == 6;
            is_a_week.then_some(Change { first_day: *days.start(), ..change })
        });
        Some(Rule { changes: changes.collect::<Option<_>>()? })
    }

    /// The changes of some years: when, in seconds since 1970, and the offset that begins then.
    pub(super) fn changes(&self, years: RangeInclusive<i32>) -> impl Iterator<Item = (i64, i32)> {
        years.flat_map(|year| self.changes.iter().map(move |change| (change.instant(year), change.after)))
    }
}

/// What is known of a rule's changes and the days on which they fell, with those of one more year, if they keep the rule.
fn widened(
    known: &[(Change, RangeInclusive<i32>)],
    of_year: &[&Observed],
) -> Option<Vec<(Change, RangeInclusive<i32>)>> {
    if known.len() != of_year.len() {
        return None;
    }
    let one = |((change, days), observed): (&(Change, RangeInclusive<i32>), &&Observed)| {
        let days = observed.day.min(*days.start())..=observed.day.max(*days.end());
        (*change == observed.change && days.end() - days.start() <= 6).then_some((*change, days))
    };
    known.iter().zip(of_year).map(one).collect()
}

impl Observed {
    fn new(start: i64, before: i32, after: i32) -> Observed {
        let local = start + i64::from(before);
        let day_number = i32::try_from(local.div_euclid(DAY_SECONDS)).unwrap_or_default();
        let date = Date::from_day_number(day_number);
        Observed {
            year: date.year,
            day: day_number - first_of_march(date.year),
            change: Change {
                first_day: 0,
                weekday: weekday(day_number),
                second_of_day: local.rem_euclid(DAY_SECONDS),
                before,
                after,
            },
        }
    }
}

impl Change {
    fn instant(self, year: i32) -> i64 {
        let first = first_of_march(year) + self.first_day;
        let days_to_go = (i32::from(self.weekday) - i32::from(weekday(first))).rem_euclid(7);
        i64::from(first + days_to_go) * DAY_SECONDS + self.second_of_day - i64::from(self.before)
    }
}

fn first_of_march(year: i32) -> i32 {
    Date { year, month: 3, day: 1 }.day_number()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(year: i32, month: u8, day: u8, hour: i64) -> i64 {
        i64::from(Date { year, month, day }.day_number()) * DAY_SECONDS + hour * 3600
    }

    /// The last Sunday of March and of October at 01:00 UTC, for so many years up to 2099.
    fn berlin(years: i32) -> (Vec<i64>, Vec<i32>) {
        let (mut starts, mut offsets) = (vec![i64::MIN], vec![3_600]);
        for year in 2_100 - years..2_100 {
            for (month, offset) in [(3, 7_200), (10, 3_600)] {
                let last = Date { year, month, day: 31 }.day_number();
                let back = u8::try_from((i32::from(weekday(last)) + 1).rem_euclid(7)).expect("a weekday");
                starts.push(at(year, month, 31 - back, 1));
                offsets.push(offset);
            }
        }
        (starts, offsets)
    }

    #[test]
    fn a_rule_is_read_off_and_goes_on() {
        let (starts, offsets) = berlin(30);
        let rule = Rule::of(&starts, &offsets, 2_099).expect("thirty years show it");
        let changes: Vec<_> = rule.changes(2_100..=2_101).collect();
        assert_eq!(
            changes,
            [
                (at(2_100, 3, 28, 1), 7_200),
                (at(2_100, 10, 31, 1), 3_600),
                (at(2_101, 3, 27, 1), 7_200),
                (at(2_101, 10, 30, 1), 3_600)
            ]
        );
    }

    #[test]
    fn too_few_years_fix_no_rule_and_none_at_the_end_means_none() {
        let (starts, offsets) = berlin(3);
        assert_eq!(Rule::of(&starts, &offsets, 2_099), None);
        let (starts, offsets) = berlin(30);
        assert_eq!(Rule::of(&starts, &offsets, 2_100), None);
    }

    #[test]
    fn an_irregular_year_ends_what_the_rule_explains() {
        let (mut starts, offsets) = berlin(30);
        // In 2080 the clock was put forward on another day.
        let index = starts.iter().position(|start| *start > at(2_080, 1, 1, 0)).expect("it is there");
        starts[index] += 10 * DAY_SECONDS;
        assert!(Rule::of(&starts, &offsets, 2_099).is_some(), "the years from 2081 on are enough");
        let index = starts.iter().position(|start| *start > at(2_097, 1, 1, 0)).expect("it is there");
        starts[index] += 10 * DAY_SECONDS;
        assert_eq!(Rule::of(&starts, &offsets, 2_099), None, "two years are not");
    }
}
