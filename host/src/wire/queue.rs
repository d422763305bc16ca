//! Queues.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::app::QueueState;

/// A queue and who serves it.
#[derive(Serialize)]
#[cfg_attr(feature = "api", derive(schemars::JsonSchema), schemars(rename = "Queue"))]
pub(crate) struct QueueWire {
    name: String,
    paused: bool,
    waiting: u64,
    /// How many of those that wait need what of a worker.
    waiting_by_need: BTreeMap<String, u64>,
    running: u64,
    workers: usize,
}

pub(crate) fn queue(QueueState { row, workers }: &QueueState) -> QueueWire {
    QueueWire {
        name: row.queue.to_string(),
        paused: row.is_paused,
        waiting: row.waiting.iter().map(|(_, jobs)| jobs).sum(),
        waiting_by_need: row.waiting.iter().map(|(needs, jobs)| (needs.to_string(), *jobs)).collect(),
        running: row.running,
        workers: *workers,
    }
}
