//! A store that fails on request, for tests: before the effect (nothing happened) or after it (the answer is lost).

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use super::decorate::{Call, Repeat, decorate};
use super::*;
use crate::model::*;

/// How often calls fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Faults {
    /// Percent of calls that fail before they take effect: `NotApplied`.
    pub before_percent: u8,
    /// Percent of calls that fail after they took effect: `Unknown`.
    pub after_percent: u8,
    /// Whether an answer may also be lost where a second call answers otherwise than the first did (a release that is repeated
    /// answers `LeaseLost`), or is refused.
    pub lose_any_answer: bool,
}

/// Passes calls on and fails some of them, drawn from a seeded generator.
pub struct Faulty {
    inner: Arc<dyn Store>,
    faults: Faults,
    random: Mutex<fastrand::Rng>,
}

#[derive(Debug, thiserror::Error)]
#[error("a failure that the test asked for")]
struct Injected;

impl Faulty {
    /// Wraps a store.
    pub fn new(inner: Arc<dyn Store>, faults: Faults, seed: u64) -> Faulty {
        Faulty { inner, faults, random: Mutex::new(fastrand::Rng::with_seed(seed)) }
    }

    async fn call<R, W, F>(&self, call: Call, work: W) -> Result<R, StoreError>
    where
        R: Send,
        W: FnOnce(Arc<dyn Store>) -> F + Send,
        F: Future<Output = Result<R, StoreError>> + Send,
    {
        let dice = self.random.lock().unwrap_or_else(PoisonError::into_inner).u8(0..100);
        let Faults { before_percent, after_percent, lose_any_answer } = self.faults;
        let injected = |certainty| StoreError::Backend {
            operation: call.name,
            certainty,
            transient: true,
            source: Arc::new(Injected),
        };
        if dice < before_percent {
            return Err(injected(Certainty::NotApplied));
        }
        let answer = work(Arc::clone(&self.inner)).await;
        let may_lose = lose_any_answer || call.repeat == Repeat::SameAnswer;
        if may_lose && dice < before_percent.saturating_add(after_percent) {
            return answer.and_then(|_| Err(injected(Certainty::Unknown)));
        }
        answer
    }

    async fn shut(&self) {
        self.inner.close().await;
    }
}

decorate!(Faulty, once);
