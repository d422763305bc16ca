//! What the host keeps and does for guests: it counts against their limits, and has an end.

use std::fs;
use std::path::Path;
use std::time::Duration;

use host::app::grant_dir;
use host::executor::Executor as _;
use host::model::{DirAccess, ErrorKind, Grant, WriteQuota};
use serde_json::json;
use tests::wait::wait_for;
use tokio_util::sync::CancellationToken;

use super::{Ended, LIMITS, Run, Sandbox};

fn folder(host: &Path, access: DirAccess, quota: WriteQuota) -> Grant {
    grant_dir(host, "/data", access, quota).expect("a folder that can be granted")
}

fn context_mentions(ended: &Ended, mention: &str) -> bool {
    ended.error().context.iter().any(|line| line.contains(mention))
}

#[tokio::test(flavor = "multi_thread")]
async fn listings_that_the_host_keeps_count_as_the_guests_memory() {
    let (sandbox, digest) = Sandbox::with_faults().await;
    let temp = tempfile::tempdir().expect("a folder");
    for name in 0..5_000 {
        fs::write(temp.path().join(format!("{name:0100}")), "").expect("written");
    }
    let mut run = Run::new(digest, "hoards_listings", json!({"path": "/data", "times": 900}));
    run.grants = vec![folder(temp.path(), DirAccess::ReadOnly, WriteQuota::default())];
    (run.limits.memory_bytes, run.limits.open_files) = (32 << 20, 1_000);
    let ended = sandbox.run(run).await;
    // A listing takes most of a megabyte.
    let got = ended.value().as_u64().expect("a number");
    assert!((10..=45).contains(&got), "{got} listings");
    assert!(ended.finished.usage.peak_memory_bytes <= 32 << 20, "{:?}", ended.finished.usage);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_has_so_many_files_open_and_no_more() {
    let (sandbox, digest) = Sandbox::with_faults().await;
    let temp = tempfile::tempdir().expect("a folder");
    fs::write(temp.path().join("in.txt"), "hello").expect("written");
    let mut run = Run::new(digest, "opens_handles", json!({"path": "/data/in.txt", "times": 100_000}));
    run.grants = vec![folder(temp.path(), DirAccess::ReadOnly, WriteQuota::default())];
    assert_eq!(sandbox.run(run).await.value(), json!(LIMITS.open_files));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_writes_what_its_grant_allows_and_no_more() {
    let (sandbox, digest) = Sandbox::with_faults().await;
    let written = |path: &Path| -> (u64, u64) {
        let sizes = fs::read_dir(path).expect("there").flatten().map(|entry| entry.metadata().expect("there").len());
        sizes.fold((0, 0), |(files, bytes), size| (files + 1, bytes + size))
    };
    for (quota, files, bytes) in [
        (WriteQuota { bytes: Some(1_000_000), files: None }, u64::MAX, 1_000_000),
        (WriteQuota { bytes: None, files: Some(3) }, 3, u64::MAX),
    ] {
        let temp = tempfile::tempdir().expect("a folder");
        let run = |files: usize| {
            let mut run = Run::new(digest, "writes_files", json!({"path": "/data", "files": files, "bytes": 300_000}));
            run.grants = vec![folder(temp.path(), DirAccess::ReadWrite, quota)];
            sandbox.run(run)
        };
        run(3).await.value();
        // What lies there already is no matter: the next attempt has a quota of its own.
        let ended = run(10).await;
        assert_eq!(ended.error().kind, ErrorKind::Denied, "{:?}", ended.error());
        assert!(context_mentions(&ended, "rw,max=SIZE,files=N"), "{:?}", ended.error());
        let found = written(temp.path());
        assert!(found.0 <= files.saturating_add(3) && found.1 <= bytes.saturating_add(900_000), "{found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_host_does_for_a_guest_burns_its_fuel() {
    let (sandbox, digest) = Sandbox::with_faults().await;
    let run = |lines: u64, fuel: u64| {
        let mut run = Run::new(digest, "prints_line_ends", json!({"lines": lines}));
        (run.limits.fuel, run.limits.log_lines) = (fuel, 100);
        sandbox.run(run)
    };
    let ended = run(1_000_000, 10_000_000_000).await;
    assert!(ended.finished.usage.fuel >= 50_000_000, "a line is worth 50: {:?}", ended.finished.usage);
    let ended = run(100_000_000, 500_000_000).await;
    assert_eq!(ended.error().kind, ErrorKind::OutOfFuel, "{:?}", ended.error());
    assert!(ended.finished.usage.fuel <= 500_000_000, "{:?}", ended.finished.usage);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_waits_until_the_others_leave_it_memory() {
    let sandbox = Sandbox::with(|options| {
        options.cache_dir = Some(super::COMPILED.path().join("cache"));
        options.memory_total = Some(100 << 20);
    });
    let digest = sandbox.learn_faults().await;
    let temp = tempfile::tempdir().expect("a folder");
    let holds = |marker: &str| {
        let args = json!({"bytes": 1 << 20, "marker": format!("/data/{marker}")});
        let mut run = Run::new(digest, "holds_memory", args);
        run.grants = vec![folder(temp.path(), DirAccess::ReadWrite, WriteQuota::default())];
        let cancel = CancellationToken::new();
        (sandbox.run_with(run, cancel.clone(), CancellationToken::new()), cancel)
    };
    let holding = |marker: &'static str| {
        let file = temp.path().join(marker);
        wait_for(marker, move || std::future::ready(file.exists().then_some(())))
    };
    let load = || sandbox.executor.memory_load().expect("memory is bounded");
    // None of them was ever seen, so each reserves what it may use, which is more than half of what there is.
    let ((one, end_one), (two, end_two)) = (holds("first"), holds("second"));
    let look = async {
        holding("first").await;
        wait_for("the second to wait", || std::future::ready((load().waiting == 1).then_some(()))).await;
        assert_eq!(load().reserved_bytes, 64 << 20);
        assert!(!temp.path().join("second").exists(), "it began");
        end_one.cancel();
        holding("second").await;
        assert_eq!((load().waiting, load().reserved_bytes), (0, 64 << 20));
        end_two.cancel();
    };
    let second = async {
        holding("first").await;
        two.await
    };
    let (one, two, ()) = tokio::join!(one, second, look);
    assert_eq!((one.value(), two.value(), load().reserved_bytes), (json!(1 << 20), json!(1 << 20), 0));
    // Now it is known how little they need.
    let (three, end_three) = holds("third");
    let look = async {
        holding("third").await;
        let reserved = load().reserved_bytes;
        end_three.cancel();
        reserved
    };
    let (three, reserved) = tokio::join!(three, look);
    assert_eq!(three.value(), json!(1 << 20));
    assert!(reserved < 16 << 20, "{reserved} bytes were reserved");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_does_not_come_does_not_hold_a_job_for_ever() {
    struct Never;

    #[async_trait::async_trait]
    impl host::executor::PluginSource for Never {
        async fn plugin_bytes(&self, _digest: &host::model::Digest) -> Result<Option<Vec<u8>>, String> {
            std::future::pending().await
        }
    }

    let sandbox = Sandbox::with(|options| {
        options.source = std::sync::Arc::new(Never);
        options.loading_max = Duration::from_millis(100);
    });
    let ended = sandbox.run(Run::new(host::model::Digest::from_bytes([1; 32]), "echo", json!({}))).await;
    assert_eq!(ended.error().kind, ErrorKind::TimedOut, "{:?}", ended.error());
    assert!(ended.error().message.contains("was not loaded"), "{:?}", ended.error());
}
