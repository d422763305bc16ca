//! Cron rules beside brute force: rules made by chance, near changes of the clock, against a model that looks at every
//! second and shares nothing with the search but the zone data.

use chrono::{DateTime, Datelike, NaiveDateTime, TimeZone, Timelike};
use chrono_tz::Tz;
use host::model::Timestamp;
use host::trigger::{Fire, Keep, Trigger, TriggerState};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::{changes, offset, second, trigger};

/// Zones with shifts of half an hour, two hours and a day, at midnight, off the hour, to negative summer time.
const ZONES: [Tz; 16] = [
    Tz::Europe__Berlin,
    Tz::America__New_York,
    Tz::Australia__Lord_Howe,
    Tz::Antarctica__Troll,
    Tz::America__Sao_Paulo,
    Tz::America__Havana,
    Tz::Asia__Beirut,
    Tz::Africa__Cairo,
    Tz::America__Asuncion,
    Tz::Pacific__Chatham,
    Tz::America__Nuuk,
    Tz::Pacific__Apia,
    Tz::Africa__Casablanca,
    Tz::Europe__Dublin,
    Tz::America__St_Johns,
    Tz::UTC,
];

/// One item of a field, as a generator knows it.
#[derive(Clone, Debug)]
enum Item {
    Star,
    Every(u32),
    Value(u32),
    Range(u32, u32),
    RangeStep(u32, u32, u32),
    /// `3rd`, by its number from 1, or 6 for `last`, and a weekday from Monday as 0.
    Nth(u32, u32),
    LastDay,
}

/// A field as a generator knows it.
#[derive(Clone, Debug)]
struct Items(Vec<Item>);

const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const NTH: [&str; 6] = ["1st", "2nd", "3rd", "4th", "5th", "last"];

impl Items {
    fn text(&self) -> String {
        let items = self.0.iter().map(|item| match *item {
            Item::Star => "*".to_owned(),
            Item::Every(step) => format!("*/{step}"),
            Item::Value(value) => value.to_string(),
            Item::Range(first, last) => format!("{first}-{last}"),
            Item::RangeStep(first, last, step) => format!("{first}-{last}/{step}"),
            Item::Nth(nth, weekday) => format!("{} {}", NTH[nth as usize - 1], WEEKDAYS[weekday as usize]),
            Item::LastDay => "last".to_owned(),
        });
        items.collect::<Vec<_>>().join(",")
    }

    /// Whether a value below the field's end matches, the field beginning at `low`.
    fn has(&self, low: u32, value: u32) -> bool {
        self.0.iter().any(|item| match *item {
            Item::Star => true,
            Item::Every(step) => (value - low).is_multiple_of(step),
            Item::Value(only) => value == only,
            Item::Range(first, last) => (first..=last).contains(&value),
            Item::RangeStep(first, last, step) => {
                (first..=last).contains(&value) && (value - first).is_multiple_of(step)
            }
            Item::Nth(..) | Item::LastDay => false,
        })
    }

    fn has_day(&self, date: NaiveDateTime) -> bool {
        let weekday = date.weekday().num_days_from_monday();
        let length = date.date().num_days_in_month().into();
        self.has(1, date.day())
            || self.0.iter().any(|item| match *item {
                Item::Nth(6, wanted) => weekday == wanted && date.day() + 7 > length,
                Item::Nth(nth, wanted) => weekday == wanted && (date.day() - 1) / 7 + 1 == nth,
                Item::LastDay => date.day() == length,
                _ => false,
            })
    }

    /// Numbers count from Sunday as 0 to Sunday as 7; `*` and its steps from Monday.
    fn has_weekday(&self, from_monday: u32) -> bool {
        let numbers = if from_monday == 6 { vec![0, 7] } else { vec![from_monday + 1] };
        self.0.iter().any(|item| match *item {
            Item::Star | Item::Every(_) => Items(vec![item.clone()]).has(0, from_monday),
            _ => numbers.iter().any(|number| Items(vec![item.clone()]).has(0, *number)),
        })
    }
}

