//! What happens when the clock changes: the cases in which nine of eleven measured schedulers lose or repeat a fire, and
//! each policy in zones whose changes are unusual.

use serde_json::{Value, json};

use super::{at, texts, trigger};

/// A cron rule in a zone from a time on, under the default policies.
fn cron(expression: &str, zone: &str, start: &str) -> Value {
    json!({"type": "crontab", "expression": expression, "timezone": zone, "start_time": start})
}

fn with(mut value: Value, key: &str, text: &str) -> Value {
    value[key] = text.into();
    value
}

const SPRING: &str = "2026-03-08T00:00:00-05:00";
const AUTUMN: &str = "2026-11-01T00:00:00-04:00";
const NEW_YORK: &str = "America/New_York";

#[test]
fn a_daily_time_inside_the_gap_fires_at_the_first_instant_after_it() {
    let daily = cron("30 2 * * *", NEW_YORK, SPRING);
    assert_eq!(texts(&trigger(daily.clone()), 2), ["2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00"]);
    let skipped = with(daily, "dst_gap", "skip");
    assert_eq!(texts(&trigger(skipped), 1), ["2026-03-09T02:30:00-04:00"]);
}

#[test]
fn an_hourly_rule_goes_through_the_gap_in_real_time() {
    let expected = [
        "2026-03-08T00:30:00-05:00",
        "2026-03-08T01:30:00-05:00",
        "2026-03-08T03:30:00-04:00",
        "2026-03-08T04:30:00-04:00",
    ];
    for gap in ["run_after", "skip"] {
        let hourly = with(cron("30 * * * *", NEW_YORK, SPRING), "dst_gap", gap);
        assert_eq!(texts(&trigger(hourly), 4), expected);
    }
}

#[test]
fn a_daily_time_that_comes_twice_fires_once_the_first_time() {
    let daily = cron("30 1 * * *", NEW_YORK, AUTUMN);
    let (first, last, next) = ("2026-11-01T01:30:00-04:00", "2026-11-01T01:30:00-05:00", "2026-11-02T01:30:00-05:00");
    assert_eq!(texts(&trigger(daily.clone()), 2), [first, next]);
    assert_eq!(texts(&trigger(with(daily.clone(), "dst_fold", "last")), 2), [last, next]);
    assert_eq!(texts(&trigger(with(daily, "dst_fold", "both")), 3), [first, last, next]);
}

#[test]
fn an_hourly_rule_goes_through_the_repeated_hour_twice() {
    let expected = [
        "2026-11-01T00:00:00-04:00",
        "2026-11-01T01:00:00-04:00",
        "2026-11-01T01:00:00-05:00",
        "2026-11-01T02:00:00-05:00",
    ];
    for fold in ["first", "last", "both"] {
        assert_eq!(texts(&trigger(with(cron("0 * * * *", NEW_YORK, AUTUMN), "dst_fold", fold)), 4), expected);
    }
}

#[test]
fn a_rule_for_every_quarter_of_an_hour_goes_through_the_repeated_hour_twice() {
    let quarters = trigger(cron("*/15 * * * *", NEW_YORK, "2026-11-01T01:00:00-04:00"));
    let expected = [
        "2026-11-01T01:00:00-04:00",
        "2026-11-01T01:15:00-04:00",
        "2026-11-01T01:30:00-04:00",
        "2026-11-01T01:45:00-04:00",
        "2026-11-01T01:00:00-05:00",
        "2026-11-01T01:15:00-05:00",
        "2026-11-01T01:30:00-05:00",
        "2026-11-01T01:45:00-05:00",
        "2026-11-01T02:00:00-05:00",
    ];
    assert_eq!(texts(&quarters, 9), expected);
}

