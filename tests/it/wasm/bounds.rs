//! What the host keeps and does for guests: it counts against their limits, and has an end.

use std::fs;
use std::path::Path;
use std::time::Duration;

use host::app::grant_dir;
use host::executor::{Executor as _, PluginInspector as _, Verdict};
use host::model::{DirAccess, ErrorKind, Grant, WriteQuota};
use serde_json::json;
use tests::wait::wait_for;
use tokio_util::sync::CancellationToken;

use super::{Ended, LIMITS, Run, Sandbox};
use crate::generated::{Encoding, Plugin};
use crate::hostile::calls::{random, writing};

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

/// What a call costs at the least in fuel, as the guest's own code costs some as well.
#[tokio::test(flavor = "multi_thread")]
async fn calls_of_the_host_burn_fuel_by_what_they_make_it_do() {
    let (sandbox, digest) = Sandbox::with_faults().await;
    let temp = tempfile::tempdir().expect("a folder");
    fs::write(temp.path().join("in.txt"), vec![b'x'; 512 << 10]).expect("written");
    fs::create_dir(temp.path().join("many")).expect("made");
    for name in 0..500 {
        fs::write(temp.path().join(format!("many/{name}")), "").expect("written");
    }
    for (what, task, args, least) in [
        ("opening files", "opens_handles", json!({"path": "/data/in.txt", "times": 60}), 60 * 5_000),
        ("looking at an open file", "looks_at", json!({"path": "/data/in.txt", "times": 100}), 100 * 5_000),
        ("reading", "reads_file", json!({"path": "/data/in.txt"}), 512 << 10),
        ("entries of a folder", "lists_folder", json!({"path": "/data/many"}), 500 * 1_000),
        ("waiting", "naps", json!({"times": 1_000}), 1_000 * 1_000),
    ] {
        let mut run = Run::new(digest, task, args);
        run.grants = vec![folder(temp.path(), DirAccess::ReadOnly, WriteQuota::default())];
        let own = sandbox.run(Run::new(digest, "noop", json!({}))).await.finished.usage.fuel;
        let ended = sandbox.run(run).await;
        assert!(matches!(ended.finished.verdict, Verdict::Success(_)), "{what}: {:?}", ended.finished.verdict);
        let fuel = ended.finished.usage.fuel;
        assert!(fuel >= own + least, "{what}: {fuel}, and {own} for nothing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_bytes_burn_fuel_and_results_are_memory_to_the_byte() {
    let sandbox = Sandbox::new();
    let usage = async |component: Vec<u8>| {
        let digest = sandbox.executor.inspect(component, &[]).await.expect("a sound plugin").digest;
        let ended = sandbox.run(Run::new(digest, "run", json!({}))).await;
        ended.value();
        ended.finished.usage
    };
    let (few, many) = (usage(random(100)).await, usage(random(100_100)).await);
    // Of two plugins that differ in a number only, the fuel differs by what the number costs.
    assert_eq!(many.fuel - few.fuel, 8 * 100_000);
    let answering = |bytes: usize| Plugin::returning(Encoding::Json, format!("{:>bytes$}", 1).as_bytes()).component();
    let (short, long) = (usage(answering(1)).await, usage(answering(1_001)).await);
    assert_eq!(long.peak_memory_bytes - short.peak_memory_bytes, 1_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_call_hands_over_is_memory_while_the_call_waits() {
    let sandbox = Sandbox::new();
    let temp = tempfile::tempdir().expect("a folder");
    let write = async |bytes: i32, memory_bytes: u64| {
        let component = writing(bytes);
        let digest = sandbox.executor.inspect(component, &[]).await.expect("a sound plugin").digest;
        let mut run = Run::new(digest, "run", json!({}));
        run.grants = vec![folder(temp.path(), DirAccess::ReadWrite, WriteQuota::default())];
        run.limits.memory_bytes = memory_bytes;
        let ended = sandbox.run(run).await;
        (ended.value(), ended.finished.usage.peak_memory_bytes)
    };
    // The module has 16 MiB of its own, of which the host copies what is written.
    let (own, bytes) = (16 << 20, 6 << 20);
    let (answer, peak) = write(bytes, own + 8 * (1 << 20)).await;
    assert_eq!(answer, json!(0));
    assert!(peak >= own + 6 * (1 << 20), "{peak}");
    let written = fs::metadata(temp.path().join("out")).expect("there").len();
    assert_eq!(written, 6 << 20);
    // With less room than that the call is refused, as where the system has no memory.
    let (answer, peak) = write(bytes, own + 4 * (1 << 20)).await;
    assert_eq!(answer, json!(1));
    assert!(peak < own + 4 * (1 << 20), "{peak}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_folder_is_what_a_task_fails_for_only_until_it_takes_something() {
    let (sandbox, digest) = Sandbox::with_faults().await;
    for (lengths, kind) in [
        (&[2_000_000][..], ErrorKind::Denied),
        (&[10, 2_000_000], ErrorKind::Denied),
        (&[2_000_000, 10], ErrorKind::GuestError),
        (&[10], ErrorKind::GuestError),
    ] {
        let temp = tempfile::tempdir().expect("a folder");
        let args = json!({"path": "/data", "lengths": lengths, "message": "the sum is wrong"});
        let mut run = Run::new(digest, "writes_and_fails", args);
        // Streams write 64 KiB at once, so that some is left when a large file was refused.
        run.grants =
            vec![folder(temp.path(), DirAccess::ReadWrite, WriteQuota { bytes: Some(1_000_000), files: None })];
        let ended = sandbox.run(run).await;
        assert_eq!(ended.error().kind, kind, "{lengths:?}: {:?}", ended.error());
        assert_eq!(ended.error().message, "the sum is wrong");
        // What was refused is told in any case.
        let was_refused = lengths.contains(&2_000_000);
        assert_eq!(context_mentions(&ended, "rw,max=SIZE,files=N"), was_refused, "{lengths:?}: {:?}", ended.error());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_were_not_made_after_all_do_not_count() {
    let (sandbox, digest) = Sandbox::with_faults().await;
    let temp = tempfile::tempdir().expect("a folder");
    // Where the first two names lead there is no folder to make a file in, so that only the third takes from the quota.
    for name in ["0", "1"] {
        std::os::unix::fs::symlink("missing/file", temp.path().join(name)).expect("linked");
    }
    let args = json!({"path": "/data", "lengths": [1, 1, 1], "message": "done"});
    let mut run = Run::new(digest, "writes_and_fails", args);
    run.grants = vec![folder(temp.path(), DirAccess::ReadWrite, WriteQuota { bytes: None, files: Some(1) })];
    let ended = sandbox.run(run).await;
    assert_eq!(ended.error().kind, ErrorKind::GuestError, "{:?}", ended.error());
    assert_eq!(fs::metadata(temp.path().join("2")).expect("made").len(), 1);
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
