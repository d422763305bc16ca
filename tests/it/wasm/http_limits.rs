//! Servers and guests that mean no good: too much, too late, without end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use host::executor::Verdict;
use host::model::{Digest, ErrorKind};
use serde_json::{Value, json};
use tests::wait::wait_for;
use tests::web::{Exchange, Server};
use tokio_util::sync::CancellationToken;

use super::http::{hello, run, sandbox};
use super::{Ended, Sandbox};

async fn ask(
    task: &str,
    args: Value,
    answer: impl Fn(&mut Exchange) -> std::io::Result<()> + Send + Sync + 'static,
) -> (Ended, Server) {
    let server = Server::plain(answer).expect("a server");
    let (sandbox, digest) = sandbox(&Arc::default(), None).await;
    let mut args = args;
    args["url"] = json!(server.url("/"));
    let ended = sandbox.run(run(digest, task, args, &[&server.url("/")])).await;
    (ended, server)
}

fn told(ended: &Ended) -> String {
    format!("{:?}", ended.error())
}

const HEAD: &str = "HTTP/1.1 200 OK\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn headers_without_end_are_cut_off() {
    let many = |exchange: &mut Exchange| {
        exchange.send(HEAD)?;
        (0..1_000_000).try_for_each(|n| exchange.send(format!("x-{n}: y\r\n")))
    };
    let long = |exchange: &mut Exchange| {
        exchange.send(format!("{HEAD}x: "))?;
        (0..100_000).try_for_each(|_| exchange.send([b'y'; 1_000]))
    };
    let interim = |exchange: &mut Exchange| {
        (0..1_000_000).try_for_each(|_| exchange.send("HTTP/1.1 103 Early Hints\r\nx: y\r\n\r\n"))
    };
    for (ended, _server) in [
        ask("fetches", json!({}), many).await,
        ask("fetches", json!({}), long).await,
        ask("fetches", json!({}), interim).await,
    ] {
        assert!(told(&ended).contains("http-too-large"), "{}", told(&ended));
        assert!(ended.finished.usage.http.received_bytes < 1 << 20, "{:?}", ended.finished.usage);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_has_a_limit_whether_or_not_it_says_how_long_it_is() {
    let endless = |exchange: &mut Exchange| {
        exchange.send(format!("{HEAD}\r\n"))?;
        (0..100_000).try_for_each(|_| exchange.send([b'y'; 10_000]))
    };
    let announced = |exchange: &mut Exchange| exchange.send(format!("{HEAD}content-length: 1048577\r\n\r\n"));
    let chunked = |exchange: &mut Exchange| {
        exchange.send(format!("{HEAD}transfer-encoding: chunked\r\n\r\n"))?;
        (0..100_000).try_for_each(|_| exchange.send(format!("2710\r\n{}\r\n", "y".repeat(10_000))))
    };
    for (ended, _server) in [
        ask("reads_answer", json!({}), endless).await,
        ask("reads_answer", json!({}), announced).await,
        ask("reads_answer", json!({}), chunked).await,
    ] {
        assert!(told(&ended).contains("http-too-large"), "{}", told(&ended));
        assert!(ended.finished.usage.http.received_bytes < 2 << 20, "{:?}", ended.finished.usage);
    }
    let (ended, _server) = ask("uploads", json!({"bytes": 2 << 20}), |exchange| {
        exchange.body()?;
        hello(exchange)
    })
    .await;
    assert!(told(&ended).contains("http-too-large"), "{}", told(&ended));
    let head = |exchange: &mut Exchange| exchange.send(format!("{HEAD}content-length: 10000000000\r\n\r\n"));
    let (ended, _server) = ask("fetches", json!({"method": "HEAD"}), head).await;
    assert_eq!(ended.value()["body"], json!(""), "the answer to HEAD has no body, however long it says that it is");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_silent_or_breaks_off_is_told_from_one_that_answers() {
    let silent = |exchange: &mut Exchange| {
        exchange.wait_for_close();
        Ok(())
    };
    let (ended, _server) = ask("fetches", json!({"timeout_ms": 200}), silent).await;
    assert!(told(&ended).contains("http-timeout"), "{}", told(&ended));
    let pausing = |exchange: &mut Exchange| {
        exchange.send(format!("{HEAD}content-length: 10\r\n\r\nhalf"))?;
        exchange.wait_for_close();
        Ok(())
    };
    let (ended, _server) = ask("fetches", json!({"timeout_ms": 200}), pausing).await;
    assert!(told(&ended).contains("http-timeout"), "{}", told(&ended));
    let breaking = |exchange: &mut Exchange| {
        exchange.close();
        exchange.send(format!("{HEAD}content-length: 10\r\n\r\nhalf"))
    };
    let (ended, _server) = ask("fetches", json!({}), breaking).await;
    assert!(told(&ended).contains("http-protocol"), "{}", told(&ended));
    let garbage = |exchange: &mut Exchange| exchange.send("SSH-2.0-OpenSSH_9.6\r\n\r\n");
    let (ended, _server) = ask("fetches", json!({}), garbage).await;
    assert!(told(&ended).contains("http-protocol"), "{}", told(&ended));
    let upgrading = |exchange: &mut Exchange| {
        exchange.send("HTTP/1.1 101 Switching Protocols\r\nupgrade: other\r\nconnection: upgrade\r\n\r\n")
    };
    let (ended, _server) = ask("fetches", json!({"timeout_ms": 2_000}), upgrading).await;
    assert!(matches!(ended.finished.verdict, Verdict::Failure { .. } | Verdict::Success(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_jobs_own_deadline_and_its_end_close_the_connection() {
    let is_closed = Arc::new(AtomicBool::new(false));
    let closed = Arc::clone(&is_closed);
    let server = Server::plain(move |exchange| {
        exchange.wait_for_close();
        closed.store(true, Ordering::Relaxed);
        Ok(())
    })
    .expect("a server");
    let (sandbox, digest) = sandbox(&Arc::default(), None).await;
    let (url, grants) = (server.url("/"), [server.url("/")]);
    let mut patient = run(digest, "fetches", json!({"url": url, "timeout_ms": 3_600_000}), &[&grants[0]]);
    patient.limits.timeout = Duration::from_millis(500);
    let ended = sandbox.run(patient.clone()).await;
    assert_eq!(ended.error().kind, ErrorKind::TimedOut, "{:?}", ended.error());
    wait_for("the server to see the end", || async { is_closed.swap(false, Ordering::Relaxed).then_some(()) }).await;

    patient.limits.timeout = Duration::from_secs(600);
    let kill = CancellationToken::new();
    let (ended, ()) = tokio::join!(sandbox.run_with(patient, CancellationToken::new(), kill.clone()), async {
        wait_for("the request", || async { (server.seen().len() == 2).then_some(()) }).await;
        kill.cancel();
    });
    assert_eq!(ended.finished.verdict, Verdict::Cancelled);
    wait_for("the server to see the end", || async { is_closed.load(Ordering::Relaxed).then_some(()) }).await;
    // A task that says nothing of its patience is given time to say what went wrong.
    let mut usual = run(digest, "fetches", json!({"url": url}), &[&grants[0]]);
    usual.limits.timeout = Duration::from_secs(3);
    let ended = sandbox.run(usual).await;
    assert!(told(&ended).contains("http-timeout"), "{}", told(&ended));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_has_so_many_connections_and_so_much_memory_for_them() {
    let unfinished = |exchange: &mut Exchange| exchange.send(format!("{HEAD}content-length: 10\r\n\r\nhalf"));
    let (ended, server) = ask("holds_answers", json!({"times": 50}), unfinished).await;
    assert_eq!((ended.value(), server.connections()), (json!(4), 4));
    let large = |exchange: &mut Exchange| exchange.answer(200, &format!("x: {}\r\n", "y".repeat(50_000)), "");
    let server = Server::plain(large).expect("a server");
    let (sandbox, digest) = sandbox(&Arc::default(), None).await;
    let mut narrow = run(digest, "holds_answers", json!({"url": server.url("/"), "times": 1_000}), &[&server.url("/")]);
    (narrow.limits.http_connections, narrow.limits.memory_bytes) = (1_000, 16 << 20);
    let ended = sandbox.run(narrow).await;
    assert_eq!(ended.error().kind, ErrorKind::OutOfMemory, "{:?}", ended.error());
    assert!(server.connections() < 100, "{}", server.connections());
}

/// More requests than resources that the host keeps for a guest: none of them leaves anything behind.
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_have_ended_leave_nothing_behind() {
    let server = Server::plain(hello).expect("a server");
    let (sandbox, digest) = sandbox(&Arc::default(), None).await;
    let mut often = run(digest, "fetches_often", json!({"url": server.url("/"), "times": 4_200}), &[&server.url("/")]);
    often.limits.timeout = Duration::from_secs(300);
    let ended = sandbox.run(often).await;
    assert_eq!(ended.value(), json!(4_200));
    assert_eq!(ended.finished.usage.http.requests, 4_200);
    let mut denied = run(digest, "fetches_often", json!({"url": server.url("/"), "times": 5_000}), &[]);
    denied.limits.timeout = Duration::from_secs(300);
    assert_eq!(sandbox.run(denied).await.value(), json!(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_cost_fuel() {
    let server = Server::plain(hello).expect("a server");
    let (sandbox, digest) = sandbox(&Arc::default(), None).await;
    let mut endless =
        run(digest, "fetches_often", json!({"url": "http://granted.example/", "times": u32::MAX}), &[&server.url("/")]);
    (endless.limits.fuel, endless.limits.timeout) = (100_000_000, Duration::from_secs(300));
    let ended = sandbox.run(endless).await;
    assert_eq!(ended.error().kind, ErrorKind::OutOfFuel, "{:?}", ended.error());
}

/// A resolver that answers some names only when it is told to.
struct Stuck(Arc<AtomicBool>);

impl host::executor::wasm::Resolver for Stuck {
    fn addresses(&self, name: &str) -> std::io::Result<Vec<std::net::IpAddr>> {
        while name == "stuck.example" && !self.0.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(vec![std::net::IpAddr::from([127, 0, 0, 1])])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_never_found_hold_up_no_other_plugin() {
    let server = Server::plain(hello).expect("a server");
    let is_over = Arc::new(AtomicBool::new(false));
    let resolver = Arc::new(Stuck(Arc::clone(&is_over)));
    let sandbox = Sandbox::with(|options| {
        options.cache_dir = Some(super::COMPILED.path().join("cache"));
        options.concurrency = 100;
        options.resolver = Some(resolver);
    });
    let digest: Digest = sandbox.learn_faults().await;
    let address = server.url("/");
    let stuck = |_| {
        let mut run = run(digest, "fetches", json!({"url": "http://stuck.example/"}), &["http://stuck.example"]);
        run.limits.timeout = Duration::from_secs(2);
        sandbox.run(run)
    };
    let other = async {
        let name = format!("http://quick.example:{}/", server.port());
        let mut run = run(digest, "fetches", json!({"url": name}), &[&name, &address]);
        run.limits.timeout = Duration::from_secs(60);
        sandbox.run(run).await
    };
    let (stuck, other) = tokio::join!(futures_util::future::join_all((0..70).map(stuck)), other);
    is_over.store(true, Ordering::Relaxed);
    assert_eq!(other.value()["body"], json!("hello"));
    assert!(stuck.iter().all(|ended| matches!(ended.finished.verdict, Verdict::Failure { .. })));
}
