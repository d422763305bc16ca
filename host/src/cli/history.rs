//! `host schedules history`: what became of each due time.

use std::collections::BTreeMap;

use clap::Args;

use super::context::Context;
use super::exit::Outcomes;
use super::output::{printable, time};
use super::settings_file::parse_positive;
use crate::app::App;
use crate::config::units::format_duration;
use crate::model::{Fate, FireLine, Job, JobId, ScheduleId};
use crate::wire::FireLineWire;

#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    /// The schedule
    id: ScheduleId,
    /// Say why, and what became of the jobs
    #[arg(long)]
    explain: bool,
    /// At most so many of the latest lines
    #[arg(short, long = "limit", value_name = "N", default_value_t = 20, value_parser = parse_positive)]
    n: usize,
}

/// The jobs of a line, as far as they are still there.
type Jobs = Vec<(JobId, Option<Job>)>;

pub(super) async fn run(context: &mut Context, app: &App, args: HistoryArgs) -> Outcomes {
    let history = app.schedule_history(&args.id, args.n).await?;
    context.out.unreadable("line", &history.unreadable)?;
    let mut lines: Vec<(FireLine, Option<Jobs>)> = Vec::with_capacity(history.lines.len());
    for line in history.lines {
        let jobs = if args.explain { Some(app.jobs_of_fire(&line).await?) } else { None };
        lines.push((line, jobs));
    }
    if context.out.json {
        let wire = lines.iter().map(|(line, jobs)| FireLineWire::new(line, jobs.as_deref()));
        return Ok(context.out.json(&wire.collect::<Vec<_>>())?);
    }
    if lines.is_empty() {
        return Ok(context.out.note("nothing was due yet")?);
    }
    let mut head = vec!["DUE", "TIMES", "WHAT", "LATE", "JOB"];
    if args.explain {
        head.push("WHY");
    }
    let rows = lines.iter().map(|(line, jobs)| row(line, jobs.as_ref())).collect();
    context.out.table(&head, rows)?;
    if history.has_more {
        context.out.note("there are more; -n N shows more")?;
    }
    Ok(())
}

fn row(line: &FireLine, jobs: Option<&Jobs>) -> Vec<String> {
    let due =
        if line.first == line.last { time(line.first) } else { format!("{} to {}", time(line.first), time(line.last)) };
    let made = match line.jobs.as_slice() {
        [] => "-".to_owned(),
        [only] => only.to_string(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
    };
    let mut row = vec![
        due,
        format!("{}{}", line.count, if line.or_more { " or more" } else { "" }),
        what(line.fate).to_owned(),
        format_duration(line.at.saturating_since(line.last)),
        made,
    ];
    if let Some(jobs) = jobs {
        row.push(why(line, jobs));
    }
    row
}

fn what(fate: Fate) -> &'static str {
    match fate {
        Fate::Queued => "queued",
        Fate::Coalesced => "coalesced",
        Fate::Missed => "queued too late",
        Fate::HadJob => "had a job",
        Fate::Overlap => "skipped: overlap",
        Fate::CatchUp => "skipped: catch-up",
        Fate::Paused => "skipped: paused",
        Fate::Changed => "skipped: changed",
        Fate::Finished => "skipped: finished",
        Fate::Replaced => "skipped: replaced",
    }
}

/// The reason of a line, and what became of its jobs.
fn why(line: &FireLine, jobs: &Jobs) -> String {
    let mut parts: Vec<String> = Vec::new();
    if !line.reason.is_empty() {
        parts.push(printable(&line.reason).into_owned());
    }
    let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
    for (_, job) in jobs {
        *counts.entry(job.as_ref().map_or("removed", standing)).or_default() += 1;
    }
    let one = jobs.len() == 1;
    parts.extend(counts.into_iter().map(|(how, count)| if one { how.to_owned() } else { format!("{count} {how}") }));
    if line.is_end {
        parts.push("the last fire time".to_owned());
    }
    parts.join("; ")
}

fn standing(job: &Job) -> &'static str {
    job.outcome.map_or(job.state.as_str(), |outcome| outcome.as_str())
}
