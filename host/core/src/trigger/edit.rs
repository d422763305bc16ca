//! Triggers that are changed in one respect and keep the rest.

use std::time::Duration;

use serde_json::{Map, Value};

use super::error::{Invalid, TriggerError};
use super::{DayMatch, Dialect, DstFold, DstGap, DstPolicy, Fire, RuleOptions, Trigger};
use crate::model::Timestamp;

/// What is to be different about a trigger. What is `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TriggerEdit {
    /// Another rule. Zone, bounds and policies of the old one hold for it too, where it has such.
    pub rule: Option<Rule>,
    /// The time zone of a rule by the wall clock.
    pub timezone: Option<String>,
    /// The first instant that counts.
    pub start: Option<Fire>,
    /// The last instant that counts; `Some(None)` for a rule without end.
    pub end: Option<Option<Fire>>,
    /// What becomes of a time that does not exist.
    pub dst_gap: Option<DstGap>,
    /// What becomes of a time that comes twice.
    pub dst_fold: Option<DstFold>,
    /// What the `H` of a cron expression takes its value from.
    pub hash_key: Option<String>,
}

/// The rule of a trigger, without zone, bounds and policies.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// As [`Trigger::every`].
    Every(Duration),
    /// As [`Trigger::from_cron_expression`].
    Cron {
        /// The expression.
        expression: String,
        /// How it is read.
        dialect: Dialect,
        /// How its day and its weekday work together.
        day_match: DayMatch,
    },
    /// As [`Trigger::from_calendar_phrase`].
    Calendar(String),
    /// A trigger that says everything itself.
    Whole(Trigger),
}

impl TriggerEdit {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        *self == TriggerEdit { hash_key: self.hash_key.clone(), ..TriggerEdit::default() }
    }
}

impl Trigger {
    /// This trigger with what is to be different about it. An interval keeps counting from where it began.
    ///
    /// # Errors
    /// [`TriggerError::Invalid`] as for the constructors, and where this trigger has nothing of that name to change.
    pub fn edited(&self, edit: &TriggerEdit, now: Timestamp) -> Result<Trigger, TriggerError> {
        let old = self.to_value();
        let Some(rule) = &edit.rule else { return patched(old, edit, now) };
        let time = |key: &str| old.get(key).and_then(Value::as_str).and_then(|text| text.parse::<Fire>().ok());
        let named = old.get("timezone").and_then(Value::as_str).map(str::to_owned);
        let policy = self.policy();
        let mut options = RuleOptions {
            timezone: edit.timezone.clone().or(named),
            start: edit.start.or_else(|| time("start_time")),
            end: edit.end.unwrap_or_else(|| time("end_time")),
            dst: DstPolicy { gap: edit.dst_gap.unwrap_or(policy.gap), fold: edit.dst_fold.unwrap_or(policy.fold) },
            hash_key: edit.hash_key.clone(),
            ..RuleOptions::new(now)
        };
        match rule {
            Rule::Every(length) => Trigger::every(*length, &options),
            Rule::Cron { expression, dialect, day_match } => {
                (options.dialect, options.day_match) = (*dialect, *day_match);
                // A zone in front of the new expression stands against that of the old one.
                let names_zone = ["TZ=", "CRON_TZ="].iter().any(|prefix| expression.trim_start().starts_with(prefix));
                if edit.timezone.is_none() && names_zone {
                    options.timezone = None;
                }
                Trigger::from_cron_expression(expression, &options)
            }
            Rule::Calendar(phrase) => Trigger::from_calendar_phrase(phrase, &options),
            Rule::Whole(trigger) => Ok(trigger.clone()),
        }
    }

    fn policy(&self) -> DstPolicy {
        match self {
            Trigger::Cron(cron) => cron.bounds().policy,
            Trigger::Calendar(calendar) => calendar.policy,
            _ => DstPolicy::default(),
        }
    }
}

