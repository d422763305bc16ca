//! `host schedules history`: what became of each due time.

use clap::Args;

use super::context::Context;
use super::exit::Outcomes;
use super::output::time;
use super::settings_file::parse_positive;
use crate::app::App;
use crate::config::units::format_duration;
use crate::model::{FireLine, Job, JobId, ScheduleId};
use crate::wire::FireLineWire;
use crate::words::{what, why};

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