fn item(low: u32, high: u32) -> impl Strategy<Value = Item> {
    prop_oneof![
        2 => Just(Item::Star),
        2 => (1..=(high - low).max(1)).prop_map(Item::Every),
        4 => (low..=high).prop_map(Item::Value),
        2 => (low..=high, low..=high).prop_map(|(a, b)| Item::Range(a.min(b), a.max(b))),
        2 => (low..high, low..high, 1..=(high - low)).prop_map(|(a, b, step)| {
            let (first, last) = (a.min(b), a.max(b) + 1);
            Item::RangeStep(first, last, 1 + step % (last - first))
        }),
    ]
}

fn items(low: u32, high: u32) -> impl Strategy<Value = Items> {
    prop::collection::vec(item(low, high), 1..=2).prop_map(Items)
}

fn days() -> impl Strategy<Value = Items> {
    let nth = (1_u32..=6, 0_u32..7).prop_map(|(nth, weekday)| Item::Nth(nth, weekday));
    prop::collection::vec(prop_oneof![6 => item(1, 31), 3 => nth, 1 => Just(Item::LastDay)], 1..=3).prop_map(Items)
}

/// A rule: the fields that are given, in the order of the JSON form.
#[derive(Clone, Debug)]
struct Rule {
    month: Option<Items>,
    day: Option<Items>,
    week: Option<Items>,
    day_of_week: Option<Items>,
    hour: Option<Items>,
    minute: Option<Items>,
    second: Option<Items>,
    gap: &'static str,
    fold: &'static str,
}

/// A field that is given once in so many rules.
fn seldom(weight: u32, field: impl Strategy<Value = Items> + 'static) -> BoxedStrategy<Option<Items>> {
    prop_oneof![weight => Just(None), 1 => field.prop_map(Some)].boxed()
}

prop_compose! {
    fn rule()(
        month in seldom(6, items(1, 12)),
        day in seldom(3, days()),
        week in seldom(8, items(1, 53)),
        day_of_week in seldom(3, items(0, 7)),
        hour in prop_oneof![1 => Just(None), 4 => items(0, 23).prop_map(Some)],
        // Around the hours at which clocks change.
        near in prop::option::of(items(0, 4)),
        minute in prop_oneof![1 => Just(None), 3 => items(0, 59).prop_map(Some)],
        second in seldom(6, items(0, 59)),
        gap in select(vec!["run_after", "skip"]),
        fold in select(vec!["first", "last", "both"]),
    ) -> Rule {
        Rule { month, day, week, day_of_week, hour: near.or(hour), minute, second, gap, fold }
    }
}

impl Rule {
    fn to_value(&self, zone: Tz, start: i64) -> Value {
        let mut value = json!({"type": "cron", "timezone": zone.name(), "dst_gap": self.gap, "dst_fold": self.fold,
            "start_time": second(start).to_string()});
        for (name, field) in self.fields() {
            if let Some(field) = field {
                value[name] = field.text().into();
            }
        }
        value
    }

