//! What the sandbox costs beside the bare loop that it cannot beat: a fresh store, WASI, instance and one call of the same
//! plugin, with the same engine settings, in the same run.
//!
//! `cargo bench -p tests --bench sandbox`; the ratio is what counts, the absolute figures are the machine's.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use host::executor::Verdict;
use tokio_util::sync::CancellationToken;

mod attempts;
mod bare_loop;

use attempts::Sandboxed;
use bare_loop::{BareLoop, round};

/// Jobs of one round, and rounds; the best round counts, because other work on the machine only ever slows one down.
const JOBS: usize = 20_000;
const ROUNDS: usize = 5;
/// Jobs that are under way at the same time.
const PARALLEL: usize = 16;
const TASK: &str = "noop";

fn main() -> anyhow::Result<()> {
    let bytes = std::fs::read(tests::artifacts::plugin("noop"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let bare = Arc::new(BareLoop::new(&bytes)?);
    let sandbox = Arc::new(runtime.block_on(Sandboxed::new("noop"))?);

    println!("{JOBS} jobs of the plugin `noop`, best of {ROUNDS} rounds");
    for parallel in [1, PARALLEL] {
        let mut best: HashMap<&str, Duration> = HashMap::new();
        for _ in 0..ROUNDS {
            let shared = Arc::clone(&bare);
            let bare_time = runtime.block_on(round(JOBS, parallel, move || {
                let bare = Arc::clone(&shared);
                async move { bare.job(TASK).await }
            }))?;
            let shared = Arc::clone(&sandbox);
            let ours = runtime.block_on(round(JOBS, parallel, move || {
                let sandbox = Arc::clone(&shared);
                async move { job(&sandbox).await }
            }))?;
            for (name, time) in [("bare", bare_time), ("ours", ours)] {
                best.entry(name).and_modify(|best| *best = time.min(*best)).or_insert(time);
            }
        }
        let (bare, ours) = (best["bare"], best["ours"]);
        let per_second = |time: Duration| JOBS as f64 / time.as_secs_f64();
        println!(
            "{parallel:>3} at a time: bare loop {:>8.0}/s ({:.1} us each), sandbox {:>8.0}/s ({:.1} us each): {:.0} %",
            per_second(bare),
            bare.as_secs_f64() * 1e6 / JOBS as f64,
            per_second(ours),
            ours.as_secs_f64() * 1e6 / JOBS as f64,
            100.0 * bare.as_secs_f64() / ours.as_secs_f64(),
        );
    }
    Ok(())
}

async fn job(sandbox: &Sandboxed) -> anyhow::Result<()> {
    let finished = sandbox.run(TASK, "{}", &CancellationToken::new()).await?;
    anyhow::ensure!(matches!(finished.verdict, Verdict::Success(_)), "the no-op failed: {:?}", finished.verdict);
    Ok(())
}
