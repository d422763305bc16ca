//! Waiting for conditions, never for times.

use std::future::Future;
use std::time::Duration;

/// How long a condition may take to come true before the test fails: far more than anything needs, on the slowest machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(2);

/// Lets others go on for as long as between two looks: for a test that moves a clock in many small steps. Nothing may depend on what has
/// happened meanwhile.
#[expect(clippy::disallowed_methods, reason = "tests wait in real time, for conditions and with a bound")]
pub async fn a_moment() {
    tokio::time::sleep(PAUSE).await;
}

/// Looks at `condition` until it answers something.
///
/// # Panics
/// When [`PATIENCE`] is over, with `what` was waited for.
#[expect(clippy::disallowed_methods, reason = "tests wait in real time, for conditions and with a bound")]
pub async fn wait_for<T, F: Future<Output = Option<T>>>(what: &str, mut condition: impl FnMut() -> F) -> T {
    let started = std::time::Instant::now();
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(PAUSE).await;
    }
}
