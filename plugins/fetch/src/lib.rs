//! Speaks to servers: looks whether one answers as it should, and downloads a file.
//!
//! Which servers, and where the file goes, is the operator's decision:
//!
//! ```text
//! host register fetch.wasm --allow-http 'GET https://www.example.com' --allow-dir ./downloads::/out:rw
//! host run fetch:check --arg url=https://www.example.com/
//! host run fetch:download --arg url=https://www.example.com/list.csv --arg output=/out/list.csv
//!
//! host secrets set api-token
//! host register fetch.wasm --allow-http 'GET https://api.example.com' --allow-secret 'api-token https://api.example.com'
//! host run fetch:check --arg url=https://api.example.com/me --arg token=api-token
//! ```

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::time::Duration;

use guest_sdk::{Context, OrPermanent as _, TaskError, http, log, secrets, task};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a server answered.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Checked {
    /// The status.
    pub status: u16,
    /// Size of the body, in bytes.
    pub bytes: usize,
}

/// Fails unless a server answers with the expected status, and with the expected text in its body.
#[task(timeout = "1m", max_attempts = 3, backoff = "5s")]
pub fn check(
    /// What to ask for.
    #[arg(example = "https://www.example.com/")]
    url: String,
    /// The status that is right.
    #[arg(default = 200)]
    status: u16,
    /// A text that the body must have.
    contains: Option<String>,
    /// How many seconds it may take.
    #[arg(default = 10)]
    seconds: u64,
    /// The secret that goes along as a bearer token.
    token: Option<String>,
) -> Result<Checked, TaskError> {
    let mut request = http::get(&url).timeout(Duration::from_secs(seconds));
    if let Some(token) = token {
        request = request.bearer_auth(&secrets::placeholder(&token)?);
    }
    let answer = request.send()?;
    let found = answer.status();
    let body = answer.bytes()?;
    if found != status {
        return Err(TaskError::retryable(format!("{url} answered {found}, and should answer {status}")).code("status"));
    }
    if let Some(text) = contains.filter(|text| !String::from_utf8_lossy(&body).contains(text)) {
        return Err(TaskError::retryable(format!("{url} answered without `{text}`")).code("body"));
    }
    log::info!(status = found, bytes = body.len(), "{url} is well");
    Ok(Checked { status: found, bytes: body.len() })
}

/// Downloads a file. Whoever reads it sees the whole of it, or the one that was there before.
#[task(timeout = "10m", max_attempts = 3, backoff = "10s")]
pub fn download(
    ctx: &Context,
    /// Where it comes from.
    #[arg(example = "https://www.example.com/list.csv")]
    url: String,
    /// Where it goes.
    #[arg(example = "/out/list.csv")]
    output: String,
) -> Result<u64, TaskError> {
    let mut answer = http::get(&url).send()?.error_for_status()?;
    let total = answer.header("content-length").and_then(|length| length.parse().ok());
    let draft = format!("{output}.part");
    let cannot_write = |error: TaskError| error.context(format!("cannot write {draft}"));
    let mut file = File::create(&draft).or_permanent().map_err(cannot_write)?;
    let (mut buffer, mut done) = (vec![0; 64 * 1024], 0_u64);
    loop {
        ctx.check()?;
        let read = answer.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        file.write_all(&buffer[..read]).or_permanent().map_err(cannot_write)?;
        done += u64::try_from(read).unwrap_or(u64::MAX);
        ctx.progress(done, total);
    }
    fs::rename(&draft, &output).or_permanent().map_err(|error| error.context(format!("cannot write {output}")))?;
    log::info!(bytes = done, output, "{url} is downloaded");
    Ok(done)
}

#[cfg(test)]
mod tests {
    use guest_sdk::testing::{Host, HttpAnswer};
    use serde_json::json;

    use super::*;

    const URL: &str = "https://www.example.com/list.csv";

    fn answering(answer: HttpAnswer) -> Host {
        Host::new().http("GET", URL, answer)
    }

    #[test]
    fn a_server_that_is_well_is_told_with_its_figures() {
        let attempt = answering(HttpAnswer::new(200, "a,b")).run("check", json!({"url": URL, "contains": ","}));
        assert_eq!(attempt.returned.unwrap(), json!({"status": 200, "bytes": 3}));
        assert_eq!(attempt.http.len(), 1);
    }

    #[test]
    fn a_token_goes_along_in_a_header() {
        let host = answering(HttpAnswer::new(200, "a,b")).sealed_secret("list-token", "hunter2");
        let attempt = host.run("check", json!({"url": URL, "token": "list-token"}));
        attempt.returned.unwrap();
        assert_eq!(attempt.http[0].header_value("authorization"), Some("Bearer hunter2"));
        let error = host.run("check", json!({"url": URL, "token": "other"})).returned.unwrap_err();
        assert!(!error.is_retryable(), "{error}");
    }

    #[test]
    fn a_wrong_status_a_missing_text_and_no_answer_are_tried_again_and_a_denial_is_not() {
        for answer in [
            HttpAnswer::new(503, "a,b"),
            HttpAnswer::new(200, "nothing"),
            HttpAnswer::failure(http::ErrorKind::Timeout),
        ] {
            let attempt = answering(answer).run("check", json!({"url": URL, "contains": ","}));
            assert!(attempt.returned.unwrap_err().is_retryable());
        }
        let error = Host::new().run("check", json!({"url": URL})).returned.unwrap_err();
        assert!(!error.is_retryable(), "{error}");
    }

    #[test]
    fn a_file_is_downloaded_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("list.csv");
        let args = json!({"url": URL, "output": output});
        let attempt = answering(HttpAnswer::new(200, vec![b'x'; 100_000])).run("download", args.clone());
        assert_eq!(attempt.returned.unwrap(), json!(100_000));
        assert_eq!(fs::read(&output).unwrap().len(), 100_000);
        let busy = HttpAnswer::new(503, "later").header("retry-after", "7");
        let error = answering(busy).run("download", args).returned.unwrap_err();
        assert_eq!(error.delay(), Some(Duration::from_secs(7)));
        assert_eq!(fs::read(&output).unwrap().len(), 100_000, "the old one is still there");
    }
}
