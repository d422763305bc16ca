//! What `#[task]` makes of functions, seen from outside the crate.

use std::time::{Duration, SystemTime};

use guest_sdk::scheduler::{JobRequest, SchedulerError};
use guest_sdk::testing::{self, Host, Request, tasks};
use guest_sdk::{Backoff, Context, Encoding, Grace, Limit, OrPermanent, Payload, Settings, TaskError, log, task};
use serde_json::json;

/// Adds two numbers.
///
/// The second line is part of the description.
#[task]
fn add(
    /// The first.
    #[arg(example = 1)]
    a: i64,
    #[arg(example = 2)] b: i64,
) -> i64 {
    a + b
}

#[derive(Debug, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
struct Point {
    x: f64,
    y: f64,
}

#[task(
    name = "all-of-it",
    max_running_jobs = none,
    misfire_grace_time = "1m30s",
    executor = "wasm",
    timeout = "500ms",
    fuel = 1_000_000,
    memory = "64MiB",
    max_attempts = 3,
    backoff(initial = "2s", factor = 1.5, jitter = 0),
    priority = -5,
    result_ttl = "0s",
    metadata(owner = "ops", "tier.level" = 2, tags = ["a", "b"]),
)]
fn settings_of_every_kind() {}

#[task(backoff = "1h")]
fn defaults(
    points: Vec<Point>,
    #[arg(default = "metres")] unit: String,
    #[arg(default)] scale: Option<u8>,
    label: Option<String>,
    #[arg(name = "type", default = 2 + 3)] kind: u8,
) -> String {
    format!("{} {unit} {scale:?} {label:?} {kind}", points.iter().fold(0.0, |sum, point| sum + point.x + point.y))
}

#[task]
fn fallible(how: String) -> Result<(), TaskError> {
    match how.as_str() {
        "plain" => Err(std::io::Error::other("disk on fire"))?,
        "permanent" => Err("no such customer").or_permanent()?,
        "later" => return Err(TaskError::retry_after(Duration::from_secs(7), "try in seven seconds")),
        _ => {}
    }
    Ok(())
}

type Aliased<T> = Result<T, Box<dyn std::error::Error>>;

#[task]
fn aliased_result(number: String) -> Aliased<i32> {
    Ok(number.parse::<i32>()?)
}

#[task]
fn with_context(ctx: &Context, steps: u32) -> Result<u32, TaskError> {
    for step in 0..steps {
        ctx.check()?;
        ctx.progress_note(step.into(), u64::from(steps), "working");
        log::debug!(step, job = %ctx.job_id(), left = ?ctx.remaining(), "step {}", step);
    }
    Ok(Context::current().attempt())
}

#[task]
fn chain() -> Result<String, SchedulerError> {
    JobRequest::new("add").args(&(1, 2)).expect("numbers have a form in JSON").submit()
}

#[test]
fn the_function_stays_an_ordinary_function() {
    assert_eq!(add(1, 2), 3);
    settings_of_every_kind();
}

#[test]
fn arguments_may_be_named_or_positional_in_json_and_in_cbor() {
    let host = Host::new();
    assert_eq!(host.run("add", json!({"b": 2, "a": 1})).returned.unwrap(), 3);
    assert_eq!(host.run("add", json!([1, 2])).returned.unwrap(), 3);
    let cbor = Payload::encode(Encoding::Cbor, &json!({"a": 20, "b": 22})).unwrap();
    let answer = host.run_payload("add", &cbor).returned.unwrap();
    assert_eq!(answer.encoding, Encoding::Cbor, "the answer is in the encoding of the arguments");
    assert_eq!(answer.decode::<i64>().unwrap(), 42);
}

#[test]
fn a_task_without_parameters_takes_an_empty_object_or_list_and_returns_null() {
    for empty in [json!({}), json!([])] {
        assert_eq!(Host::new().run("all-of-it", empty).returned.unwrap(), json!(null));
    }
    let error = Host::new().run("all-of-it", json!([1])).returned.unwrap_err();
    assert_eq!(error.message(), "$[0]: the task takes no arguments");
}

#[test]
fn what_is_not_given_takes_its_default() {
    let host = Host::new();
    let least = host.run("defaults", json!({"points": [{"x": 1, "y": 2}]})).returned.unwrap();
    assert_eq!(least, "3 metres None None 5");
    let all = json!({"points": [], "unit": "feet", "scale": 3, "label": "l", "type": 9});
    assert_eq!(host.run("defaults", all).returned.unwrap(), "0 feet Some(3) Some(\"l\") 9");
    assert_eq!(host.run("defaults", json!([[], "feet"])).returned.unwrap(), "0 feet None None 5");
}

#[test]
fn a_wrong_argument_is_reported_with_its_path() {
    let error = Host::new().run("defaults", json!([[{"x": 1, "y": 2}, {"x": 1, "y": "two"}]])).returned.unwrap_err();
    assert!(error.is_invalid_args());
    assert_eq!(error.message(), "$.points[1].y: invalid type: string \"two\", expected f64");
}

#[test]
fn errors_say_whether_another_attempt_makes_sense() {
    let fail = |how: &str| Host::new().run("fallible", json!([how])).returned.unwrap_err();
    assert!(fail("plain").is_retryable());
    assert!(!fail("permanent").is_retryable());
    assert_eq!(fail("later").delay(), Some(Duration::from_secs(7)));
    assert!(Host::new().run("fallible", json!(["not at all"])).returned.is_ok());
}

