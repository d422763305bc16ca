//! `host top`.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::context::Context;
use super::exit::Outcomes;
use super::output::{shortened, time, time_or_dash};
use super::settings_file::{parse_positive, parse_span};
use super::{queues, system};
use crate::app::{App, EventFilter, EventStream, QueueState, Received, Status};
use crate::config::units::format_duration;
use crate::model::{EventKind, EventType, Job, JobState, Outcome, Timestamp};
use crate::store::JobFilter;
use crate::wire::{self, JobWire};
use crate::words::{ending, progress};

/// Most jobs of a kind that are listed.
const JOBS_MAX: usize = 10;

/// Clears the screen and goes to its beginning (ECMA-48: ED, CUP).
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";

#[derive(Debug, Args)]
pub(super) struct TopArgs {
    /// How long it is until the next look
    #[arg(long, value_name = "D", default_value = "2s", value_parser = parse_span)]
    every: Duration,
    /// How many looks to take [default: on a terminal no end of them, else one]
    #[arg(short, long = "looks", value_name = "N", value_parser = parse_positive)]
    n: Option<usize>,
}

/// How things stand at one moment.
struct Look {
    at: Timestamp,
    status: Status,
    queues: Vec<QueueState>,
    /// The newest of those that run.
    running: Vec<Job>,
    /// The newest of those that failed.
    failed: Vec<Job>,
    /// How many jobs have ended since the last look, by outcome; `None` where there was none, or nothing of it is heard here.
    ended: Option<BTreeMap<&'static str, u64>>,
}

pub(super) async fn run(context: &mut Context, args: TopArgs) -> Outcomes {
    let app = context.app().await?;
    let is_screen = std::io::stdout().is_terminal() && !context.out.json;
    let looks = args.n.unwrap_or(if is_screen { usize::MAX } else { 1 });
    let mut events = match app.hears_other_processes().await {
        true => Some(app.events(EventFilter { types: vec![EventType::JobReleased] })),
        false => None,
    };
    let mut ended = None;
    for number in 0..looks {
        if number > 0 {
            ended = listen(&app, &mut events, args.every).await;
        }
        let look = look(&app, ended.take()).await?;
        if is_screen {
            context.out.own_text(CLEAR)?;
        }
        print(context, &look, args.every)?;
    }
    Ok(())
}

/// Waits so long, and counts what ends meanwhile.
async fn listen(app: &App, events: &mut Option<EventStream>, span: Duration) -> Option<BTreeMap<&'static str, u64>> {
    let mut ended = BTreeMap::new();
    let clock = app.clock();
    let mut over = clock.sleep(span);
    while let Some(stream) = events {
        tokio::select! {
            biased;
            () = &mut over => return Some(ended),
            received = stream.next() => match received {
                Some(Received::Event(event)) => {
                    if let EventKind::JobReleased(job) = &event.kind && let Some(outcome) = job.outcome {
                        *ended.entry(outcome.as_str()).or_default() += 1;
                    }
                }
                Some(Received::Hint | Received::Missed(_)) => {}
                None => *events = None,
            }
        }
    }
    over.await;
    None
}

async fn look(app: &App, ended: Option<BTreeMap<&'static str, u64>>) -> Outcomes<Look> {
    let running = JobFilter { state: Some(JobState::Running), ..JobFilter::default() };
    let failed = JobFilter { outcome: Some(Outcome::Error), ..JobFilter::default() };
    Ok(Look {
        at: app.now().await?,
        status: app.status().await?,
        queues: app.queue_list().await?,
        running: app.job_list(running, JOBS_MAX).await?.jobs,
        failed: app.job_list(failed, JOBS_MAX).await?.jobs,
        ended,
    })
}

fn print(context: &mut Context, look: &Look, every: Duration) -> Outcomes {
    let Look { at, status, queues, running, failed, ended } = look;
    if context.out.json {
        let jobs = |jobs: &[Job]| jobs.iter().map(|job| json!(JobWire::from(job))).collect::<Vec<_>>();
        return Ok(context.out.json(&json!({
            "at": at.to_string(),
            "status": wire::status(status),
            "queues": queues.iter().map(wire::queue).collect::<Vec<_>>(),
            "running": jobs(running),
            "failed": jobs(failed),
            "ended": ended,
        }))?);
    }
    let mut pairs = vec![("at", time(*at))];
    pairs.extend(system::state(status));
    if let Some(ended) = ended {
        let counts = ended.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect::<Vec<_>>().join(", ");
        let counts = if counts.is_empty() { "none".to_owned() } else { counts };
        pairs.push(("ended", format!("{counts}, in {}", format_duration(every))));
    }
    context.out.pairs(&pairs)?;
    if !queues.is_empty() {
        context.out.line("")?;
        queues::table(context, queues)?;
    }
    if !running.is_empty() {
        context.out.line("")?;
        let row = |job: &Job| {
            let told = job.progress.as_ref().map(progress).unwrap_or_default();
            vec![
                job.spec.id.to_string(),
                job.spec.task_id.to_string(),
                time_or_dash(job.started_at),
                job.scheduler_id.as_ref().map(ToString::to_string).unwrap_or_default(),
                shortened(&told, 60),
            ]
        };
        context.out.table(&["RUNS", "TASK", "SINCE", "ON", "PROGRESS"], running.iter().map(row).collect())?;
    }
    if !failed.is_empty() {
        context.out.line("")?;
        let row = |job: &Job| {
            let (id, task) = (job.spec.id.to_string(), job.spec.task_id.to_string());
            vec![id, task, time_or_dash(job.finished_at), shortened(&ending(job), 80)]
        };
        context.out.table(&["FAILED", "TASK", "AT", "ERROR"], failed.iter().map(row).collect())?;
    }
    Ok(())
}
