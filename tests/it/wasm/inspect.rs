//! Looking into plugins before they are registered.

use std::fs;

use host::executor::{InspectError, PluginInspector as _};
use host::model::{DirAccess, Grant, WriteQuota};

use serde_json::json;

use super::{FAULTS, Run, Sandbox};
use crate::generated::{Encoding, Plugin};

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

/// Whatever becomes of a damaged component, the next one is none the worse for it. The seed of what was changed is printed.
#[tokio::test(flavor = "multi_thread")]
async fn neither_a_prefix_of_a_component_nor_one_with_flipped_bits_harms_the_host() {
    const FLIPPED: usize = 100;
    let sandbox = Sandbox::new();
    let whole = Plugin::returning(Encoding::Json, b"7").component();
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let prefixes = (0..whole.len()).map(|length| whole[..length].to_vec());
    let flipped = (0..FLIPPED).map(|_| {
        let mut changed = whole.clone();
        let at = random.usize(..changed.len());
        changed[at] ^= 1 << random.u32(..8);
        changed
    });
    let (mut refused, mut accepted) = (0, 0);
    for damaged in prefixes.chain(flipped.collect::<Vec<_>>()) {
        match sandbox.executor.inspect(damaged, &[]).await {
            Err(error) => {
                assert!(!error.reason.is_empty());
                refused += 1;
            }
            Ok(inspection) => {
                let mut run = Run::new(inspection.digest, inspection.tasks[0].name.as_str(), json!({}));
                (run.limits.fuel, run.limits.memory_bytes) = (10_000_000, 8 << 20);
                // How it ends is its own business, as long as it does.
                let _ended = sandbox.run(run).await;
                accepted += 1;
            }
        }
    }
    assert!(refused >= whole.len() / 2, "{refused} were refused, and {accepted} accepted");
    let digest = sandbox.executor.inspect(whole, &[]).await.expect("a sound plugin").digest;
    assert_eq!(sandbox.run(Run::new(digest, "run", json!({}))).await.value(), json!(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_for_a_missing_folder_is_refused() {
    let sandbox = Sandbox::new();
    let grant = Grant::Dir {
        host: "/there/is/no/such/folder".into(),
        guest: "/data".to_owned(),
        access: DirAccess::ReadOnly,
        identity: None,
        quota: WriteQuota::default(),
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
