//! When leases of others may be taken back.
//!
//! A lease that is over means that its holder is gone, provided that a living holder could have renewed it. After the store, or the way
//! to it, or the machine itself has stood still for a while, leases are over everywhere although their holders live, and whoever is
//! first to wake up must not take them for dead. So every scheduler counts how long it has had no answer itself, and after a long silence
//! leaves everyone the time of a lease to be heard again.

use std::time::Duration;

use crate::clock::Instant;
use crate::store::store_clock::Measured;

/// What one scheduler has seen of the store.
#[derive(Debug)]
pub(super) struct Recovery {
    /// How long a holder may need to be heard again.
    lease: Duration,
    /// Silence that is longer than this may have kept others from renewing.
    silent_max: Duration,
    answered_at: Instant,
    not_before: Instant,
}

impl Recovery {
    /// For a scheduler that starts, whose leases last that long, and that asks the store that often. It cannot know what was before:
    /// holders that are alive are heard within a third of a lease.
    pub(super) fn new(now: Instant, lease: Duration, ask_every: Duration) -> Recovery {
        let third = lease / 3;
        Recovery { lease, silent_max: ask_every + third, answered_at: now, not_before: now.saturating_add(third) }
    }

    /// The store has told its time. Leases may be taken back if this answers `true`.
    pub(super) fn answered(&mut self, measured: Measured) -> bool {
        let now = measured.answered_at;
        let silence = now.saturating_since(self.answered_at);
        self.answered_at = now;
        // Where the clock that leases are compared by was set, they are over before their time as well.
        if silence > self.silent_max || measured.was_set {
            self.not_before = now.saturating_add(self.lease);
        }
        now >= self.not_before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(15);
    const EVERY: Duration = Duration::from_secs(3);

    fn at(seconds: u64) -> Instant {
        Instant::new(Duration::from_secs(1_000 + seconds))
    }

    fn asked(asked: u64, answered: u64) -> Measured {
        Measured { asked_at: at(asked), answered_at: at(answered), was_set: false, leases: None }
    }

    /// One that has been heard every three seconds for half a minute.
    fn settled() -> Recovery {
        let mut recovery = Recovery::new(at(0), LEASE, EVERY);
        for second in (0..=30).step_by(3) {
            recovery.answered(asked(second, second));
        }
        recovery
    }

    #[test]
    fn one_that_starts_leaves_others_a_third_of_a_lease() {
        let mut recovery = Recovery::new(at(0), LEASE, EVERY);
        assert!(!recovery.answered(asked(3, 3)));
        assert!(recovery.answered(asked(6, 6)));
    }

    #[test]
    fn after_a_long_silence_everyone_has_the_time_of_a_lease() {
        let mut recovery = settled();
        assert!(recovery.answered(asked(33, 33)));
        // Asked in time and answered late, or not asked because this process was stopped itself: it comes to the same.
        assert!(!recovery.answered(asked(36, 46)));
        assert!(!recovery.answered(asked(49, 49)));
        assert!(!recovery.answered(asked(52, 52)));
        assert!(!recovery.answered(asked(55, 55)));
        assert!(!recovery.answered(asked(58, 58)));
        assert!(recovery.answered(asked(61, 61)));
    }

    #[test]
    fn a_store_that_is_slow_but_answers_keeps_nobody_from_recovering() {
        let mut recovery = settled();
        assert!(recovery.answered(asked(33, 35)));
        assert!(recovery.answered(asked(38, 40)));
    }

    #[test]
    fn a_clock_that_was_set_ends_no_lease() {
        let mut recovery = settled();
        assert!(!recovery.answered(Measured { was_set: true, ..asked(33, 33) }));
        for second in [36, 39, 42, 45] {
            assert!(!recovery.answered(asked(second, second)));
        }
        assert!(recovery.answered(asked(48, 48)));
    }
}
