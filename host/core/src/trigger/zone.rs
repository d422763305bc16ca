//! Time zones as tables of offset changes, and what becomes of a wall-clock time that does not exist or comes twice.
//!
//! `chrono-tz` answers one instant or one wall-clock time at a time. A search for fire times wants to know more: how
//! long an offset holds, and what came before it. So each zone that is used gets a table once per process, found by
//! asking `chrono-tz` and kept for good (a few KiB, built in about a millisecond).
//!
//! The zone data end with the year 2099. What a zone does by then it goes on to do: its changes of the last years are one rule, such as
//! "the last Sunday of March at 01:00 UTC", and the table holds what that rule gives for the following four hundred years, after which the
//! calendar repeats.

use std::str::FromStr;
use std::sync::OnceLock;

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::{TZ_VARIANTS, Tz};

use super::civil::{CYCLE_YEARS, DAY_SECONDS};
use super::error::{Invalid, nearest};

mod yearly;

/// What a fixed wall-clock time does on a day on which it does not exist, because the clock jumps over it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DstGap {
    /// It fires at the first instant after the gap: 02:30 becomes 03:00.
    #[default]
    RunAfter,
    /// It does not fire on that day.
    Skip,
}

/// What a fixed wall-clock time does on a day on which it comes twice, because the clock is put back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DstFold {
    /// It fires the first time only.
    #[default]
    First,
    /// It fires the second time only.
    Last,
    /// It fires both times.
    Both,
}

impl DstGap {
    pub(super) const NAMES: [(&'static str, DstGap); 2] = [("run_after", DstGap::RunAfter), ("skip", DstGap::Skip)];

    /// The name in the JSON form.
    pub fn name(self) -> &'static str {
        match self {
            DstGap::RunAfter => "run_after",
            DstGap::Skip => "skip",
        }
    }
}

impl DstFold {
    pub(super) const NAMES: [(&'static str, DstFold); 3] =
        [("first", DstFold::First), ("last", DstFold::Last), ("both", DstFold::Both)];

    /// The name in the JSON form.
    pub fn name(self) -> &'static str {
        match self {
            DstFold::First => "first",
            DstFold::Last => "last",
            DstFold::Both => "both",
        }
    }
}

/// Both policies, as the JSON form names them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DstPolicy {
    /// For wall-clock times that do not exist.
    pub gap: DstGap,
    /// For wall-clock times that come twice.
    pub fold: DstFold,
}

/// A time zone with its table.
#[derive(Clone, Copy)]
pub(super) struct Zone {
    tz: Tz,
    table: &'static Table,
}

/// The offsets of a zone: `offsets[i]` holds from `starts[i]` until `starts[i + 1]`.
pub(super) struct Table {
    /// Seconds since 1970. The first is `i64::MIN`.
    starts: Box<[i64]>,
    /// Seconds ahead of UTC. Neighbours differ.
    offsets: Box<[i32]>,
    /// The first of the spans that come again every [`CYCLE_SECONDS`], up to the last; `None` where the last offset holds for ever.
    cycle: Option<usize>,
}

/// Seconds after which the calendar repeats.
const CYCLE_SECONDS: i64 = 146_097 * DAY_SECONDS;
/// The last year that the zone data speak of.
const DATA_END_YEAR: i32 = 2099;
/// 10000-01-03: no local time of the years up to 9999 is later, so that searches may end here.
const END_OF_TIME: i64 = 253_402_473_600;

static TABLES: [OnceLock<Table>; TZ_VARIANTS.len()] = [const { OnceLock::new() }; TZ_VARIANTS.len()];

impl Zone {
    /// UTC.
    pub(super) fn utc() -> Zone {
        Zone::new(Tz::UTC)
    }

    pub(super) fn new(tz: Tz) -> Zone {
        // The variants of `Tz` have no explicit numbers, so they count up from 0 in the order of `TZ_VARIANTS`; a test
        // holds that.
        Zone { tz, table: TABLES[tz as usize].get_or_init(|| Table::of(tz)) }
    }

