//! Compiled code: made once, kept safely, never trusted blindly.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use host::executor::PluginInspector as _;
use host::model::{Digest, ErrorKind};
use serde_json::json;
use tests::wait::wait_for;

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

/// Puts a pipe into the place of a file: whoever opens it to read waits for somebody who writes.
fn put_pipe(path: &Path) {
    fs::remove_file(path).expect("a file was there");
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe can be made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_or_a_link_in_the_place_of_a_file_is_refused_without_waiting_for_it() {
    for of_key in [false, true] {
        let temp = tempfile::tempdir().expect("a folder");
        let folder = temp.path().join("cache");
        let digest = inspected(&sandbox(&folder)).await;
        let file = if of_key { folder.join("key") } else { code_files(&folder).remove(0) };
        put_pipe(&file);
        let running = tokio::task::spawn_blocking({
            let folder = folder.clone();
            move || sandbox(&folder)
        });
        let next = wait_for("the cache to be opened", || async { running.is_finished().then_some(()) });
        next.await;
        let next = running.await.expect("a sandbox");
        next.add(digest, FAULTS.clone());
        let ended = next.run(Run::new(digest, "echo", json!({"value": 1}))).await;
        assert_eq!(ended.value(), json!(1));
        // What is no key of ours stays for the owner to look at; code is replaced.
        assert_eq!(fs::symlink_metadata(&file).expect("there").is_file(), !of_key);
    }
    let temp = tempfile::tempdir().expect("a folder");
    let folder = temp.path().join("cache");
    let digest = inspected(&sandbox(&folder)).await;
    let file = code_files(&folder).remove(0);
    let elsewhere = folder.join("elsewhere");
    fs::rename(&file, &elsewhere).expect("renamed");
    std::os::unix::fs::symlink(&elsewhere, &file).expect("linked");
    let next = sandbox(&folder);
    next.add(digest, FAULTS.clone());
    assert_eq!(next.run(Run::new(digest, "echo", json!({"value": 1}))).await.value(), json!(1));
    assert_eq!(next.plugins.fetches.load(Ordering::Relaxed), 1, "the link was followed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_in_the_place_of_the_folder_changes_nothing_where_it_leads() {
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    let temp = tempfile::tempdir().expect("a folder");
    let (folder, elsewhere) = (temp.path().join("cache"), temp.path().join("elsewhere"));
    fs::create_dir(&elsewhere).expect("made");
    fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o755)).expect("its mode can be changed");
    std::os::unix::fs::symlink(&elsewhere, &folder).expect("linked");
    let linked = sandbox(&folder);
    let digest = inspected(&linked).await;
    assert_eq!(linked.run(Run::new(digest, "echo", json!({"value": 1}))).await.value(), json!(1));
    assert_eq!((mode(&elsewhere), fs::read_dir(&elsewhere).expect("a folder").count()), (0o755, 0));
    // A folder that is closed already serves through a link as well as without.
    fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o700)).expect("its mode can be changed");
    inspected(&sandbox(&folder)).await;
    assert_eq!(code_files(&elsewhere).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_others_can_enter_is_closed_to_them() {
    let temp = tempfile::tempdir().expect("a folder");
    let folder = temp.path().join("cache");
    fs::create_dir(&folder).expect("made");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).expect("its mode can be changed");
    inspected(&sandbox(&folder)).await;
    assert_eq!(fs::metadata(&folder).expect("there").permissions().mode() & 0o777, 0o700);
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
