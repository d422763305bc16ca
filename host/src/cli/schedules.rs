//! `host schedules`.

use clap::{Args, Subcommand};

use super::backfill::BackfillArgs;
use super::context::Context;
use super::exit::Outcomes;
use super::history::HistoryArgs;
use super::output::{printable, shortened, time_or_dash};
use super::schedule_set::SetArgs;
use super::settings_file::parse_positive;
use crate::app::{App, ResumeAt};
use crate::model::{Schedule, ScheduleId, TaskId};
use crate::store::{ScheduleFilter, Unreadable};
use crate::wire::{KnownTasks, ScheduleState, ScheduleWire, describe, payload_value};
use crate::words::{schedule_settings, state_of_schedule};

#[derive(Debug, Args)]
pub(super) struct SchedulesArgs {
    #[command(subcommand)]
    command: Option<SchedulesCommand>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Only those of this task
    #[arg(long, value_name = "TASK")]
    task: Option<String>,
    /// At most this many
    #[arg(short, long = "limit", value_name = "N", default_value_t = 1_000, value_parser = parse_positive)]
    n: usize,
}

#[derive(Debug, Subcommand)]
enum SchedulesCommand {
    /// List schedules (also without any subcommand)
    List(ListArgs),
    /// One schedule
    Show {
        /// The schedule
        id: ScheduleId,
    },
    /// What became of the due times of a schedule, the latest first
    History(HistoryArgs),
    /// Queue a job of a schedule now, and print its ID
    Run {
        /// The schedule
        id: ScheduleId,
    },
    /// Queue jobs for fire times that have passed, and print their IDs; a fire time that has a job gets no second one
    Backfill(BackfillArgs),
    /// Change what is said and keep the rest; prints what becomes of the next fire times
    Set(Box<SetArgs>),
    /// Let a schedule rest; its jobs go on
    Pause {
        /// The schedule
        id: ScheduleId,
    },
    /// Wake a schedule
    Unpause {
        /// The schedule
        id: ScheduleId,
        /// Pass over the fire times before this time, `now` or RFC 3339 [default: those that were missed count as missed]
        #[arg(long, value_name = "now|T", value_parser = parse_resume)]
        resume_from: Option<ResumeAt>,
    },
    /// Remove a schedule; its jobs stay
    Remove {
        /// The schedule
        id: ScheduleId,
    },
    /// The next fire times of a schedule, one a line
    Preview {
        /// The schedule
        id: ScheduleId,
        /// How many
        #[arg(short, long = "count", value_name = "N", default_value_t = 10)]
        n: usize,
    },
}

fn parse_resume(text: &str) -> Result<ResumeAt, String> {
    match text {
        "now" => Ok(ResumeAt::Now),
        _ => text.parse().map(ResumeAt::Time).map_err(|error| format!("{error}; or `now`")),
    }
}

pub(super) async fn run(context: &mut Context, args: SchedulesArgs) -> Outcomes {
    let app = context.app().await?;
    match args.command.unwrap_or(SchedulesCommand::List(args.list)) {
        SchedulesCommand::List(args) => list(context, args).await,
        SchedulesCommand::Show { id } => {
            let schedule = app.schedule_get(&id).await?;
            print(context, &app, &schedule).await
        }
        SchedulesCommand::History(args) => super::history::run(context, &app, args).await,
        SchedulesCommand::Run { id } => {
            let job = app.schedule_run(&id).await?.to_string();
            if context.out.json {
                return Ok(context.out.json(&serde_json::json!({"job_id": job}))?);
            }
            Ok(context.out.line(&job)?)
        }
        SchedulesCommand::Backfill(args) => super::backfill::run(context, &app, args).await,
        SchedulesCommand::Set(args) => super::schedule_set::run(context, &app, *args).await,
        SchedulesCommand::Pause { id } => {
            let schedule = app.schedule_pause(&id).await?;
            done(context, &app, &schedule, &format!("schedule `{id}` is paused")).await
        }
        SchedulesCommand::Unpause { id, resume_from } => {
            let schedule = app.schedule_unpause(&id, resume_from).await?;
            let next = time_or_dash(schedule.next_fire_time);
            done(context, &app, &schedule, &format!("schedule `{id}` goes on; next fire time {next}")).await
        }
        SchedulesCommand::Remove { id } => {
            let removed = app.schedule_remove(&id).await?;
            match removed.schedule {
                Ok(schedule) => done(context, &app, &schedule, &format!("schedule `{id}` is removed")).await,
                Err(bad) => removed_unread(context, removed.task_id.as_ref(), &bad),
            }
        }
        SchedulesCommand::Preview { id, n } => preview(context, &app, &id, n).await,
    }
}

