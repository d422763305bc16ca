//! Jobs that are to be queued, one or many.

use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::IntoResponse as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::call::{Answered, Call, answer};
use super::super::problem::Problem;
use super::super::route::Route;
use super::given::{SettingsGiven, Word, said};
use crate::app::{App, AppError, AppResult, Arguments, JobStart, NewBatchJob, NewJob, Unique};
use crate::model::Permission::Submit;
use crate::model::Timestamp;

/// Most jobs of one request.
const BATCH_MAX: usize = 10_000;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post("/api/v1/jobs", Submit, "Queue a job", submit)
            .takes_json::<Submitted>()
            .answers::<JobSubmitted>(&[200, 201]),
        Route::post("/api/v1/jobs:batch", Submit, "Queue many jobs: all of them or, without `partial`, none", batch)
            .takes_json::<Batch>()
            .answers::<BatchAnswer>(&[200]),
    ]
}

#[derive(Serialize, JsonSchema)]
struct JobSubmitted {
    job_id: String,
    /// Whether it was queued just now, and not by an earlier request with the same key.
    new: bool,
}

/// A job that is to be queued.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "NewJob")]
#[serde(deny_unknown_fields)]
struct Submitted {
    task: String,
    args: Option<Value>,
    #[serde(default)]
    settings: SettingsGiven,
    version: Option<String>,
    #[serde(default)]
    unchecked: bool,
    at: Option<Word<Timestamp>>,
    #[serde(rename = "in")]
    delay: Option<Word<Duration>>,
    unique_key: Option<String>,
    unique_for: Option<Word<Duration>>,
    group: Option<String>,
}

impl Submitted {
    /// The job that is meant.
    async fn job(self, app: &App) -> AppResult<NewBatchJob> {
        let start = match (self.at, self.delay) {
            (Some(_), Some(_)) => {
                return Err(AppError::invalid("`at` and `in` are both there").with_hint("say one"));
            }
            (Some(time), None) => JobStart::At(time.0),
            (None, Some(span)) => JobStart::In(span.0),
            (None, None) => JobStart::Now,
        };
        let unique = match (self.unique_key, said(self.unique_for)) {
            (Some(key), within) => Some(Unique { key, within }),
            (None, None) => None,
            (None, Some(_)) => return Err(AppError::invalid("`unique_for` has no meaning without a key")),
        };
        let version = match self.version.as_deref() {
            Some(beginning) => Some(app.task_version(&self.task, beginning).await?),
            None => None,
        };
        let job = NewJob {
            args: self.args.map_or(Arguments::Absent, Arguments::Json),
            settings: self.settings.settings(version),
            unchecked: self.unchecked,
            start,
            task: self.task,
            group: self.group,
        };
        Ok(NewBatchJob { job, unique })
    }
}

async fn submit(call: Call) -> Answered {
    let mut given: Submitted = call.json()?;
    if let Some(key) = idempotency_key(&call)?
        && given.unique_key.replace(key).is_some()
    {
        let detail = "the header `Idempotency-Key` and `unique_key` are both there";
        return Err(Problem::bad_request(detail).with_hint("they are the same key: say one"));
    }
    let NewBatchJob { job, unique } = given.job(call.app()).await?;
    let (id, is_new) = match unique {
        None => (call.app().job_submit(job).await?, true),
        Some(unique) => {
            let submitted = call.app().job_submit_unique(job, unique).await?;
            (submitted.id, submitted.is_new)
        }
    };
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    let location = format!("{}/api/v1/jobs/{id}", call.shared().options.base_path);
    let answer = JobSubmitted { job_id: id.to_string(), new: is_new };
    Ok((status, [(header::LOCATION, location)], axum::Json(answer)).into_response())
}

/// The key under which a request may be sent again. It is the job's unique key: the task has one job with it, however often it is sent.
fn idempotency_key(call: &Call) -> Result<Option<String>, Problem> {
    let mut values = call.headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    match (value.to_str(), values.next()) {
        // The draft has it in quotes, and many clients send it without.
        (Ok(text), None) => {
            Ok(Some(text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text).to_owned()))
        }
        _ => Err(Problem::bad_request("the header `Idempotency-Key` is not one text")),
    }
}

/// Jobs that are to be queued together.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "NewJobs")]
#[serde(deny_unknown_fields)]
struct Batch {
    jobs: Vec<Submitted>,
    /// Queue those that can be, where others cannot.
    #[serde(default)]
    partial: bool,
}

/// What became of the jobs, in the order in which they were given.
#[derive(Serialize, JsonSchema)]
struct BatchAnswer {
    items: Vec<BatchItem>,
}

#[derive(Serialize, JsonSchema)]
struct BatchItem {
    /// `null` where it was not queued.
    job_id: Option<String>,
    /// As when one job is queued.
    new: Option<bool>,
    /// Why it was not.
    error: Option<String>,
    hint: Option<String>,
}

/// All jobs are looked at before the first one is queued.
async fn batch(call: Call) -> Answered {
    let Batch { jobs, partial } = call.json()?;
    if jobs.len() > BATCH_MAX {
        let detail = format!("there are {} jobs, and may be {BATCH_MAX}", jobs.len());
        return Err(Problem::bad_request(detail).with_hint("send them in several requests"));
    }
    let (mut places, mut read, mut faults) = (Vec::new(), Vec::new(), Vec::new());
    for (place, given) in jobs.into_iter().enumerate() {
        match given.job(call.app()).await {
            Ok(job) => {
                places.push(place);
                read.push(job);
            }
            Err(error @ (AppError::Unreachable { .. } | AppError::Unexpected { .. })) => return Err(error.into()),
            Err(error) => faults.push((place, error)),
        }
    }
    let (mut ready, mut ready_places) = (Vec::new(), Vec::new());
    for (place, checked) in places.into_iter().zip(call.app().jobs_check(read).await?) {
        match checked {
            Ok(job) => {
                ready.push(job);
                ready_places.push(place);
            }
            Err(error) => faults.push((place, error)),
        }
    }
    let fault = |error: &AppError| BatchItem {
        job_id: None,
        new: None,
        error: Some(std::iter::once(error.to_string()).chain(error.causes()).collect::<Vec<_>>().join(": ")),
        hint: error.hint().map(str::to_owned),
    };
    if !faults.is_empty() && !partial {
        faults.sort_by_key(|(place, _)| *place);
        let detail =
            format!("{} of the {} jobs cannot be queued, so none was", faults.len(), faults.len() + ready.len());
        let told = faults.iter().map(|(place, error)| json!({"place": place, "problem": fault(error)}));
        let problem = Problem::bad_request(detail).with_hint("mend them, or queue the others with `partial`");
        return Err(problem.with("jobs", told.collect()));
    }
    let submitted = call.app().jobs_submit(ready).await;
    let queued = submitted.jobs.iter().map(|job| BatchItem {
        job_id: Some(job.id.to_string()),
        new: Some(job.is_new),
        error: None,
        hint: None,
    });
    if let Some(error) = submitted.failure {
        // Those that were queued stay so: whoever asked goes on behind them.
        let done = ready_places.iter().zip(queued).map(|(place, job)| json!({"place": place, "job": job}));
        return Err(Problem::from(error).with("queued", done.collect()));
    }
    let refused = faults.iter().map(|(place, error)| (*place, fault(error)));
    let mut items: Vec<_> = ready_places.into_iter().zip(queued).chain(refused).collect();
    items.sort_by_key(|(place, _)| *place);
    answer(&BatchAnswer { items: items.into_iter().map(|(_, item)| item).collect() })
}
