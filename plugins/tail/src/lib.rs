//! Reports what was appended to a file since it looked last.
//!
//! The place is kept in a bucket, together with the success of the job that has reported what was before it: a job that fails is tried again
//! from the same place, and no line is reported twice or left out.
//!
//! ```text
//! host register tail.wasm --allow-dir /var/log/app::/log:ro --allow-kv cursors:rw
//! host schedule --interval 1m tail:follow --arg path=/log/app.log
//! ```

use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};

use guest_sdk::{Context, OrPermanent as _, TaskError, kv, log, task};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where places are kept.
const BUCKET: &str = "cursors";

/// What was appended.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Followed {
    /// Where in the file it begins, in bytes.
    pub from: u64,
    /// Where it ends.
    pub to: u64,
    /// The lines, without their ends.
    pub lines: Vec<String>,
}

/// Reports the lines that were appended to a file since the last job that did so. A file that has become shorter is read from its beginning.
#[task(timeout = "1m", max_attempts = 3, backoff = "1s")]
pub fn follow(
    ctx: &Context,
    /// The file.
    #[arg(example = "/log/app.log")]
    path: String,
    /// At most so many lines; the rest is for the next job.
    #[arg(default = 1_000)]
    limit: usize,
) -> Result<Followed, TaskError> {
    let cursors = kv::bucket(BUCKET);
    let place = cursors.entry::<u64>(&path)?;
    let mut file = File::open(&path).or_permanent()?;
    let length = file.metadata()?.len();
    let from = place.as_ref().map_or(0, |place| place.value);
    let from = if from > length { 0 } else { from };
    file.seek(SeekFrom::Start(from))?;
    let (mut reader, mut to, mut lines) = (BufReader::new(file), from, Vec::new());
    let mut line = Vec::new();
    while lines.len() < limit {
        ctx.check()?;
        line.clear();
        let read = reader.read_until(b'\n', &mut line)?;
        // A line without its end is still being written.
        let Some(text) = line.strip_suffix(b"\n") else { break };
        lines.push(String::from_utf8_lossy(text).into_owned());
        to += u64::try_from(read).unwrap_or(u64::MAX);
    }
    if place.as_ref().is_none_or(|place| place.value != to) {
        // Another job that follows the same file may have been faster: then this one reports nothing, and looks again.
        cursors.set_if(&path, place.map_or(kv::NO_VERSION, |place| place.version), &to)?;
    }
    log::info!(lines = lines.len(), from, to, "{path} was read");
    Ok(Followed { from, to, lines })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use guest_sdk::testing::Host;
    use serde_json::json;

    use super::*;

    fn appended(file: &mut File, text: &str) {
        file.write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn each_line_is_reported_once_and_the_place_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log").to_str().unwrap().to_owned();
        let mut file = File::create(&path).unwrap();
        appended(&mut file, "one\ntwo\nhal");
        let attempt = Host::new().kv_bucket(BUCKET).run("follow", json!({"path": path}));
        assert_eq!(attempt.returned.as_ref().unwrap()["lines"], json!(["one", "two"]));
        let place: u64 = attempt.kv_value(BUCKET, &path).unwrap();
        assert_eq!(place, 8);
        appended(&mut file, "f\n");
        let attempt = Host::new().kv(BUCKET, &path, &place).run("follow", json!({"path": path}));
        assert_eq!(attempt.returned.unwrap(), json!({"from": 8, "to": 13, "lines": ["half"]}));
    }

    #[test]
    fn a_file_that_begins_anew_is_read_from_its_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log").to_str().unwrap().to_owned();
        std::fs::write(&path, "new\n").unwrap();
        let attempt = Host::new().kv(BUCKET, &path, &1_000).run("follow", json!({"path": path}));
        assert_eq!(attempt.returned.as_ref().unwrap()["lines"], json!(["new"]));
        assert_eq!(attempt.kv_value::<u64>(BUCKET, &path), Some(4));
    }

    #[test]
    fn without_the_bucket_it_says_what_is_missing() {
        let error = Host::new().run("follow", json!({"path": "/log/x"})).returned.unwrap_err();
        assert!(!error.is_retryable() && error.to_string().contains("not granted"), "{error}");
    }
}