/// The trigger with other values under some of its keys.
fn patched(mut trigger: Value, edit: &TriggerEdit, now: Timestamp) -> Result<Trigger, TriggerError> {
    let kind = trigger.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let has: &[&str] = match kind.as_str() {
        "interval" => &["start_time", "end_time"],
        "cron" | "crontab" => &["start_time", "end_time", "timezone", "dst_gap", "dst_fold"],
        "calendar_interval" => &["timezone", "dst_gap", "dst_fold"],
        _ => &[],
    };
    let text = |value: &dyn ToString| Value::String(value.to_string());
    let changes = [
        ("timezone", edit.timezone.as_ref().map(|zone| text(zone))),
        ("start_time", edit.start.map(|start| text(&start))),
        ("end_time", edit.end.map(|end| end.map_or(Value::Null, |end| text(&end)))),
        ("dst_gap", edit.dst_gap.map(|policy| text(&policy.name()))),
        ("dst_fold", edit.dst_fold.map(|policy| text(&policy.name()))),
    ];
    let mut nothing = Map::new();
    let keys = trigger.as_object_mut().unwrap_or(&mut nothing);
    for (key, value) in changes {
        let Some(value) = value else { continue };
        if !has.contains(&key) {
            let problem = format!("is nothing that a trigger of type {kind} has, or that can be changed by itself");
            return Err(Invalid::new(key, problem).allowed("the whole trigger anew").into());
        }
        keys.insert(key.to_owned(), value);
    }
    Trigger::from_value(&trigger, now)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn now() -> Timestamp {
        "2026-06-01T12:00:00Z".parse().expect("a time")
    }

    fn trigger(value: &Value) -> Trigger {
        Trigger::from_value(value, now()).expect("a trigger")
    }

    fn edited(value: &Value, edit: TriggerEdit) -> Value {
        trigger(value).edited(&edit, now()).expect("it can be changed").to_value()
    }

    fn cron(expression: &str) -> Option<Rule> {
        let (dialect, day_match) = (Dialect::Extended, DayMatch::And);
        Some(Rule::Cron { expression: expression.to_owned(), dialect, day_match })
    }

    #[test]
    fn another_rule_keeps_zone_bounds_and_policies() {
        let old = json!({"type": "crontab", "expression": "0 9 * * *", "timezone": "Europe/Berlin", "dst_fold": "both",
            "start_time": "2026-01-01T00:00:00+00:00", "end_time": "2027-01-01T00:00:00+00:00"});
        let new = edited(&old, TriggerEdit { rule: cron("0 10 * * 1-5"), ..TriggerEdit::default() });
        let mut expected = trigger(&old).to_value();
        expected["expression"] = "0 10 * * 1-5".into();
        assert_eq!(new, expected);
        let zoned = edited(&old, TriggerEdit { rule: cron("TZ=Asia/Tokyo 0 10 * * *"), ..TriggerEdit::default() });
        assert_eq!(zoned["timezone"], "Asia/Tokyo");
        let interval =
            edited(&old, TriggerEdit { rule: Some(Rule::Every(Duration::from_secs(60))), ..TriggerEdit::default() });
        assert_eq!((&interval["start_time"], &interval["minutes"]), (&expected["start_time"], &json!(1)));
    }

    #[test]
    fn one_property_changes_and_the_rest_stays() {
        let old = json!({"type": "cron", "day": "last fri", "hour": 9, "timezone": "Europe/Berlin", "dst_gap": "skip"});
        let new = edited(&old, TriggerEdit { timezone: Some("Asia/Tokyo".to_owned()), ..TriggerEdit::default() });
        let mut expected = trigger(&old).to_value();
        expected["timezone"] = "Asia/Tokyo".into();
        assert_eq!(new, expected);
        let until = "2026-07-01T00:00:00+00:00".parse().ok();
        let ended = edited(&old, TriggerEdit { end: Some(until), ..TriggerEdit::default() });
        assert_eq!(ended["end_time"], "2026-07-01T00:00:00+00:00");
        assert!(edited(&ended, TriggerEdit { end: Some(None), ..TriggerEdit::default() }).get("end_time").is_none());
        assert_eq!(edited(&old, TriggerEdit::default()), trigger(&old).to_value());
    }

    #[test]
    fn what_a_trigger_does_not_have_cannot_be_changed() {
        for old in [
            json!({"type": "date", "run_time": "2026-07-01T00:00:00Z"}),
            json!({"type": "interval", "hours": 1}),
            json!({"type": "or", "triggers": [{"type": "cron", "hour": 9}]}),
        ] {
            let edit = TriggerEdit { timezone: Some("Asia/Tokyo".to_owned()), ..TriggerEdit::default() };
            let refused = trigger(&old).edited(&edit, now()).expect_err("it has no zone").to_string();
            assert!(refused.starts_with("timezone: is nothing that a trigger of type"), "{refused}");
        }
    }
}
