//! `host queues`.

use clap::{Args, Subcommand};
use serde_json::json;

use super::context::Context;
use super::exit::Outcomes;
use crate::app::QueueState;
use crate::model::QueueName;
use crate::wire;

#[derive(Debug, Args)]
pub(super) struct QueuesArgs {
    #[command(subcommand)]
    command: Option<QueuesCommand>,
}

#[derive(Debug, Subcommand)]
enum QueuesCommand {
    /// List queues (also without any subcommand)
    List,
    /// Start no job of a queue until it is resumed; running ones go on
    Pause {
        /// The queue
        name: QueueName,
    },
    /// Start jobs of a queue again
    Resume {
        /// The queue
        name: QueueName,
    },
}

pub(super) async fn run(context: &mut Context, args: QueuesArgs) -> Outcomes {
    match args.command.unwrap_or(QueuesCommand::List) {
        QueuesCommand::List => list(context).await,
        QueuesCommand::Pause { name } => pause(context, &name, true).await,
        QueuesCommand::Resume { name } => pause(context, &name, false).await,
    }
}

async fn list(context: &mut Context) -> Outcomes {
    let queues = context.app().await?.queue_list().await?;
    if context.out.json {
        let rows = queues.iter().map(wire::queue);
        return Ok(context.out.json(&rows.collect::<Vec<_>>())?);
    }
    if queues.is_empty() {
        return Ok(context.out.note("no queue has jobs or workers")?);
    }
    table(context, &queues)
}

pub(super) fn table(context: &mut Context, queues: &[QueueState]) -> Outcomes {
    let rows = queues.iter().map(|QueueState { row, workers }| {
        let state = if row.is_paused { "paused" } else { "open" };
        let counts = [waiting(row), row.running].map(|count| count.to_string());
        let [waiting, running] = counts;
        vec![row.queue.to_string(), state.to_owned(), waiting, running, workers.to_string()]
    });
    let rows = rows.collect();
    Ok(context.out.table(&["QUEUE", "STATE", "WAITING", "RUNNING", "WORKERS"], rows)?)
}

fn waiting(row: &crate::store::QueueRow) -> u64 {
    row.waiting.iter().map(|(_, jobs)| jobs).sum()
}

async fn pause(context: &mut Context, queue: &QueueName, pause: bool) -> Outcomes {
    let has_changed = context.app().await?.queue_pause(queue, pause).await?;
    if context.out.json {
        return Ok(context.out.json(&json!({"name": queue.as_str(), "paused": pause}))?);
    }
    let already = if has_changed { "" } else { " already" };
    let state = if pause { "is paused" } else { "is open" };
    Ok(context.out.line(&format!("queue `{queue}` {state}{already}"))?)
}