#[test]
fn a_rule_for_every_second_hour_fires_twelve_times_on_every_day_of_the_year() {
    let expected = ["2026-11-01T00:00:00-04:00", "2026-11-01T02:00:00-05:00", "2026-11-01T04:00:00-05:00"];
    assert_eq!(texts(&trigger(cron("0 */2 * * *", NEW_YORK, AUTUMN)), 3), expected);
    // Where the even hour itself is missing, or comes twice.
    for (day, first) in [("2026-03-29", "2026-03-29T00:00:00+01:00"), ("2026-10-25", "2026-10-25T00:00:00+02:00")] {
        let times = texts(&trigger(cron("0 */2 * * *", "Europe/Berlin", first)), 12);
        assert!(times.iter().all(|time| time.starts_with(day)), "{times:?}");
    }
}

#[test]
fn a_daily_midnight_that_does_not_exist_fires_when_the_day_begins() {
    let daily = cron("0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00-03:00");
    assert_eq!(texts(&trigger(daily), 2), ["2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"]);
}

#[test]
fn a_gap_of_half_an_hour_is_a_gap() {
    let daily = cron("15 2 * * *", "Australia/Lord_Howe", "2026-10-04T00:00:00+10:30");
    assert_eq!(texts(&trigger(daily), 2), ["2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"]);
}

#[test]
fn an_interval_counts_elapsed_time_through_both_changes() {
    for start in ["2026-03-08T00:30:00-05:00", "2026-11-01T00:30:00-04:00"] {
        let fires = super::fires(&trigger(json!({"type": "interval", "hours": 1, "start_time": start})), 6);
        let steps: Vec<_> = fires.windows(2).map(|pair| pair[1].at.as_micros() - pair[0].at.as_micros()).collect();
        assert_eq!(steps, [3_600_000_000; 5]);
    }
}

#[test]
fn many_times_inside_one_gap_fire_once_after_it() {
    let minutes = cron("*/10 2 * * *", "Europe/Berlin", "2026-03-29T00:00:00+01:00");
    assert_eq!(texts(&trigger(minutes), 2), ["2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"]);
    // A time at the very end of the gap is a fire of its own, and so the moved one is not a second one.
    let both = cron("30 2,3 * * *", "Europe/Berlin", "2026-03-29T00:00:00+01:00");
    assert_eq!(texts(&trigger(both), 2), ["2026-03-29T03:00:00+02:00", "2026-03-29T03:30:00+02:00"]);
    let end = cron("0 2,3 * * *", "Europe/Berlin", "2026-03-29T00:00:00+01:00");
    assert_eq!(texts(&trigger(end), 2), ["2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"]);
}

#[test]
fn a_day_that_a_zone_left_out_fires_when_the_next_one_begins() {
    // Samoa went from 29 to 31 December 2011.
    let start = "2011-12-29T00:00:00-10:00";
    let daily = cron("0 10 * * *", "Pacific/Apia", start);
    let expected = ["2011-12-29T10:00:00-10:00", "2011-12-31T00:00:00+14:00", "2011-12-31T10:00:00+14:00"];
    assert_eq!(texts(&trigger(daily.clone()), 3), expected);
    let skipped = ["2011-12-29T10:00:00-10:00", "2011-12-31T10:00:00+14:00"];
    assert_eq!(texts(&trigger(with(daily, "dst_gap", "skip")), 2), skipped);
    let calendar = json!({"type": "calendar_interval", "days": 1, "hour": 10, "start_date": "2011-12-29",
        "timezone": "Pacific/Apia"});
    assert_eq!(texts(&trigger(calendar), 3), expected);
    // Midnight of the missing day and of the next one are the same instant: one fire.
    let midnight =
        json!({"type": "calendar_interval", "days": 1, "start_date": "2011-12-29", "timezone": "Pacific/Apia"});
    let expected = ["2011-12-29T00:00:00-10:00", "2011-12-31T00:00:00+14:00", "2012-01-01T00:00:00+14:00"];
    assert_eq!(texts(&trigger(midnight), 3), expected);
}

