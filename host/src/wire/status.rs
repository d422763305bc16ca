//! How things stand.

use serde::Serialize;

use crate::app::Status;
use crate::model::MemoryLoad;
use crate::store::SchedulerRow;

/// The state of the whole, but for what is known of the process that asks.
#[derive(Serialize)]
#[cfg_attr(feature = "api", derive(schemars::JsonSchema), schemars(rename = "Status"))]
pub(crate) struct StatusWire {
    plugins: usize,
    tasks: usize,
    schedules: ScheduleCountsWire,
    next_due: Option<String>,
    jobs: JobCountsWire,
    /// Due jobs that nobody alive runs.
    unserved: Vec<UnservedWire>,
    schedulers: Vec<SchedulerWire>,
    unreadable: UnreadsWire,
    /// How far the store's clock is ahead of that of this host, where both are far apart.
    store_clock_ahead_ms: Option<i64>,
}

#[derive(Serialize)]
#[cfg_attr(feature = "api", derive(schemars::JsonSchema), schemars(rename = "ScheduleCounts"))]
struct ScheduleCountsWire {
    total: u64,
    paused: u64,
}

#[derive(Serialize)]
#[cfg_attr(feature = "api", derive(schemars::JsonSchema), schemars(rename = "JobCounts"))]
struct JobCountsWire {
    queued: u64,
    running: u64,
    finished: u64,
}

#[derive(Serialize)]
#[cfg_attr(feature = "api", derive(schemars::JsonSchema), schemars(rename = "Unserved"))]
struct UnservedWire {
    queue: String,
    needs: String,
    jobs: u64,
    waits_for: String,
}

#[derive(Serialize)]
#[cfg_attr(feature = "api", derive(schemars::JsonSchema), schemars(rename = "Unreads"))]
struct UnreadsWire {
    count: u64,
    first: Vec<UnreadWire>,
}

#[derive(Serialize)]
#[cfg_attr(feature = "api", derive(schemars::JsonSchema), schemars(rename = "Unread"))]
struct UnreadWire {
    what: String,
    reason: String,
}

/// A scheduler that was seen lately, or that stopped.
#[derive(Serialize)]
#[cfg_attr(feature = "api", derive(schemars::JsonSchema), schemars(rename = "Scheduler"))]
pub(crate) struct SchedulerWire {
    id: String,
    role: String,
    started_at: String,
    seen_at: String,
    stopped_at: Option<String>,
    queues: Vec<String>,
    abilities: Vec<String>,
    memory: Option<MemoryWire>,
}

#[derive(Serialize)]
#[cfg_attr(feature = "api", derive(schemars::JsonSchema), schemars(rename = "Memory"))]
struct MemoryWire {
    total_bytes: u64,
    reserved_bytes: u64,
    jobs_waiting: usize,
}

pub(crate) fn status(status: &Status) -> StatusWire {
    let unserved = status.unserved.iter().map(|unserved| UnservedWire {
        queue: unserved.queue.to_string(),
        needs: unserved.needs.to_string(),
        jobs: unserved.jobs,
        waits_for: unserved.waits_for.clone(),
    });
    let unread = status.unreadable.first.iter();
    let unread = unread.map(|row| UnreadWire { what: row.id.clone(), reason: row.defect.to_string() });
    StatusWire {
        plugins: status.plugins,
        tasks: status.tasks,
        schedules: ScheduleCountsWire { total: status.schedules, paused: status.schedules_paused },
        next_due: status.next_due.map(|at| at.to_string()),
        jobs: JobCountsWire {
            queued: status.jobs.queued,
            running: status.jobs.running,
            finished: status.jobs.finished,
        },
        unserved: unserved.collect(),
        schedulers: status.schedulers.iter().map(scheduler).collect(),
        unreadable: UnreadsWire { count: status.unreadable.count, first: unread.collect() },
        store_clock_ahead_ms: status.store_clock_ahead_ms,
    }
}

pub(crate) fn scheduler(scheduler: &SchedulerRow) -> SchedulerWire {
    SchedulerWire {
        id: scheduler.id.to_string(),
        role: scheduler.role.to_string(),
        started_at: scheduler.started_at.to_string(),
        seen_at: scheduler.seen_at.to_string(),
        stopped_at: scheduler.stopped_at.map(|at| at.to_string()),
        queues: scheduler.queues.iter().map(ToString::to_string).collect(),
        abilities: scheduler.abilities.iter().map(ToString::to_string).collect(),
        memory: scheduler.memory.map(|MemoryLoad { total_bytes, reserved_bytes, waiting }| MemoryWire {
            total_bytes,
            reserved_bytes,
            jobs_waiting: waiting,
        }),
    }
}
