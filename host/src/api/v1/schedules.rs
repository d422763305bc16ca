//! Schedules, and triggers before they are used.

use std::num::NonZeroU32;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::call::{Answered, Call, answer};
use super::super::problem::Problem;
use super::super::route::{Access, Route};
use super::given::{SettingsGiven, WhenGiven, Word, pinned, said};
use super::list::{self, CURSOR, LIMIT, Page};
use crate::app::{AppError, Arguments, Backfill, NewSchedule, ResumeAt, ScheduleChange, SettingName};
use crate::model::Permission::{Read, Schedules};
use crate::model::{Coalesce, ConflictPolicy, Schedule, ScheduleId, Timestamp};
use crate::store::{ScheduleAdded, ScheduleFilter};
use crate::trigger::{Fire, TriggerEdit};
use crate::wire::{
    BackfilledWire, FireLineWire, KnownTasks, ScheduleChangedWire, ScheduleDetails, ScheduleWire, schedule_changed,
};

const TASK: (&str, &str) = ("task", "only those of this task");
const COUNT: (&str, &str) = ("count", "how many fire times, 1 to 1000 [default: 10]");

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post("/api/v1/triggers/preview", Read, "The next fire times of a trigger", preview_trigger)
            .takes_json::<Tried>()
            .answers::<TriggerPreview>(&[200]),
        Route::get("/api/v1/schedules", Access::Needs(Read), "List schedules, by ID", list)
            .query(&[TASK, LIMIT, CURSOR])
            .answers::<Page<Vec<ScheduleWire>>>(&[200]),
        Route::post("/api/v1/schedules", Schedules, "Put a task on a schedule", create)
            .takes_json::<Created>()
            .answers::<ScheduleDetails>(&[200, 201]),
        Route::get("/api/v1/schedules/{id}", Access::Needs(Read), "One schedule", show)
            .answers::<ScheduleDetails>(&[200]),
        Route::patch("/api/v1/schedules/{id}", Schedules, "Change what is said and keep the rest", change)
            .takes_json::<Changed>()
            .answers::<ScheduleChangedWire>(&[200]),
        Route::delete("/api/v1/schedules/{id}", "Remove a schedule; its jobs stay", remove)
            .answers::<ScheduleRemoved>(&[200]),
        Route::post("/api/v1/schedules/{id}/pause", Schedules, "Let a schedule rest", pause)
            .answers::<ScheduleDetails>(&[200]),
        Route::post("/api/v1/schedules/{id}/unpause", Schedules, "Wake a schedule", unpause)
            .query(&[("resume_from", "pass over the fire times before this time: `now` or RFC 3339")])
            .answers::<ScheduleDetails>(&[200]),
        Route::post("/api/v1/schedules/{id}/run", Schedules, "Queue a job of a schedule now", run)
            .answers::<ScheduleRun>(&[201]),
        Route::post(
            "/api/v1/schedules/{id}/backfill",
            Schedules,
            "Queue jobs for fire times of a schedule that have passed",
            backfill,
        )
        .takes_json::<PastFires>()
        .answers::<BackfilledWire>(&[200]),
        Route::get("/api/v1/schedules/{id}/preview", Access::Needs(Read), "The next fire times of a schedule", preview)
            .query(&[COUNT])
            .answers::<Vec<String>>(&[200]),
        Route::get("/api/v1/schedules/{id}/history", Access::Needs(Read), "What became of its due times", history)
            .query(&[LIMIT, ("explain", "say what became of the jobs as well")])
            .answers::<History>(&[200]),
    ]
}

#[derive(Serialize, JsonSchema)]
struct TriggerPreview {
    trigger: Value,
    /// What it means, in words.
    description: String,
    notes: Vec<String>,
    fires: Vec<String>,
}

/// A schedule as it was.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
enum ScheduleRemoved {
    Read(Box<ScheduleDetails>),
    /// One that could not be read.
    Unreadable {
        id: String,
        task_id: Option<String>,
        unreadable: String,
    },
}

#[derive(Serialize, JsonSchema)]
struct ScheduleRun {
    job_id: String,
}

#[derive(Serialize, JsonSchema)]
struct History {
    items: Vec<FireLineWire>,
    has_more: bool,
    unreadable: usize,
}

/// Most fire times that are computed for a request.
const FIRES_MAX: usize = 1_000;
const FIRES: usize = 10;
/// How many fire times a backfill is about where nothing is said.
const BACKFILL_FIRES: usize = 1_000;

fn check_count(count: usize) -> Result<usize, String> {
    match count {
        1..=FIRES_MAX => Ok(count),
        _ => Err(format!("it is a number from 1 to {FIRES_MAX}")),
    }
}

