//! What users bring from other crons: Quartz's marks, `H`, zones in front, and the classic meaning of a day and a weekday.

use std::collections::BTreeSet;

use host::trigger::{DayMatch, Dialect, RuleOptions, Trigger, TriggerError};
use serde_json::json;

use super::{at, refusal, texts, trigger};

fn options() -> RuleOptions {
    RuleOptions::new(at("2026-01-01T00:00:00Z"))
}

fn quartz() -> RuleOptions {
    RuleOptions { dialect: Dialect::Quartz, ..options() }
}

fn hashed(id: &str) -> RuleOptions {
    RuleOptions { hash_key: Some(id.to_owned()), ..options() }
}

fn read(expression: &str, options: &RuleOptions) -> Trigger {
    Trigger::from_cron_expression(expression, options).unwrap_or_else(|error| panic!("{expression}: {error}"))
}

fn refused(expression: &str, options: &RuleOptions) -> String {
    match Trigger::from_cron_expression(expression, options) {
        Err(error @ TriggerError::Invalid(_)) => error.to_string(),
        other => panic!("{expression} gave {other:?}"),
    }
}

#[test]
fn a_weekday_has_the_number_that_its_dialect_gives_it() {
    assert_eq!(texts(&read("0 0 9 ? * 5", &options()), 1), ["2026-01-02T09:00:00+00:00"], "crontab's 5 is Friday");
    assert_eq!(texts(&read("0 0 9 ? * 5", &quartz()), 1), ["2026-01-01T09:00:00+00:00"], "Quartz's 5 is Thursday");
    assert!(refused("0 0 9 ? * 0", &quartz()).contains("`0` at character 11 is below 1"));
    assert!(refused("0 9 * * 5", &quartz()).contains("has 5 fields where a Quartz expression has six"));
}

#[test]
fn a_month_without_the_day_has_no_weekday_nearest_to_it() {
    let fires = texts(&read("0 9 30W 1-4 *", &options()), 3);
    assert_eq!(fires, ["2026-01-30T09:00:00+00:00", "2026-03-30T09:00:00+00:00", "2026-04-30T09:00:00+00:00"]);
    let never = read("0 9 31W 2,4,6 *", &options()).first_fire().expect_err("it never fires").to_string();
    assert!(never.contains("nearest to day 31 in February, April and June"), "{never}");
    // 1 August 2026 is a Saturday, 31 May 2026 a Sunday: the month is not left on either side.
    assert_eq!(texts(&read("0 9 1W 8 *", &options()), 1), ["2026-08-03T09:00:00+00:00"]);
    assert_eq!(texts(&read("0 9 31W 5 *", &options()), 1), ["2026-05-29T09:00:00+00:00"]);
}

#[test]
fn what_needs_no_dialect_is_stored_as_it_always_was() {
    let stored = |expression: &str| read(expression, &options()).to_value();
    assert_eq!(stored("0 9 * * 1-5")["expression"], "0 9 * * 1-5");
    for plain in ["0 9 * * 1-5", "@daily", "30 0 9 * * 5", "0 0 9 1 1 * 2030", "CRON_TZ=Europe/Berlin 0 9 * * *"] {
        let value = stored(plain);
        assert!(value.get("dialect").is_none() && value.get("day_match").is_none(), "{plain}: {value}");
    }
    assert_eq!(stored("0 0 9 1 1 * 2030")["year"], "2030");
    assert_eq!(stored("0 9 LW * ?")["dialect"], "extended");
    let either = RuleOptions { day_match: DayMatch::Or, ..options() };
    assert_eq!(read("0 9 13 * 5", &either).to_value()["day_match"], "or");
    // Where only one of the two is restricted there is nothing to choose.
    for plain in ["0 9 13 * *", "0 9 * * 5", "0 9 */2 * 5", "0 9 ? * 5"] {
        assert!(read(plain, &either).to_value().get("day_match").is_none(), "{plain}");
    }
}