    /// The zone of an IANA name such as `Europe/Berlin`.
    ///
    /// # Errors
    /// The name is unknown; the nearest one is suggested.
    pub(super) fn parse(field: &str, name: &str) -> Result<Zone, Box<Invalid>> {
        Tz::from_str(name).map(Zone::new).map_err(|_| {
            Invalid::new(field, "is not a time zone")
                .token(name)
                .allowed("IANA names such as `Europe/Berlin`, `America/New_York` or `UTC`")
                .suggestion(nearest(name.trim(), TZ_VARIANTS.iter().map(|tz| tz.name())))
        })
    }

    pub(super) fn name(self) -> &'static str {
        self.tz.name()
    }

    pub(super) fn table(self) -> &'static Table {
        self.table
    }

    /// How far local time is ahead of UTC at an instant.
    pub(super) fn offset_at(self, seconds: i64) -> i32 {
        self.table.offset(self.table.index(seconds))
    }

    /// The instants at which the wall clock shows `local` (seconds since 1970 as if it were UTC), under the policies:
    /// none, one or, with [`DstFold::Both`], two.
    pub(super) fn resolve(self, local: i64, policy: DstPolicy) -> [Option<i64>; 2] {
        // No offset exceeds 16 hours, so every span that could show `local` lies within a day of it.
        const REACH: i64 = 86_400;
        let table = self.table;
        let mut found = [None, None];
        let mut index = table.index(local - REACH);
        loop {
            let instant = local - i64::from(table.offset(index));
            if instant >= table.start(index) && instant < table.end(index) {
                if found[0].is_none() { found[0] = Some(instant) } else { found[1] = Some(instant) }
            }
            let end = table.end(index);
            if end > local + REACH {
                break;
            }
            let (before, after) = (table.offset(index), table.offset(index + 1));
            if (end + i64::from(before)..end + i64::from(after)).contains(&local) {
                return [(policy.gap == DstGap::RunAfter).then_some(end), None];
            }
            index += 1;
        }
        match (found, policy.fold) {
            ([Some(first), Some(_)], DstFold::First) => [Some(first), None],
            ([Some(_), Some(last)], DstFold::Last) => [Some(last), None],
            (found, _) => found,
        }
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.tz == other.tz
    }
}

impl Eq for Zone {}

impl std::fmt::Debug for Zone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Table {
    /// Finds the changes of a zone by looking at its offset every few days and halving where it differs.
    fn of(tz: Tz) -> Table {
        /// 1840-01-01: railway time is about to be invented, and no zone has a change before it.
        const FIRST: i64 = -4_102_444_800;
        /// 2100-01-01, after the last change in the data.
        const END: i64 = 4_102_444_800;
        /// Less than half of the shortest time for which any zone keeps an offset (7 days); a test holds that.
        const STEP: i64 = 3 * 86_400;
        let mut starts = vec![i64::MIN];
        let mut offsets = vec![offset_by_chrono(tz, FIRST)];
        let mut known = FIRST;
        let mut current = offsets[0];
        while known < END {
            let probe = known + STEP;
            let offset = offset_by_chrono(tz, probe);
            if offset != current {
                let (mut before, mut after) = (known, probe);
                while after - before > 1 {
                    let middle = before + (after - before) / 2;
                    if offset_by_chrono(tz, middle) == current { before = middle } else { after = middle }
                }
                starts.push(after);
                offsets.push(offset);
                current = offset;
            }
            known = probe;
        }
        let rule = yearly::Rule::of(&starts, &offsets, DATA_END_YEAR);
        let cycle = rule.map(|rule| {
            let first = starts.len();
            for (start, offset) in rule.changes(DATA_END_YEAR + 1..=DATA_END_YEAR + CYCLE_YEARS) {
                starts.push(start);
                offsets.push(offset);
            }
            first
        });
        Table { starts: starts.into(), offsets: offsets.into(), cycle }
    }

    /// The span that holds an instant.
    pub(super) fn index(&self, seconds: i64) -> usize {
        // The first start is `i64::MIN`, so at least one start is not after `seconds`.
        let kept = |seconds: i64| self.starts.partition_point(|start| *start <= seconds).saturating_sub(1);
        match self.cycle {
            Some(first) if seconds >= self.starts[first] => {
                let ahead = seconds - self.starts[first];
                let rounds = usize::try_from(ahead / CYCLE_SECONDS).unwrap_or_default();
                kept(self.starts[first] + ahead % CYCLE_SECONDS) + rounds * (self.starts.len() - first)
            }
            _ => kept(seconds),
        }
    }