async fn list(context: &mut Context, args: ListArgs) -> Outcomes {
    let app = context.app().await?;
    let task_id = match args.task {
        Some(task) => Some(app.task_of_filter(&task).await?),
        None => None,
    };
    let limit = args.n;
    let filter = ScheduleFilter { task_id, ..ScheduleFilter::default() };
    let (mut schedules, unreadable) = app.schedule_list(filter, limit.saturating_add(1)).await?;
    let is_cut = schedules.len() > limit;
    schedules.truncate(limit);
    context.out.unreadable("schedule", &unreadable)?;
    let tasks = KnownTasks::read(&app).await?;
    if context.out.json {
        let wire = schedules.iter().map(|schedule| ScheduleWire::new(schedule, tasks.of(schedule)));
        context.out.json(&wire.collect::<Vec<_>>())?;
    } else if schedules.is_empty() && unreadable.is_empty() {
        context.out.note("no schedules; `host schedule TASK --interval 30s` adds one")?;
    } else {
        let row = |schedule: &Schedule| {
            let (next, last) = (time_or_dash(schedule.next_fire_time), time_or_dash(schedule.last_fire_time));
            let state = ScheduleState::of(schedule, tasks.presence(schedule));
            vec![
                schedule.id.to_string(),
                schedule.task_id.to_string(),
                state.as_str().replace('_', " "),
                next,
                last,
                describe(schedule),
            ]
        };
        let rows = schedules.iter().map(row).collect();
        context.out.table(&["ID", "TASK", "STATE", "NEXT", "LAST", "FIRES"], rows)?;
    }
    if is_cut {
        context.out.note("there are more; -n N shows more")?;
    }
    Ok(())
}

async fn preview(context: &mut Context, app: &App, id: &ScheduleId, count: usize) -> Outcomes {
    let preview = app.schedule_preview(id, count).await?;
    if context.out.json {
        let times: Vec<String> = preview.fires.iter().map(ToString::to_string).collect();
        return Ok(context.out.json(&times)?);
    }
    for fire in &preview.fires {
        context.out.line(&fire.to_string())?;
    }
    if preview.is_exhausted {
        context.out.note("there are no more fire times")?;
    }
    Ok(())
}

/// Says that a schedule is removed of which nothing more can be told.
fn removed_unread(context: &mut Context, task_id: Option<&TaskId>, bad: &Unreadable) -> Outcomes {
    let (id, reason) = (&bad.id, bad.defect.to_string());
    if context.out.json {
        let task_id = task_id.map(TaskId::as_str);
        return Ok(context.out.json(&serde_json::json!({"id": id, "task_id": task_id, "unreadable": reason}))?);
    }
    Ok(context.out.line(&printable(&format!("schedule `{id}` is removed; it was unreadable: {reason}")))?)
}

/// Prints the schedule as JSON, or a line.
async fn done(context: &mut Context, app: &App, schedule: &Schedule, line: &str) -> Outcomes {
    if context.out.json { print(context, app, schedule).await } else { Ok(context.out.line(line)?) }
}

async fn print(context: &mut Context, app: &App, schedule: &Schedule) -> Outcomes {
    let tasks = KnownTasks::read(app).await?;
    if context.out.json {
        return Ok(context.out.json(&tasks.details(schedule))?);
    }
    let mut pairs = vec![
        ("schedule", schedule.id.to_string()),
        ("task", schedule.task_id.to_string()),
        ("fires", describe(schedule)),
        ("state", state_of_schedule(schedule, &tasks)),
        ("next", time_or_dash(schedule.next_fire_time)),
        ("last", time_or_dash(schedule.last_fire_time)),
        (
            "arguments",
            payload_value(&schedule.args).map_or_else(|fault| fault, |args| shortened(&args.to_string(), 400)),
        ),
    ];
    pairs.extend(schedule_settings(schedule, &tasks));
    pairs.push(("created", super::output::time(schedule.created_at)));
    Ok(context.out.pairs(&pairs)?)
}
