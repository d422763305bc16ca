//! Version 1 of the interface: the nouns of the command line under `/api/v1`.

mod given;
mod jobs;
mod kv;
mod list;
mod plugins;
mod schedules;
mod streams;
mod submit;
mod tasks;
mod tokens;

use schemars::JsonSchema;
use serde::Serialize;

use super::call::{Answered, Call, answer};
use super::route::{Access, Route};
use crate::model::Permission::{Admin, Read};
use crate::model::QueueName;
use crate::wire::{self, QueueWire, SchedulerWire, StatusWire};
use list::Page;

pub(super) fn routes() -> Vec<Route> {
    let own = vec![
        Route::get("/api/v1/status", Access::Needs(Read), "How things stand: jobs, schedules, schedulers", status)
            .answers::<StatusWire>(&[200]),
        Route::get("/api/v1/schedulers", Access::Needs(Read), "The schedulers that were seen lately", schedulers)
            .answers::<Page<Vec<SchedulerWire>>>(&[200]),
        Route::get("/api/v1/queues", Access::Needs(Read), "List queues", queues)
            .answers::<Page<Vec<QueueWire>>>(&[200]),
        Route::post("/api/v1/queues/{name}/pause", Admin, "Start none of the queue's jobs", pause)
            .answers::<QueuePaused>(&[200]),
        Route::post("/api/v1/queues/{name}/resume", Admin, "Let the queue go on", resume)
            .answers::<QueuePaused>(&[200]),
    ];
    let nouns = [
        own,
        jobs::routes(),
        kv::routes(),
        plugins::routes(),
        schedules::routes(),
        streams::routes(),
        submit::routes(),
        tasks::routes(),
        tokens::routes(),
    ];
    nouns.into_iter().flatten().collect()
}

#[derive(Serialize, JsonSchema)]
struct QueuePaused {
    name: String,
    paused: bool,
}

async fn status(call: Call) -> Answered {
    answer(&wire::status(&call.app().status().await?))
}

async fn schedulers(call: Call) -> Answered {
    let status = call.app().status().await?;
    list::page(&status.schedulers.iter().map(wire::scheduler).collect::<Vec<_>>(), None, &[])
}

async fn queues(call: Call) -> Answered {
    let queues = call.app().queue_list().await?;
    list::page(&queues.iter().map(wire::queue).collect::<Vec<_>>(), None, &[])
}

async fn pause(call: Call) -> Answered {
    set_paused(&call, true).await
}

async fn resume(call: Call) -> Answered {
    set_paused(&call, false).await
}

async fn set_paused(call: &Call, pause: bool) -> Answered {
    let queue = call.path::<QueueName>("name")?;
    call.app().queue_pause(&queue, pause).await?;
    answer(&QueuePaused { name: queue.to_string(), paused: pause })
}
