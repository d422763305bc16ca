//! What people write: errors that teach, the forms of the command line, and what is said back to them.

use std::time::Duration;

use host::model::Timestamp;
use host::trigger::{DstGap, RuleOptions, Trigger, batch};
use serde_json::{Value, json};

use super::{at, refusal, texts, trigger};

fn options() -> RuleOptions {
    RuleOptions::new(at("2026-01-01T00:00:00Z"))
}

fn cron_error(expression: &str) -> String {
    Trigger::from_cron_expression(expression, &options()).expect_err("it is refused").to_string()
}

#[test]
fn an_error_names_field_token_position_and_what_is_allowed() {
    for (value, expected) in [
        (
            json!({"type": "cron", "hour": "9,25"}),
            "hour: `25` at character 3 is above 23; allowed: `*`, 0 to 23, ranges such as `a-b`, steps such as `*/n` or \
             `a-b/n`, and lists of these",
        ),
        (
            json!({"type": "cron", "month": "january"}),
            "month: `january` at character 1 is not a month; allowed: `*`, 1 to 12, jan to dec, ranges such as `3-5` or \
             `mar-may`, steps such as `*/3`, and lists of these; did you mean `jan`?",
        ),
        (
            json!({"type": "cron", "minute": "10-20/15"}),
            "minute: `15` at character 7 is a step larger than the range it steps over; allowed: 1 to 10",
        ),
        (
            json!({"type": "cron", "day": "2nd fry"}),
            "day: `fry` at character 5 is not the name of a weekday; allowed: mon, tue, wed, thu, fri, sat, sun; did you \
             mean `fri`?",
        ),
        (
            json!({"type": "cron", "hours": 5}),
            "`hours` is not a key of a trigger of type cron; allowed: year, month, day, week, day_of_week, hour, minute, \
             second, timezone, start_time, end_time, dst_gap, dst_fold, dialect, day_match; did you mean `hour`?",
        ),
        (
            json!({"type": "crn"}),
            "type: `crn` is not a type of trigger; allowed: date, interval, cron, crontab, calendar_interval, and, or; did \
             you mean `cron`?",
        ),
        (
            json!({"type": "cron", "timezone": "Europe/Berln"}),
            "timezone: `Europe/Berln` is not a time zone; allowed: IANA names such as `Europe/Berlin`, `America/New_York` \
             or `UTC`; did you mean `Europe/Berlin`?",
        ),
        (
            json!({"type": "or", "triggers": [{"type": "date", "run_time": "2026-01-01T00:00:00Z"}, {"type": "interval", "minutes": "5"}]}),
            "triggers[1].minutes: `\"5\"` is not a whole number; allowed: a whole number",
        ),
        (
            json!({"type": "cron", "dst_gap": "skp"}),
            "dst_gap: `skp` is not one of its values; allowed: run_after, skip; did you mean `skip`?",
        ),
        (json!([]), "trigger is a list, not an object; allowed: JSON such as {\"type\":\"cron\",\"hour\":9}"),
        (json!({}), "type: is missing; allowed: date, interval, cron, crontab, calendar_interval, and, or"),
    ] {
        assert_eq!(refusal(value), expected);
    }
}

#[test]
fn a_position_in_a_crontab_string_counts_from_its_beginning() {
    assert!(
        cron_error("0 9 * * mon-frx")
            .starts_with("cron: `frx` at character 13 is not a weekday, in the field day_of_week")
    );
    assert!(cron_error("0  61 * * *").starts_with("cron: `61` at character 4 is above 23, in the field hour"));
    assert!(cron_error("* * *").starts_with(
        "cron: `* * *` has 3 fields where a crontab string has five, six with the seconds first, or seven"
    ));
    let of_json = |expression: &str| refusal(json!({"type": "crontab", "expression": expression}));
    assert!(of_json("0 0 0 1 1 0").contains("has 6 fields where a crontab string has five;"));
    assert!(of_json("0 0 ? * *").ends_with("did you mean `*`?"));
    assert!(cron_error("@dayly").ends_with("did you mean `@daily`?"));
    assert!(cron_error("0 22-6 * * *").ends_with("did you mean `22-23,0-6`?"));
    assert!(of_json("0 0 * * 5#2").contains("the second Friday is `2nd fri` in the field `day`"));
}

