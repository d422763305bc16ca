//! Reads a file in a folder that it may read, writes a summary into a folder that it may write, returns the figures.
//!
//! The two folders are the operator's decision, and all that this plugin ever sees:
//!
//! ```text
//! host register report.wasm --allow-dir .::/in:ro --allow-dir ./reports::/out:rw
//! host run report:dependencies
//! ```
//!
//! Each task is a thin shell: it reads, calls a function that knows nothing of files, and writes.

mod dependencies;
mod log_lines;

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};

use guest_sdk::{Context, OrPermanent as _, TaskError, log, task};

pub use dependencies::Dependencies;
pub use log_lines::{LogFigures, Repeated};

/// Summarises a `Cargo.lock`: how many packages, where from, and which are there in more than one version.
#[task(timeout = "30s", metadata(reads = "/in", writes = "/out"))]
pub fn dependencies(
    /// The lock file.
    #[arg(default = "/in/Cargo.lock")]
    input: String,
    /// Where the summary goes, as Markdown.
    #[arg(default = "/out/dependencies.md")]
    output: String,
) -> Result<Dependencies, TaskError> {
    let text = fs::read_to_string(&input).map_err(|error| failed(error, "read", &input))?;
    let figures =
        dependencies::read(&text).or_permanent().map_err(|e| e.context(format!("{input} is no lock file")))?;
    write(&output, &figures.to_markdown())?;
    log::info!(packages = figures.packages, output, "dependencies counted");
    Ok(figures)
}

/// Summarises a log: lines by level, the time it spans, and the messages that come most often.
#[task(timeout = "10m", metadata(reads = "/in", writes = "/out"))]
pub fn log_summary(
    ctx: &Context,
    /// The log.
    #[arg(default = "/in/app.log")]
    input: String,
    /// Where the summary goes, as Markdown.
    #[arg(default = "/out/log-summary.md")]
    output: String,
    /// How many of the most frequent messages to list.
    #[arg(default = 10)]
    top: usize,
) -> Result<LogFigures, TaskError> {
    let file = File::open(&input).map_err(|error| failed(error, "open", &input))?;
    let size = file.metadata().map_err(|error| failed(error, "look at", &input))?.len();
    let mut counter = log_lines::Counter::default();
    let (mut reader, mut line, mut done) = (BufReader::new(file), Vec::new(), 0_u64);
    for number in 0_u64.. {
        // Every so often is enough: a look out of the sandbox costs more than a line.
        if number.is_multiple_of(4_096) {
            ctx.check()?;
            ctx.progress(done, size);
        }
        line.clear();
        let read = reader.read_until(b'\n', &mut line).map_err(|error| failed(error, "read", &input))?;
        if read == 0 {
            break;
        }
        done += u64::try_from(read).unwrap_or(u64::MAX);
        counter.add(String::from_utf8_lossy(&line).trim_end());
    }
    ctx.progress(done, size);
    let figures = counter.finish(top);
    write(&output, &figures.to_markdown())?;
    log::info!(lines = figures.lines, output, "log summarised");
    Ok(figures)
}

/// Writes the whole file or none of it: a reader never sees half a summary.
fn write(output: &str, text: &str) -> Result<(), TaskError> {
    let draft = format!("{output}.part");
    fs::write(&draft, text).map_err(|error| failed(error, "write", &draft))?;
    fs::rename(&draft, output).map_err(|error| failed(error, "write", output))
}

/// What went wrong with a file. What the operator must grant or create will not come by itself; the rest may pass.
fn failed(error: std::io::Error, doing: &str, path: &str) -> TaskError {
    use std::io::ErrorKind::{NotFound, PermissionDenied};
    let lasting = matches!(error.kind(), NotFound | PermissionDenied);
    let folder = top_folder(path);
    let error = if lasting {
        TaskError::permanent(error)
            .code("file")
            .details(serde_json::json!({ "grant": format!("--allow-dir …::{folder}") }))
    } else {
        TaskError::retryable(error).code("file")
    };
    error.context(format!("cannot {doing} {path}"))
}

/// The first folder of an absolute path, which is what a grant names.
fn top_folder(path: &str) -> String {
    format!("/{}", path.trim_start_matches('/').split('/').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use guest_sdk::testing::Host;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_lock_file_of_this_workspace_is_summarised() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("dependencies.md");
        let input = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock");
        let figures = dependencies(input.into(), output.to_str().unwrap().into()).unwrap();
        assert!(figures.packages > figures.workspace_members && figures.workspace_members >= 2, "{figures:?}");
        let text = fs::read_to_string(&output).unwrap();
        assert!(text.contains(&format!("| packages | {} |", figures.packages)), "{text}");
        let left: Vec<_> = folder.path().read_dir().unwrap().flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(left, ["dependencies.md"], "no draft is left behind");
    }

    #[test]
    fn a_missing_file_is_permanent_and_says_which_grant_would_help() {
        let error = dependencies("/in/none.lock".into(), "/out/x.md".into()).unwrap_err();
        assert!(!error.is_retryable());
        assert_eq!(error.message(), "cannot read /in/none.lock");
    }

    #[test]
    fn what_is_no_lock_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("Cargo.lock");
        fs::write(&input, "not = [a lock file").unwrap();
        let error = dependencies(input.to_str().unwrap().into(), "/out/x.md".into()).unwrap_err();
        assert!(!error.is_retryable() && error.message().ends_with("is no lock file"), "{error}");
    }

    #[test]
    fn a_log_is_summarised_and_progress_ends_at_its_size() {
        let folder = tempfile::tempdir().unwrap();
        let (input, output) = (folder.path().join("app.log"), folder.path().join("summary.md"));
        let text = "2026-01-02T03:04:05Z INFO started\n2026-01-02T03:04:06Z ERROR no answer from 10.0.0.7\n";
        fs::write(&input, text.repeat(5_000)).unwrap();
        let attempt = Host::new().run("log_summary", json!({"input": input, "output": output}));
        let figures = attempt.returned.unwrap();
        assert_eq!((&figures["lines"], &figures["by_level"]["error"]), (&json!(10_000), &json!(5_000)));
        assert_eq!(attempt.progress.last().unwrap().done, fs::metadata(&input).unwrap().len());
        assert!(attempt.progress.len() >= 3, "one word each 4,096 lines, and one at the end");
        assert!(fs::read_to_string(&output).unwrap().contains("| 5000 | no answer from #.#.#.# |"));
    }

    #[test]
    fn a_cancelled_summary_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (input, output) = (folder.path().join("app.log"), folder.path().join("summary.md"));
        fs::write(&input, "INFO x\n").unwrap();
        let attempt = Host::new().cancelled().run("log_summary", json!({"input": input, "output": output}));
        assert!(attempt.returned.unwrap_err().is_cancelled());
        assert!(!output.exists());
    }
}
