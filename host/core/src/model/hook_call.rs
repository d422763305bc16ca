//! What is called when a job that has hooks ends.
//!
//! The job of a hook calls no hook itself, whatever its task says: the jobs that follow on one another never grow into a row, let alone a circle.
//!
//! # Arguments
//! The job of a hook gets one named argument, `job`: an object with the keys `id`, `task_id`, `schedule_id`, `scheduled_fire_time`, `outcome`,
//! `error` (`kind`, `message` and `context`), `args`, `result`, `attempt`, `max_attempts`, `group`, `metadata`, `created_at`, `started_at` and
//! `finished_at`. All are there, and are `null` where there is nothing to say, as are `args` and `result` that take more than
//! [`EMBEDDED_BYTES_MAX`] bytes or are not JSON.

use serde_json::{Value, json};

use super::Timestamp;
use super::hooks::Hooks;
use super::id::{JobId, TaskId};
use super::job::{Job, JobSpec};
use super::outcome::{ErrorKind, JobError, Outcome};
use super::payload::{Encoding, Payload};
use super::settings::Settings;
use super::task::Task;

/// Longest arguments or result of a job, in bytes, that its hook gets to see: the arguments of the hook must not become too long for it.
pub const EMBEDDED_BYTES_MAX: usize = 64 * 1024;
/// Longest text of its error, in bytes.
const TEXT_BYTES_MAX: usize = 4 * 1024;
/// Most causes of its error.
const CONTEXT_MAX: usize = 8;

/// How a job has ended.
#[derive(Debug, Clone, Copy)]
pub struct HowEnded<'a> {
    /// The outcome.
    pub outcome: Outcome,
    /// Why it failed.
    pub error: Option<&'a JobError>,
    /// What it returned.
    pub result: Option<&'a Payload>,
    /// When its last attempt began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Timestamp,
}

/// A task that is to run because a job has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct HookCall {
    /// The id of the job that is made for it. It follows from the job that has ended, its attempts and the time, so that telling of an end twice
    /// makes one job.
    pub id: JobId,
    /// The task. Need not exist any more.
    pub task_id: TaskId,
    /// What the job gets.
    pub args: Payload,
}

impl HookCall {
    /// The call that is due when that job has ended so, where one is.
    pub fn of(job: &Job, ended: HowEnded<'_>) -> Option<HookCall> {
        let task_id = job.spec.settings.hooks.after(ended.outcome)?.clone();
        let id = job.spec.id.follower(job.attempt, ended.finished_at);
        Some(HookCall { id, task_id, args: Payload::json(&json!({ "job": ended_job(job, ended) })) })
    }

    /// What a hook gets, with nothing in it: to see whether a task takes such arguments.
    pub fn sample(id: JobId, task_id: TaskId, now: Timestamp) -> Value {
        let settings = Settings::default().resolve().for_job(&Payload::no_args());
        let job = Job::queued(JobSpec::direct(id, task_id, Payload::no_args(), settings, now));
        let error = JobError::new(ErrorKind::GuestError, "an example");
        let ended = HowEnded {
            outcome: Outcome::Error,
            error: Some(&error),
            result: None,
            started_at: Some(now),
            finished_at: now,
        };
        json!({ "job": ended_job(&job, ended) })
    }

    /// The job that is made for it, due at once, with the settings of its task. Where that is gone, or cannot be read, the job is made all the
    /// same, and ends with an error that says so.
    pub fn job(self, task: Option<&Task>, now: Timestamp) -> JobSpec {
        let settings = task.map(Task::layered).unwrap_or_default().resolve();
        let mut settings = settings.for_job(&self.args);
        settings.hooks = Hooks::default();
        JobSpec::direct(self.id, self.task_id, self.args, settings, now)
    }
}

fn ended_job(job: &Job, ended: HowEnded<'_>) -> Value {
    let spec = &job.spec;
    let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
    json!({
        "id": spec.id.to_string(),
        "task_id": spec.task_id.as_str(),
        "schedule_id": spec.schedule_id.as_ref().map(|id| id.as_str()),
        "scheduled_fire_time": time(spec.scheduled_fire_time),
        "outcome": ended.outcome.as_str(),
        "error": ended.error.map(|error| json!({
            "kind": error.kind.as_str(),
            "message": clipped(&error.message),
            "context": error.context.iter().take(CONTEXT_MAX).map(|cause| clipped(cause)).collect::<Vec<_>>(),
        })),
        "args": embedded(&spec.args),
        "result": ended.result.and_then(embedded),
        "attempt": job.attempt,
        "max_attempts": spec.settings.max_attempts,
        "group": spec.settings.group,
        "metadata": spec.settings.metadata.0,
        "created_at": spec.created_at.to_string(),
        "started_at": time(ended.started_at),
        "finished_at": ended.finished_at.to_string(),
    })
}

