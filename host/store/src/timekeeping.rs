//! By which clock a store decides what is due and which lease is over.
//!
//! | store | what is due | which lease is over |
//! |---|---|---|
//! | a server | its own clock, inside the transaction | the same |
//! | SQLite | the caller's `now` | the machine's monotonic clock, which its processes share |
//! | memory | the caller's `now` | the machine's monotonic clock |
//!
//! So a host whose clock is wrong takes nothing before its time and no lease from anyone, and a clock that is set ends no lease and
//! keeps none alive. Tests that say themselves what time it is open a store with [`Timekeeping::Caller`].

use std::sync::Arc;

use crate::clock::{Clock, Instant, both};
use crate::model::Timestamp;

/// By which clock a store decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Timekeeping {
    /// As the table above says.
    #[default]
    Own,
    /// Everything by the `now` of the call.
    Caller,
}

/// Leases on a machine: a time that begins at the time of day and goes on by the monotonic clock, so that it looks like the time of day
/// and cannot be set.
#[derive(Debug, Clone)]
pub(super) struct LeaseClock {
    clock: Arc<dyn Clock>,
    began: Instant,
    began_at: Timestamp,
}

impl LeaseClock {
    /// One that begins now.
    pub(super) fn begin(clock: Arc<dyn Clock>) -> LeaseClock {
        let (began, began_at) = both(&*clock);
        LeaseClock { clock, began, began_at }
    }

    /// One that showed `began_at` at `began`.
    #[cfg(feature = "sql")]
    pub(super) fn begun(clock: Arc<dyn Clock>, began: Instant, began_at: Timestamp) -> LeaseClock {
        LeaseClock { clock, began, began_at }
    }

    /// What it showed when the monotonic time began.
    #[cfg(feature = "sql")]
    pub(super) fn origin(&self) -> Timestamp {
        self.began_at.saturating_sub(self.began.since_origin())
    }

    /// What it shows.
    pub(super) fn now(&self) -> Timestamp {
        self.began_at.saturating_add(self.clock.monotonic().saturating_since(self.began))
    }
}