/// A trigger that is to be tried.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "NewTrigger")]
#[serde(deny_unknown_fields)]
struct Tried {
    when: WhenGiven,
    /// The ID of the schedule, which the `H` of a cron expression takes its value from.
    #[serde(default)]
    id: String,
    count: Option<usize>,
}

async fn preview_trigger(call: Call) -> Answered {
    let given: Tried = call.json()?;
    let count = check_count(given.count.unwrap_or(FIRES));
    let count = count.map_err(|error| Problem::bad_request(format!("`count`: {error}")))?;
    let trigger = given.when.trigger(call.app().now().await?, &given.id)?;
    // Computed, and by rules that somebody made up: not on a thread that others wait for.
    let computing = tokio::task::spawn_blocking(move || {
        trigger.first_fire()?;
        let (mut state, mut fires) = (trigger.initial_state(), Vec::new());
        while fires.len() < count
            && let Some(fire) = trigger.next(&mut state)?
        {
            fires.push(fire);
        }
        Ok::<_, AppError>((trigger, fires))
    });
    let computed = computing.await.map_err(|error| AppError::unexpected("the trigger was not tried", error))?;
    let (trigger, fires) = computed?;
    answer(&TriggerPreview {
        trigger: trigger.to_value(),
        description: trigger.describe(),
        notes: trigger.notes(),
        fires: fires.iter().map(ToString::to_string).collect(),
    })
}

async fn list(call: Call) -> Answered {
    let limit = list::limit(&call.query)?;
    let task_id = match call.query.one("task")? {
        Some(task) => Some(call.app().task_of_filter(task).await?),
        None => None,
    };
    let after = list::cursor::<ScheduleId>(&call.query)?.map(|id| id.to_string());
    let filter = ScheduleFilter { task_id, after, ..ScheduleFilter::default() };
    let (mut schedules, unreadable) = call.app().schedule_list(filter, limit + 1).await?;
    let has_more = schedules.len() > limit;
    schedules.truncate(limit);
    let tasks = KnownTasks::read(call.app()).await?;
    let wire: Vec<_> = schedules.iter().map(|schedule| ScheduleWire::new(schedule, tasks.of(schedule))).collect();
    let last = schedules.last().filter(|_| has_more);
    list::page(&wire, last.map(|schedule| schedule.id.as_str()), &unreadable)
}

/// A schedule that is to be added.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "NewSchedule")]
#[serde(deny_unknown_fields)]
struct Created {
    id: Option<String>,
    task: String,
    when: WhenGiven,
    args: Option<Value>,
    coalesce: Option<Word<Coalesce>>,
    max_jitter: Option<Word<Duration>>,
    #[serde(default)]
    settings: SettingsGiven,
    version: Option<String>,
    #[serde(default)]
    paused: bool,
    #[serde(default)]
    unchecked: bool,
    /// What to do where the ID is taken: `error`, `replace` or `skip`.
    conflict: Option<String>,
}

async fn create(call: Call) -> Answered {
    let given: Created = call.json()?;
    let app = call.app();
    let conflict = match given.conflict.as_deref() {
        None | Some("error") => ConflictPolicy::Error,
        Some("replace") => ConflictPolicy::Replace,
        Some("skip") => ConflictPolicy::Skip,
        Some(other) => {
            let detail = format!("`conflict` cannot be `{other}`: it is `error`, `replace` or `skip`");
            return Err(Problem::bad_request(detail));
        }
    };
    let id = match given.id {
        Some(text) => ScheduleId::new(&text).map_err(|error| Problem::bad_request(format!("`id`: {error}")))?,
        None => app.schedule_new_id(&given.task).await?,
    };
    let version = pinned(app, &given.task, given.version.as_deref()).await?;
    let trigger = given.when.trigger(app.now().await?, id.as_str())?;
    let new = NewSchedule {
        id: Some(id),
        args: given.args.map_or(Arguments::Absent, Arguments::Json),
        coalesce: said(given.coalesce).unwrap_or_default(),
        max_jitter: said(given.max_jitter).unwrap_or_default(),
        settings: given.settings.settings(version),
        paused: given.paused,
        conflict,
        unchecked: given.unchecked,
        ..NewSchedule::new(given.task, trigger)
    };
    let created = app.schedule_add(new).await?;
    let status = if created.added == ScheduleAdded::Added { StatusCode::CREATED } else { StatusCode::OK };
    let tasks = KnownTasks::read(app).await?;
    Ok((status, axum::Json(tasks.details(&created.schedule))).into_response())
}

async fn details(call: &Call, schedule: &Schedule) -> Answered {
    answer(&KnownTasks::read(call.app()).await?.details(schedule))
}

async fn show(call: Call) -> Answered {
    let schedule = call.app().schedule_get(&call.path("id")?).await?;
    details(&call, &schedule).await
}

