//! Looking into plugins before they are registered.

use std::fs;

use host::executor::{InspectError, PluginInspector as _};
use host::model::{DirAccess, Grant};

use super::{FAULTS, Sandbox};

async fn refusal(sandbox: &Sandbox, bytes: &[u8]) -> InspectError {
    sandbox.executor.inspect(bytes.to_vec(), &[]).await.expect_err("refused")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_is_reported_with_its_tasks_imports_and_costs() {
    let sandbox = Sandbox::new();
    let bytes = fs::read(tests::artifacts::plugin("hello")).expect("a built plugin");
    let inspection = sandbox.executor.inspect(bytes, &[]).await.expect("a sound plugin");
    assert!(!inspection.tasks.is_empty());
    assert!(inspection.tasks.iter().all(|task| task.args_schema.is_some()), "{:?}", inspection.tasks);
    assert!(inspection.imports.iter().any(|import| import.interface.starts_with("jobs:plugin/")));
    assert!(inspection.imports.iter().all(|import| !import.by_adapter), "built without the adapter");
    assert!(inspection.footprint.initial_memory_bytes > 0 && inspection.footprint.list_fuel > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_component_is_refused_whole() {
    let sandbox = Sandbox::new();
    let error = refusal(&sandbox, &FAULTS[..FAULTS.len() / 2]).await;
    assert!(error.reason.contains("damaged") || error.reason.contains("not valid"), "{error:?}");
    let mut changed = FAULTS.clone();
    let middle = changed.len() / 2;
    changed[middle..middle + 64].fill(0xff);
    let error = refusal(&sandbox, &changed).await;
    assert!(!error.context.is_empty(), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_for_a_missing_folder_is_refused() {
    let sandbox = Sandbox::new();
    let grant = Grant::Dir {
        host: "/there/is/no/such/folder".into(),
        guest: "/data".to_owned(),
        access: DirAccess::ReadOnly,
        identity: None,
    };
    let error = sandbox.executor.inspect(FAULTS.clone(), &[grant]).await.expect_err("refused");
    assert!(error.reason.contains("/there/is/no/such/folder"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_begins_with_more_memory_than_any_job_may_have_is_refused() {
    let sandbox = Sandbox::with(|options| options.memory_bytes_max = 64 << 10);
    let error = refusal(&sandbox, &FAULTS).await;
    assert!(error.reason.contains("memory"), "{error:?}");
}
