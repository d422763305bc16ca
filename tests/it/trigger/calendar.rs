//! Calendar intervals beside a plain walk over `chrono`'s dates.

use chrono::{Datelike, Days, Months, NaiveDate};
use host::trigger::Keep;
use proptest::prelude::*;
use serde_json::json;

use super::{fires, second, trigger};

/// The dates of the walk, by the words of the rule: years and months again and again until the day exists, then days.
fn walk(start: NaiveDate, months: u32, days: u64, count: usize) -> Vec<NaiveDate> {
    let mut dates = vec![start];
    while dates.len() < count {
        let last = dates[dates.len() - 1];
        let mut next = last;
        if months > 0 {
            // chrono moves a day that does not exist to the end of its month, so a day that was kept exists.
            next = (1..)
                .map(|count| last.checked_add_months(Months::new(count * months)).expect("before the year 9999"))
                .find(|next| next.day() == last.day())
                .expect("an endless range");
        }
        dates.push(next.checked_add_days(Days::new(days)).expect("before the year 9999"));
    }
    dates
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_walk_is_that_of_plain_dates_and_can_be_entered_anywhere(
        start in 0_u64..40_000,
        years in 0_u32..3,
        months in 0_u32..30,
        weeks in 0_u32..4,
        days in prop_oneof![2 => Just(0_u32), 1 => 0_u32..40],
        entry in 0_usize..60,
    ) {
        prop_assume!(years + months + weeks + days > 0);
        let start = NaiveDate::from_ymd_opt(1970, 1, 1).expect("a date") + Days::new(start);
        let trigger = trigger(json!({"type": "calendar_interval", "years": years, "months": months, "weeks": weeks,
            "days": days, "hour": 12, "start_date": start.to_string()}));
        let noon = |date: NaiveDate| date.and_hms_opt(12, 0, 0).expect("a time").and_utc().timestamp();
        let dates = walk(start, years * 12 + months, u64::from(weeks * 7 + days), 62);
        let expected: Vec<_> = dates.iter().map(|date| second(noon(*date))).collect();
        let found: Vec<_> = fires(&trigger, 62).iter().map(|fire| fire.at).collect();
        prop_assert_eq!(&found, &expected);
        // The search that jumps comes to the same date.
        let next = trigger.next_after(expected[entry]).expect("no error").map(|fire| fire.at);
        prop_assert_eq!(next, Some(expected[entry + 1]));
        let now = second(noon(dates[entry + 1]) - 1);
        let caught_up = trigger.catch_up(&trigger.initial_state(), now, Keep::Latest).expect("no error");
        prop_assert_eq!(caught_up.fires[0].at, expected[entry]);
        prop_assert_eq!(caught_up.next.map(|fire| fire.map(|fire| fire.at)), Ok(Some(expected[entry + 1])));
    }
}
