//! The only source of time.
//!
//! Everything that needs the time is handed a [`Clock`], so that a test can hold the time still and move it by hand.

use std::time::Duration;

use async_trait::async_trait;

use crate::model::Timestamp;

/// Tells the time and waits.
#[async_trait]
pub trait Clock: Send + Sync {
    /// The time of day.
    fn now(&self) -> Timestamp;

    /// Waits until `time`; returns at once where that has passed. Also returns when the time of day was set forward beyond `time` or
    /// the machine slept through it, a second late at most. Keeps its place when dropped.
    async fn sleep_until(&self, time: Timestamp);
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

/// Longest single wait of [`SystemClock`]: timers run on a clock that stands still while the machine sleeps and knows nothing
/// of somebody setting the time, so long waits look at the time of day again this often.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

#[async_trait]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one home of the time of day")]
    fn now(&self) -> Timestamp {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        // A machine whose clock stands before 1970 is told so by whatever compares its time with a store's.
        Timestamp::EPOCH.saturating_add(since_epoch.unwrap_or_default())
    }

    #[expect(clippy::disallowed_methods, reason = "the one home of waiting")]
    async fn sleep_until(&self, time: Timestamp) {
        loop {
            let left = time.saturating_since(self.now());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(LOOK_AGAIN)).await;
        }
    }
}

/// Measures how long something took, on the clock that is never set.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Starts.
    #[expect(clippy::disallowed_methods, reason = "the one home of measured durations")]
    pub fn start() -> Stopwatch {
        Stopwatch(std::time::Instant::now())
    }

    /// The time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(any(test, feature = "test-util"))]
pub use manual::ManualClock;

#[cfg(any(test, feature = "test-util"))]
mod manual {
    use super::*;

    /// A clock that a test moves by hand. Clones show the same time; moving it wakes whoever waits on any of them.
    #[derive(Debug, Clone)]
    pub struct ManualClock {
        now: tokio::sync::watch::Sender<Timestamp>,
    }

    impl ManualClock {
        /// A clock that stands at `now`.
        pub fn new(now: Timestamp) -> ManualClock {
            ManualClock { now: tokio::sync::watch::Sender::new(now) }
        }

        /// Moves it forward.
        pub fn advance(&self, span: Duration) {
            self.now.send_modify(|now| *now = now.saturating_add(span));
        }

        /// Sets it, backwards too.
        pub fn set(&self, time: Timestamp) {
            self.now.send_replace(time);
        }
    }

    #[async_trait]
    impl Clock for ManualClock {
        fn now(&self) -> Timestamp {
            *self.now.borrow()
        }

        async fn sleep_until(&self, time: Timestamp) {
            let mut receiver = self.now.subscribe();
            // The sender lives in `self`, so the channel cannot be closed while anyone waits.
            let _closed = receiver.wait_for(|now| *now >= time).await;
        }
    }
}
