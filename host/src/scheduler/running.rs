//! The attempts that this scheduler runs at the moment: whom to extend, whom to stop.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock::Instant;
use crate::model::{CancelRequest, JobId, LeaseToken};

/// Why an attempt is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interrupt {
    /// Somebody cancelled the job.
    Cancelled,
    /// The store says that the lease is gone: somebody else has the job.
    LeaseLost,
    /// The lease could not be renewed in time: somebody else may take the job soon.
    LeaseRunsOut,
    /// This scheduler stops.
    Stopping,
}

impl Interrupt {
    /// Whether the attempt is stopped without being asked first, whatever was asked before.
    fn is_about_the_lease(self) -> bool {
        matches!(self, Interrupt::LeaseLost | Interrupt::LeaseRunsOut)
    }
}

/// One running attempt.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub(super) token: LeaseToken,
    /// Asks the guest to stop.
    pub(super) cancel: CancellationToken,
    /// Stops it.
    pub(super) kill: CancellationToken,
    /// [`Running::grace_of`] answers something else than before.
    pub(super) grace_changed: Arc<Notify>,
    /// Nobody else has the job before this.
    held_until: Instant,
    interrupt: Option<Interrupt>,
    grace: Option<Duration>,
}

/// All running attempts. Everything here is short and waits for nothing, so a plain lock will do.
#[derive(Debug, Default)]
pub(super) struct Running {
    attempts: Mutex<Attempts>,
    /// An attempt has begun whose lease ends before the others'.
    pub(super) changed: Notify,
    /// The leases are to be renewed without waiting until that is due.
    pub(super) renewal: Notify,
}

#[derive(Debug, Default)]
struct Attempts {
    by_id: BTreeMap<JobId, Attempt>,
    /// None of the leases that are relied on ends before this; `None` where there were none. Every attempt asks as it begins, and is not to
    /// look at all others for that.
    none_ends_before: Option<Instant>,
}

impl Attempts {
    /// The first end of a lease that is relied on.
    fn first_end(&mut self) -> Option<Instant> {
        let ends = self.by_id.values().filter(|attempt| attempt.relies_on_lease()).map(|attempt| attempt.held_until);
        self.none_ends_before = ends.min();
        self.none_ends_before
    }
}

impl Running {
    /// Notes an attempt that begins, and whose lease holds at least until then.
    pub(super) fn begin(&self, id: JobId, token: LeaseToken, held_until: Instant) -> Attempt {
        let attempt = Attempt {
            token,
            cancel: CancellationToken::new(),
            kill: CancellationToken::new(),
            grace_changed: Arc::default(),
            held_until,
            interrupt: None,
            grace: None,
        };
        let mut attempts = self.lock();
        let is_first = attempts.none_ends_before.is_none_or(|first| held_until < first);
        if is_first {
            attempts.none_ends_before = Some(held_until);
        }
        attempts.by_id.insert(id, attempt.clone());
        drop(attempts);
        if is_first {
            self.changed.notify_one();
        }
        attempt
    }

    /// Why the attempt was asked to stop, if it was.
    pub(super) fn interrupt_of(&self, id: JobId) -> Option<Interrupt> {
        self.lock().by_id.get(&id).and_then(|attempt| attempt.interrupt)
    }

    /// Forgets an attempt whose end is stored. One of another token is another attempt and stays.
    pub(super) fn end(&self, id: JobId, token: LeaseToken) {
        let mut attempts = self.lock();
        if attempts.by_id.get(&id).is_some_and(|attempt| attempt.token == token) {
            attempts.by_id.remove(&id);
        }
    }

    /// How long the attempt may take to stop, where somebody has said so.
    pub(super) fn grace_of(&self, id: JobId) -> Option<Duration> {
        self.lock().by_id.get(&id).and_then(|attempt| attempt.grace)
    }

    /// Asks an attempt to stop that runs under that token, because somebody cancelled its job.
    pub(super) fn cancel(&self, id: JobId, token: LeaseToken, request: CancelRequest) {
        if let Some(attempt) = self.lock().by_id.get_mut(&id).filter(|attempt| attempt.token == token) {
            if attempt.grace != request.grace {
                attempt.grace = request.grace;
                attempt.grace_changed.notify_one();
            }
            attempt.interrupt(Interrupt::Cancelled);
        }
    }

    /// Has the leases renewed now if that job runs here: with the renewal, the store says which jobs were cancelled.
    pub(super) fn renew_now(&self, id: JobId) {
        if self.lock().by_id.contains_key(&id) {
            self.renewal.notify_one();
        }
    }

    /// Asks all attempts to stop.
    pub(super) fn interrupt_all(&self, why: Interrupt) {
        self.lock().by_id.values_mut().for_each(|attempt| attempt.interrupt(why));
    }

    /// Stops an attempt whose lease is gone, by that token.
    pub(super) fn interrupt_lease(&self, id: JobId, token: LeaseToken) {
        if let Some(attempt) = self.lock().by_id.get_mut(&id).filter(|attempt| attempt.token == token) {
            attempt.interrupt(Interrupt::LeaseLost);
        }
    }

    /// Notes that a lease was extended.
    pub(super) fn extended(&self, id: JobId, token: LeaseToken, held_until: Instant) {
        if let Some(attempt) = self.lock().by_id.get_mut(&id).filter(|attempt| attempt.token == token) {
            attempt.held_until = attempt.held_until.max(held_until);
        }
    }

    /// The first end of a lease, of those attempts that were not stopped for it.
    pub(super) fn first_end(&self) -> Option<Instant> {
        self.lock().first_end()
    }

