//! How long a no-op of one task, and a job that computes for some milliseconds, take from start to end while attempts of another task do
//! their worst in the same process, beside the same with nothing else running.
//!
//! `cargo bench -p tests --bench neighbours`; the ratios are what counts, the absolute figures are the machine's.

use std::sync::Arc;
use std::time::Duration;

use host::clock::{Clock as _, Stopwatch, SystemClock};
use host::executor::Verdict;
use tokio_util::sync::CancellationToken;

mod attempts;

use attempts::Sandboxed;

/// What is timed beside each kind of neighbour, with its arguments, and how often. Jobs begin a few milliseconds apart, so that they meet
/// every part of a tick.
const TIMED: [(&str, &str, u32); 2] = [("noop", "{}", 500), ("burns", r#"{"steps": 10000000}"#, 50)];

/// What the neighbours do, how many of them at a time, and with which arguments. Whoever ends begins anew.
const NEIGHBOURS: &[(&str, &str, usize, &str)] = &[
    ("nobody", "noop", 0, "{}"),
    ("compute without an end", "spin", 8, "{}"),
    ("compute without an end, a hundred", "spin", 100, "{}"),
    ("take memory until there is no more", "allocates", 8, "{}"),
    ("trap in deep recursion", "recurses", 8, "{}"),
    ("panic", "panics", 8, "{}"),
    ("log without an end", "logs", 8, r#"{"bytes": 100000000}"#),
    ("print line ends", "prints_line_ends", 8, r#"{"lines": 100000000}"#),
    ("report progress without an end", "reports_progress", 8, r#"{"times": 100000000}"#),
    ("sleep and wake", "naps", 8, r#"{"times": 100000000}"#),
    ("return a megabyte", "returns", 8, r#"{"bytes": 1000000}"#),
];

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let sandbox = Arc::new(runtime.block_on(Sandboxed::new("faults"))?);
    println!("milliseconds from start to end, beside attempts of another task");
    println!("{:<36} {:>9} {:>8} {:>8} {:>8} {:>12}", "the others", "the job", "jobs", "p50", "p99", "p99 / quiet");
    let mut quiet = [None; TIMED.len()];
    for &(name, task, count, args) in NEIGHBOURS {
        let stop = CancellationToken::new();
        let neighbours: Vec<_> = (0..count)
            .map(|_| {
                let (sandbox, stop) = (Arc::clone(&sandbox), stop.clone());
                runtime.spawn(async move {
                    while !stop.is_cancelled() {
                        sandbox.run(task, args, &stop).await?;
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        for (timed, quiet) in TIMED.iter().zip(&mut quiet) {
            let &(job, args, jobs) = timed;
            let times = runtime.block_on(time(&sandbox, job, args, jobs))?;
            let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
            let beside = *quiet.get_or_insert(p99);
            let millis = |time: Duration| time.as_secs_f64() * 1e3;
            println!(
                "{name:<36} {job:>9} {jobs:>8} {:>8.2} {:>8.2} {:>12.1}",
                millis(p50),
                millis(p99),
                millis(p99) / millis(beside)
            );
        }
        stop.cancel();
        runtime.block_on(async {
            for neighbour in neighbours {
                neighbour.await??;
            }
            anyhow::Ok(())
        })?;
    }
    Ok(())
}

/// How long each of so many attempts takes, in order.
async fn time(sandbox: &Sandboxed, task: &str, args: &str, jobs: u32) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::new();
    for job in 0..jobs {
        SystemClock.sleep(Duration::from_micros(u64::from(2_000 + job * 37 % 5_000))).await;
        let took = Stopwatch::start();
        let finished = sandbox.run(task, args, &CancellationToken::new()).await?;
        anyhow::ensure!(matches!(finished.verdict, Verdict::Success(_)), "{:?}", finished.verdict);
        times.push(took.elapsed());
    }
    times.sort_unstable();
    Ok(times)
}
