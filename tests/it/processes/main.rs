//! Several processes on one store, and processes and servers that are killed: this program starts itself as the workers.
//!
//! `TEST_BACKENDS` chooses the stores, as for the conformance suite; the memory store is left out, as no two processes share it.

use std::io::Write as _;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use host::clock::SystemClock;
use host::store::Store;
use host::store::retrying::Retrying;
use tests::backends::{Backend, open};
use tests::trials::{Cases, block_on, conclude, trials};

mod check;
mod killing;
mod sharing;
mod stopping;
mod workload;

/// How long a run may take before it counts as hanging.
const HANGS_AFTER: Duration = Duration::from_secs(240);

/// The cases, and the stores that each is about.
const CASES: Cases = &[
    ("jobs_shared_by_processes_run_once_each_and_within_their_limits", sharing::processes_share_jobs, DATABASES),
    (
        "what_a_killed_process_was_told_is_stored_is_stored_and_every_job_ends",
        killing::a_killed_process_loses_nothing,
        DATABASES,
    ),
    (
        "a_worker_that_was_stopped_for_longer_than_its_leases_costs_its_jobs_one_crash",
        stopping::costs_its_jobs_one_crash,
        DATABASES,
    ),
    (
        "what_a_server_has_stored_outlives_its_crash_and_work_goes_on",
        killing::a_crashed_server_loses_nothing,
        &[Backend::Postgres, Backend::Mysql],
    ),
];

/// Every store that processes can share.
const DATABASES: &[Backend] = &[Backend::Sqlite, Backend::Postgres, Backend::Mysql];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    let ended = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, "worker", url, name] => block_on(sharing::share(url, name)).map(|()| ExitCode::SUCCESS),
        [_, "waiter", url, name, gate] => block_on(stopping::work(url, name, gate)).map(|()| ExitCode::SUCCESS),
        [_, "victim", url, seed] => block_on(killing::work_until_killed(url, seed)).map(|()| ExitCode::SUCCESS),
        _ => trials("processes::", CASES).map(conclude),
    };
    ended.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// The store as a scheduler has it: calls that collide with another process are made again.
async fn connect(url: &str) -> Result<Arc<dyn Store>> {
    Ok(Arc::new(Retrying::new(open(url).await?, Arc::new(SystemClock), fastrand::Rng::new())))
}

fn start(role: &str, url: &str, name: &str, more: &[&str]) -> Result<Child> {
    let this = std::env::current_exe()?;
    Command::new(this)
        .args([role, url, name])
        .args(more)
        .stdout(Stdio::piped())
        .spawn()
        .context("a worker does not start")
}

/// Says a line to the process that watches; told at once, so that a kill cannot take it back.
fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
