//! Functions of the program as tasks: their parameters, errors and context.

use std::collections::BTreeMap;

use anyhow::Context as _;
use host::Host;
use host::app::{AppError, NewJob};
use host::embed::{RunError, Task, TaskContext};
use host::executor::inline::NativeError;
use host::model::{Backoff, ErrorKind, LogLevel, Outcome, Settings};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::ended;

#[derive(Serialize, Deserialize)]
struct Order {
    customer: String,
    #[serde(default)]
    count: u32,
}

async fn total(order: Order) -> anyhow::Result<String> {
    let count = order.count.checked_mul(2).context("too many")?;
    Ok(format!("{count} for {}", order.customer))
}

async fn add(a: i64, b: i64) -> Result<i64, std::num::TryFromIntError> {
    Ok(i64::from(i32::try_from(a)?) + b)
}

#[tokio::test]
async fn parameters_and_results_have_types() {
    let add = Task::new("add", add).parameters(["a", "b"]).description("adds two numbers");
    let host = Host::builder()
        .task("total", total)
        .task("count", |names: Vec<String>| async move { Ok::<_, String>(names.len()) })
        .task("nothing", || async { Ok::<(), String>(()) })
        .task("four", |a: u8, b: u8, c: u8, d: Option<u8>| async move { anyhow::Ok((a, b, c, d)) })
        .with_task(add)
        .start()
        .await
        .expect("starts");
    let order = Order { customer: "Ada".to_owned(), count: 2 };
    assert_eq!(host.run::<String>("total", order).await.expect("a result"), "4 for Ada");
    assert_eq!(host.run::<i64>("add", (20, 22)).await.expect("a result"), 42);
    assert_eq!(host.run::<i64>("add", BTreeMap::from([("b", 22), ("a", 20)])).await.expect("a result"), 42);
    assert_eq!(host.run::<usize>("count", (["x", "y"],)).await.expect("a result"), 2);
    assert_eq!(host.run::<(u8, u8, u8, Option<u8>)>("four", (1, 2, 3)).await.expect("a result"), (1, 2, 3, None));
    host.run::<()>("nothing", ()).await.expect("a result");
    let task = host.app().task_resolve("add").await.expect("it is there").task;
    assert_eq!(task.description, "adds two numbers");

    // Another type than the task returned.
    assert!(matches!(host.run::<String>("add", (1, 2)).await, Err(RunError::Result { .. })));
    assert!(matches!(host.submit("add", 5).await, Err(RunError::App(AppError::Invalid { .. }))));
    assert!(matches!(host.submit("gone", ()).await, Err(RunError::App(AppError::NotFound { .. }))));
    host.close().await;
}

#[tokio::test]
async fn arguments_that_do_not_fit_fail_the_job_at_once_and_against_a_schema_before_it_is_queued() {
    let often = Settings { max_attempts: Some(5), ..Settings::default() };
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
    let host = Host::builder()
        .task_defaults(often)
        .task("add", add)
        .with_task(Task::new("checked", |n: i64| async move { anyhow::Ok(n) }).parameters(["n"]).args_schema(schema))
        .start()
        .await
        .expect("starts");
    let id = host.submit("add", (1, "two")).await.expect("is queued");
    let (outcome, kind, message) = ended(host.result::<i64>(id).await.expect_err("it does not fit"));
    assert_eq!((outcome, kind), (Outcome::Error, ErrorKind::GuestError));
    assert!(message.contains("argument 2"), "{message}");
    assert_eq!(host.app().job_get(id).await.expect("the job").attempt, 1);

    let refused = host.submit("checked", json!({"n": "x"})).await;
    assert!(matches!(refused, Err(RunError::App(AppError::Invalid { .. }))), "{refused:?}");
    assert_eq!(host.run::<i64>("checked", json!({"n": 3})).await.expect("a result"), 3);
    host.close().await;
}

#[tokio::test]
async fn any_error_is_the_jobs_and_only_a_permanent_one_ends_it_before_its_attempts_do() {
    let backoff = Backoff { initial: std::time::Duration::from_millis(1), ..Backoff::default() };
    let twice = Settings { max_attempts: Some(2), backoff: Some(backoff), ..Settings::default() };
    let host = Host::builder()
        .task_defaults(twice)
        .task("io", || async {
            let error = std::io::Error::other("the disk is full");
            Err::<(), _>(anyhow::Error::new(error).context("the report was not written"))
        })
        .task("permanent", || async { Err::<(), _>(NativeError::permanent("no such order")) })
        .start()
        .await
        .expect("starts");
    let id = host.submit("io", ()).await.expect("is queued");
    assert_eq!(ended(host.result::<()>(id).await.expect_err("it fails")).2, "the report was not written");
    let job = host.app().job_get(id).await.expect("the job");
    assert_eq!((job.attempt, job.error.expect("an error").context), (2, vec!["the disk is full".to_owned()]));
    let id = host.submit("permanent", ()).await.expect("is queued");
    ended(host.result::<()>(id).await.expect_err("it fails"));
    assert_eq!(host.app().job_get(id).await.expect("the job").attempt, 1);
    host.close().await;
}

#[tokio::test]
async fn a_task_has_the_host_at_hand() {
    let host = Host::builder()
        .task("leaf", |n: u32| async move { anyhow::Ok(n + 1) })
        .task("root", |context: TaskContext, n: u32| async move {
            context.log(LogLevel::Info, "asks another one");
            let host = context.host().context("the host is gone")?;
            anyhow::Ok(host.run::<u32>("leaf", (n,)).await?)
        })
        .start()
        .await
        .expect("starts");
    assert_eq!(host.run::<u32>("root", (41,)).await.expect("a result"), 42);
    host.close().await;
}

#[tokio::test]
async fn a_result_that_is_not_kept_is_said_to_be_so() {
    let forgets = Settings { result_ttl: Some(std::time::Duration::ZERO), ..Settings::default() };
    let host = Host::builder().task("noop", || async { anyhow::Ok(()) }).start().await.expect("starts");
    let job = NewJob { settings: forgets, ..NewJob::new("noop") };
    let id = host.app().job_submit(job).await.expect("is queued");
    let result = host.result::<()>(id).await;
    // It may be gone before anybody looks.
    assert!(matches!(result, Err(RunError::NotKept { .. } | RunError::App(AppError::NotFound { .. }))), "{result:?}");
    host.close().await;
}
