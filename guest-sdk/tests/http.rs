//! Requests over HTTP, answered by the fake host.

use std::io::Read as _;
use std::time::Duration;

use guest_sdk::http::{self, ErrorKind};
use guest_sdk::testing::{Host, HttpAnswer};
use guest_sdk::{OrPermanent as _, TaskError};
use serde_json::json;

const URL: &str = "https://a.example/b";

fn fetch(host: &Host) -> Result<serde_json::Value, TaskError> {
    host.enter(|_| Ok(http::get(URL).send()?.error_for_status()?.json()?)).returned
}

#[test]
fn a_request_is_built_as_by_the_usual_clients_and_kept_for_the_test() {
    let host = Host::new().http("POST", "https://a.example/b?q=%C3%A4", HttpAnswer::new(204, ""));
    let attempt = host.enter(|_| http::post(URL).query("q", "ä").bearer_auth("secret").json(&json!({"n": 1})).send());
    assert_eq!(attempt.returned.map(|answer| answer.status()), Ok(204));
    let [sent] = &attempt.http[..] else { panic!("one request: {:?}", attempt.http) };
    assert_eq!((sent.method(), sent.header_value("Authorization")), ("POST", Some("Bearer secret")));
    assert_eq!((sent.header_value("content-type"), sent.body_bytes()), (Some("application/json"), &br#"{"n":1}"#[..]));
}

#[test]
fn an_answer_is_read_whole_or_piece_by_piece() {
    let host = Host::new().http("GET", URL, HttpAnswer::new(200, "hello").header("X-Kind", "test"));
    let attempt = host.enter(|_| {
        let mut answer = http::get(URL).send()?;
        assert_eq!((answer.header("x-kind"), answer.is_success()), (Some("test"), true));
        let mut half = [0; 3];
        answer.read_exact(&mut half)?;
        Ok::<_, TaskError>((half, answer.text()?))
    });
    assert_eq!(attempt.returned, Ok((*b"hel", "lo".to_owned())));
}

#[test]
fn an_error_knows_whether_another_attempt_makes_sense() {
    let error = fetch(&Host::new().http("GET", URL, HttpAnswer::new(503, "").header("retry-after", "30"))).unwrap_err();
    assert_eq!((error.delay(), error.is_retryable()), (Some(Duration::from_secs(30)), true));
    assert_eq!(error.message(), "GET https://a.example/b: the server answered 503");
    for (answer, is_retryable) in [
        (HttpAnswer::new(500, ""), true),
        (HttpAnswer::new(429, ""), true),
        (HttpAnswer::new(404, ""), false),
        (HttpAnswer::new(200, "no JSON"), false),
        (HttpAnswer::failure(ErrorKind::Timeout), true),
        (HttpAnswer::failure(ErrorKind::Connect), true),
        (HttpAnswer::failure(ErrorKind::Certificate), false),
    ] {
        let error = fetch(&Host::new().http("GET", URL, answer.clone())).unwrap_err();
        assert_eq!(error.is_retryable(), is_retryable, "{answer:?}: {error}");
    }
    let host = Host::new().http("GET", URL, HttpAnswer::new(500, ""));
    let decided = host.enter(|_| http::get(URL).send()?.error_for_status().map(drop).or_permanent()).returned;
    assert!(!decided.unwrap_err().is_retryable(), "the task has the last word");
}

#[test]
fn what_no_answer_was_made_up_for_is_denied_and_a_secret_in_the_query_is_not_shown() {
    let attempt = Host::new().enter(|_| http::get(URL).query("key", "secret").send().map(drop));
    let error = attempt.returned.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(!error.to_string().contains("secret") && error.to_string().contains(URL), "{error}");
    assert_eq!(attempt.http.len(), 1);
    assert_eq!(http::get(URL).send().map(drop).unwrap_err().kind(), ErrorKind::Unavailable, "there is no host");
    let fault = Host::new().enter(|_| http::get("a.example").send().map(drop)).returned.unwrap_err();
    assert_eq!(fault.kind(), ErrorKind::InvalidRequest);
}

#[test]
fn answers_come_in_their_order_and_the_last_one_stays() {
    let host = Host::new().http("GET", URL, HttpAnswer::new(500, "")).http("GET", URL, HttpAnswer::new(200, ""));
    let statuses =
        host.enter(|_| [(); 3].map(|()| http::get(URL).send().map(|answer| answer.status()).unwrap_or_default()));
    assert_eq!(statuses.returned, [500, 200, 200]);
}
