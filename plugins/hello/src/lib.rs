//! What a plugin looks like: copy this one.
//!
//! Four tasks, each for something a plugin does: [`greet`] takes arguments, [`count`] works in steps that can be
//! watched and cancelled, [`unreliable`] fails and is tried again, and [`whoami`] tells of the job it runs in.

use std::time::Duration;

use guest_sdk::{Context, OrPermanent, TaskError, log, task};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a greeting sounds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tone {
    /// As among friends.
    #[default]
    Friendly,
    /// As in a letter.
    Formal,
}

/// Greets somebody.
#[task(metadata(team = "examples"))]
pub fn greet(
    /// Whom to greet.
    #[arg(example = "Ada")]
    name: String,
    /// How it should sound.
    #[arg(default)]
    tone: Tone,
    /// How often.
    #[arg(default = 1)]
    times: u8,
) -> Result<String, TaskError> {
    if name.trim().is_empty() {
        return Err(TaskError::invalid_args("`name` is empty: whom should it greet?"));
    }
    let greeting = match tone {
        Tone::Friendly => format!("Hello, {name}!"),
        Tone::Formal => format!("Good day, {name}."),
    };
    log::info!(times, tone = ?tone, "greeting {name}");
    Ok(vec![greeting; times.into()].join(" "))
}

/// How far [`count`] came.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Counted {
    /// The last number.
    pub reached: u32,
    /// The sum of all numbers.
    pub sum: u64,
}

/// Counts slowly, tells how far it is, and stops in good order when it is cancelled.
#[task(timeout = "10m")]
pub fn count(
    ctx: &Context,
    /// The last number.
    #[arg(default = 10)]
    to: u32,
    /// The pause after each number.
    #[arg(default = 100)]
    pause_ms: u32,
) -> Result<Counted, TaskError> {
    let mut sum = 0;
    for number in 1..=to {
        // Fails once the job is cancelled, and `?` passes that on.
        ctx.check()?;
        sum += u64::from(number);
        ctx.progress_note(number.into(), u64::from(to), "counting");
        std::thread::sleep(Duration::from_millis(pause_ms.into()));
    }
    Ok(Counted { reached: to, sum })
}

/// Fails a few times before it succeeds, as a remote service might.
///
/// A plain error is tried again after the backoff, as long as attempts are left. An error that will not pass by itself
/// says so and is not.
#[task(max_attempts = 5, backoff(initial = "200ms", max = "5s", factor = 2.0, jitter = 0.1))]
pub fn unreliable(
    ctx: &Context,
    /// How many attempts fail.
    #[arg(default = 2)]
    failures: u32,
    /// The address of the service; one without a colon is refused for good.
    #[arg(default = "localhost:80")]
    address: String,
) -> Result<String, TaskError> {
    let (_, port) = address.split_once(':').ok_or("the address has no port").or_permanent()?;
    let port: u16 =
        port.parse().or_permanent().map_err(|error| error.context(format!("port {port:?} is no number")))?;
    if ctx.attempt() <= failures {
        log::warn!(attempt = ctx.attempt(), last = ctx.is_last_attempt(), "no answer from port {port}");
        return Err(std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into());
    }
    Ok(format!("an answer in attempt {} of {}", ctx.attempt(), ctx.max_attempts()))
}

/// What a task can know of its job.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
pub struct Identity {
    /// The job.
    pub job_id: String,
    /// The task's full name.
    pub task_id: String,
    /// The plugin's name.
    pub plugin: String,
    /// The schedule that made the job, if one did.
    pub schedule_id: Option<String>,
    /// How late it started, in seconds after its fire time.
    pub late_seconds: Option<f64>,
    /// This attempt.
    pub attempt: u32,
    /// The scheduler that runs it.
    pub scheduler_id: String,
    /// The time left, in seconds.
    pub remaining_seconds: u64,
    /// The metadata of job, schedule and task.
    pub metadata: serde_json::Map<String, serde_json::Value>,
}

