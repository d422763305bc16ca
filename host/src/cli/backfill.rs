//! `host schedules backfill`: jobs for fire times that have passed.

use std::num::NonZeroU32;

use clap::Args;

use super::context::Context;
use super::exit::Outcomes;
use super::output::plural;
use super::settings_file::parse_positive;
use super::when::TimeArg;
use crate::app::{App, Backfill, Backfilled};
use crate::model::ScheduleId;
use crate::trigger::DstPolicy;
use crate::wire::BackfilledWire;

#[derive(Debug, Args)]
pub(super) struct BackfillArgs {
    /// The schedule
    id: ScheduleId,
    /// The first fire time that counts: RFC 3339, or a local time such as 2026-12-01T10:00 of --timezone
    #[arg(long, value_name = "T")]
    from: TimeArg,
    /// The last fire time that counts; those from now on are the schedule's own
    #[arg(long, value_name = "T")]
    to: TimeArg,
    /// Time zone of local times
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// At most this many, the earliest ones
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = parse_positive)]
    limit: usize,
    /// Run no more than this many of the jobs at once [default: as many as the task allows]
    #[arg(long, value_name = "N")]
    max_running: Option<NonZeroU32>,
    /// Print the fire times, and queue nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(context: &mut Context, app: &App, args: BackfillArgs) -> Outcomes {
    let BackfillArgs { id, from, to, timezone, limit, max_running, dry_run } = args;
    let instant = |flag, time: TimeArg| time.instant(flag, timezone.as_deref(), DstPolicy::default());
    let (from, to) = (instant("--from", from)?.at, instant("--to", to)?.at);
    let done = app.schedule_backfill(&id, &Backfill { from, to, limit, max_running, dry_run }).await?;
    let Backfilled { fires, jobs, had_job, next } = &done;
    if context.out.json {
        context.out.json(&BackfilledWire::from(&done))?;
    } else if dry_run {
        for fire in fires {
            context.out.line(&fire.to_string())?;
        }
    } else {
        for job in jobs {
            context.out.line(&job.to_string())?;
        }
    }
    if fires.is_empty() {
        context.out.note("there are no such fire times")?;
    }
    if *had_job > 0 {
        context.out.note(&format!("{} had a job already", plural(*had_job, "fire time")))?;
    }
    if let Some(next) = next {
        context.out.note(&format!("there are more; go on with --from {next}"))?;
    }
    Ok(())
}