#[test]
fn json_without_a_dialect_means_what_it_meant() {
    for expression in ["0 9 L * *", "0 9 15W * *", "0 9 ? * *", "0 9 * * 5#2", "0 9 * * 5L", "H * * * *", "@daily"] {
        refusal(json!({"type": "crontab", "expression": expression}));
    }
    refusal(json!({"type": "cron", "day": "LW"}));
    let fields = json!({"type": "cron", "day": "LW", "hour": 9, "dialect": "extended"});
    assert_eq!(texts(&trigger(fields), 1), ["2026-01-30T09:00:00+00:00"]);
    assert_eq!(
        refusal(json!({"type": "crontab", "expression": "0 9 * * *", "dialect": "quarz"})),
        "dialect: `quarz` is not one of its values; allowed: classic, extended, quartz; did you mean `quartz`?"
    );
    assert_eq!(
        refusal(json!({"type": "crontab", "expression": "0 9 * * *", "day_match": "xor"})),
        "day_match: `xor` is not one of its values; allowed: and, or; did you mean `or`?"
    );
    assert!(refusal(json!({"type": "crontab", "expression": "@daily"})).ends_with("did you mean `0 0 * * *`?"));
}

#[test]
fn classic_or_takes_either_day_and_is_said_in_words() {
    let either = RuleOptions { day_match: DayMatch::Or, ..options() };
    let rule = read("0 12 13 3 5", &either);
    assert_eq!(
        texts(&rule, 3),
        ["2026-03-06T12:00:00+00:00", "2026-03-13T12:00:00+00:00", "2026-03-20T12:00:00+00:00"]
    );
    assert_eq!(rule.describe(), "at 12:00 on day 13 as well as on Friday, in March, UTC");
    assert!(rule.notes().is_empty());
    assert_eq!(read("0 12 13 3 5", &options()).notes().len(), 1);
    assert_eq!(read("0 0 12 13 3 5 *", &options()).notes().len(), 1);
    let by_fields = trigger(json!({"type": "cron", "day": 13, "day_of_week": "fri", "hour": 12, "day_match": "or"}));
    assert_eq!(texts(&by_fields, 1), ["2026-01-02T12:00:00+00:00"]);
}

#[test]
fn the_marks_of_the_dialects_are_said_in_words() {
    for (expression, words) in [
        ("0 9 L * *", "at 09:00 on the last day of the month, UTC"),
        ("0 9 L-1 * *", "at 09:00 on the day before the last day of the month, UTC"),
        ("0 9 L-3 * *", "at 09:00 on the day 3 days before the last day of the month, UTC"),
        ("0 9 LW * *", "at 09:00 on the last day from Monday to Friday of the month, UTC"),
        ("0 9 15W * *", "at 09:00 on the day from Monday to Friday nearest to day 15, UTC"),
        ("0 9 ? * 5#2,1L", "at 09:00 on the 2nd Friday and the last Monday, UTC"),
        ("0 9 1-7 * 5L", "at 09:00 on days 1 to 7 if it is the last Friday, UTC"),
        ("0 0 9 ? * 5L 2027", "at 09:00 on the last Friday in 2027, UTC"),
        ("0 0 9 1 1 * 2027-2031/2", "at 09:00 on day 1 in January in every 2nd year from 2027 to 2031, UTC"),
        ("0 0 9 1 1 * */5", "at 09:00 on day 1 in January in every 5th year from 1970 on, UTC"),
        ("0 0 9 1 1 * 2030-2032,2040", "at 09:00 on day 1 in January in 2030 to 2032 and 2040, UTC"),
    ] {
        assert_eq!(read(expression, &options()).describe(), words, "{expression}");
    }
    assert_eq!(read("0 0 9 ? * 6L", &quartz()).describe(), "at 09:00 on the last Friday, UTC");
}

#[test]
fn h_is_the_same_for_an_id_and_spread_over_many() {
    let stored = |id: &str| read("H H(8-17) H * *", &hashed(id)).to_value()["expression"].clone();
    // Written down: a later version must give whoever makes the schedule anew the same times.
    assert_eq!(stored("nightly"), "6 12 6 * *");
    assert_eq!(stored("nightly"), stored("nightly"));
    let minutes: BTreeSet<String> =
        (0..500).map(|number| read("H * * * *", &hashed(&format!("job-{number}"))).describe()).collect();
    assert_eq!(minutes.len(), 60, "500 schedules use every minute");
    for number in 0..100 {
        let options = hashed(&format!("{number}"));
        let steps = texts(&read("H/15 * * * *", &options), 5);
        assert_eq!(steps[0][14..], steps[4][14..], "four a hour, a quarter of an hour apart");
        let days = texts(&read("0 0 H * *", &options), 12);
        assert_eq!(days.iter().map(|fire| &fire[5..7]).collect::<BTreeSet<_>>().len(), 12, "every month has the day");
    }
}

