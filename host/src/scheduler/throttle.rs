//! Keeps lines out of the log that would come again and again: each is written once in a while for each subject, with how
//! often it happened since.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::model::Timestamp;

/// How much time passes at least between two lines about one subject.
const PAUSE: Duration = Duration::from_secs(60);

/// Most subjects that are remembered. Beyond it those that came last share one line.
const SUBJECTS_MAX: usize = 1_000;

/// Says when a line about a subject is due.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    subjects: Mutex<HashMap<(&'static str, String), Subject>>,
}

#[derive(Debug)]
struct Subject {
    written_at: Timestamp,
    /// What happened since then.
    count: u64,
}

impl Throttle {
    /// Notes that `line` would have been written `count` times about the subject. Answers how often it happened since the last line, this time included,
    /// where a line is to be written now: the first time at once.
    pub(super) fn note(&self, now: Timestamp, line: &'static str, subject: &str, count: u64) -> Option<u64> {
        // Every change under this lock is complete in itself.
        let mut subjects = self.subjects.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = (line, subject.to_owned());
        if !subjects.contains_key(&key) && subjects.len() >= SUBJECTS_MAX {
            subjects.retain(|_, subject| !subject.is_over(now));
            if subjects.len() >= SUBJECTS_MAX {
                key.1.clear();
            }
        }
        match subjects.get_mut(&key) {
            None => {
                subjects.insert(key, Subject { written_at: now, count: 0 });
                Some(count)
            }
            Some(known) if known.is_over(now) => {
                let sum = known.count.saturating_add(count);
                *known = Subject { written_at: now, count: 0 };
                Some(sum)
            }
            Some(known) => {
                known.count = known.count.saturating_add(count);
                None
            }
        }
    }
}

impl Subject {
    /// A clock that was set back does not silence anything for longer than usual.
    fn is_over(&self, now: Timestamp) -> bool {
        let passed = now.saturating_since(self.written_at).max(self.written_at.saturating_since(now));
        passed >= PAUSE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::EPOCH.saturating_add(Duration::from_secs(seconds))
    }

    #[test]
    fn what_comes_again_and_again_is_written_once_a_minute_with_its_sum() {
        let throttle = Throttle::default();
        assert_eq!(throttle.note(at(100), "line", "a", 3), Some(3));
        assert_eq!(throttle.note(at(101), "line", "b", 1), Some(1), "another subject is not concerned");
        let written: Vec<u64> = (101..220).filter_map(|second| throttle.note(at(second), "line", "a", 1)).collect();
        assert_eq!(written, [60]);
        assert_eq!(throttle.note(at(220), "line", "a", 1), Some(60), "nothing is left out of the sum");
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_silence_it() {
        let throttle = Throttle::default();
        throttle.note(at(10_000), "line", "a", 1);
        assert_eq!(throttle.note(at(100), "line", "a", 1), Some(1));
    }

    #[test]
    fn any_number_of_subjects_takes_bounded_room() {
        let throttle = Throttle::default();
        let written = (0..5_000).filter(|n| throttle.note(at(0), "line", &n.to_string(), 1).is_some()).count();
        assert_eq!(written, SUBJECTS_MAX + 1, "those beyond the bound share one line");
        assert!(throttle.note(at(60), "line", "new", 1).is_some());
        assert_eq!(throttle.subjects.lock().expect("not poisoned").len(), 1);
    }
}