    /// Where a span is kept, and how much later it is than the one that is kept there.
    fn place(&self, index: usize) -> (usize, i64) {
        match self.cycle {
            Some(first) if index >= self.starts.len() => {
                let length = self.starts.len() - first;
                let rounds = i64::try_from((index - first) / length).unwrap_or_default();
                (first + (index - first) % length, rounds * CYCLE_SECONDS)
            }
            _ => (index, 0),
        }
    }

    /// The first second of a span; `i64::MIN` for the first span.
    pub(super) fn start(&self, index: usize) -> i64 {
        let (kept, later) = self.place(index);
        self.starts[kept] + later
    }

    /// The first second after a span; `i64::MAX` for the last span that matters.
    pub(super) fn end(&self, index: usize) -> i64 {
        if index + 1 >= self.starts.len() && self.cycle.is_none() {
            return i64::MAX;
        }
        let end = self.start(index + 1);
        if end > END_OF_TIME { i64::MAX } else { end }
    }

    /// How far local time is ahead of UTC in a span.
    pub(super) fn offset(&self, index: usize) -> i32 {
        self.offsets[self.place(index).0]
    }
}

fn offset_by_chrono(tz: Tz, seconds: i64) -> i32 {
    let time = DateTime::from_timestamp(seconds, 0).unwrap_or_default().naive_utc();
    tz.offset_from_utc_datetime(&time).fix().local_minus_utc()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_zone_is_found_by_its_place_among_the_variants() {
        for (index, tz) in TZ_VARIANTS.iter().enumerate() {
            assert_eq!(*tz as usize, index, "{tz}");
        }
    }

    #[test]
    fn every_table_agrees_with_chrono_tz_twice_a_day_from_1970_to_2040() {
        for tz in TZ_VARIANTS {
            let zone = Zone::new(tz);
            let (mut index, mut seconds) = (zone.table.index(0), 0);
            while seconds < 2_208_988_800 {
                while seconds >= zone.table.end(index) {
                    index += 1;
                }
                assert_eq!(zone.table.offset(index), offset_by_chrono(tz, seconds), "{tz} at {seconds}");
                // Not a divisor of a day, so that in the course of time every hour is looked at.
                seconds += 40_009;
            }
        }
    }

    #[test]
    fn no_zone_keeps_an_offset_for_less_than_two_steps_of_the_table_or_shifts_by_more_than_a_day() {
        for tz in TZ_VARIANTS {
            let table = Zone::new(tz).table;
            for index in 1..table.cycle.unwrap_or(table.starts.len()) {
                let (start, end) = (table.start(index), table.end(index));
                assert_eq!(offset_by_chrono(tz, start - 1), table.offset(index - 1), "{tz}");
                assert_eq!(offset_by_chrono(tz, start), table.offset(index), "{tz}");
                assert!(end == i64::MAX || end - start > 6 * 86_400, "{tz} keeps an offset for {} s", end - start);
                assert!((table.offset(index) - table.offset(index - 1)).abs() <= 86_400, "{tz}");
            }
        }
    }

    #[test]
    fn the_last_years_of_every_zone_are_a_rule_that_goes_on() {
        let mut going_on = 0;
        for tz in TZ_VARIANTS {
            let table = Zone::new(tz).table;
            let changes_in_the_last_year = (1..table.cycle.unwrap_or(table.starts.len()))
                .filter(|index| table.start(*index) >= 4_070_908_800)
                .count();
            assert_eq!(changes_in_the_last_year > 0, table.cycle.is_some(), "{tz} changes in 2099, and has no rule");
            going_on += usize::from(table.cycle.is_some());
        }
        assert!(going_on > 100, "{going_on} zones have a rule");
    }

    #[test]
    fn after_the_data_end_offsets_are_those_of_the_zones_rule() {
        // From the POSIX rule at the end of each zone's file, as Python's zoneinfo (2025b) reads it.
        for (name, text, offset) in [
            ("Europe/Berlin", "2100-03-28T00:59:59Z", 3_600),
            ("Europe/Berlin", "2100-03-28T01:00:00Z", 7_200),
            ("Europe/Berlin", "2100-07-01T12:00:00Z", 7_200),
            ("Europe/Berlin", "2100-10-31T00:59:59Z", 7_200),
            ("Europe/Berlin", "2100-10-31T01:00:00Z", 3_600),
            ("Europe/Berlin", "2499-07-01T12:00:00Z", 7_200),
            ("Europe/Berlin", "2500-03-28T01:00:00Z", 7_200),
            ("Europe/Berlin", "9999-07-01T12:00:00Z", 7_200),
            ("Europe/Berlin", "9999-12-31T12:00:00Z", 3_600),
            ("America/New_York", "2150-03-08T06:59:59Z", -18_000),
            ("America/New_York", "2150-03-08T07:00:00Z", -14_400),
            ("Australia/Lord_Howe", "2101-01-15T00:00:00Z", 39_600),
            ("Australia/Lord_Howe", "2101-07-15T00:00:00Z", 37_800),
            ("America/Santiago", "2200-01-15T00:00:00Z", -10_800),
            ("America/Santiago", "2200-07-15T00:00:00Z", -14_400),
            ("Asia/Gaza", "2120-07-15T00:00:00Z", 10_800),
            ("Asia/Gaza", "2120-12-15T00:00:00Z", 7_200),
            ("Europe/Dublin", "2130-07-01T00:00:00Z", 3_600),
            ("Africa/Casablanca", "2130-07-01T00:00:00Z", 3_600),
            ("Asia/Tokyo", "2130-07-01T00:00:00Z", 32_400),
        ] {
            let zone = Zone::parse("timezone", name).unwrap();
            let seconds = super::super::Fire::parse(text).unwrap().at.as_micros() / 1_000_000;
            assert_eq!(zone.offset_at(seconds), offset, "{name} at {text}");
        }
    }

    #[test]
    fn spans_follow_each_other_without_a_gap_to_the_end_of_time() {
        for name in ["Europe/Berlin", "Asia/Gaza", "America/Santiago", "Asia/Tokyo"] {
            let table = Zone::parse("timezone", name).unwrap().table;
            let (mut index, mut count) = (0, 0);
            while table.end(index) < i64::MAX {
                assert!(table.start(index) < table.end(index), "{name}: span {index}");
                assert_eq!(table.end(index), table.start(index + 1), "{name}: span {index}");
                assert_ne!(table.offset(index), table.offset(index + 1), "{name}: span {index}");
                assert_eq!(table.index(table.start(index + 1)), index + 1, "{name}: span {index}");
                assert_eq!(table.index(table.start(index + 1) - 1), index, "{name}: span {index}");
                (index, count) = (index + 1, count + 1);
            }
            assert!(count < 20_000, "{name} has {count} spans");
        }
    }

    #[test]
    fn a_wall_clock_time_is_resolved_by_the_policies() {
        let zone = Zone::parse("timezone", "Europe/Berlin").unwrap();
        let at = |text: &str| super::super::Fire::parse(text).unwrap().at.as_micros() / 1_000_000;
        let gap = at("2026-03-29T02:30:00Z");
        let policy = |gap, fold| DstPolicy { gap, fold };
        let resolve = |local, gap, fold| zone.resolve(local, policy(gap, fold));
        assert_eq!(resolve(gap, DstGap::RunAfter, DstFold::First), [Some(at("2026-03-29T01:00:00Z")), None]);
        assert_eq!(resolve(gap, DstGap::Skip, DstFold::First), [None, None]);
        let (first, last) = (at("2026-10-25T00:30:00Z"), at("2026-10-25T01:30:00Z"));
        let fold = at("2026-10-25T02:30:00Z");
        assert_eq!(resolve(fold, DstGap::Skip, DstFold::First), [Some(first), None]);
        assert_eq!(resolve(fold, DstGap::Skip, DstFold::Last), [Some(last), None]);
        assert_eq!(resolve(fold, DstGap::Skip, DstFold::Both), [Some(first), Some(last)]);
        let plain = at("2026-07-01T12:00:00Z");
        assert_eq!(resolve(plain, DstGap::Skip, DstFold::Last), [Some(at("2026-07-01T10:00:00Z")), None]);
    }
}
