//! Queues, as callers name them and as they are shown.

use crate::model::{Ability, QueueName};

/// A queue that a worker serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedQueue {
    /// The queue.
    pub queue: QueueName,
    /// At most this many jobs of it.
    pub limit: usize,
}

/// A queue, as `host queues` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueRow {
    /// Its name.
    pub queue: QueueName,
    /// Whether no jobs of it are started.
    pub is_paused: bool,
    /// Its jobs that run.
    pub running: u64,
    /// How many of its jobs are due and have not begun, whatever holds them back, by what they need.
    pub waiting: Vec<(Ability, u64)>,
}

impl QueueRow {
    /// A queue that goes on and has no jobs.
    pub fn idle(queue: QueueName) -> QueueRow {
        QueueRow { queue, is_paused: false, running: 0, waiting: Vec::new() }
    }
}
