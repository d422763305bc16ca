//! Time zones as tables of offset changes, and what becomes of a wall-clock time that does not exist or comes twice.
//!
//! `chrono-tz` answers one instant or one wall-clock time at a time. A search for fire times wants to know more: how
//! long an offset holds, and what came before it. So each zone that is used gets a table once per process, found by
//! asking `chrono-tz` and kept for good (4 KiB, built in under a millisecond).
//!
//! The zone data end with the year 2099; after that the last offset holds for ever, as in every zone file of that kind.

use std::str::FromStr;
use std::sync::OnceLock;

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::{TZ_VARIANTS, Tz};

use super::error::{Invalid, nearest};

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
}

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
        /// 2101-01-01, after the last change in the data.
        const END: i64 = 4_133_980_800;
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
        Table { starts: starts.into(), offsets: offsets.into() }
    }

    /// The span that holds an instant.
    pub(super) fn index(&self, seconds: i64) -> usize {
        // The first start is `i64::MIN`, so at least one start is not after `seconds`.
        self.starts.partition_point(|start| *start <= seconds).saturating_sub(1)
    }

    /// The first second of a span; `i64::MIN` for the first span.
    pub(super) fn start(&self, index: usize) -> i64 {
        self.starts[index]
    }

    /// The first second after a span; `i64::MAX` for the last span.
    pub(super) fn end(&self, index: usize) -> i64 {
        self.starts.get(index + 1).copied().unwrap_or(i64::MAX)
    }

    /// How far local time is ahead of UTC in a span.
    pub(super) fn offset(&self, index: usize) -> i32 {
        self.offsets[index]
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
            for index in 1..table.starts.len() {
                let (start, end) = (table.start(index), table.end(index));
                assert_eq!(offset_by_chrono(tz, start - 1), table.offset(index - 1), "{tz}");
                assert_eq!(offset_by_chrono(tz, start), table.offset(index), "{tz}");
                assert!(end == i64::MAX || end - start > 6 * 86_400, "{tz} keeps an offset for {} s", end - start);
                assert!((table.offset(index) - table.offset(index - 1)).abs() <= 86_400, "{tz}");
            }
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
