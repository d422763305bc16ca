//! Requests over HTTP, as a guest makes them that means no good.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::time::Duration;

use guest_sdk::{TaskError, http, task};
use schemars::JsonSchema;
use serde::Serialize;

/// What came back.
#[derive(Debug, Serialize, JsonSchema)]
struct Fetched {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

/// Makes one request, and reads all of the answer.
#[task(max_running_jobs = none)]
fn fetches(
    url: String,
    #[arg(default = "GET")] method: String,
    #[arg(default)] headers: BTreeMap<String, String>,
    #[arg(default)] body: String,
    timeout_ms: Option<u64>,
) -> Result<Fetched, TaskError> {
    let request =
        headers.into_iter().fold(http::Request::new(method, url), |request, (name, value)| request.header(name, value));
    let request = match timeout_ms {
        Some(ms) => request.timeout(Duration::from_millis(ms)),
        None => request,
    };
    let answer = request.body(body).send()?;
    let headers = answer.headers().map(|(name, value)| (name.to_owned(), String::from_utf8_lossy(value).into_owned()));
    let (status, headers) = (answer.status(), headers.collect());
    Ok(Fetched { status, headers, body: answer.text()? })
}

/// Makes one request, and gives the status of the answer.
#[task(max_running_jobs = none)]
fn fetches_status(url: String) -> Result<u16, TaskError> {
    Ok(http::get(url).send()?.status())
}

/// Makes a request again and again, and reads none of the answers. Gives how many came.
#[task(max_running_jobs = none)]
fn fetches_often(url: String, times: u32) -> u32 {
    (0..times).map(|_| u32::from(http::get(&url).send().is_ok())).sum()
}

/// Keeps answers without reading them, and gives how many it got.
#[task(max_running_jobs = none)]
fn holds_answers(url: String, times: u32) -> usize {
    let answers: Vec<_> =
        (0..times).map_while(|_| http::get(&url).timeout(Duration::from_millis(500)).send().ok()).collect();
    answers.len()
}

/// Sends a body of so many bytes, and gives the status of the answer.
#[task(max_running_jobs = none)]
fn uploads(url: String, bytes: usize) -> Result<u16, TaskError> {
    Ok(http::post(url).body(vec![b'x'; bytes]).send()?.status())
}

/// Reads an answer piece by piece, forgets the pieces, and gives how many bytes there were.
#[task(max_running_jobs = none)]
fn reads_answer(url: String) -> Result<u64, TaskError> {
    let (mut answer, mut buffer, mut bytes) = (http::get(url).send()?, vec![0; 64 * 1024], 0_u64);
    loop {
        match answer.read(&mut buffer)? {
            0 => return Ok(bytes),
            read => bytes += u64::try_from(read).unwrap_or(u64::MAX),
        }
    }
}
