//! Makes failed store calls again, with growing pauses and an end, where that is safe.
//!
//! A failure that took no effect is repeated for every call; one whose effect is unknown only for calls that the traits
//! declare safe to repeat. Only transient failures are repeated at all: a wrong password does not become right.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::decorate::{Call, Repeat, decorate};
use super::*;
use crate::clock::Clock;
use crate::model::Backoff;

/// How often a call is made before its error is passed on. With [`pauses`] this rides out a database that restarts for
/// about ten seconds; whoever calls has loops of their own for what lasts longer.
const TRIES_MAX: u32 = 12;

/// The pauses between tries.
fn pauses() -> Backoff {
    Backoff { initial: Duration::from_millis(10), max: Duration::from_secs(2), factor_percent: 200, jitter_percent: 50 }
}

/// Passes every call on, again where it failed and may succeed.
pub struct Retrying {
    inner: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    random: Mutex<fastrand::Rng>,
}

impl Retrying {
    /// Wraps a store. `clock` measures the pauses, `random` spreads them.
    pub fn new(inner: Arc<dyn Store>, clock: Arc<dyn Clock>, random: fastrand::Rng) -> Retrying {
        Retrying { inner, clock, random: Mutex::new(random) }
    }

    async fn call<R, W, F>(&self, call: Call, work: W) -> Result<R, StoreError>
    where
        R: Send,
        W: Fn(Arc<dyn Store>) -> F + Send + Sync,
        F: Future<Output = Result<R, StoreError>> + Send,
    {
        let mut tries = 1;
        loop {
            let error = match work(Arc::clone(&self.inner)).await {
                Err(error) if tries < TRIES_MAX && may_repeat(&error, call.repeat) => error,
                answer => return answer,
            };
            let pause = pauses().delay(tries, self.chance());
            tracing::debug!(operation = call.name, tries, error = %error, "store call failed, trying again");
            self.clock.sleep_until(self.clock.now().saturating_add(pause)).await;
            tries += 1;
        }
    }

    fn chance(&self) -> f64 {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).f64()
    }

    async fn shut(&self) {
        self.inner.close().await;
    }
}

fn may_repeat(error: &StoreError, repeat: Repeat) -> bool {
    error.is_transient() && (error.certainty() == Certainty::NotApplied || repeat != Repeat::Never)
}

decorate!(Retrying, each);

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(certainty: Certainty, transient: bool) -> StoreError {
        let source = Arc::new(std::io::Error::other("gone"));
        StoreError::Backend { operation: "job_retry", certainty, transient, source }
    }

    #[test]
    fn a_call_that_may_have_happened_is_repeated_only_where_that_is_safe() {
        let unknown = failure(Certainty::Unknown, true);
        assert!(may_repeat(&unknown, Repeat::SameAnswer));
        assert!(may_repeat(&unknown, Repeat::OtherAnswer));
        assert!(!may_repeat(&unknown, Repeat::Never));
        assert!(may_repeat(&failure(Certainty::NotApplied, true), Repeat::Never));
    }

    #[test]
    fn a_failure_that_stays_is_not_repeated() {
        assert!(!may_repeat(&failure(Certainty::NotApplied, false), Repeat::SameAnswer));
        assert!(!may_repeat(&StoreError::Closed, Repeat::SameAnswer));
    }
}
