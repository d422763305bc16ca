//! The attempts that this scheduler runs at the moment: whom to extend, whom to stop.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::model::{JobId, LeaseToken};

/// Why an attempt is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interrupt {
    /// Somebody cancelled the job.
    Cancelled,
    /// The lease is gone: somebody else may run the job by now.
    LeaseLost,
    /// This scheduler stops.
    Stopping,
}

/// One running attempt.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub(super) token: LeaseToken,
    /// Asks the guest to stop.
    pub(super) cancel: CancellationToken,
    /// Stops it.
    pub(super) kill: CancellationToken,
    interrupt: Option<Interrupt>,
}

/// All running attempts. Everything here is short and waits for nothing, so a plain lock will do.
#[derive(Debug, Default)]
pub(super) struct Running {
    attempts: Mutex<HashMap<JobId, Attempt>>,
}

impl Running {
    /// Notes an attempt that begins.
    pub(super) fn begin(&self, id: JobId, token: LeaseToken) -> Attempt {
        let attempt =
            Attempt { token, cancel: CancellationToken::new(), kill: CancellationToken::new(), interrupt: None };
        self.lock().insert(id, attempt.clone());
        attempt
    }

    /// Why the attempt was asked to stop, if it was.
    pub(super) fn interrupt_of(&self, id: JobId) -> Option<Interrupt> {
        self.lock().get(&id).and_then(|attempt| attempt.interrupt)
    }

    /// Forgets an attempt whose end is stored. One of another token is another attempt and stays.
    pub(super) fn end(&self, id: JobId, token: LeaseToken) {
        let mut attempts = self.lock();
        if attempts.get(&id).is_some_and(|attempt| attempt.token == token) {
            attempts.remove(&id);
        }
    }

    /// Asks an attempt to stop. A lost lease kills at once, because another worker may be running the job by now, and outweighs
    /// whatever was asked before.
    pub(super) fn interrupt(&self, id: JobId, why: Interrupt) {
        if let Some(attempt) = self.lock().get_mut(&id) {
            attempt.interrupt(why);
        }
    }

    /// Asks all attempts to stop.
    pub(super) fn interrupt_all(&self, why: Interrupt) {
        self.lock().values_mut().for_each(|attempt| attempt.interrupt(why));
    }

    /// The leases to extend.
    pub(super) fn leases(&self) -> Vec<(JobId, LeaseToken)> {
        self.lock().iter().map(|(id, attempt)| (*id, attempt.token)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, Attempt>> {
        // Every change under this lock is a single insert, remove or mark: a panic cannot leave it half done.
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt {
    fn interrupt(&mut self, why: Interrupt) {
        if why == Interrupt::LeaseLost {
            self.interrupt = Some(why);
            self.kill.cancel();
        }
        self.interrupt.get_or_insert(why);
        self.cancel.cancel();
    }
}
