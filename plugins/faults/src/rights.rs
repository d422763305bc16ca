//! What was not granted.

use std::io::Write as _;

use guest_sdk::scheduler::{JobRequest, SchedulerError};
use guest_sdk::{OrPermanent as _, TaskError, task};

/// Reads a file and answers with its text.
#[task(max_running_jobs = none)]
fn reads_file(path: String) -> Result<String, TaskError> {
    std::fs::read_to_string(path).or_permanent()
}

/// Writes a file.
#[task(max_running_jobs = none)]
fn writes_file(path: String, text: String) -> Result<(), TaskError> {
    std::fs::write(path, text).or_permanent()
}

/// Appends to a file without end, until that fails.
#[task]
fn fills_disk(path: String) -> Result<u64, TaskError> {
    let mut file = std::fs::File::create(path).or_permanent()?;
    let block = vec![0; 1 << 20];
    let mut blocks = 0;
    while file.write_all(&block).is_ok() {
        blocks += 1;
    }
    Ok(blocks)
}

/// The names of what is in a folder.
#[task(max_running_jobs = none)]
fn lists_folder(path: String) -> Result<Vec<String>, TaskError> {
    let entries = std::fs::read_dir(path).or_permanent()?;
    Ok(entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}

/// Reads the first file that is there, and answers with the number in it.
#[task(max_running_jobs = none)]
fn reads_number(paths: Vec<String>) -> Result<i64, TaskError> {
    let mut failure = TaskError::permanent("no file was named");
    for path in paths {
        match std::fs::read_to_string(path) {
            Ok(text) => return text.trim().parse().or_permanent(),
            Err(error) => failure = TaskError::permanent(error),
        }
    }
    Err(failure)
}

/// Moves what is at a path away and puts a symbolic link in its place.
#[task(max_running_jobs = none)]
#[expect(deprecated, reason = "the one call for symbolic links that every target has")]
fn replaces_by_link(path: String, target: String) -> Result<(), TaskError> {
    std::fs::rename(&path, format!("{path}-moved")).or_permanent()?;
    std::fs::soft_link(target, path).or_permanent()
}

/// Fails with these words, and says that another attempt may help.
#[task(max_running_jobs = none)]
fn fails_for_now(message: String) -> Result<(), TaskError> {
    Err(TaskError::retryable(message))
}

/// The environment, as name and value.
#[task(max_running_jobs = none)]
fn reads_env() -> Vec<(String, String)> {
    std::env::vars().collect()
}

/// The arguments of the process.
#[task(max_running_jobs = none)]
fn reads_process_arguments() -> Vec<String> {
    std::env::args().collect()
}

/// Connects to an address.
#[task(max_running_jobs = none)]
fn connects(address: String) -> Result<(), TaskError> {
    std::net::TcpStream::connect(address).map(drop).or_permanent()
}

/// Asks for a job of that task, without arguments, and answers with its ID.
#[task(max_running_jobs = none)]
fn adds_job(task: String) -> Result<String, SchedulerError> {
    JobRequest::new(task).submit()
}
