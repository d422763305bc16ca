//! How fast the stores are: enqueue, acquire and release, at batches of 1, 10 and 100 and with 1, 4 and 16 callers, and what ten jobs cost
//! beside 100,000 and a million others, behind 100,000 of a blocked task and, on PostgreSQL, under a held snapshot.
//!
//! `cargo xtask bench stores`; `TEST_BACKENDS` chooses the stores, as for the conformance suite. Figures are only worth something
//! beside each other, from one run: the floor is the same rows written through the bare driver.

use std::time::Duration;

use anyhow::Result;
use tests::backends::{Backend, stop_all};

mod crowd;
mod floor;
mod rates;

/// How long one figure is measured.
const LONG_ENOUGH: Duration = Duration::from_millis(700);

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let measured = runtime.block_on(async {
        for backend in Backend::enabled()? {
            println!("{backend}");
            // On the heap: drivers with TLS have large futures.
            let floor = Box::pin(floor::measure(backend)).await?;
            rates::measure_all(backend, floor.as_ref()).await?;
            crowd::measure_all(backend).await?;
        }
        Ok(())
    });
    stop_all();
    measured
}
