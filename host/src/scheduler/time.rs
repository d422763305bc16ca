//! The time that leases and fire times are measured by: the store's, through a measured offset.
//!
//! Several hosts on one store must agree on when a lease ends. The database's clock is the one that they share; a host whose
//! own clock is wrong is told so and does no harm.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::clock::Clock;
use crate::model::Timestamp;
use crate::store::{Store, StoreError};

/// A difference that is worth a warning: more than the usual error of measuring, and more than a lease tolerates unnoticed.
const SUSPICIOUS: Duration = Duration::from_secs(1);

/// The machine's clock, corrected to show the store's time.
pub(super) struct StoreTime {
    clock: Arc<dyn Clock>,
    offset_micros: AtomicI64,
}

impl StoreTime {
    pub(super) fn new(clock: Arc<dyn Clock>) -> StoreTime {
        StoreTime { clock, offset_micros: AtomicI64::new(0) }
    }

    /// The time of the store.
    pub(super) fn now(&self) -> Timestamp {
        shift(self.clock.now(), self.offset_micros.load(Ordering::Relaxed))
    }

    /// Waits until that time of the store.
    pub(super) async fn sleep_until(&self, time: Timestamp) {
        self.clock.sleep_until(shift(time, -self.offset_micros.load(Ordering::Relaxed))).await;
    }

    /// Waits for `span`.
    pub(super) async fn sleep(&self, span: Duration) {
        self.clock.sleep_until(self.clock.now().saturating_add(span)).await;
    }

    /// Measures the offset again. The answer is taken to have been true in the middle of the round trip.
    pub(super) async fn measure(&self, store: &dyn Store) -> Result<(), StoreError> {
        let before = self.clock.now();
        let Some(theirs) = store.store_clock().await? else { return Ok(()) };
        let after = self.clock.now();
        let middle = before.as_micros() / 2 + after.as_micros() / 2;
        let offset = theirs.as_micros().saturating_sub(middle);
        let old = self.offset_micros.swap(offset, Ordering::Relaxed);
        if is_suspicious(offset) && !is_suspicious(old) {
            let offset_ms = offset / 1_000;
            tracing::warn!(offset_ms, "the clock of this host differs from the data store's, whose time is used");
        }
        Ok(())
    }
}

fn is_suspicious(offset_micros: i64) -> bool {
    Duration::from_micros(offset_micros.unsigned_abs()) > SUSPICIOUS
}

fn shift(time: Timestamp, micros: i64) -> Timestamp {
    let span = Duration::from_micros(micros.unsigned_abs());
    if micros >= 0 { time.saturating_add(span) } else { time.saturating_sub(span) }
}