#[test]
fn a_fold_across_midnight_repeats_the_evening_before() {
    // Sao Paulo's clock went back from midnight to 23:00 on 17 February 2018.
    let evening = cron("30 23 * * *", "America/Sao_Paulo", "2018-02-17T12:00:00-02:00");
    let (first, last, next) = ("2018-02-17T23:30:00-02:00", "2018-02-17T23:30:00-03:00", "2018-02-18T23:30:00-03:00");
    assert_eq!(texts(&trigger(evening.clone()), 2), [first, next]);
    assert_eq!(texts(&trigger(with(evening.clone(), "dst_fold", "last")), 2), [last, next]);
    assert_eq!(texts(&trigger(with(evening, "dst_fold", "both")), 3), [first, last, next]);
}

#[test]
fn a_start_in_the_second_pass_does_not_bring_the_first_pass_back() {
    let daily = cron("45 1 * * *", NEW_YORK, "2026-11-01T01:30:00-05:00");
    assert_eq!(texts(&trigger(daily.clone()), 1), ["2026-11-02T01:45:00-05:00"]);
    assert_eq!(texts(&trigger(with(daily, "dst_fold", "last")), 1), ["2026-11-01T01:45:00-05:00"]);
}

#[test]
fn a_start_at_the_end_of_the_gap_still_has_the_moved_fire() {
    let daily = cron("30 2 * * *", NEW_YORK, "2026-03-08T03:00:00-04:00");
    assert_eq!(texts(&trigger(daily), 1), ["2026-03-08T03:00:00-04:00"]);
    let later = cron("30 2 * * *", NEW_YORK, "2026-03-08T03:00:00.000001-04:00");
    assert_eq!(texts(&trigger(later), 1), ["2026-03-09T02:30:00-04:00"]);
}

#[test]
fn the_only_time_of_a_rule_may_be_a_repeated_one() {
    let once = json!({"type": "cron", "year": 2026, "month": 10, "day": 25, "hour": 2, "minute": 30,
        "timezone": "Europe/Berlin", "dst_fold": "both"});
    assert_eq!(texts(&trigger(once), 5), ["2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00"]);
    let once = json!({"type": "cron", "year": 2026, "month": 3, "day": 29, "hour": 2, "minute": 30,
        "timezone": "Europe/Berlin"});
    assert_eq!(texts(&trigger(once), 5), ["2026-03-29T03:00:00+02:00"]);
}

#[test]
fn a_calendar_interval_follows_the_same_policies() {
    let weekly = |start: &str| {
        json!({"type": "calendar_interval", "weeks": 1, "hour": 2, "minute": 30, "start_date": start,
            "timezone": "Europe/Berlin"})
    };
    let spring = weekly("2026-03-22");
    let expected = ["2026-03-22T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-04-05T02:30:00+02:00"];
    assert_eq!(texts(&trigger(spring.clone()), 3), expected);
    let skipped = ["2026-03-22T02:30:00+01:00", "2026-04-05T02:30:00+02:00"];
    assert_eq!(texts(&trigger(with(spring, "dst_gap", "skip")), 2), skipped);
    let autumn = weekly("2026-10-25");
    let (first, last, next) = ("2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00", "2026-11-01T02:30:00+01:00");
    assert_eq!(texts(&trigger(autumn.clone()), 2), [first, next]);
    assert_eq!(texts(&trigger(with(autumn.clone(), "dst_fold", "last")), 2), [last, next]);
    let both = trigger(with(autumn, "dst_fold", "both"));
    assert_eq!(texts(&both, 3), [first, last, next]);
    // The second pass is found from a stored state, too.
    let mut state = both.initial_state();
    both.next(&mut state).expect("no error");
    both.skip_to(&mut state, at(last)).expect("its own state");
    assert_eq!(both.next(&mut state).expect("no error").map(|fire| fire.to_string()).as_deref(), Some(last));
}
