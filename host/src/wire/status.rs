//! How things stand.

use serde_json::{Value, json};

use crate::app::Status;
use crate::store::SchedulerRow;

/// The state of the whole, but for what is known of the process that asks.
pub(crate) fn status(status: &Status) -> Value {
    let unserved = status.unserved.iter().map(|unserved| {
        json!({
            "queue": unserved.queue.as_str(),
            "needs": unserved.needs.to_string(),
            "jobs": unserved.jobs,
            "waits_for": unserved.waits_for,
        })
    });
    let unreadable = status.unreadable.first.iter();
    let unreadable = unreadable.map(|row| json!({"what": row.id, "reason": row.defect.to_string()}));
    json!({
        "plugins": status.plugins,
        "tasks": status.tasks,
        "schedules": {"total": status.schedules, "paused": status.schedules_paused},
        "next_due": status.next_due.map(|at| at.to_string()),
        "jobs": {"queued": status.jobs.queued, "running": status.jobs.running, "finished": status.jobs.finished},
        "unserved": unserved.collect::<Vec<_>>(),
        "schedulers": status.schedulers.iter().map(scheduler).collect::<Vec<_>>(),
        "unreadable": {"count": status.unreadable.count, "first": unreadable.collect::<Vec<_>>()},
        "store_clock_ahead_ms": status.store_clock_ahead_ms,
    })
}

/// A scheduler that was seen lately, or that stopped.
pub(crate) fn scheduler(scheduler: &SchedulerRow) -> Value {
    json!({
        "id": scheduler.id.as_str(),
        "role": scheduler.role,
        "started_at": scheduler.started_at.to_string(),
        "seen_at": scheduler.seen_at.to_string(),
        "stopped_at": scheduler.stopped_at.map(|at| at.to_string()),
        "queues": scheduler.queues.iter().map(|queue| queue.as_str()).collect::<Vec<_>>(),
        "abilities": scheduler.abilities.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "memory": scheduler.memory.map(|memory| json!({
            "total_bytes": memory.total_bytes,
            "reserved_bytes": memory.reserved_bytes,
            "jobs_waiting": memory.waiting,
        })),
    })
}
