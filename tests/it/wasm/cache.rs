//! Compiled code: made once, kept safely, never trusted blindly.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use host::executor::PluginInspector as _;
use host::model::{Digest, ErrorKind};
use serde_json::json;

use super::{FAULTS, Run, Sandbox};

fn sandbox(folder: &Path) -> Sandbox {
    Sandbox::with(|options| options.cache_dir = Some(folder.to_owned()))
}

fn code_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "code")).collect()
}

async fn inspected(sandbox: &Sandbox) -> Digest {
    sandbox.executor.inspect(FAULTS.clone(), &[]).await.expect("a sound plugin").digest
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_needs_neither_the_compiler_nor_the_bytes() {
    let temp = tempfile::tempdir().expect("a folder");
    let folder = temp.path().join("cache");
    let digest = inspected(&sandbox(&folder)).await;
    assert_eq!(code_files(&folder).len(), 1);
    let second = sandbox(&folder);
    assert_eq!(second.run(Run::new(digest, "echo", json!({"value": 1}))).await.value(), json!(1));
    assert_eq!(second.plugins.fetches.load(Ordering::Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_can_read_the_cache() {
    let temp = tempfile::tempdir().expect("a folder");
    let folder = temp.path().join("cache");
    inspected(&sandbox(&folder)).await;
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&folder.join("key")), 0o600);
    assert!(code_files(&folder).iter().all(|file| mode(file) == 0o600));
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_was_tampered_with_is_compiled_anew() {
    let temp = tempfile::tempdir().expect("a folder");
    let folder = temp.path().join("cache");
    let digest = inspected(&sandbox(&folder)).await;
    let file = code_files(&folder).remove(0);
    let sound = fs::read(&file).expect("there");
    let mut flipped = sound.clone();
    flipped[sound.len() / 2] ^= 1;
    let mut foreign_key = sound.clone();
    foreign_key.splice(sound.len() - 32.., [0; 32]);
    for bad in [flipped, foreign_key, sound[..100].to_vec(), Vec::new(), sound[32..].to_vec()] {
        fs::write(&file, &bad).expect("tampered with");
        let next = sandbox(&folder);
        next.add(digest, FAULTS.clone());
        assert_eq!(next.run(Run::new(digest, "echo", json!({"value": 1}))).await.value(), json!(1));
        assert_eq!(next.plugins.fetches.load(Ordering::Relaxed), 1, "bad code of {} bytes was used", bad.len());
        assert_eq!(fs::read(&file).expect("there").len(), sound.len(), "not replaced");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn code_under_another_plugins_name_is_not_loaded_for_it() {
    let temp = tempfile::tempdir().expect("a folder");
    let folder = temp.path().join("cache");
    inspected(&sandbox(&folder)).await;
    let file = code_files(&folder).remove(0);
    let other = Digest::from_bytes([7; 32]);
    let name = file.file_name().expect("a name").to_string_lossy().into_owned();
    let renamed = folder.join(format!("{other}{}", &name[64..]));
    fs::copy(&file, renamed).expect("copied");
    let ended = sandbox(&folder).run(Run::new(other, "echo", json!({"value": 1}))).await;
    assert_eq!(ended.error().kind, ErrorKind::PluginUnavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_that_cannot_be_written_costs_nothing_but_time() {
    let temp = tempfile::tempdir().expect("a folder");
    let file = temp.path().join("a file, no folder");
    fs::write(&file, "").expect("written");
    let sandbox = sandbox(&file.join("cache"));
    let digest = inspected(&sandbox).await;
    assert_eq!(sandbox.run(Run::new(digest, "echo", json!({"value": 1}))).await.value(), json!(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_jobs_of_a_new_plugin_make_it_ready_once() {
    let digest = inspected(&Sandbox::new()).await;
    let sandbox = Sandbox::new();
    sandbox.add(digest, FAULTS.clone());
    let jobs = (0..10).map(|_| sandbox.run(Run::new(digest, "echo", json!({"value": 1}))));
    let ended = futures_util::future::join_all(jobs).await;
    assert!(ended.iter().all(|ended| ended.value() == json!(1)));
    assert_eq!(sandbox.plugins.fetches.load(Ordering::Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_could_not_be_had_is_asked_for_again() {
    let digest = inspected(&Sandbox::new()).await;
    let sandbox = Sandbox::new();
    let ended = sandbox.run(Run::new(digest, "noop", json!({}))).await;
    assert_eq!(ended.error().kind, ErrorKind::PluginUnavailable);
    sandbox.add(digest, b"something else".to_vec());
    let ended = sandbox.run(Run::new(digest, "noop", json!({}))).await;
    assert!(ended.error().message.contains("damaged"), "{:?}", ended.error());
    sandbox.add(digest, FAULTS.clone());
    sandbox.run(Run::new(digest, "noop", json!({}))).await.value();
}
