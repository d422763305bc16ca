//! The twelve defects measured in APScheduler 4, and that this implementation has none of them.

use serde_json::{Value, json};

use super::{fires, measured, refusal, texts, trigger};

#[test]
fn no_day_week_or_month_is_lost_after_a_forward_change() {
    let start = "2026-03-28T00:00:00+01:00";
    let rule = |key: &str, value: &str| {
        let mut rule = json!({"type": "cron", "timezone": "Europe/Berlin", "start_time": start});
        rule[key] = value.into();
        trigger(rule)
    };
    let daily = ["2026-03-28T00:00:00+01:00", "2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"];
    assert_eq!(texts(&rule("day", "*"), 3), daily);
    assert_eq!(texts(&rule("month", "*"), 1), ["2026-04-01T00:00:00+02:00"]);
    assert_eq!(texts(&rule("day_of_week", "mon"), 1), ["2026-03-30T00:00:00+02:00"]);
}

#[test]
fn a_search_that_enters_a_gap_does_not_overshoot() {
    let rule = json!({"type": "cron", "hour": "2-3", "timezone": "Europe/Berlin", "dst_gap": "skip",
        "start_time": "2026-03-29T00:00:00+01:00"});
    assert_eq!(texts(&trigger(rule), 1), ["2026-03-29T03:00:00+02:00"]);
    let rule = json!({"type": "cron", "hour": 2, "minute": "*/15", "timezone": "Australia/Lord_Howe", "dst_gap": "skip",
        "start_time": "2026-10-04T00:00:00+10:30"});
    assert_eq!(texts(&trigger(rule), 2), ["2026-10-04T02:30:00+11:00", "2026-10-04T02:45:00+11:00"]);
    let rule = json!({"type": "cron", "month": 12, "day": "30-31", "timezone": "Pacific/Apia", "dst_gap": "skip",
        "start_time": "2011-12-01T00:00:00-10:00"});
    assert_eq!(texts(&trigger(rule), 2), ["2011-12-31T00:00:00+14:00", "2012-12-30T00:00:00+14:00"]);
}

#[test]
fn parts_of_seconds_of_the_start_never_show_in_a_fire() {
    for rule in [json!({"second": "*"}), json!({"minute": 0}), json!({"day": "*"})] {
        let mut rule = rule;
        rule["type"] = "cron".into();
        rule["start_time"] = "2026-03-03T00:00:00.500000Z".into();
        for fire in fires(&trigger(rule), 5) {
            assert_eq!(fire.at.as_micros() % 1_000_000, 0);
            assert!(fire.at > super::at("2026-03-03T00:00:00.500000Z"));
        }
    }
}

#[test]
fn an_end_inside_a_repeated_hour_is_an_instant() {
    let rule = |end: &str| {
        let rule = json!({"type": "cron", "minute": "*/30", "timezone": "Europe/Berlin", "end_time": end,
            "start_time": "2026-10-25T02:00:00+02:00"});
        texts(&trigger(rule), 10)
    };
    assert_eq!(rule("2026-10-25T02:10:00+02:00"), ["2026-10-25T02:00:00+02:00"]);
    assert_eq!(
        rule("2026-10-25T02:10:00+01:00"),
        ["2026-10-25T02:00:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-25T02:00:00+01:00"]
    );
}

#[test]
fn a_fold_of_two_hours_or_off_the_hour_keeps_its_second_pass() {
    let troll = json!({"type": "cron", "hour": 1, "timezone": "Antarctica/Troll", "dst_fold": "both",
        "start_time": "2026-10-25T00:00:00+02:00"});
    assert_eq!(texts(&trigger(troll), 2), ["2026-10-25T01:00:00+02:00", "2026-10-25T01:00:00+00:00"]);
    let chatham = json!({"type": "cron", "minute": 45, "timezone": "Pacific/Chatham",
        "start_time": "2026-04-05T02:00:00+13:45"});
    assert_eq!(
        texts(&trigger(chatham), 3),
        ["2026-04-05T02:45:00+13:45", "2026-04-05T02:45:00+12:45", "2026-04-05T03:45:00+12:45"]
    );
}

