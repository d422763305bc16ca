//! Processes and servers that end in the middle of their work.

use std::io::{BufRead as _, BufReader};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, ensure};
use host::clock::Stopwatch;
use host::store::Store;
use tests::backends::{Backend, OwnServer, open};
use tests::factory::task;

use crate::check::check;
use crate::workload::Worker;
use crate::{HANGS_AFTER, block_on, connect, say, start};

/// How often a process is killed, each time on a store of its own.
const ROUNDS: usize = 5;

/// Acknowledgements after which a process is killed at the latest.
const LINES_MAX: usize = 200;

/// What each of the callers does through the crashes of a server.
const STEPS: usize = 250;

/// Callers at once through the crashes of a server.
const CALLERS: u64 = 4;

pub(crate) fn a_killed_process_loses_nothing(backend: Backend) -> Result<()> {
    for round in 0..ROUNDS {
        let seed = fastrand::u64(..);
        kill_once(backend, seed).with_context(|| format!("round {round}, seed {seed:#x}"))?;
    }
    Ok(())
}

fn kill_once(backend: Backend, seed: u64) -> Result<()> {
    let place = backend.place()?.context("the store has a place")?;
    // The schema is there before the process that is killed: what is tested is the work, not the start.
    block_on(async { open(&place.url).await.map(|store| async move { store.close().await }) }).map(block_on)?;
    let mut victim = start("victim", &place.url, &seed.to_string(), &[])?;
    let told = BufReader::new(victim.stdout.take().context("its output is piped")?);
    let enough = fastrand::Rng::with_seed(seed).usize(20..LINES_MAX);
    let mut lines = Vec::new();
    for line in told.lines() {
        lines.push(line?);
        if lines.len() == enough {
            // In the middle of whatever it does now; lines that it had said before still arrive.
            victim.kill()?;
        }
    }
    victim.wait()?;
    ensure!(lines.len() >= enough, "the process ended by itself after {} of {enough} lines", lines.len());
    block_on(check(&place.url, &lines))
}

/// The process that is killed.
pub(crate) async fn work_until_killed(url: &str, seed: &str) -> Result<()> {
    let store = connect(url).await?;
    store.task_put(task("p:two", Some(2))).await?;
    let mut worker = Worker::new(store, seed.parse()?, |line| say(&line));
    loop {
        worker.step().await?;
    }
}

pub(crate) fn a_crashed_server_loses_nothing(backend: Backend) -> Result<()> {
    let seed = fastrand::u64(..);
    block_on(crash_twice(backend, seed)).with_context(|| format!("seed {seed:#x}"))
}

async fn crash_twice(backend: Backend, seed: u64) -> Result<()> {
    let mut server = OwnServer::start(backend == Backend::Postgres)?;
    let url = server.url();
    let store = connect(&url).await?;
    store.task_put(task("p:two", Some(2))).await?;
    let told = Arc::new(Mutex::new(Vec::new()));
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        callers.spawn(work_through_crashes(Arc::clone(&store), seed.wrapping_add(caller), Arc::clone(&told)));
    }
    for crash in 1..=2 {
        // In the middle of the work: after so many acknowledgements.
        let watch = Stopwatch::start();
        while told.lock().expect("not poisoned").len() < crash * 200 {
            ensure!(watch.elapsed() < HANGS_AFTER, "no work is done");
            tokio::task::yield_now().await;
        }
        server = tokio::task::spawn_blocking(move || server.crash_and_restart().map(|()| server)).await??;
    }
    while let Some(ended) = callers.join_next().await {
        ended??;
    }
    let told = std::mem::take(&mut *told.lock().expect("not poisoned"));
    ensure!(told.len() >= 600, "only {} acknowledgements", told.len());
    store.close().await;
    check(&url, &told).await
}

/// Works, and notes what was acknowledged. Calls that fail are made again by the store's decorator.
async fn work_through_crashes(store: Arc<dyn Store>, seed: u64, told: Arc<Mutex<Vec<String>>>) -> Result<()> {
    let say = |line| {
        told.lock().expect("not poisoned").push(line);
        Ok(())
    };
    let mut worker = Worker::new(store, seed, say);
    for _ in 0..STEPS {
        worker.step().await?;
    }
    Ok(())
}
