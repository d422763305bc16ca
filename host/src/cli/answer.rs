//! What several commands do about a job: wait for its end, show what it logs, print what it returned.

use std::time::Duration;

use super::context::Context;
use super::exit::{Failure, Outcomes};
use super::output::time;
use crate::app::{App, AppError};
use crate::config::units::format_duration;
use crate::model::{Job, JobId, JobState, LogLine};
use crate::wire::payload_value;

/// Tells a user who is about to wait for a job what it waits for itself, where nobody would run it at the moment.
pub(super) async fn note_missing_worker(context: &mut Context, app: &App, id: JobId) -> Outcomes {
    let job = app.job_get(id).await?;
    if job.state == JobState::Queued && app.workers_alive().await?.is_empty() {
        let note = "note: no worker is running on this store; the job waits for one (`host serve` starts one)";
        context.out.note(note)?;
    } else if let Some(waits_for) = waits_for(app, &job).await? {
        context.out.note(&format!("note: the job does not start yet: {waits_for}"))?;
    }
    Ok(())
}

async fn waits_for(app: &App, job: &Job) -> Outcomes<Option<String>> {
    Ok(app.jobs_wait_for(std::slice::from_ref(job)).await?.remove(&job.spec.id))
}

/// Waits for the end of a job.
pub(super) async fn wait_for_end(
    context: &mut Context,
    app: &App,
    id: JobId,
    limit: Option<Duration>,
) -> Outcomes<Job> {
    note_missing_worker(context, app, id).await?;
    let job = app.job_wait_within(id, limit).await?;
    if job.state == JobState::Finished {
        return Ok(job);
    }
    let within = limit.map(format_duration).unwrap_or_default();
    let reason = waits_for(app, &job).await?.map(|reason| format!(" ({reason})")).unwrap_or_default();
    let refused = AppError::refused(format!("job {id} has not ended within {within}: it is {}{reason}", job.state));
    Err(refused
        .with_hint(format!("`host jobs result {id} --wait` waits on, `host jobs cancel {id}` cancels it"))
        .into())
}

/// Prints what a job logs beside the answer, until it has ended.
pub(super) async fn follow_logs(context: &mut Context, app: &App, id: JobId) -> Outcomes {
    let mut next = None;
    while let Some(news) = app.job_logs_follow(id, next).await? {
        for line in &news.lines {
            context.out.note(&log_line(line))?;
        }
        context.out.unreadable("log", &news.unreadable)?;
        next = news.next;
    }
    Ok(())
}

/// A line of a guest's log.
pub(super) fn log_line(line: &LogLine) -> String {
    let mut text = format!("{} {:5} {}: {}", time(line.at), line.level.as_str(), line.target, line.message);
    for (name, value) in &line.fields {
        text.push_str(&format!(" {name}={value}"));
    }
    text
}

/// Prints what a job returned: JSON, whatever it is stored as.
pub(super) fn print_result(context: &mut Context, job: &Job) -> Outcomes {
    let Some(result) = &job.result else {
        return Err(Failure::App(
            AppError::not_found("result of job", job.spec.id)
                .with_hint("results are kept for `result_ttl`, and not at all where that is zero"),
        ));
    };
    let value = payload_value(result)
        .map_err(|fault| Failure::App(AppError::Unexpected { what: format!("the result is {fault}"), source: None }))?;
    Ok(context.out.json(&value)?)
}
