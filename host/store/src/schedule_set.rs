//! Changing what a schedule says.

use crate::model::Schedule;

/// See [`ScheduleQueue::schedule_set`](crate::ScheduleQueue::schedule_set).
#[derive(Debug, Clone)]
pub struct SetSchedule {
    /// The schedule as the caller saw it.
    pub expected: Schedule,
    /// The schedule as it is to be, of the same id and life.
    pub schedule: Schedule,
}