/// The value of a payload, where it is JSON and not too long.
fn embedded(payload: &Payload) -> Option<Value> {
    match payload.encoding {
        Encoding::Json if payload.data.len() <= EMBEDDED_BYTES_MAX => serde_json::from_slice(&payload.data).ok(),
        Encoding::Json | Encoding::Cbor => None,
    }
}

fn clipped(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::super::hooks::{Hook, HookSettings};
    use super::*;

    fn task(id: &str) -> TaskId {
        TaskId::new(id).expect("an id")
    }

    fn job(hooks: Hooks) -> Job {
        let settings = Settings::default().resolve().for_job(&Payload::no_args());
        let settings = super::super::JobSettings { hooks, ..settings };
        let spec =
            JobSpec::direct(JobId::from_bytes([7; 16]), task("p:t"), Payload::no_args(), settings, Timestamp::EPOCH);
        Job { attempt: 2, ..Job::queued(spec) }
    }

    fn ended(outcome: Outcome) -> HowEnded<'static> {
        HowEnded { outcome, error: None, result: None, started_at: None, finished_at: Timestamp::EPOCH }
    }

    #[test]
    fn each_end_calls_the_hook_that_is_named_for_it_and_a_cancelled_job_calls_none() {
        let hooks = Hooks {
            on_failure: Some(task("o:failed")),
            on_success: Some(task("o:done")),
            on_missed: Some(task("o:missed")),
        };
        let job = job(hooks);
        for (outcome, expected) in [
            (Outcome::Success, Some("o:done")),
            (Outcome::Error, Some("o:failed")),
            (Outcome::Abandoned, Some("o:failed")),
            (Outcome::DeserializationFailed, Some("o:failed")),
            (Outcome::MissedStartDeadline, Some("o:missed")),
            (Outcome::Cancelled, None),
        ] {
            let call = HookCall::of(&job, ended(outcome));
            assert_eq!(call.as_ref().map(|call| call.task_id.as_str()), expected, "{outcome}");
        }
    }

    #[test]
    fn the_job_of_a_hook_gets_the_job_that_has_ended_and_calls_no_hook_itself() {
        let hooks = Hooks { on_failure: Some(task("o:failed")), ..Hooks::default() };
        let job = job(hooks.clone());
        let error =
            JobError { context: vec!["why".to_owned(); 40], ..JobError::new(ErrorKind::Trap, "x".repeat(10_000)) };
        let result = Payload::json(&json!("r".repeat(EMBEDDED_BYTES_MAX)));
        let how = HowEnded { error: Some(&error), result: Some(&result), ..ended(Outcome::Error) };
        let call = HookCall::of(&job, how).expect("a call");
        assert_eq!(HookCall::of(&job, how), Some(call.clone()), "the same end is the same call");
        let of_task = Settings {
            hooks: HookSettings { on_failure: Some(Hook::Task(task("o:other"))), ..HookSettings::default() },
            priority: Some(4),
            ..Settings::default()
        };
        let hooked = Task {
            id: task("o:failed"),
            target: super::super::Target::Native { function: super::super::TaskName::new("failed").expect("a name") },
            description: String::new(),
            args_schema: None,
            result_schema: None,
            example_args: None,
            configured: of_task,
            declared: Settings::default(),
            defaults: Settings::default(),
        };
        let made = call.job(Some(&hooked), Timestamp::EPOCH);
        assert!(made.settings.hooks.is_empty());
        assert_eq!((made.settings.priority, made.schedule_id.clone()), (4, None));
        let args: Value = serde_json::from_slice(&made.args.data).expect("JSON");
        let of_job = &args["job"];
        assert_eq!((&of_job["id"], &of_job["outcome"]), (&json!(job.spec.id.to_string()), &json!("error")));
        assert_eq!((&of_job["args"], &of_job["result"], &of_job["attempt"]), (&json!({}), &Value::Null, &json!(2)));
        assert_eq!(of_job["error"]["message"].as_str().map(str::len), Some(TEXT_BYTES_MAX));
        assert_eq!(of_job["error"]["context"].as_array().map(Vec::len), Some(CONTEXT_MAX));
    }
}