/// What is to be different about a schedule.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "ScheduleChange")]
#[serde(deny_unknown_fields)]
struct Changed {
    when: Option<WhenGiven>,
    args: Option<Value>,
    coalesce: Option<Word<Coalesce>>,
    max_jitter: Option<Word<Duration>>,
    #[serde(default)]
    settings: SettingsGiven,
    #[serde(default)]
    unset: Vec<Word<SettingName>>,
    #[serde(default)]
    unchecked: bool,
}

async fn change(call: Call) -> Answered {
    let (id, given) = (call.path::<ScheduleId>("id")?, call.json::<Changed>()?);
    let trigger = match given.when {
        Some(when) => when.edit(call.app().now().await?, id.as_str())?,
        None => TriggerEdit::default(),
    };
    let change = ScheduleChange {
        trigger,
        args: given.args.map_or(Arguments::Absent, Arguments::Json),
        coalesce: said(given.coalesce),
        max_jitter: said(given.max_jitter),
        settings: given.settings.settings(None),
        unset: given.unset.into_iter().map(|word| word.0).collect(),
        unchecked: given.unchecked,
    };
    if change.is_empty() {
        return Err(Problem::bad_request("nothing is said that is to be different"));
    }
    answer(&schedule_changed(&call.app().schedule_set(&id, &change).await?))
}

async fn remove(call: Call) -> Answered {
    let id = call.path::<ScheduleId>("id")?;
    let removed = call.app().schedule_remove(&id).await?;
    answer(&match removed.schedule {
        Ok(schedule) => ScheduleRemoved::Read(Box::new(KnownTasks::read(call.app()).await?.details(&schedule))),
        Err(bad) => ScheduleRemoved::Unreadable {
            id: bad.id,
            task_id: removed.task_id.as_ref().map(ToString::to_string),
            unreadable: bad.defect.to_string(),
        },
    })
}

async fn pause(call: Call) -> Answered {
    let schedule = call.app().schedule_pause(&call.path("id")?).await?;
    details(&call, &schedule).await
}

async fn unpause(call: Call) -> Answered {
    let resume = call.query.read_with("resume_from", |text| match text {
        "now" => Ok(ResumeAt::Now),
        _ => text.parse::<Timestamp>().map(ResumeAt::Time).map_err(|error| format!("{error}; or `now`")),
    })?;
    let schedule = call.app().schedule_unpause(&call.path("id")?, resume).await?;
    details(&call, &schedule).await
}

async fn run(call: Call) -> Answered {
    let job = call.app().schedule_run(&call.path("id")?).await?;
    Ok((StatusCode::CREATED, axum::Json(ScheduleRun { job_id: job.to_string() })).into_response())
}

/// The fire times for which jobs are to be queued.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "NewBackfill")]
#[serde(deny_unknown_fields)]
struct PastFires {
    /// The first and the last that count.
    from: Word<Timestamp>,
    to: Word<Timestamp>,
    /// At most this many, the earliest ones; 1,000 where nothing is said.
    limit: Option<usize>,
    /// Run no more than this many of the jobs at once.
    max_running: Option<NonZeroU32>,
    /// Answer the fire times, and queue nothing.
    #[serde(default)]
    dry_run: bool,
}

async fn backfill(call: Call) -> Answered {
    let (id, given) = (call.path::<ScheduleId>("id")?, call.json::<PastFires>()?);
    let PastFires { from, to, limit, max_running, dry_run } = given;
    let request = Backfill { from: from.0, to: to.0, limit: limit.unwrap_or(BACKFILL_FIRES), max_running, dry_run };
    answer(&BackfilledWire::from(&call.app().schedule_backfill(&id, &request).await?))
}

async fn preview(call: Call) -> Answered {
    let read = |text: &str| text.parse().map_err(|_| "it is a number".to_owned()).and_then(check_count);
    let count = call.query.read_with("count", read)?.unwrap_or(FIRES);
    let preview = call.app().schedule_preview(&call.path("id")?, count).await?;
    answer(&preview.fires.iter().map(Fire::to_string).collect::<Vec<_>>())
}

async fn history(call: Call) -> Answered {
    let (limit, explain) = (list::limit(&call.query)?, call.query.is_set("explain")?);
    let history = call.app().schedule_history(&call.path("id")?, limit).await?;
    let mut lines = Vec::with_capacity(history.lines.len());
    for line in &history.lines {
        let jobs = if explain { Some(call.app().jobs_of_fire(line).await?) } else { None };
        lines.push(FireLineWire::new(line, jobs.as_deref()));
    }
    answer(&History { items: lines, has_more: history.has_more, unreadable: history.unreadable.len() })
}
