//! Answers without end.

use std::io::{BufRead as _, BufReader, Write as _};

use serde_json::{Value, json};
use tests::api::{Connection, Server};
use tests::artifacts::plugin;
use tests::cli::User;

/// The lines of an open stream.
struct Stream(BufReader<Box<dyn Connection>>);

impl Stream {
    fn open(server: &Server, target: &str, headers: &str) -> Stream {
        let mut connection = server.connect();
        let request = format!(
            "GET {target} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\naccept: text/event-stream\r\n{headers}\r\n",
            server.token
        );
        connection.write_all(request.as_bytes()).expect("it is taken");
        let mut stream = Stream(BufReader::new(connection));
        assert_eq!(stream.line(), "HTTP/1.1 200 OK");
        stream
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert_ne!(self.0.read_line(&mut line).expect("it is told something within a minute"), 0, "it ended");
        line.trim_end().to_owned()
    }

    /// The next message of that name: its id and what it says.
    fn next(&mut self, name: &str) -> (String, Value) {
        let (mut id, mut data, mut event) = (String::new(), Value::Null, String::new());
        loop {
            let line = self.line();
            match line.split_once(':').map(|(field, value)| (field, value.trim_start())) {
                Some(("id", value)) => id = value.to_owned(),
                Some(("event", value)) => event = value.to_owned(),
                Some(("data", value)) => data = serde_json::from_str(value).expect("JSON"),
                _ if line.is_empty() && event == name => return (id, data),
                _ => {}
            }
        }
    }
}

#[test]
fn events_are_told_as_they_happen_and_whoever_comes_back_that_some_may_be_missed() {
    let user = User::new();
    user.ok(["register".as_ref(), plugin("hello").as_os_str()]);
    let server = Server::start(&user, &[]);
    let mut events = Stream::open(&server, "/api/v1/events?type=job_released", "");
    let id = server.post("/api/v1/jobs", &json!({"task": "greet", "args": {"name": "Ada"}})).json()["job_id"].clone();
    let (place, event) = events.next("job_released");
    assert_eq!((&event["job_id"], &event["outcome"]), (&id, &json!("success")), "{event}");
    let mut again = Stream::open(&server, "/api/v1/events", &format!("last-event-id: {place}\r\n"));
    assert_eq!(again.next("missed").1, json!({"at_least": null}));
    assert_eq!(server.ask("GET", "/api/v1/events?type=job_relesed", &[], &[]).status, 400);
    assert_eq!(server.ask_plainly("GET", "/api/v1/events", &[], &[]).status, 401);
    // Open streams hold nobody up.
    server.running.signal("TERM");
    assert_eq!(server.running.end().code, Some(0));
}

#[test]
fn the_log_of_a_job_is_followed_and_gone_on_with_where_it_was_left() {
    let user = User::new();
    user.ok(["register".as_ref(), plugin("hello").as_os_str()]);
    let server = Server::start(&user, &[]);
    let args = json!({"task": "unreliable", "args": {"failures": 2}});
    let id = server.post("/api/v1/jobs", &args).json()["job_id"].as_str().expect("a text").to_owned();
    let target = format!("/api/v1/jobs/{id}/logs");
    let mut log = Stream::open(&server, &target, "");
    let (first, _) = log.next("log");
    log.next("end");
    let whole = server.get(&target);
    let lines = whole["items"].as_array().expect("a list");
    assert!(lines.len() > 1, "{whole}");
    let mut rest = Stream::open(&server, &target, &format!("last-event-id: {first}\r\n"));
    assert_eq!(rest.next("log").1, lines[1]);
    assert_eq!(server.get(&format!("{target}?after={first}"))["items"][0], lines[1]);
    let made_up = [("accept", "text/event-stream"), ("last-event-id", "made up")];
    assert_eq!(server.ask("GET", &target, &made_up, &[]).status, 400);
    let gone = server.ask("GET", "/api/v1/jobs/00000000-0000-7000-8000-000000000000/logs", &made_up[..1], &[]);
    assert_eq!(gone.status, 404);
}
