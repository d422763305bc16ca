//! Compiling in a process of its own: it works as in this one, and whatever becomes of it is a refusal in plain words.

use std::path::{Path, PathBuf};
use std::time::Duration;

use host::config::CompilerLimits;
use host::executor::wasm::{ChildCompiler, Compiler};
use host::executor::{InspectError, PluginInspector as _, Verdict};
use host::model::ErrorKind;
use serde_json::json;
use tests::cli::host_binary;

use super::{FAULTS, Run, Sandbox};
use crate::generated::{Encoding, Plugin, composed};

fn sandbox(program: &Path, limits: CompilerLimits) -> Sandbox {
    Sandbox::with(|options| {
        options.compiler = Compiler::Child(ChildCompiler { program: program.to_owned(), limits });
    })
}

async fn refusal(program: &Path, limits: CompilerLimits) -> InspectError {
    sandbox(program, limits).executor.inspect(FAULTS.clone(), &[]).await.expect_err("refused")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_child_compiles_runs_here() {
    let sandbox = sandbox(host_binary(), CompilerLimits::default());
    for component in [FAULTS.clone(), composed()] {
        let inspection = sandbox.executor.inspect(component, &[]).await.expect("a sound plugin");
        let task = if inspection.tasks.len() == 1 { "run" } else { "noop" };
        sandbox.run(Run::new(inspection.digest, task, json!({}))).await.value();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_is_refused_in_the_same_words_wherever_it_is_compiled() {
    let mut damaged = FAULTS.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 64].fill(0xff);
    let too_much = Plugin { more_memories: 1, ..Plugin::trapping() }.component();
    for component in [damaged, too_much] {
        let here = Sandbox::new().executor.inspect(component.clone(), &[]).await.expect_err("refused");
        let there = sandbox(host_binary(), CompilerLimits::default()).executor.inspect(component, &[]).await;
        assert_eq!(there.expect_err("refused"), here);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compiler_without_enough_memory_says_so_and_how_to_give_it_more() {
    let limits = CompilerLimits { memory_bytes: 48 << 20, ..CompilerLimits::default() };
    let error = refusal(host_binary(), limits).await;
    assert_eq!(error.reason, "the compiler ran out of memory on this component");
    assert_eq!(error.context, ["it may have 48 MiB"]);
    assert!(error.hint.is_some_and(|hint| hint.contains("[compiler]")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compiler_that_takes_too_long_is_stopped() {
    let limits = CompilerLimits { timeout: Duration::from_millis(1), ..CompilerLimits::default() };
    let error = refusal(host_binary(), limits).await;
    assert_eq!(error.reason, "the compiler ran out of time on this component");
    assert_eq!(error.context, ["it was stopped after 1ms"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_no_compiler_is_an_error_that_names_it() {
    let usual = CompilerLimits::default();
    let error = refusal(Path::new("/no/such/program"), usual).await;
    assert!(error.context[0].starts_with("/no/such/program: "), "{error:?}");
    let folder = tempfile::tempdir().expect("a folder");
    let error = refusal(&script(folder.path(), "exit 3"), usual).await;
    assert_eq!((error.reason.as_str(), &*error.context), ("the compiler failed", &["exit status: 3".to_owned()][..]));
    let error = refusal(&script(folder.path(), "exit 0"), usual).await;
    assert_eq!(error.reason, "the compiler failed");
    let error = refusal(&script(folder.path(), "echo hello"), usual).await;
    assert!(error.hint.as_deref().is_some_and(|hint| hint.contains("serve_if_asked")), "{error:?}");
    let silent = script(folder.path(), "exec /bin/sleep 600");
    let error = refusal(&silent, CompilerLimits { timeout: Duration::from_millis(200), ..usual }).await;
    assert!(error.reason.contains("out of time"), "{error:?}");
}

/// A program that does this.
fn script(folder: &Path, line: &str) -> PathBuf {
    let path = folder.join("script");
    // Written by another process: a program that is open for writing here, if only in a child that another test starts, cannot be run.
    let write = "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$0\" && chmod 700 \"$0\"";
    let written = std::process::Command::new("bash").args(["-c", write]).arg(&path).arg(line).status();
    assert!(written.expect("bash can be started").success());
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_a_plugin_that_cannot_be_compiled_do_not_start_a_compiler_each() {
    let folder = tempfile::tempdir().expect("a folder");
    let count = folder.path().join("count");
    let program = script(folder.path(), &format!("echo >> {}; exit 1", count.display()));
    let sandbox = sandbox(&program, CompilerLimits::default());
    let digest = Sandbox::new().executor.inspect(FAULTS.clone(), &[]).await.expect("a sound plugin").digest;
    sandbox.add(digest, FAULTS.clone());
    for _ in 0..5 {
        let ended = sandbox.run(Run::new(digest, "noop", json!({}))).await;
        assert_eq!(ended.error().kind, ErrorKind::PluginUnavailable);
    }
    assert_eq!(std::fs::read_to_string(&count).expect("counted"), "\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_is_changed_anywhere_is_refused_or_runs_within_its_limits() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let sandbox = sandbox(host_binary(), CompilerLimits::default());
    let sound = Plugin::returning(Encoding::Json, b"7").component();
    for _ in 0..200 {
        let mut changed = sound.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(8..changed.len());
            match random.u8(0..3) {
                0 => changed[at] = random.u8(..),
                1 => drop(changed.remove(at)),
                _ => changed.insert(at, random.u8(..)),
            }
        }
        let Ok(inspection) = sandbox.executor.inspect(changed, &[]).await else { continue };
        let Some(task) = inspection.tasks.first() else { continue };
        let mut run = Run::new(inspection.digest, task.name.as_str(), json!({}));
        run.limits.fuel = 1_000_000;
        let ended = sandbox.run(run).await;
        if let Verdict::Failure { error, .. } = &ended.finished.verdict {
            assert_ne!(error.kind, ErrorKind::HostError, "seed {seed}: {error:?}");
        }
    }
}
