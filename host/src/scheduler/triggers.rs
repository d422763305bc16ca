//! Triggers as they were read from their JSON, so that a schedule's is read once, and not at each fire.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::{Schedule, ScheduleId, Timestamp};
use crate::trigger::{Trigger, TriggerError};

/// Most triggers that are kept. Beyond it all are forgotten, and read anew as they fire.
const TRIGGERS_MAX: usize = 20_000;

/// The triggers of schedules that have fired here.
#[derive(Debug, Default)]
pub(super) struct Triggers {
    by_schedule: HashMap<ScheduleId, Known>,
}

#[derive(Debug)]
struct Known {
    text: String,
    /// What a trigger without a start of its own counts from.
    created_at: Timestamp,
    trigger: Arc<Trigger>,
}

impl Triggers {
    /// The trigger of a schedule, as it is now.
    ///
    /// # Errors
    /// What is wrong with its text.
    pub(super) fn read(&mut self, schedule: &Schedule) -> Result<Arc<Trigger>, TriggerError> {
        let known = self.by_schedule.get(&schedule.id);
        let known = known.filter(|known| known.text == schedule.trigger && known.created_at == schedule.created_at);
        if let Some(known) = known {
            return Ok(Arc::clone(&known.trigger));
        }
        let trigger = Arc::new(Trigger::from_json(&schedule.trigger, schedule.created_at)?);
        if self.by_schedule.len() >= TRIGGERS_MAX {
            self.by_schedule.clear();
        }
        let known =
            Known { text: schedule.trigger.clone(), created_at: schedule.created_at, trigger: Arc::clone(&trigger) };
        self.by_schedule.insert(schedule.id.clone(), known);
        Ok(trigger)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Coalesce, Payload, ScheduleLife, Settings};

    fn schedule(trigger: &str, created_at: i64) -> Schedule {
        let created_at = Timestamp::from_micros(created_at).expect("a time");
        Schedule {
            id: "s".parse().expect("an id"),
            life: ScheduleLife::from_number(1),
            task_id: "p:t".parse().expect("an id"),
            trigger: trigger.to_owned(),
            trigger_state: "{}".to_owned(),
            args: Payload::no_args(),
            coalesce: Coalesce::Latest,
            max_jitter: std::time::Duration::ZERO,
            settings: Settings::default(),
            pause: None,
            next_fire_time: None,
            last_fire_time: None,
            overruns_since: None,
            fire_count: 0,
            failures: 0,
            created_at,
        }
    }

    #[test]
    fn a_trigger_is_read_once_until_its_schedule_has_another_one() {
        let mut triggers = Triggers::default();
        let mut read = |schedule: &Schedule| triggers.read(schedule).expect("a trigger");
        let (seconds, minutes) = (r#"{"type":"interval","seconds":1}"#, r#"{"type":"interval","minutes":1}"#);
        let first = read(&schedule(seconds, 1));
        assert!(Arc::ptr_eq(&first, &read(&schedule(seconds, 1))));
        let other = read(&schedule(minutes, 1));
        assert!(!Arc::ptr_eq(&first, &other));
        assert!(!Arc::ptr_eq(&other, &read(&schedule(minutes, 2))), "it counts from when it was created");
    }

    #[test]
    fn what_is_no_trigger_is_reported_each_time() {
        let mut triggers = Triggers::default();
        for _ in 0..2 {
            triggers.read(&schedule(r#"{"type":"sundial"}"#, 1)).expect_err("no trigger");
        }
    }
}