    fn fields(&self) -> [(&'static str, &Option<Items>); 7] {
        [
            ("month", &self.month),
            ("day", &self.day),
            ("week", &self.week),
            ("day_of_week", &self.day_of_week),
            ("hour", &self.hour),
            ("minute", &self.minute),
            ("second", &self.second),
        ]
    }

    /// Fills in what is not given: anything before the last field that is, the first value after it.
    fn complete(&self) -> Rule {
        let last = self.fields().iter().rposition(|(_, field)| field.is_some());
        let star = || Some(Items(vec![Item::Star]));
        let fill = |index: usize, field: &Option<Items>, first: Option<u32>| {
            field.clone().or_else(|| match first {
                Some(first) if last.is_none_or(|last| index > last) => Some(Items(vec![Item::Value(first)])),
                _ => star(),
            })
        };
        Rule {
            month: fill(0, &self.month, Some(1)),
            day: fill(1, &self.day, Some(1)),
            week: fill(2, &self.week, None),
            day_of_week: fill(3, &self.day_of_week, None),
            hour: fill(4, &self.hour, Some(0)),
            minute: fill(5, &self.minute, Some(0)),
            second: fill(6, &self.second, Some(0)),
            ..self.clone()
        }
    }

    /// Whether a wall-clock time matches. The rule must be complete.
    fn matches(&self, local: NaiveDateTime) -> bool {
        let has = |field: &Option<Items>, low, value| field.as_ref().is_some_and(|field| field.has(low, value));
        has(&self.minute, 0, local.minute())
            && has(&self.hour, 0, local.hour())
            && has(&self.second, 0, local.second())
            && has(&self.month, 1, local.month())
            && has(&self.week, 1, local.iso_week().week())
            && self.day.as_ref().is_some_and(|days| days.has_day(local))
            && self.day_of_week.as_ref().is_some_and(|days| days.has_weekday(local.weekday().num_days_from_monday()))
    }

    fn covers_the_day(&self) -> bool {
        self.hour.as_ref().is_some_and(|hours| (0..24).all(|hour| hours.has(0, hour)))
    }

    /// Every fire from `from` until before `until`, by looking at every wall-clock time around.
    fn brute_force(&self, zone: Tz, from: i64, until: i64) -> Vec<i64> {
        const DAY: i64 = 86_400;
        let rule = self.complete();
        let real_time = rule.covers_the_day();
        let mut found = Vec::new();
        let mut minute = (from - 2 * DAY).div_euclid(60) * 60;
        while minute < until + 2 * DAY {
            // Minutes that cannot match are passed over whole; offsets are whole minutes in these years.
            let whole = naive(minute);
            let minute_matches = rule.minute.as_ref().is_some_and(|field| field.has(0, whole.minute()));
            for local in (minute..minute + 60).filter(|_| minute_matches) {
                let time = naive(local);
                if !rule.matches(time) {
                    continue;
                }
                match zone.from_local_datetime(&time) {
                    chrono::LocalResult::Single(time) => found.push(time.timestamp()),
                    chrono::LocalResult::Ambiguous(first, last) => {
                        let (first, last) = (first.timestamp(), last.timestamp());
                        let (first, last) = (first.min(last), first.max(last));
                        if real_time || self.fold != "last" {
                            found.push(first);
                        }
                        if real_time || self.fold != "first" {
                            found.push(last);
                        }
                    }
                    chrono::LocalResult::None if !real_time && self.gap == "run_after" => {
                        found.push(end_of_gap(zone, local));
                    }
                    chrono::LocalResult::None => {}
                }
            }
            minute += 60;
        }
        found.retain(|instant| (from..until).contains(instant));
        found.sort_unstable();
        found.dedup();
        found
    }
}

fn naive(local: i64) -> NaiveDateTime {
    DateTime::from_timestamp(local, 0).expect("a time in range").naive_utc()
}

/// The first instant after the gap that holds a wall-clock time.
fn end_of_gap(zone: Tz, local: i64) -> i64 {
    // Local time runs past `local` exactly there; within two days around it changes once.
    let (mut before, mut after) = (local - 2 * 86_400, local + 2 * 86_400);
    while after - before > 1 {
        let middle = before + (after - before) / 2;
        if middle + offset(zone, middle) > local { after = middle } else { before = middle }
    }
    after
}

/// A zone and an instant: mostly a day or so around a change of its clock.
fn place() -> impl Strategy<Value = (Tz, i64)> {
    (select(ZONES.to_vec()), 1975_i32..2037, any::<prop::sample::Index>(), -100_000_i64..100_000).prop_map(
        |(zone, year, index, shift)| {
            let changes = changes(zone, year);
            let new_year = naive(0).with_year(year).expect("a valid date").and_utc().timestamp();
            let near = if changes.is_empty() { new_year } else { changes[index.index(changes.len())] };
            (zone, near + shift)
        },
    )
}

/// Everything a trigger fires before `until`.
fn all_before(trigger: &Trigger, until: i64) -> Vec<Fire> {
    let mut state = trigger.initial_state();
    let mut fires = Vec::new();
    while let Some(fire) = trigger.next(&mut state).expect("no error") {
        if fire.at >= second(until) {
            break;
        }
        fires.push(fire);
    }
    fires
}

fn seconds(fires: &[Fire]) -> Vec<i64> {
    fires.iter().map(|fire| fire.at.as_micros() / 1_000_000).collect()
}

const WINDOW: i64 = 2 * 86_400;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(160))]

    #[test]
    fn a_rule_fires_exactly_when_brute_force_says_so((zone, start) in place(), rule in rule()) {
        let trigger = trigger(rule.to_value(zone, start));
        let fires = all_before(&trigger, start + WINDOW);
        let expected = rule.brute_force(zone, start, start + WINDOW);
        prop_assert_eq!(seconds(&fires), &expected[..], "{}", trigger.to_json());
        for fire in &fires {
            let instant = fire.at.as_micros() / 1_000_000;
            prop_assert_eq!(i64::from(fire.offset_seconds), offset(zone, instant));
        }
        // From any instant the search jumps to the same fire that the walk comes to.
        for ahead in [0, 1, 1_799, 3_599, 3_600, 40_000, 86_399, WINDOW - 1] {
            let after = start + ahead;
            let next = trigger.next_after(second(after)).expect("no error").filter(|fire| fire.at < second(start + WINDOW));
            let walked = expected.iter().copied().find(|instant| *instant > after);
            prop_assert_eq!(next.map(|fire| fire.at.as_micros() / 1_000_000), walked);
        }
    }

    #[test]
    fn each_fire_reads_back_as_matching_unless_it_was_moved_out_of_a_gap((zone, start) in place(), rule in rule()) {
        let trigger = trigger(rule.to_value(zone, start));
        let mut state = trigger.initial_state();
        let mut before = Timestamp::MIN;
        for _ in 0..40 {
            let Some(fire) = trigger.next(&mut state).expect("no error") else { break };
            prop_assert!(fire.at > before, "{} after {before}", fire);
            before = fire.at;
            let instant = fire.at.as_micros() / 1_000_000;
            let at_the_end_of_a_gap = offset(zone, instant) > offset(zone, instant - 1);
            let local = naive(instant + i64::from(fire.offset_seconds));
            prop_assert!(rule.complete().matches(local) || at_the_end_of_a_gap && rule.gap == "run_after", "{}", fire);
        }
    }

    #[test]
    fn a_stored_state_goes_on_as_if_nothing_had_happened((zone, start) in place(), rule in rule()) {
        let trigger = trigger(rule.to_value(zone, start));
        let stored = Trigger::from_json(&trigger.to_json(), Timestamp::EPOCH).expect("what was written is valid");
        let mut state = trigger.initial_state();
        let mut resumed = stored.initial_state();
        for _ in 0..20 {
            resumed = TriggerState::from_json(&resumed.to_json()).expect("what was written is valid");
            prop_assert_eq!(trigger.next(&mut state), stored.next(&mut resumed));
        }
    }

    #[test]
    fn catching_up_finds_what_a_walk_finds((zone, start) in place(), rule in rule(), late in 0_i64..WINDOW) {
        let trigger = trigger(rule.to_value(zone, start));
        let now = second(start + late);
        let mut due = all_before(&trigger, start + late + 1);
        let next = trigger.next_after(now).expect("no error");
        let state = trigger.initial_state();
        let all = trigger.catch_up(&state, now, Keep::All { at_most: usize::MAX }).expect("no error");
        prop_assert_eq!(&all.fires, &due);
        prop_assert_eq!(all.next, Ok(next));
        let latest = trigger.catch_up(&state, now, Keep::Latest).expect("no error");
        prop_assert_eq!(latest.fires.first(), due.last());
        prop_assert_eq!(latest.next, Ok(next));
        prop_assert_eq!(trigger.peek(&latest.state).expect("no error"), next);
        let skipped = latest.skipped;
        let missed = due.len().saturating_sub(1) as u64;
        let counted = if skipped.or_more { skipped.count <= missed } else { skipped.count == missed };
        prop_assert!(counted, "{:?} of {}", skipped, missed);
        due.truncate(3);
        let some = trigger.catch_up(&state, now, Keep::All { at_most: 3 }).expect("no error");
        prop_assert_eq!(&some.fires, &due);
        prop_assert_eq!(some.next, Ok(next));
    }
}