#[test]
fn a_calendar_interval_over_a_missing_day_strictly_increases() {
    let rule = json!({"type": "calendar_interval", "days": 1, "hour": 10, "start_date": "2011-12-28",
        "timezone": "Pacific/Apia", "dst_gap": "skip"});
    assert_eq!(
        texts(&trigger(rule), 4),
        [
            "2011-12-28T10:00:00-10:00",
            "2011-12-29T10:00:00-10:00",
            "2011-12-31T10:00:00+14:00",
            "2012-01-01T10:00:00+14:00"
        ]
    );
    let rule = json!({"type": "calendar_interval", "days": 1, "hour": 23, "minute": 30, "start_date": "2026-03-27",
        "timezone": "America/Nuuk", "dst_gap": "skip"});
    assert_eq!(
        texts(&trigger(rule), 3),
        ["2026-03-27T23:30:00-02:00", "2026-03-29T23:30:00-01:00", "2026-03-30T23:30:00-01:00"]
    );
}

#[test]
fn combined_triggers_compare_instants_and_not_wall_clocks() {
    let berlin =
        json!({"type": "cron", "minute": 0, "timezone": "Europe/Berlin", "start_time": "2026-10-25T00:00:00Z"});
    let lagos =
        json!({"type": "cron", "minute": "0,30", "timezone": "Africa/Lagos", "start_time": "2026-10-25T00:00:00Z"});
    let both = json!([berlin, lagos]);
    let times = fires(&trigger(json!({"type": "or", "triggers": both})), 6);
    assert!(times.windows(2).all(|pair| pair[1].at.as_micros() - pair[0].at.as_micros() == 1_800_000_000), "{times:?}");
    let common = texts(&trigger(json!({"type": "and", "triggers": both, "threshold": 0})), 3);
    assert_eq!(common, ["2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00"]);
}

#[test]
fn no_part_of_a_weekday_expression_is_dropped() {
    let days = |expression: &str| -> Vec<String> {
        let rule = json!({"type": "cron", "day_of_week": expression, "start_time": "2026-01-05T00:00:00Z"});
        // The fifth of January 2026 is a Monday.
        texts(&trigger(rule), 7)
            .iter()
            .filter(|text| *text < &"2026-01-12".to_owned())
            .map(|text| text[8..10].into())
            .collect()
    };
    assert_eq!(days("1-5/2"), ["05", "07", "09"]);
    assert_eq!(days("mon-fri/2"), ["05", "07", "09"]);
    assert_eq!(days("fri-mon/2"), ["09", "11"]);
    assert_eq!(days("1/2"), ["05", "07", "09", "11"]);
    assert_eq!(days("0/3"), ["07", "10", "11"]);
    assert_eq!(days("0-7").len(), 7);
    for refused in ["1-7/9", "1/0", "mon#2", "mon-5", "8", "monx", "sun/2"] {
        refusal(json!({"type": "cron", "day_of_week": refused}));
    }
    for (field, refused) in
        [("month", "jan-3"), ("month", "janx"), ("day", "last-3"), ("day", "last x"), ("day", "1st mon x")]
    {
        let mut rule = json!({"type": "cron"});
        rule[field] = refused.into();
        refusal(rule);
    }
}

/// Rules that can never match, each of them costly to a search that looks at every day.
fn impossible() -> Vec<Value> {
    vec![
        json!({"type": "cron", "month": 2, "day": 30}),
        json!({"type": "cron", "month": "2,4,6,9,11", "day": 31}),
        json!({"type": "cron", "month": 6, "week": 1}),
        json!({"type": "cron", "week": 53, "month": "2-12", "day": "1-20"}),
        json!({"type": "cron", "day": "1st mon", "day_of_week": "tue"}),
        json!({"type": "cron", "day": "8-14", "week": 1, "month": "2-12"}),
        json!({"type": "cron", "year": "2025/2", "month": 2, "day": 29}),
        json!({"type": "cron", "year": "1970-2025"}),
        json!({"type": "crontab", "expression": "0 0 30 2 *", "timezone": "Europe/Berlin"}),
    ]
}

