//! Queues.

use serde_json::{Map, Value, json};

use crate::app::QueueState;

/// A queue and who serves it.
pub(crate) fn queue(QueueState { row, workers }: &QueueState) -> Value {
    let needs: Map<_, _> = row.waiting.iter().map(|(needs, jobs)| (needs.to_string(), (*jobs).into())).collect();
    json!({
        "name": row.queue.as_str(),
        "paused": row.is_paused,
        "waiting": row.waiting.iter().map(|(_, jobs)| jobs).sum::<u64>(),
        "waiting_by_need": needs,
        "running": row.running,
        "workers": workers,
    })
}