#[test]
fn a_result_under_another_name_is_still_a_result() {
    let host = Host::new();
    assert_eq!(host.run("aliased_result", json!(["7"])).returned.unwrap(), 7);
    let error = host.run("aliased_result", json!(["x"])).returned.unwrap_err();
    assert_eq!(error.message(), "invalid digit found in string");
    let schema = description("aliased_result").result_schema;
    assert_eq!(schema["type"], "integer", "the schema is that of the value, not of the `Result`: {schema}");
}

#[test]
fn an_unknown_task_lists_those_there_are() {
    let error = Host::new().run("sub", json!([])).returned.unwrap_err();
    assert!(
        error.message().starts_with("no task is named `sub`; there are: add, aliased_result, all-of-it"),
        "{error}"
    );
}

#[test]
fn the_context_tells_the_job_and_records_what_the_task_says() {
    let fire_time = SystemTime::UNIX_EPOCH + Duration::from_secs(5);
    let host = Host::new().job_id("j-1").attempt(2).schedule("hourly", fire_time).metadata("tier", 2);
    let attempt = host.run("with_context", json!([2]));
    assert_eq!(attempt.returned.unwrap(), 2);
    assert_eq!(attempt.progress[1], testing::Progress { done: 1, total: Some(2), note: "working".into() });
    let line = &attempt.logs[1];
    assert_eq!((line.level, line.message.as_str()), (log::Level::Debug, "step 1"));
    assert_eq!((line.field("step"), line.field("job"), line.field("left")), (Some("1"), Some("j-1"), Some("300s")));
    assert_eq!(line.target, "task", "the target is the module");
    let seen = host.enter(|ctx| {
        assert_eq!((ctx.schedule_id(), ctx.scheduled_fire_time()), (Some("hourly"), Some(fire_time)));
        assert!(ctx.is_last_attempt());
        (ctx.metadata_value::<u8>("tier"), ctx.metadata_value::<String>("tier"))
    });
    assert_eq!(seen.returned, (Some(2), None));
}

#[test]
fn a_cancelled_task_can_stop_between_two_steps() {
    let attempt = Host::new().cancel_after(3).run("with_context", json!([10]));
    assert!(attempt.returned.unwrap_err().is_cancelled());
    assert_eq!(attempt.progress.len(), 3);
}

#[test]
fn jobs_can_be_asked_for_with_a_grant_only() {
    let denied = Host::new().run("chain", json!([])).returned.unwrap_err();
    assert!(denied.message().starts_with("denied: "), "{denied}");
    let attempt = Host::new().allow_schedule().run("chain", json!([]));
    assert_eq!(attempt.returned.unwrap(), "test-1");
    let [Request::AddJob(job)] = attempt.requests.as_slice() else { panic!("{:?}", attempt.requests) };
    assert_eq!((job.task.as_str(), job.args.data.as_slice()), ("add", b"[1,2]".as_slice()));
}

fn description(name: &str) -> testing::TaskDescription {
    let all = tasks().expect("no two tasks of this file have one name");
    all.into_iter().find(|task| task.name == name).expect("the task is in this file")
}

#[test]
fn the_description_comes_from_the_doc_comment_and_the_types() {
    let add = description("add");
    assert_eq!(add.description, "Adds two numbers.\n\nThe second line is part of the description.");
    assert_eq!(add.parameters, ["a", "b"]);
    assert_eq!(add.example_args, Some(json!({"a": 1, "b": 2})));
    assert_eq!(
        add.args_schema,
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "a": {"type": "integer", "format": "int64", "description": "The first.", "examples": [1]},
                "b": {"type": "integer", "format": "int64", "examples": [2]},
            },
            "required": ["a", "b"],
            "additionalProperties": false,
        })
    );
    assert_eq!(add.result_schema["type"], "integer");
    assert_eq!(add.settings, Settings::default(), "what is not said is unset");
}

#[test]
fn defaults_and_nested_types_are_in_the_schema() {
    let schema = description("defaults").args_schema;
    assert_eq!(schema["required"], json!(["points"]));
    assert_eq!(schema["properties"]["unit"]["default"], "metres");
    assert_eq!(schema["properties"]["points"]["items"]["$ref"], "#/$defs/Point");
    assert_eq!(schema["$defs"]["Point"]["required"], json!(["x", "y"]));
    assert_eq!(description("defaults").example_args, None, "there is none for `points`");
}

#[test]
fn every_attribute_arrives_in_the_settings() {
    let settings = description("all-of-it").settings;
    let metadata: serde_json::Value = serde_json::from_str(settings.metadata.as_deref().unwrap()).unwrap();
    assert_eq!(metadata, json!({"owner": "ops", "tier.level": 2, "tags": ["a", "b"]}));
    let backoff =
        Backoff { initial: Duration::from_secs(2), factor_percent: 150, jitter_percent: 0, ..Backoff::default() };
    assert_eq!(
        settings,
        Settings {
            max_running_jobs: Some(Limit::Unlimited),
            misfire_grace_time: Some(Grace::Within(Duration::from_secs(90))),
            executor: Some("wasm".into()),
            metadata: settings.metadata.clone(),
            timeout: Some(Duration::from_millis(500)),
            fuel: Some(1_000_000),
            memory_bytes: Some(64 << 20),
            max_attempts: Some(3),
            backoff: Some(backoff),
            priority: Some(-5),
            result_ttl: Some(Duration::ZERO),
        }
    );
    let hour = Duration::from_secs(3600);
    let raised = description("defaults").settings.backoff.unwrap();
    assert_eq!((raised.initial, raised.max), (hour, hour), "a long first wait raises the maximum");
}
