//! Fire times from before a trigger's beginning.

use super::combine::{AndTrigger, OrTrigger};
use super::cron::Bounds;
use super::fire::Fire;
use super::{CronTrigger, Trigger};
use crate::model::Timestamp;

impl Trigger {
    /// The same rule with a beginning no later than `from`: when it would have fired, had it been there. An interval keeps its beat. A date has
    /// no beginning, and a calendar interval counts from its own, so that these stay as they are.
    #[must_use]
    pub fn reaching_back(&self, from: Timestamp) -> Trigger {
        let back = |children: &[Trigger]| children.iter().map(|child| child.reaching_back(from)).collect();
        match self {
            Trigger::Interval(interval) => Trigger::Interval(interval.reaching_back(from)),
            Trigger::Cron(cron) => Trigger::Cron(Box::new(cron_back(cron, from))),
            Trigger::And(and) => Trigger::And(AndTrigger { children: back(&and.children), ..and.clone() }),
            Trigger::Or(or) => Trigger::Or(OrTrigger { children: back(&or.children) }),
            Trigger::Date(_) | Trigger::Calendar(_) => self.clone(),
        }
    }
}

fn cron_back(cron: &CronTrigger, from: Timestamp) -> CronTrigger {
    let bounds = cron.bounds();
    match Fire::from_micros(from.as_micros(), bounds.start.offset_seconds) {
        Some(start) if start.at < bounds.start.at => cron.with_bounds(Bounds { start, ..*bounds }),
        _ => cron.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fires(trigger: &str, from: &str, count: usize) -> Vec<String> {
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let trigger = Trigger::from_json(trigger, at("2026-06-01T12:00:00Z")).expect("a trigger");
        let back = trigger.reaching_back(at(from));
        let mut state = back.initial_state();
        back.skip_to(&mut state, at(from)).expect("its own state");
        let mut next = || back.next(&mut state).expect("it goes on").map(|fire| fire.to_string());
        std::iter::from_fn(&mut next).take(count).collect()
    }

    #[test]
    fn a_rule_fires_before_its_beginning_as_it_does_afterwards() {
        let interval = r#"{"type":"interval","minutes":7}"#;
        assert_eq!(fires(interval, "2026-06-01T11:40:00Z", 3).last().expect("three"), "2026-06-01T12:00:00+00:00");
        assert_eq!(fires(interval, "2026-06-01T11:46:00Z", 1), ["2026-06-01T11:46:00+00:00"]);
        assert_eq!(fires(interval, "2026-06-01T12:01:00Z", 1), ["2026-06-01T12:07:00+00:00"]);
        let cron = r#"{"type":"crontab","expression":"0 9 * * *","timezone":"Europe/Berlin"}"#;
        assert_eq!(fires(cron, "2026-03-28T09:00:00Z", 2), ["2026-03-29T09:00:00+02:00", "2026-03-30T09:00:00+02:00"]);
        let both = format!(r#"{{"type":"or","triggers":[{interval},{cron}]}}"#);
        // The interval has 1,741 minutes to its beginning, of which 5 are left over.
        let of_both = ["2026-05-31T09:00:00+02:00", "2026-05-31T07:04:00+00:00"];
        assert_eq!(fires(&both, "2026-05-31T06:59:00Z", 2), of_both);
    }

    #[test]
    fn what_counts_from_its_beginning_stays_as_it_is() {
        let calendar = r#"{"type":"calendar_interval","months":1,"start_date":"2026-06-15"}"#;
        assert_eq!(fires(calendar, "2026-01-01T00:00:00Z", 1), ["2026-06-15T00:00:00+00:00"]);
        let date = r#"{"type":"date","run_time":"2026-02-03T04:05:06Z"}"#;
        assert_eq!(fires(date, "2026-01-01T00:00:00Z", 9), ["2026-02-03T04:05:06+00:00"]);
    }
}
