//! Rights: none by default, what was granted and no more, and refusals that say what would help.

use std::fs;

use host::model::{DirAccess, ErrorKind, Grant};
use serde_json::{Value, json};

use super::{Run, Sandbox};

fn folder(host: &std::path::Path, access: DirAccess) -> Grant {
    Grant::Dir { host: host.to_owned(), guest: "/data".to_owned(), access }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_granted_by_default() {
    let (sandbox, digest) = Sandbox::with_faults().await;
    assert_eq!(sandbox.run(Run::new(digest, "reads_env", json!({}))).await.value(), json!([]));
    let arguments = sandbox.run(Run::new(digest, "reads_process_arguments", json!({}))).await.value();
    assert_eq!(arguments, json!([]));
    let ended = sandbox.run(Run::new(digest, "reads_file", json!({"path": "/etc/passwd"}))).await;
    assert_eq!(ended.error().kind, ErrorKind::Denied, "{:?}", ended.error());
    assert!(ended.error().context.iter().any(|line| line.contains("--allow-dir")), "{:?}", ended.error());
    let ended = sandbox.run(Run::new(digest, "connects", json!({"address": "127.0.0.1:9"}))).await;
    assert!(matches!(ended.error().kind, ErrorKind::GuestError | ErrorKind::Denied), "{:?}", ended.error());
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_for_a_job_without_the_grant_names_the_flag() {
    let (sandbox, digest) = Sandbox::with_faults().await;
    let ended = sandbox.run(Run::new(digest, "adds_job", json!({"task": "hello:greet"}))).await;
    assert_eq!(ended.error().kind, ErrorKind::Denied, "{:?}", ended.error());
    assert!(format!("{:?}", ended.error()).contains("--allow-schedule"), "{:?}", ended.error());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_granted_for_reading_can_be_read_and_not_written() {
    let (sandbox, digest) = Sandbox::with_faults().await;
    let temp = tempfile::tempdir().expect("a folder");
    fs::write(temp.path().join("in.txt"), "hello").expect("written");
    fs::create_dir(temp.path().join("inner")).expect("made");
    let run = |task: &str, args: Value, access| {
        let mut run = Run::new(digest, task, args);
        run.grants = vec![folder(temp.path(), access)];
        sandbox.run(run)
    };
    let read = run("reads_file", json!({"path": "/data/in.txt"}), DirAccess::ReadOnly).await;
    assert_eq!(read.value(), json!("hello"));
    let write = json!({"path": "/data/out.txt", "text": "x"});
    let refused = run("writes_file", write.clone(), DirAccess::ReadOnly).await;
    assert_eq!(refused.error().kind, ErrorKind::Denied, "{:?}", refused.error());
    assert!(refused.error().context.iter().any(|line| line.contains(":rw")), "{:?}", refused.error());
    assert!(!temp.path().join("out.txt").exists());
    run("writes_file", write, DirAccess::ReadWrite).await.value();
    assert_eq!(fs::read_to_string(temp.path().join("out.txt")).expect("written by the guest"), "x");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_way_leads_out_of_a_granted_folder() {
    let (sandbox, digest) = Sandbox::with_faults().await;
    let temp = tempfile::tempdir().expect("a folder");
    let granted = temp.path().join("granted");
    fs::create_dir(&granted).expect("made");
    fs::write(temp.path().join("secret"), "secret").expect("written");
    std::os::unix::fs::symlink("../secret", granted.join("link")).expect("linked");
    std::os::unix::fs::symlink(temp.path().join("secret"), granted.join("absolute")).expect("linked");
    for path in ["/data/../secret", "/data/link", "/data/absolute", "/data/./../../../../../../etc/passwd"] {
        let mut run = Run::new(digest, "reads_file", json!({"path": path}));
        run.grants = vec![folder(&granted, DirAccess::ReadWrite)];
        let ended = sandbox.run(run).await;
        assert!(matches!(ended.error().kind, ErrorKind::GuestError | ErrorKind::Denied), "{path}: {:?}", ended.error());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_folder_that_was_opened_is_the_folder_that_is_used() {
    let (sandbox, digest) = Sandbox::with_faults().await;
    let temp = tempfile::tempdir().expect("a folder");
    let (granted, moved) = (temp.path().join("granted"), temp.path().join("moved"));
    fs::create_dir(&granted).expect("made");
    fs::write(granted.join("in.txt"), "the right one").expect("written");
    let read = || {
        let mut run = Run::new(digest, "reads_file", json!({"path": "/data/in.txt"}));
        run.grants = vec![folder(&granted, DirAccess::ReadOnly)];
        sandbox.run(run)
    };
    assert_eq!(read().await.value(), json!("the right one"));
    // Somebody puts another folder in its place: the jobs go on with the one that was granted.
    fs::rename(&granted, &moved).expect("moved");
    fs::create_dir(&granted).expect("made");
    fs::write(granted.join("in.txt"), "another").expect("written");
    assert_eq!(read().await.value(), json!("the right one"));
    // It is removed: what is there by its name now is opened, and once nothing is, that is told.
    fs::remove_dir_all(&moved).expect("removed");
    assert_eq!(read().await.value(), json!("another"));
    fs::remove_dir_all(&granted).expect("removed");
    let ended = read().await;
    assert_eq!(ended.error().kind, ErrorKind::HostError);
    assert!(ended.error().message.contains("cannot open the granted folder"), "{:?}", ended.error());
}

#[tokio::test(flavor = "multi_thread")]
async fn granted_variables_and_no_others_are_seen() {
    let (sandbox, digest) = Sandbox::with_faults().await;
    let mut run = Run::new(digest, "reads_env", json!({}));
    run.grants = vec![
        Grant::Env { name: "FIXED".to_owned(), value: Some("1".to_owned()) },
        // Every test process has one; its value is the host's.
        Grant::Env { name: "PATH".to_owned(), value: None },
        Grant::Env { name: "NOBODY_HAS_THIS".to_owned(), value: None },
    ];
    let path = std::env::var("PATH").expect("a path");
    assert_eq!(sandbox.run(run).await.value(), json!([["FIXED", "1"], ["PATH", path]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_cannot_hoard_handles() {
    let (sandbox, digest) = Sandbox::with_faults().await;
    let temp = tempfile::tempdir().expect("a folder");
    fs::write(temp.path().join("in.txt"), "hello").expect("written");
    let mut run = Run::new(digest, "opens_handles", json!({"path": "/data/in.txt", "times": 100_000}));
    run.grants = vec![folder(temp.path(), DirAccess::ReadOnly)];
    let ended = sandbox.run(run).await;
    assert_eq!(ended.error().kind, ErrorKind::Trap, "{:?}", ended.error());
}