#[test]
fn a_rule_that_can_never_match_is_found_out_at_once() {
    for rule in impossible() {
        let trigger = trigger(rule.clone());
        let (fire, took) = measured(|| trigger.next(&mut trigger.initial_state()).expect("no error"));
        assert_eq!(fire, None, "{rule}");
        // Day by day to the year 9999 each took ten seconds or more; a search that jumps takes microseconds.
        assert!(took.as_secs() < 1, "{rule} took {took:?}");
        let error = trigger.first_fire().expect_err("it never fires").to_string();
        assert!(error.starts_with("trigger never fires: "), "{error}");
    }
}

#[test]
fn calendar_intervals_end_with_the_year_9999() {
    for (step, count) in [(json!({"years": 4000}), 2), (json!({"months": 57_600}), 2), (json!({"years": 100}), 20)] {
        let mut rule = step;
        rule["type"] = "calendar_interval".into();
        rule["start_date"] = "2000-02-29".into();
        rule["end_date"] = "9999-12-31".into();
        assert_eq!(texts(&trigger(rule), 100).len(), count);
    }
}

#[test]
fn the_end_of_time_is_the_end_of_a_trigger_and_no_failure() {
    for (rule, count) in [
        (json!({"type": "interval", "days": 1, "start_time": "9999-12-30T00:00:00Z"}), 2),
        (json!({"type": "interval", "weeks": 500_000, "start_time": "2026-01-01T00:00:00Z"}), 1),
        (json!({"type": "interval", "hours": 12, "start_time": "9999-12-31T00:00:00+14:00"}), 2),
        (json!({"type": "calendar_interval", "days": 1, "start_date": "9999-12-30"}), 2),
        (
            json!({"type": "calendar_interval", "weeks": 4, "hour": 23, "start_date": "9999-12-31", "timezone": "America/New_York"}),
            0,
        ),
        (json!({"type": "cron", "hour": "*", "start_time": "9999-12-31T21:30:00Z"}), 2),
        (json!({"type": "cron", "hour": 23, "timezone": "America/New_York", "start_time": "9999-12-31T12:00:00Z"}), 0),
        (json!({"type": "date", "run_time": "9999-12-31T23:59:59.999999Z"}), 1),
    ] {
        let trigger = trigger(rule.clone());
        assert_eq!(fires(&trigger, 10).len(), count, "{rule}");
        let mut state = trigger.initial_state();
        trigger.skip_to(&mut state, host::model::Timestamp::MAX).expect("its own state");
        for _ in 0..3 {
            trigger.next(&mut state).expect("asking again is no failure");
        }
    }
    let early =
        json!({"type": "cron", "hour": 0, "start_time": "0001-01-01T00:00:00-05:00", "timezone": "America/New_York"});
    assert_eq!(texts(&trigger(early), 1), ["1970-01-01T00:00:00-05:00"]);
}

#[test]
fn an_and_or_or_that_makes_no_sense_is_refused() {
    let date = json!({"type": "date", "run_time": "2026-01-01T00:00:00Z"});
    for (key, value) in [("threshold", json!(-1)), ("max_iterations", json!(0)), ("max_iterations", json!(-5))] {
        let mut and = json!({"type": "and", "triggers": [date]});
        and[key] = value;
        assert!(refusal(and).starts_with(key));
    }
    assert!(refusal(json!({"type": "and", "triggers": []})).starts_with("triggers: is empty"));
    assert!(refusal(json!({"type": "or", "triggers": []})).starts_with("triggers: is empty"));
    let absent = json!({"type": "and", "triggers": [date], "max_iterations": null});
    assert_eq!(texts(&trigger(absent), 2).len(), 1);
}

#[test]
fn lengths_that_walk_backwards_are_refused() {
    assert!(refusal(json!({"type": "calendar_interval", "days": -1})).starts_with("days"));
    assert!(refusal(json!({"type": "calendar_interval", "months": 1, "days": -1})).starts_with("days"));
    let ended = json!({"type": "cron", "start_time": "2026-01-02T00:00:00Z", "end_time": "2026-01-01T00:00:00Z"});
    assert_eq!(texts(&trigger(ended), 1).len(), 0);
}