#[test]
fn h_is_refused_where_it_cannot_be_known_and_where_it_makes_no_sense() {
    for (expression, part) in [
        ("H * * * *", "cron: `H` at character 1 takes its value from the ID of a schedule, and there is none here"),
        (
            "0,H(50-70) * * * *",
            "cron: `H(50-70)` at character 3 is outside the range that it may lie in, in the field minute; allowed: 0 to 59",
        ),
        ("0 H/0 * * *", "cron: `H/0` at character 3 is not understood"),
        ("0 H(3) * * *", "allowed: `H`, `H/15`, `H(0-29)` and `H(0-29)/10`"),
        ("0 0 0 1 1 * H", "cron: `H` at character 13 has no place in this field, in the field year"),
    ] {
        let error = refused(expression, &options());
        assert!(error.contains(part), "{expression}: {error}");
    }
    assert!(refusal(json!({"type": "crontab", "expression": "H * * * *", "dialect": "extended"})).contains("`H`"));
}

#[test]
fn a_zone_may_stand_in_front_and_must_not_contradict() {
    for prefix in ["CRON_TZ", "TZ"] {
        let rule = read(&format!("{prefix}=Europe/Berlin 30 9 * * *"), &options());
        assert_eq!(texts(&rule, 1), ["2026-01-01T09:30:00+01:00"]);
        assert_eq!(rule.to_value()["timezone"], "Europe/Berlin");
        assert_eq!(rule.to_value()["expression"], "30 9 * * *");
    }
    let berlin = RuleOptions { timezone: Some("Europe/Berlin".to_owned()), ..options() };
    assert_eq!(read("TZ=Europe/Berlin @daily", &berlin), read("0 0 * * *", &berlin));
    assert!(
        refused("TZ=Asia/Tokyo 0 9 * * *", &berlin)
            .starts_with("cron: `Asia/Tokyo` at character 4 is another time zone than `Europe/Berlin`")
    );
    assert!(
        refused(" CRON_TZ=Europe/Berln 0 9 * * *", &options())
            .starts_with("cron: `Europe/Berln` at character 10 is not a time zone")
    );
    assert!(refused("TZ=Asia/Tokyo 0 24 * * *", &options()).starts_with("cron: `24` at character 17 is above 23"));
}

#[test]
fn nicknames_with_a_duration_are_intervals_and_reboot_is_no_time() {
    let rule = read("@every 1h30m", &options());
    assert_eq!(rule, Trigger::every(std::time::Duration::from_secs(5_400), &options()).expect("valid"));
    for (expression, part) in [
        ("@every", "`@every` lacks how often"),
        ("@every 5", "`5` at character 8 is not a duration"),
        ("@every 5m 3s", "`@every` takes one duration"),
        ("@every 0s", "interval"),
        ("@daily 5", "`5` at character 8 is more than belongs behind a nickname"),
        ("@reboot", "is the start of a machine"),
    ] {
        let error = refused(expression, &options());
        assert!(error.contains(part), "{expression}: {error}");
    }
}

#[test]
fn marks_that_say_nothing_are_refused_with_their_place() {
    for (expression, part) in [
        ("0 9 32W * *", "`32W` at character 5 does not name the day"),
        ("0 9 1-5W * *", "`1-5W` at character 5 does not name the day"),
        ("0 9 L-31 * *", "`L-31` at character 5 does not name a day before the last"),
        ("0 9 ?,3 * *", "`?` at character 5 stands alone"),
        ("? 9 * * *", "`?` at character 1 has a meaning in the fields day and day_of_week alone"),
        ("0 9 * * 5#6", "`6` at character 11 does not say which"),
        ("0 9 * * x#2", "`x` at character 9 is not a weekday"),
        ("0 9 * * 8L", "`8` at character 9 is above 7"),
        ("0 9 * * L", "allowed: `0L` to `7L`"),
        ("0 9 * * 5L/2", "`5L` at character 9 is not a weekday"),
    ] {
        let error = refused(expression, &options());
        assert!(error.contains(part), "{expression}: {error}");
    }
}
