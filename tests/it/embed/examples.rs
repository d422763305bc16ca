//! The examples of the crate do what they say.

#[expect(dead_code, unreachable_pub, reason = "it is a program, whose `main` is not called here")]
#[path = "../../../host/examples/blocking.rs"]
mod blocking;
#[expect(dead_code, unreachable_pub, reason = "it is a program, whose `main` is not called here")]
#[path = "../../../host/examples/web.rs"]
mod web;
#[expect(dead_code, unreachable_pub, reason = "it is a program, whose `main` is not called here")]
#[path = "../../../host/examples/worker.rs"]
mod worker;

use std::sync::Arc;

use serde_json::{Value, json};
use tests::cli::User;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The status and the body of an answer.
async fn ask(port: u16, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("the server listens");
    let body = body.to_string();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, serde_json::from_str(body).unwrap_or_default())
}

#[tokio::test]
async fn a_web_application_queues_jobs_and_runs_them() {
    let host = web::start("memory", Arc::default()).await.expect("starts");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = axum::serve(listener, web::routes(host.clone())).with_graceful_shutdown(async {
        let _gone = stopped.await;
    });
    let client = async {
        let (status, queued) = ask(port, "POST", "/reports", &json!({"customer": "Ada"})).await;
        assert_eq!(status, 202, "{queued}");
        let path = format!("/reports/{}", queued["id"].as_str().expect("an id"));
        loop {
            match ask(port, "GET", &path, &Value::Null).await {
                (202, _) => {}
                answer => break assert_eq!(answer, (200, json!({"report": "report 1 for Ada"}))),
            }
        }
        assert_eq!(ask(port, "GET", "/reports/0", &Value::Null).await.0, 404);
        stop.send(()).expect("the server runs");
    };
    let (served, ()) = tokio::join!(server.into_future(), client);
    served.expect("it stops");
    host.close().await;
}

#[tokio::test]
async fn a_worker_runs_what_other_programs_and_the_command_line_ask_for() {
    let user = User::new();
    let store = format!("sqlite://{}", user.file("jobs.db", "").display());
    let worker = worker::worker(&store).await.expect("starts");
    let client = worker::client(&store).await.expect("opens");
    assert_eq!(client.run::<String>("resize", ("cat.png", 64)).await.expect("a result"), "cat.png@64");
    client.close().await;
    let printed = tokio::task::spawn_blocking(move || {
        user.ok(["--store", &store, "submit", "resize", "--arg", "file=dog.png", "--arg", "width=32", "--wait"])
    });
    assert!(printed.await.expect("no panic").contains("dog.png@32"));
    worker.close().await;
}

#[test]
fn a_program_without_async_counts_words() {
    assert_eq!(blocking::count("the quick brown fox").expect("a result"), 4);
}