    /// Stops the attempts whose leases end by then, and counts them.
    pub(super) fn stop_those_that_end(&self, by: Instant) -> usize {
        let mut attempts = self.lock();
        if attempts.none_ends_before.is_none_or(|first| first > by) {
            return 0;
        }
        let ending =
            attempts.by_id.values_mut().filter(|attempt| attempt.relies_on_lease() && attempt.held_until <= by);
        let stopped = ending.map(|attempt| attempt.interrupt(Interrupt::LeaseRunsOut)).count();
        attempts.first_end();
        stopped
    }

    pub(super) fn leases(&self) -> Vec<(JobId, LeaseToken)> {
        self.lock().by_id.iter().map(|(id, attempt)| (*id, attempt.token)).collect()
    }

    pub(super) fn ids(&self) -> Vec<JobId> {
        self.lock().by_id.keys().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Attempts> {
        // Every change under this lock is an insert, a remove or marks, with the bound set before: a panic cannot leave it half done.
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt {
    /// What is said of a lease outweighs whatever was asked before, and that the store has said it is gone is the last word.
    fn interrupt(&mut self, why: Interrupt) {
        if why.is_about_the_lease() && self.interrupt != Some(Interrupt::LeaseLost) {
            self.interrupt = Some(why);
            self.kill.cancel();
        }
        self.interrupt.get_or_insert(why);
        self.cancel.cancel();
    }

    /// Whether it still runs, as far as its lease is concerned.
    fn relies_on_lease(&self) -> bool {
        !self.interrupt.is_some_and(Interrupt::is_about_the_lease)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{JobIdSource, Timestamp};

    fn at(seconds: u64) -> Instant {
        Instant::new(Duration::from_secs(seconds))
    }

    fn token(byte: u8) -> LeaseToken {
        LeaseToken::from_bytes([byte; 16])
    }

    #[test]
    fn only_attempts_whose_leases_end_in_time_are_stopped_and_each_once() {
        let mut ids = JobIdSource::new(fastrand::Rng::with_seed(1));
        let (short, long) = (ids.next(Timestamp::EPOCH), ids.next(Timestamp::EPOCH));
        let running = Running::default();
        let ending = running.begin(short, token(1), at(10));
        let lasting = running.begin(long, token(2), at(20));
        assert_eq!(running.first_end(), Some(at(10)));
        assert_eq!((running.stop_those_that_end(at(9)), running.stop_those_that_end(at(10))), (0, 1));
        assert!(ending.kill.is_cancelled() && !lasting.kill.is_cancelled());
        assert_eq!((running.first_end(), running.stop_those_that_end(at(10))), (Some(at(20)), 0));
        running.extended(long, token(2), at(40));
        assert_eq!(running.stop_those_that_end(at(20)), 0);
        // An answer about another lease on the same job says nothing of this one.
        running.extended(long, token(9), at(90));
        running.interrupt_lease(long, token(9));
        assert_eq!((running.first_end(), running.interrupt_of(long)), (Some(at(40)), None));
    }

    #[test]
    fn what_is_remembered_of_the_first_end_never_hides_a_lease_that_ends() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut ids = JobIdSource::new(fastrand::Rng::with_seed(7));
        let running = Running::default();
        // Each with the end of its lease, as long as that is relied on.
        let mut expected: Vec<(JobId, Attempt, Instant)> = Vec::new();
        for round in 0..5_000_u64 {
            let end = at(round + random.u64(1..50));
            let known = if expected.is_empty() { None } else { Some(random.usize(..expected.len())) };
            match (random.u8(..4), known) {
                (0, Some(known)) => {
                    let (id, attempt, _) = expected.swap_remove(known);
                    running.end(id, attempt.token);
                }
                (1, Some(known)) => {
                    let (id, attempt, held_until) = &mut expected[known];
                    *held_until = end.max(*held_until);
                    running.extended(*id, attempt.token, end);
                }
                (2, _) => {
                    let by = at(round);
                    let (ending, left): (Vec<_>, Vec<_>) = expected.drain(..).partition(|(.., end)| *end <= by);
                    expected = left;
                    assert_eq!(running.stop_those_that_end(by), ending.len());
                    assert!(ending.iter().all(|(_, attempt, _)| attempt.kill.is_cancelled()));
                }
                _ => {
                    let id = ids.next(Timestamp::EPOCH);
                    expected.push((id, running.begin(id, token(1), end), end));
                }
            }
            if random.u8(..8) == 0 {
                assert_eq!(running.first_end(), expected.iter().map(|(.., end)| *end).min());
            }
        }
    }

    #[test]
    fn a_lost_lease_outweighs_everything_else_and_nothing_outweighs_it() {
        let id = JobIdSource::new(fastrand::Rng::with_seed(1)).next(Timestamp::EPOCH);
        let running = Running::default();
        let attempt = running.begin(id, token(1), at(10));
        running.cancel(id, token(2), CancelRequest::default());
        assert!(!attempt.cancel.is_cancelled(), "that is about another attempt");
        running.cancel(id, token(1), CancelRequest::default());
        assert!(attempt.cancel.is_cancelled() && !attempt.kill.is_cancelled());
        running.interrupt_all(Interrupt::Stopping);
        assert_eq!(running.interrupt_of(id), Some(Interrupt::Cancelled));
        running.stop_those_that_end(at(10));
        assert_eq!(running.interrupt_of(id), Some(Interrupt::LeaseRunsOut));
        running.interrupt_lease(id, token(1));
        running.interrupt_all(Interrupt::LeaseRunsOut);
        assert_eq!(running.interrupt_of(id), Some(Interrupt::LeaseLost));
    }
}
