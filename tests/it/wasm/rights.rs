//! Rights: none by default, what was granted and no more, and refusals that say what would help.

use std::fs;
use std::io::ErrorKind as IoErrorKind;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;

use host::app::grant_dir;
use host::executor::{Retry, Verdict};
use host::model::{DirAccess, ErrorKind, Grant, JobError, WriteQuota};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::{Value, json};

use super::{Ended, Run, Sandbox};

/// A grant of a folder as `/data`, as `host register` makes it.
fn folder(host: &Path, access: DirAccess) -> Grant {
    grant_dir(host, "/data", access, WriteQuota::default()).expect("a folder that can be granted")
}

fn context_mentions(error: &JobError, mention: &str) -> bool {
    error.context.iter().any(|line| line.contains(mention))
}

fn retry(ended: &Ended) -> Retry {
    match &ended.finished.verdict {
        Verdict::Failure { retry, .. } => *retry,
        other => panic!("no failure: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_granted_by_default() {
    let (sandbox, digest) = Sandbox::with_faults().await;
    assert_eq!(sandbox.run(Run::new(digest, "reads_env", json!({}))).await.value(), json!([]));
    let arguments = sandbox.run(Run::new(digest, "reads_process_arguments", json!({}))).await.value();
    assert_eq!(arguments, json!([]));
    let ended = sandbox.run(Run::new(digest, "reads_file", json!({"path": "/etc/passwd"}))).await;
    assert_eq!(ended.error().kind, ErrorKind::Denied, "{:?}", ended.error());
    assert!(
        context_mentions(ended.error(), "`/etc/passwd` is in no granted folder; `--allow-dir HOST::GUEST:ro`"),
        "{:?}",
        ended.error()
    );
    let write = json!({"path": "/srv/out.txt", "text": "x"});
    let ended = sandbox.run(Run::new(digest, "writes_file", write)).await;
    assert_eq!(ended.error().kind, ErrorKind::Denied, "{:?}", ended.error());
    assert!(
        context_mentions(ended.error(), "`/srv/out.txt` is in no granted folder; `--allow-dir HOST::GUEST:rw`"),
        "{:?}",
        ended.error()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_connection_reaches_a_listener_and_no_name_is_looked_up() {
    let (sandbox, digest) = Sandbox::with_faults().await;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("set");
    let port = listener.local_addr().expect("bound").port();
    for (address, what) in [
        (format!("127.0.0.1:{port}"), "making a TCP socket is denied"),
        (format!("localhost:{port}"), "looking up the name `localhost` is denied"),
    ] {
        let ended = sandbox.run(Run::new(digest, "connects", json!({"address": address}))).await;
        assert_eq!(ended.error().kind, ErrorKind::Denied, "{:?}", ended.error());
        assert!(context_mentions(ended.error(), what), "{:?}", ended.error());
    }
    let heard = listener.accept().expect_err("nobody came");
    assert_eq!(heard.kind(), IoErrorKind::WouldBlock);
}

/// What a guest says is its own: only what the host refused makes a failure a denial.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_reads_like_a_denial_is_none_and_may_be_tried_again() {
    let (sandbox, digest) = Sandbox::with_faults().await;
    let temp = tempfile::tempdir().expect("a folder");
    for words in
        ["upstream said: No such file or directory", "Operation not permitted", "Permission denied (os error 2)"]
    {
        let mut run = Run::new(digest, "fails_for_now", json!({"message": words}));
        run.grants = vec![folder(temp.path(), DirAccess::ReadOnly)];
        let ended = sandbox.run(run).await;
        assert_eq!((ended.error().kind, retry(&ended)), (ErrorKind::GuestError, Retry::Backoff), "{words}");
        assert_eq!(ended.error().context, Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_did_without_what_it_was_denied_fails_for_its_own_reason() {
    let (sandbox, digest) = Sandbox::with_faults().await;
    let temp = tempfile::tempdir().expect("a folder");
    fs::write(temp.path().join("in.txt"), "not a number").expect("written");
    let run = |paths: &[&str]| {
        let mut run = Run::new(digest, "reads_number", json!({"paths": paths}));
        run.grants = vec![folder(temp.path(), DirAccess::ReadOnly)];
        sandbox.run(run)
    };
    let ended = run(&["/etc/number", "/data/in.txt"]).await;
    assert_eq!(ended.error().kind, ErrorKind::GuestError, "{:?}", ended.error());
    assert!(context_mentions(ended.error(), "`/etc/number` is in no granted folder"), "{:?}", ended.error());
    let ended = run(&["/data/missing.txt"]).await;
    assert_eq!(ended.error().kind, ErrorKind::GuestError, "a missing file is no denial: {:?}", ended.error());
    let ended = run(&["/data/in.txt", "/etc/number"]).await;
    assert_eq!(ended.error().kind, ErrorKind::GuestError, "it never asked for the second: {:?}", ended.error());
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
    assert!(context_mentions(refused.error(), "`--allow-dir HOST::/data:rw`"), "{:?}", refused.error());
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
    symlink("../secret", granted.join("link")).expect("linked");
    symlink(temp.path().join("secret"), granted.join("absolute")).expect("linked");
    for path in ["/data/../secret", "/data/link", "/data/absolute", "/data/./../../../../../../etc/passwd"] {
        let mut run = Run::new(digest, "reads_file", json!({"path": path}));
        run.grants = vec![folder(&granted, DirAccess::ReadWrite)];
        let ended = sandbox.run(run).await;
        assert!(matches!(ended.error().kind, ErrorKind::GuestError | ErrorKind::Denied), "{path}: {:?}", ended.error());
    }
}

/// A folder with a file, and a run that reads that file through a grant of the folder.
struct Granted {
    temp: tempfile::TempDir,
    grant: Grant,
}

impl Granted {
    fn new() -> Granted {
        let temp = tempfile::tempdir().expect("a folder");
        let granted = temp.path().join("granted");
        fs::create_dir(&granted).expect("made");
        fs::write(granted.join("in.txt"), "the right one").expect("written");
        let grant = folder(&granted, DirAccess::ReadOnly);
        Granted { temp, grant }
    }

    /// The grant as it is without what it says of the folder's identity, or as another machine stored it.
    fn with_identity(&self, change: impl FnOnce(&mut Option<host::model::FolderIdentity>)) -> Grant {
        let mut grant = self.grant.clone();
        if let Grant::Dir { identity, .. } = &mut grant {
            change(identity);
        }
        grant
    }

    /// Puts something else in the folder's place.
    fn replace(&self, with: impl FnOnce(&Path)) {
        let granted = self.temp.path().join("granted");
        let moved = self.temp.path().join(format!("moved-{}", fastrand::u32(..)));
        fs::rename(&granted, moved).expect("moved");
        with(&granted);
    }

    async fn read(sandbox: &Sandbox, digest: host::model::Digest, grant: &Grant) -> Ended {
        let mut run = Run::new(digest, "reads_file", json!({"path": "/data/in.txt"}));
        run.grants = vec![grant.clone()];
        sandbox.run(run).await
    }
}

fn another_folder(path: &Path) {
    fs::create_dir(path).expect("made");
    fs::write(path.join("in.txt"), "another").expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_folder_that_was_granted_is_the_folder_that_is_used() {
    let (sandbox, digest) = Sandbox::with_faults().await;
    let granted = Granted::new();
    assert_eq!(Granted::read(&sandbox, digest, &granted.grant).await.value(), json!("the right one"));
    // While it is open, nothing that happens to its name matters.
    granted.replace(another_folder);
    assert_eq!(Granted::read(&sandbox, digest, &granted.grant).await.value(), json!("the right one"));
    // A server that is started again finds another folder by that name, and does not hand it out.
    let (restarted, digest) = Sandbox::with_faults().await;
    let ended = Granted::read(&restarted, digest, &granted.grant).await;
    assert_eq!((ended.error().kind, retry(&ended)), (ErrorKind::Denied, Retry::Never), "{:?}", ended.error());
    assert!(ended.error().message.contains("another folder is in its place"), "{:?}", ended.error());
    assert!(context_mentions(ended.error(), "register the plugin again"), "{:?}", ended.error());
    // Once it has been granted, it is.
    let grant = folder(&granted.temp.path().join("granted"), DirAccess::ReadOnly);
    assert_eq!(Granted::read(&restarted, digest, &grant).await.value(), json!("another"));
    // Gone is not replaced: it may come back.
    granted.replace(|_| {});
    let (restarted, digest) = Sandbox::with_faults().await;
    let ended = Granted::read(&restarted, digest, &granted.grant).await;
    assert_eq!((ended.error().kind, retry(&ended)), (ErrorKind::HostError, Retry::Backoff), "{:?}", ended.error());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_in_the_place_of_a_granted_folder_or_of_one_above_it_leads_nowhere() {
    let granted = Granted::new();
    for grant in [granted.grant.clone(), granted.with_identity(|identity| *identity = None)] {
        granted.replace(|path| symlink("../../../../../../etc", path).expect("linked"));
        let (sandbox, digest) = Sandbox::with_faults().await;
        let ended = Granted::read(&sandbox, digest, &grant).await;
        assert_eq!(ended.error().kind, ErrorKind::Denied, "{:?}", ended.error());
        assert!(ended.error().message.contains("is a symbolic link"), "{:?}", ended.error());
    }
    // The folder above is moved away, and a link put in its place that leads to it.
    let above = granted.temp.path().join("above");
    fs::create_dir(&above).expect("made");
    another_folder(&above.join("inner"));
    let grant = folder(&above.join("inner"), DirAccess::ReadOnly);
    fs::rename(&above, granted.temp.path().join("elsewhere")).expect("moved");
    symlink("elsewhere", &above).expect("linked");
    let (sandbox, digest) = Sandbox::with_faults().await;
    let ended = Granted::read(&sandbox, digest, &grant).await;
    assert!(ended.error().message.contains("above` is a symbolic link"), "{:?}", ended.error());
}

/// A grant that is older than identities, and one that was given on another machine.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_the_grant_does_not_tell_from_others_stays_the_one_that_was_found_first() {
    let granted = Granted::new();
    let older = granted.with_identity(|identity| *identity = None);
    let foreign = granted.with_identity(|identity| {
        let identity = identity.as_mut().expect("a grant has one");
        identity.machine = "another machine".to_owned();
        identity.inode += 1;
    });
    for grant in [older, foreign] {
        let (sandbox, digest) = Sandbox::with_faults().await;
        Granted::read(&sandbox, digest, &grant).await.value();
        // It is removed, so that it is opened by its name again.
        granted.replace(another_folder);
        for entry in fs::read_dir(granted.temp.path()).expect("there").flatten() {
            if entry.file_name().to_string_lossy().starts_with("moved-") {
                fs::remove_dir_all(entry.path()).expect("removed");
            }
        }
        let ended = Granted::read(&sandbox, digest, &grant).await;
        assert_eq!(ended.error().kind, ErrorKind::Denied, "{:?}", ended.error());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_write_a_folder_cannot_send_another_plugin_elsewhere_through_it() {
    let (sandbox, digest) = Sandbox::with_faults().await;
    let temp = tempfile::tempdir().expect("a folder");
    let (outer, inner) = (temp.path().join("work"), temp.path().join("work/in"));
    fs::create_dir_all(&inner).expect("made");
    fs::write(inner.join("in.txt"), "the right one").expect("written");
    let (writes, reads) = (folder(&outer, DirAccess::ReadWrite), folder(&inner, DirAccess::ReadOnly));
    assert_eq!(Granted::read(&sandbox, digest, &reads).await.value(), json!("the right one"));
    // What a plugin with the outer folder can do: move the inner one away and put a link in its place.
    let mut run = Run::new(digest, "replaces_by_link", json!({"path": "/data/in", "target": "../../../../../etc"}));
    run.grants = vec![writes];
    sandbox.run(run).await.value();
    assert!(inner.symlink_metadata().expect("there").is_symlink());
    assert_eq!(Granted::read(&sandbox, digest, &reads).await.value(), json!("the right one"), "it is held open");
    let (restarted, digest) = Sandbox::with_faults().await;
    let ended = Granted::read(&restarted, digest, &reads).await;
    assert_eq!(ended.error().kind, ErrorKind::Denied, "{:?}", ended.error());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_granted_folder_hands_out_regular_files_and_folders_only() {
    let (sandbox, digest) = Sandbox::with_faults().await;
    let temp = tempfile::tempdir().expect("a folder");
    mknodat(CWD, temp.path().join("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("made");
    symlink("fifo", temp.path().join("link")).expect("linked");
    let _socket = std::os::unix::net::UnixListener::bind(temp.path().join("socket")).expect("bound");
    for (granted, name, what) in [
        (temp.path(), "fifo", "a FIFO"),
        (temp.path(), "link", "a FIFO"),
        (temp.path(), "socket", "a socket"),
        (Path::new("/dev"), "null", "a device"),
    ] {
        let path = format!("/data/{name}");
        for (task, args, access) in [
            ("reads_file", json!({"path": path}), DirAccess::ReadOnly),
            ("writes_file", json!({"path": path, "text": ""}), DirAccess::ReadWrite),
        ] {
            let mut run = Run::new(digest, task, args);
            run.grants = vec![folder(granted, access)];
            let ended = sandbox.run(run).await;
            assert_eq!(ended.error().kind, ErrorKind::Denied, "{name} {task}: {:?}", ended.error());
            assert!(context_mentions(ended.error(), what), "{name} {task}: {:?}", ended.error());
        }
    }
}

/// More jobs than there are threads for file operations; were one of them held, the reading at the end would wait for ever.
#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_open_a_fifo_hold_no_thread() {
    let (sandbox, digest) = Sandbox::with_faults().await;
    let temp = tempfile::tempdir().expect("a folder");
    mknodat(CWD, temp.path().join("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("made");
    fs::write(temp.path().join("in.txt"), "hello").expect("written");
    let read = |name: &str| {
        let mut run = Run::new(digest, "reads_file", json!({"path": format!("/data/{name}")}));
        run.grants = vec![folder(temp.path(), DirAccess::ReadOnly)];
        sandbox.run(run)
    };
    let ended = futures_util::future::join_all((0..140).map(|_| read("fifo"))).await;
    assert!(ended.iter().all(|ended| ended.error().kind == ErrorKind::Denied));
    assert_eq!(read("in.txt").await.value(), json!("hello"));
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
