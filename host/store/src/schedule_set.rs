//! Changing what a schedule says.

use crate::ledger::PassedFires;
use crate::model::{Schedule, Timestamp};

/// See [`ScheduleQueue::schedule_set`](crate::ScheduleQueue::schedule_set).
#[derive(Debug, Clone)]
pub struct SetSchedule {
    /// The schedule as the caller saw it.
    pub expected: Schedule,
    /// The schedule as it is to be, of the same id and life.
    pub schedule: Schedule,
    /// When it was changed.
    pub at: Timestamp,
    /// What was due by the old rule, and is passed over.
    pub passed: Option<PassedFires>,
}