/// Tells what a task can know of its job.
#[task(metadata(team = "examples", shows = "metadata"))]
pub fn whoami(ctx: &Context) -> Identity {
    let late = ctx.scheduled_fire_time().and_then(|fire_time| ctx.started_at().duration_since(fire_time).ok());
    Identity {
        job_id: ctx.job_id().to_owned(),
        task_id: ctx.task_id().to_owned(),
        plugin: ctx.plugin().to_owned(),
        schedule_id: ctx.schedule_id().map(str::to_owned),
        late_seconds: late.map(|late| late.as_secs_f64()),
        attempt: ctx.attempt(),
        scheduler_id: ctx.scheduler_id().to_owned(),
        remaining_seconds: ctx.remaining().as_secs(),
        metadata: ctx.metadata().clone(),
    }
}

#[cfg(test)]
mod tests {
    use guest_sdk::testing::{self, Host};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_task_can_be_called_like_any_function() {
        assert_eq!(greet("Ada".into(), Tone::Formal, 1).unwrap(), "Good day, Ada.");
    }

    #[test]
    fn a_greeting_needs_a_name_and_nothing_else() {
        let attempt = Host::new().run("greet", json!({"name": "Ada"}));
        assert_eq!(attempt.returned.unwrap(), "Hello, Ada!");
        assert_eq!(attempt.logs[0].field("tone"), Some("Friendly"));
        let error = Host::new().run("greet", json!({})).returned.unwrap_err();
        assert_eq!(error.message(), "$.name: missing; the task takes (name, tone?, times?)");
    }

    #[test]
    fn an_unknown_tone_lists_the_known_ones() {
        let error = Host::new().run("greet", json!(["Ada", "rude"])).returned.unwrap_err();
        assert_eq!(error.message(), "$.tone: unknown variant `rude`, expected `friendly` or `formal`");
    }

    #[test]
    fn counting_can_be_watched() {
        let attempt = Host::new().run("count", json!({"to": 3, "pause_ms": 0}));
        assert_eq!(attempt.returned.unwrap(), json!({"reached": 3, "sum": 6}));
        assert_eq!(attempt.progress.iter().map(|step| step.done).collect::<Vec<_>>(), [1, 2, 3]);
    }

    #[test]
    fn counting_stops_when_the_job_is_cancelled() {
        let attempt = Host::new().cancel_after(2).enter(|ctx| count(ctx, 1_000, 0));
        assert!(attempt.returned.unwrap_err().is_cancelled());
        assert_eq!(attempt.progress.len(), 2);
    }

    #[test]
    fn a_failure_that_may_pass_is_tried_again_and_another_is_not() {
        let call = |attempt, args| Host::new().attempt(attempt).run("unreliable", args).returned;
        assert!(call(1, json!({})).unwrap_err().is_retryable());
        assert_eq!(call(3, json!({})).unwrap(), "an answer in attempt 3 of 3");
        let error = call(3, json!({"address": "localhost:http"})).unwrap_err();
        assert!(!error.is_retryable());
        assert_eq!(error.to_string(), "port \"http\" is no number: invalid digit found in string");
    }

    #[test]
    fn a_job_knows_its_schedule() {
        let fire_time = std::time::UNIX_EPOCH + Duration::from_secs(1_749_999_998);
        let host = Host::new().schedule("nightly", fire_time).metadata("customer", 7);
        let identity = host.enter(whoami).returned;
        assert_eq!((identity.schedule_id.as_deref(), identity.late_seconds), (Some("nightly"), Some(2.0)));
        assert_eq!(identity.metadata["customer"], 7);
    }

    #[test]
    fn every_example_works() {
        for task in testing::tasks().unwrap() {
            let example = task.example_args.expect("each task has examples or defaults for its parameters");
            let attempt = Host::new().attempt(3).run(&task.name, example);
            assert!(attempt.returned.is_ok(), "{}: {:?}", task.name, attempt.returned);
        }
    }
}
