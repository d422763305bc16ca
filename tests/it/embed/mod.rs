//! A host inside of a program, as the program sees it.

mod examples;
mod running;
mod tasks;

use std::sync::Arc;

use host::Host;
use host::app::{AppError, RegisterPlugin};
use host::config::Role;
use host::embed::{RunError, State, blocking};
use host::model::{ErrorKind, Outcome, PluginName};
use host::store::memory::MemoryStore;
use serde_json::json;

use tests::artifacts::plugin;

/// What the job came to, which ended without success.
fn ended(error: RunError) -> (Outcome, ErrorKind, String) {
    match error {
        RunError::Ended { outcome, error: Some(error), .. } => (outcome, error.kind, error.message),
        other => panic!("it did not end: {other:?}"),
    }
}

fn invalid(result: Result<Host, AppError>) -> String {
    match result {
        Err(error @ AppError::Invalid { .. }) => error.to_string(),
        other => panic!("it was not refused: {other:?}"),
    }
}

#[tokio::test]
async fn what_was_said_wrongly_is_an_error_of_opening_and_leaves_the_store_as_it_was() {
    let task = || async { anyhow::Ok(()) };
    assert!(invalid(Host::builder().store("sqlight://x").open().await).contains("sqlight"));
    assert!(invalid(Host::builder().identity(" ").open().await).contains("scheduler id"));
    assert!(invalid(Host::builder().task("no blanks", task).open().await).contains("`no blanks`"));
    assert_eq!(invalid(Host::builder().task("t", task).task("t", task).open().await), "two tasks have the same name");
    assert!(invalid(Host::builder().plugin("hello.wasm", []).open().await).contains("folder"));

    let folder = tempfile::tempdir().expect("a temporary folder");
    let with_folder = Host::builder().data_dir(folder.path());
    assert!(invalid(with_folder.plugin(folder.path().join("none.wasm"), []).open().await).contains("none.wasm"));

    let store = Arc::new(MemoryStore::new());
    let unnamed = host::embed::Task::new("t", |a: i64, _b: i64| async move { anyhow::Ok(a) }).parameters(["a"]);
    let opening = Host::builder().store_of(store.clone()).task("fine", task).with_task(unnamed).open();
    assert_eq!(invalid(opening.await), "the task `t` has 2 parameters, and names 1 of them");
    let other = Host::builder().store_of(store).open().await.expect("opens");
    assert!(other.app().task_list().await.expect("a list").rows.is_empty());
}

#[tokio::test]
async fn a_plugin_runs_beside_functions_of_the_program() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let hello = std::fs::read(plugin("hello")).expect("a component");
    let component = RegisterPlugin::new(PluginName::new("hello").expect("a name"), hello);
    let host = Host::builder()
        .data_dir(folder.path())
        .component(component)
        .task("double", |n: i64| async move { anyhow::Ok(n * 2) })
        .start()
        .await
        .expect("starts");
    let greeting: serde_json::Value = host.run("greet", json!({"name": "Ada"})).await.expect("a result");
    assert!(greeting.to_string().contains("Ada"), "{greeting}");
    assert_eq!(host.run::<i64>("double", (4,)).await.expect("a result"), 8);
    host.close().await;
}

#[tokio::test]
async fn a_program_without_plugins_leaves_the_jobs_of_plugins_to_others() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Arc::new(MemoryStore::new());
    let hello = plugin("hello");
    let with = Host::builder().store_of(store.clone()).data_dir(folder.path()).plugin(&hello, []);
    let with = with.open().await.expect("opens");
    let without = Host::builder().store_of(store).task("mine", || async { anyhow::Ok(()) });
    let without = without.start().await.expect("starts");
    let id = with.submit("greet", json!({"name": "Ada"})).await.expect("is queued");
    without.run::<()>("mine", ()).await.expect("a result");
    assert_eq!(with.app().job_get(id).await.expect("the job").attempt, 0, "it was taken by who cannot run it");
    with.start().await.expect("starts");
    let _greeting: serde_json::Value = with.result(id).await.expect("a result");
    without.stop();
    without.wait_until_stopped().await.expect("stops");
    with.close().await;
}

#[tokio::test]
async fn a_host_can_be_used_without_work_and_others_do_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = format!("sqlite://{}", folder.path().join("jobs.db").display());
    let program = || {
        let task = |n: i64| async move { anyhow::Ok(n * 2) };
        Host::builder().store(&store).task("double", task)
    };
    let client = program().open().await.expect("opens");
    assert_eq!(client.state(), State::Stopped);
    let id = client.submit("double", (21,)).await.expect("is queued");
    let worker = program().role(Role::Worker).identity("worker").start().await.expect("starts");
    assert_eq!(client.result::<i64>(id).await.expect("a result"), 42);
    assert_eq!(client.app().job_get(id).await.expect("the job").scheduler_id.as_ref(), Some(worker.identity()));
    let shown = "Host { identity: worker, role: Worker, state: Running, executors: {inline}, .. }";
    assert_eq!(format!("{worker:?}"), shown);
    worker.close().await;
    client.close().await;
}

#[test]
fn a_program_without_async_has_the_same() {
    let host = Host::builder()
        .task("double", blocking(|n: i64| anyhow::Ok(n * 2)))
        .task("panics", blocking(|| -> anyhow::Result<()> { panic!("no luck") }))
        .start_blocking()
        .expect("starts");
    assert_eq!(host.state(), State::Running);
    assert_eq!(host.run::<i64>("double", (21,)).expect("a result"), 42);
    let (_, kind, message) = ended(host.run::<()>("panics", ()).expect_err("it panics"));
    assert_eq!((kind, &*message), (ErrorKind::Panic, "the task panicked: no luck"));
    assert_eq!(host.block_on(host.app().task_list()).expect("a list").rows.len(), 2);
    host.stop();
    host.wait_until_stopped().expect("stops");
    assert_eq!(host.state(), State::Stopped);
}

#[tokio::test]
async fn a_blocking_host_may_be_dropped_where_nothing_may_block() {
    let store = Arc::new(MemoryStore::new());
    let builder = Host::builder().store_of(store.clone()).task("noop", blocking(|| anyhow::Ok(())));
    let opening = tokio::task::spawn_blocking(|| builder.start_blocking());
    let host = opening.await.expect("no panic").expect("starts");
    let identity = host.handle().identity().clone();
    drop(host);
    let seen = Host::builder().store_of(store).open().await.expect("opens").app().status().await.expect("a status");
    let stopped = seen.schedulers.iter().find(|scheduler| scheduler.id == identity).expect("it is known");
    assert!(stopped.stopped_at.is_some(), "it did not say goodbye");
}