#[test]
fn of_several_faults_the_leftmost_is_reported() {
    for (expression, beginning) in [
        ("61 25 32 13 8", "cron: `61` at character 1"),
        ("0 25 32 13 8", "cron: `25` at character 3"),
        ("0 0 32 13 8", "cron: `32` at character 5"),
        ("0 0 1 13 8", "cron: `13` at character 7"),
        ("61 61 25 32 13 8", "cron: `61` at character 1"),
        ("0,60 25 * * *", "cron: `60` at character 3"),
    ] {
        let error = cron_error(expression);
        assert!(error.starts_with(beginning), "{expression}: {error}");
    }
}

#[test]
fn a_range_of_months_that_ends_before_it_begins_is_answered_with_two() {
    assert!(cron_error("0 0 1 nov-feb *").ends_with("did you mean `nov-dec,jan-feb`?"));
    assert!(cron_error("0 0 1 11-2 *").ends_with("did you mean `11-12,1-2`?"));
}

#[test]
fn json_that_would_be_changed_is_refused_with_its_place() {
    let error = |text: &str| Trigger::from_json(text, Timestamp::EPOCH).expect_err(text).to_string();
    assert_eq!(error(r#"{"type":"cron","hour":3,"hour":5}"#), "hour: the key comes twice, at line 1 column 30");
    assert!(
        error(r#"{"type":"or","triggers":[{"type":"interval","days":99999999999999999999}]}"#)
            .starts_with("triggers[0].days: the integer 99999999999999999999 has more than 64 bits")
    );
    assert!(error("{").starts_with("trigger is not valid JSON: "));
    let line: Value = serde_json::from_str(&batch::answer(
        r#"{"id":1,"trigger":{"type":"cron","hour":3,"hour":5}}"#,
        Timestamp::EPOCH,
    ))
    .expect("a JSON answer");
    assert!(line["error"].as_str().expect("a text").starts_with("at `trigger.hour`: the key comes twice"), "{line}");
}

#[test]
fn nicknames_stand_for_their_crontab_strings() {
    for (name, first) in [
        ("@hourly", "2026-01-01T01:00:00+00:00"),
        ("@daily", "2026-01-02T00:00:00+00:00"),
        ("@midnight", "2026-01-02T00:00:00+00:00"),
        ("@weekly", "2026-01-04T00:00:00+00:00"),
        ("@monthly", "2026-02-01T00:00:00+00:00"),
        ("@yearly", "2027-01-01T00:00:00+00:00"),
        ("@annually", "2027-01-01T00:00:00+00:00"),
    ] {
        let trigger =
            Trigger::from_cron_expression(name, &RuleOptions::new(at("2026-01-01T00:00:01Z"))).expect("known");
        assert_eq!(texts(&trigger, 1), [first], "{name}");
    }
}

#[test]
fn six_fields_begin_with_the_seconds() {
    let trigger = Trigger::from_cron_expression("30 15 10 * * mon", &options()).expect("valid");
    assert_eq!(texts(&trigger, 1), ["2026-01-05T10:15:30+00:00"]);
    let again = Trigger::from_json(&trigger.to_json(), Timestamp::EPOCH).expect("what was written is valid");
    assert_eq!(again, trigger);
    assert_eq!(trigger.to_value()["second"], "30");
}

#[test]
fn a_day_and_a_weekday_together_are_noted() {
    let notes = |expression: &str| Trigger::from_cron_expression(expression, &options()).expect("valid").notes();
    assert_eq!(notes("0 12 13 * 5").len(), 1);
    assert!(notes("0 12 13 * 5")[0].starts_with("both the day of the month and the weekday must match"));
    assert_eq!(notes("0 0 12 13 * 5").len(), 1, "six fields are a crontab string too");
    for plain in ["0 12 13 * *", "0 12 * * 5", "0 12 */2 * 5", "@weekly", "0 0 12 13 * *", "0 0 12 */2 * 5"] {
        assert!(notes(plain).is_empty(), "{plain}");
    }
    let by_fields = trigger(json!({"type": "cron", "day": "1-7", "day_of_week": "fri"}));
    assert!(by_fields.notes().is_empty(), "a rule by fields is no crontab string");
}

#[test]
fn what_is_negative_is_refused_as_such() {
    let refused = Trigger::from_calendar_phrase("-1 month", &options()).expect_err("negative").to_string();
    assert!(refused.contains("`-1`") && refused.contains("is negative"), "{refused}");
    let refused = refusal(json!({"type": "interval", "seconds": -5}));
    assert!(refused.contains("interval is negative"), "{refused}");
}

#[test]
fn an_interval_of_milliseconds_is_noted() {
    let notes = |millis| Trigger::every(Duration::from_millis(millis), &options()).expect("valid").notes();
    assert_eq!(notes(1).len(), 1);
    assert!(notes(1)[0].contains("about 1000 times a second"), "{:?}", notes(1));
    assert!(notes(100).is_empty());
}

#[test]
fn a_duration_is_an_interval_from_the_start() {
    let trigger = Trigger::every(Duration::from_millis(90_500), &options()).expect("valid");
    assert_eq!(texts(&trigger, 2), ["2026-01-01T00:00:00+00:00", "2026-01-01T00:01:30.500000+00:00"]);
    assert_eq!(trigger.to_value()["minutes"], 1);
    assert!(Trigger::every(Duration::from_nanos(999), &options()).is_err());
    assert!(Trigger::every(Duration::MAX, &options()).is_err());
    let created_later = RuleOptions { end: Some(at("2025-01-01T00:00:00Z").into()), ..options() };
    assert!(Trigger::every(Duration::from_secs(1), &created_later).is_err());
}

#[test]
fn a_phrase_is_a_calendar_interval() {
    let berlin =
        RuleOptions { timezone: Some("Europe/Berlin".to_owned()), ..RuleOptions::new(at("2026-01-31T09:30:00Z")) };
    let first = |phrase: &str| texts(&Trigger::from_calendar_phrase(phrase, &berlin).expect("valid"), 2);
    assert_eq!(first("2 months at 10:00"), ["2026-02-01T10:00:00+01:00", "2026-04-01T10:00:00+02:00"]);
    assert_eq!(first("2 months at 10:30"), ["2026-01-31T10:30:00+01:00", "2026-03-31T10:30:00+02:00"]);
    assert_eq!(first("every week at 23:59:59"), ["2026-01-31T23:59:59+01:00", "2026-02-07T23:59:59+01:00"]);
    assert_eq!(first("1 year, 1 week and 2 days"), ["2026-02-01T00:00:00+01:00", "2027-02-10T00:00:00+01:00"]);
    let until = RuleOptions { end: Some("2026-02-02T10:00:00+01:00".parse().expect("valid")), ..berlin };
    assert_eq!(texts(&Trigger::from_calendar_phrase("day at 10:00", &until).expect("valid"), 5).len(), 2);
    assert_eq!(texts(&Trigger::from_calendar_phrase("day at 10:01", &until).expect("valid"), 5).len(), 1);
    for (phrase, part) in [
        ("2 monts at 10:00", "did you mean `months`?"),
        ("2", "how long"),
        ("", "how long"),
        ("months months", "comes twice"),
        ("0 days", "`0` is not a number"),
        ("2 months at 24:00", "not a time of day"),
        ("2 months at 10", "not a time of day"),
    ] {
        let error = Trigger::from_calendar_phrase(phrase, &options()).expect_err("it is refused").to_string();
        assert!(error.contains(part), "{phrase}: {error}");
    }
}

#[test]
fn descriptions_read_as_english() {
    let cron = |expression: &str| {
        let options = RuleOptions { timezone: Some("Europe/Berlin".to_owned()), ..options() };
        Trigger::from_cron_expression(expression, &options).expect("valid").describe()
    };
    for (expression, description) in [
        ("*/5 9-17 * * mon-fri", "every 5 minutes from 09:00 to 17:55 on Monday to Friday, Europe/Berlin"),
        ("0 9-17 * * 1-5", "every hour from 09:00 to 17:00 on Monday to Friday, Europe/Berlin"),
        ("* * * * *", "every minute, Europe/Berlin"),
        ("*/15 * * * *", "every 15 minutes, Europe/Berlin"),
        ("*/45 * * * *", "every day at minutes 0 and 45 of every hour, Europe/Berlin"),
        ("*/7 * * * *", "every day at minutes 0, 7, 14, 21, 28, 35, 42, 49 and 56 of every hour, Europe/Berlin"),
        ("*/45 * * * * *", "every day at seconds 0 and 45 of every minute, Europe/Berlin"),
        ("0,30 */25 * * * *", "every 30 seconds of minutes 0, 25 and 50 of every hour, Europe/Berlin"),
        ("0 */5 * * *", "every day at 00:00, 05:00, 10:00, 15:00 and 20:00, Europe/Berlin"),
        ("0 * * * *", "every hour, Europe/Berlin"),
        ("20 * * * *", "every hour at minute 20, Europe/Berlin"),
        ("0 */2 * * *", "every 2 hours from 00:00 to 22:00, Europe/Berlin"),
        ("30 2 * * *", "every day at 02:30, Europe/Berlin"),
        ("0 9,12,17 * * *", "every day at 09:00, 12:00 and 17:00, Europe/Berlin"),
        ("0 0 1 1 *", "at 00:00 on day 1 in January, Europe/Berlin"),
        ("0 12 13 * 5", "at 12:00 on day 13 if it is a Friday, Europe/Berlin"),
        ("0 6 last * *", "at 06:00 on the last day of the month, Europe/Berlin"),
        (
            "0 6 1-7 mar-may,dec sat,sun",
            "at 06:00 on days 1 to 7 if it is a Saturday or Sunday in March to May and December, Europe/Berlin",
        ),
        ("5,10 8-10 * * *", "every day at 08:05, 08:10, 09:05, 09:10, 10:05 and 10:10, Europe/Berlin"),
        ("*/10 * * * * *", "every 10 seconds, Europe/Berlin"),
        ("0,30 */5 6-8 * * *", "every 30 seconds of every 5th minute from 06:00 to 08:55:30, Europe/Berlin"),
    ] {
        assert_eq!(cron(expression), description, "{expression}");
    }
    let describe = |value: Value| trigger(value).describe();
    assert_eq!(
        describe(json!({"type": "cron", "day": "2nd fri,last", "week": "1-3", "year": 2027, "dst_fold": "both"})),
        "at 00:00 on the 2nd Friday and the last day of the month in ISO weeks 1, 2 and 3 in 2027, UTC, both times when it \
         comes twice"
    );
    assert_eq!(describe(json!({"type": "date", "run_time": "2026-03-29T01:30:00Z"})), "once, 2026-03-29 01:30:00 UTC");
    assert_eq!(
        describe(json!({"type": "interval", "hours": 1, "minutes": 30, "start_time": "2026-01-01T00:00:00+01:00"})),
        "every 1 hour and 30 minutes, counted from 2026-01-01 00:00:00+01:00"
    );
    assert_eq!(
        describe(
            json!({"type": "calendar_interval", "months": 2, "hour": 10, "start_date": "2026-01-31", "dst_gap": "skip"})
        ),
        "every 2 months at 10:00, counted from 2026-01-31, only in months that have a day 31, UTC, left out when the clock \
         skips it"
    );
    for (rule, description) in [
        (json!({"months": 1, "start_date": "2026-01-31"}), ", only in months that have a day 31, UTC"),
        (json!({"months": 1, "start_date": "2026-01-28"}), "every month at 00:00, counted from 2026-01-28, UTC"),
        (json!({"months": 1, "start_date": "2026-01-29"}), ", left out in February without a 29th, UTC"),
        (json!({"years": 1, "start_date": "2028-02-29"}), ", left out in February without a 29th, UTC"),
        (json!({"years": 1, "start_date": "2026-08-31"}), "every year at 00:00, counted from 2026-08-31, UTC"),
        (json!({"months": 12, "start_date": "2026-08-31"}), "every 12 months at 00:00, counted from 2026-08-31, UTC"),
        (
            json!({"months": 1, "days": 1, "start_date": "2026-01-01"}),
            ", passing over months that do not have the day, UTC",
        ),
        (json!({"weeks": 1, "start_date": "2026-01-31"}), "every week at 00:00, counted from 2026-01-31, UTC"),
    ] {
        let mut value = rule;
        value["type"] = "calendar_interval".into();
        assert!(describe(value.clone()).ends_with(description), "{value}: {}", describe(value.clone()));
    }
    assert_eq!(
        describe(
            json!({"type": "or", "triggers": [{"type": "cron", "hour": 9}, {"type": "cron", "hour": 17, "minute": 30}]})
        ),
        "whenever any of these fires: (every day at 09:00, UTC) or (every day at 17:30, UTC)"
    );
}

#[test]
fn a_trigger_that_never_fires_says_why() {
    let reason = |value: Value| trigger(value).first_fire().expect_err("it never fires").to_string();
    assert_eq!(
        reason(json!({"type": "cron", "month": 2, "day": 30})),
        "trigger never fires: no day from 1970 to 9999 matches on day 30 in February"
    );
    assert_eq!(
        reason(json!({"type": "cron", "year": 2020, "start_time": "2026-01-01T00:00:00Z"})),
        "trigger never fires: it does not match after 2026-01-01 00:00:00 UTC"
    );
    let ended =
        json!({"type": "cron", "hour": 3, "start_time": "2026-01-01T04:00:00Z", "end_time": "2026-01-02T02:00:00Z"});
    assert!(reason(ended).ends_with("it does not match between 2026-01-01 04:00:00 UTC and 2026-01-02 02:00:00 UTC"));
}

#[test]
fn a_batch_line_is_answered_whatever_it_is() {
    let answer = |line: &str| -> Value {
        serde_json::from_str(&batch::answer(line, at("2026-01-01T00:00:00Z"))).expect("a JSON answer")
    };
    let line = r#"{"id":7,"trigger":{"type":"date","run_time":"2026-01-01T00:00:00-00:00"},"count":2}"#;
    assert_eq!(answer(line), json!({"id": 7, "expect": ["2026-01-01T00:00:00+00:00"], "exhausted": true}));
    let line = r#"{"id":"x","trigger":{"type":"cron","hour":"*"},"count":1,"tags":["ignored"]}"#;
    assert_eq!(answer(line), json!({"id": "x", "expect": ["2026-01-01T00:00:00+00:00"], "exhausted": false}));
    for (line, id, part) in [
        ("", Value::Null, "not valid JSON"),
        ("[]", Value::Null, "not an object"),
        (r#"{"id":1}"#, json!(1), "trigger: is missing"),
        (r#"{"id":1,"trigger":{"type":"cron","hour":24},"count":1}"#, json!(1), "hour: `24`"),
        (r#"{"id":1,"trigger":{"type":"cron"},"count":-1}"#, json!(1), "count: `-1`"),
        (r#"{"id":1,"trigger":{"type":"cron"},"count":100001}"#, json!(1), "count: `100001`"),
    ] {
        let answer = answer(line);
        assert_eq!(answer["id"], id);
        assert!(answer["error"].as_str().is_some_and(|error| error.contains(part)), "{answer}");
        assert!(answer.get("expect").is_none());
    }
}

#[test]
fn policies_and_bounds_of_the_command_line_reach_the_rule() {
    let berlin = RuleOptions {
        timezone: Some("Europe/Berlin".to_owned()),
        start: Some("2026-03-28T12:00:00Z".parse().expect("valid")),
        end: Some("2026-03-31T12:00:00Z".parse().expect("valid")),
        dst: host::trigger::DstPolicy { gap: DstGap::Skip, ..Default::default() },
        ..options()
    };
    let trigger = Trigger::from_cron_expression("30 2 * * *", &berlin).expect("valid");
    assert_eq!(texts(&trigger, 5), ["2026-03-30T02:30:00+02:00", "2026-03-31T02:30:00+02:00"]);
    let unknown = RuleOptions { timezone: Some("berlin".to_owned()), ..options() };
    assert!(Trigger::from_cron_expression("30 2 * * *", &unknown).is_err());
}
