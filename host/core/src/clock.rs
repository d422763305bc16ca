//! The only source of time.
//!
//! Everything that needs the time is handed a [`Clock`], so that a test can hold the time still and move it by hand.
//!
//! There are two kinds of time. The **time of day** says when something is due. Somebody may set it, forward or back, at any moment.
//! The **monotonic** time only measures spans: how long a lease lasts, when to look again, how long a job may take. Nobody can set it,
//! and it goes on while the machine sleeps.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::model::Timestamp;

/// Tells the time and waits.
#[async_trait]
pub trait Clock: fmt::Debug + Send + Sync {
    /// May be set, and go back.
    fn now(&self) -> Timestamp;

    /// Never goes back, whatever is done to the time of day.
    fn monotonic(&self) -> Instant;

    /// Waits for `span` of monotonic time; after a sleep of the machine it may return a second late.
    async fn sleep(&self, span: Duration);

    /// Waits until the time of day is `time`; returns at once where that has passed. Where the time of day is set meanwhile, forward or
    /// back, it is the new one that counts, a second late at most.
    async fn sleep_until(&self, time: Timestamp);

    /// What the monotonic time is counted from, as a number that is the same for every process that counts from there: the start of the
    /// machine. `None`: other processes count from elsewhere, and instants must not be compared with theirs.
    fn monotonic_origin(&self) -> Option<u64> {
        None
    }
}

/// A point in monotonic time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(Duration);

impl Instant {
    /// The instant that lies `since_origin` after the one that is counted from.
    pub const fn new(since_origin: Duration) -> Instant {
        Instant(since_origin)
    }

    /// How long after the one that is counted from it lies.
    pub const fn since_origin(self) -> Duration {
        self.0
    }

    /// This instant plus `span`; the last one there is, where that is too far away.
    #[must_use]
    pub const fn saturating_add(self, span: Duration) -> Instant {
        Instant(self.0.saturating_add(span))
    }

    /// This instant minus `span`, or the first one.
    #[must_use]
    pub const fn saturating_sub(self, span: Duration) -> Instant {
        Instant(self.0.saturating_sub(span))
    }

    /// How long after `earlier` this is; zero where it is not after it.
    #[must_use]
    pub const fn saturating_since(self, earlier: Instant) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// Waits until an instant.
pub async fn sleep_until_instant(clock: &dyn Clock, instant: Instant) {
    loop {
        let left = instant.saturating_since(clock.monotonic());
        if left.is_zero() {
            return;
        }
        clock.sleep(left).await;
    }
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

/// Longest single wait of [`SystemClock`]: timers stand still while the machine sleeps and know nothing of somebody setting the time,
/// so long waits look at the clock again this often.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl SystemClock {
    /// Waits for as long as `left` answers something.
    #[expect(clippy::disallowed_methods, reason = "the one home of waiting")]
    async fn wait(self, left: impl Fn() -> Duration) {
        loop {
            let left = left();
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(LOOK_AGAIN)).await;
        }
    }
}

#[async_trait]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one home of the time of day")]
    fn now(&self) -> Timestamp {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        // A machine whose clock stands before 1970 is told so by whatever compares its time with a store's.
        Timestamp::EPOCH.saturating_add(since_epoch.unwrap_or_default())
    }

    fn monotonic(&self) -> Instant {
        Instant(system::monotonic())
    }

    async fn sleep(&self, span: Duration) {
        let until = self.monotonic().saturating_add(span);
        self.wait(|| until.saturating_since(self.monotonic())).await;
    }

    async fn sleep_until(&self, time: Timestamp) {
        self.wait(|| time.saturating_since(self.now())).await;
    }

    fn monotonic_origin(&self) -> Option<u64> {
        system::boot()
    }
}

/// The clock that counts from the start of the machine, sleep included.
#[cfg(target_os = "linux")]
mod system {
    use std::sync::OnceLock;
    use std::time::Duration;

    pub(super) fn monotonic() -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        // It counts up from zero.
        Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
    }

    /// The start of the machine, by the random number that the kernel gives it.
    pub(super) fn boot() -> Option<u64> {
        static BOOT: OnceLock<Option<u64>> = OnceLock::new();
        *BOOT.get_or_init(|| {
            let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
            let digits: String = id.chars().filter(char::is_ascii_hexdigit).take(16).collect();
            u64::from_str_radix(&digits, 16).ok()
        })
    }
}

/// Elsewhere from the first look of the process; a sleep of the machine may not count.
#[cfg(not(target_os = "linux"))]
mod system {
    use std::sync::OnceLock;
    use std::time::Duration;

    #[expect(clippy::disallowed_methods, reason = "the one home of the monotonic time")]
    pub(super) fn monotonic() -> Duration {
        static FIRST: OnceLock<std::time::Instant> = OnceLock::new();
        FIRST.get_or_init(std::time::Instant::now).elapsed()
    }

    pub(super) fn boot() -> Option<u64> {
        None
    }
}

/// The monotonic time and the time of day at one moment.
pub fn both(clock: &dyn Clock) -> (Instant, Timestamp) {
    /// Two looks at a clock take less than a microsecond, unless the process was stopped between them.
    const AT_ONCE: Duration = Duration::from_millis(5);
    let mut before = clock.monotonic();
    for _ in 0..8 {
        let now = clock.now();
        let after = clock.monotonic();
        if after.saturating_since(before) <= AT_ONCE {
            return (before, now);
        }
        before = after;
    }
    (before, clock.now())
}

/// Notices when somebody sets the time of day.
#[derive(Debug, Clone)]
pub struct StepWatch {
    seen: (Instant, Timestamp),
}

impl StepWatch {
    /// Watches from now on.
    pub fn start(clock: &dyn Clock) -> StepWatch {
        StepWatch { seen: both(clock) }
    }

    /// By how many microseconds the time of day was set since the last look: what it has gained, less what has passed.
    pub fn step_micros(&mut self, clock: &dyn Clock) -> i64 {
        let (then, told_then) = std::mem::replace(&mut self.seen, both(clock));
        let (now, told_now) = self.seen;
        let passed = i64::try_from(now.saturating_since(then).as_micros()).unwrap_or(i64::MAX);
        told_now.as_micros().saturating_sub(told_then.as_micros()).saturating_sub(passed)
    }
}

/// Measures how long something took, on the clock that is never set.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Starts.
    #[expect(clippy::disallowed_methods, reason = "the one home of measured durations")]
    pub fn start() -> Stopwatch {
        Stopwatch(std::time::Instant::now())
    }

    /// The time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(any(test, feature = "test-util"))]
pub use manual::ManualClock;

#[cfg(any(test, feature = "test-util"))]
mod manual {
    use super::*;

    /// A clock that a test moves by hand. Clones show the same time; moving it wakes whoever waits on any of them.
    #[derive(Debug, Clone)]
    pub struct ManualClock {
        shown: tokio::sync::watch::Sender<Shown>,
        origin: u64,
    }

    /// What it shows.
    #[derive(Debug, Clone, Copy)]
    struct Shown {
        now: Timestamp,
        monotonic: Instant,
    }

    impl ManualClock {
        /// A clock that stands at `now`.
        pub fn new(now: Timestamp) -> ManualClock {
            // Not at zero, so that there are instants before.
            let monotonic = Instant::new(Duration::from_secs(1_000_000));
            let origin = fastrand::u64(..);
            ManualClock { shown: tokio::sync::watch::Sender::new(Shown { now, monotonic }), origin }
        }

        /// Lets time pass. In one step it is also what a machine sees that has slept, or a process that was stopped.
        pub fn advance(&self, span: Duration) {
            self.shown.send_modify(|shown| {
                shown.now = shown.now.saturating_add(span);
                shown.monotonic = shown.monotonic.saturating_add(span);
            });
        }

        /// Sets the time of day, forward or back. No time passes.
        pub fn set(&self, time: Timestamp) {
            self.shown.send_modify(|shown| shown.now = time);
        }

        /// Sets the time of day forward by `span`.
        pub fn step_forward(&self, span: Duration) {
            self.shown.send_modify(|shown| shown.now = shown.now.saturating_add(span));
        }

        /// Sets the time of day back by `span`.
        pub fn step_back(&self, span: Duration) {
            self.shown.send_modify(|shown| shown.now = shown.now.saturating_sub(span));
        }

        async fn wait_for(&self, holds: impl FnMut(&Shown) -> bool) {
            let mut receiver = self.shown.subscribe();
            // The sender lives in `self`, so the channel cannot be closed while anyone waits.
            let _closed = receiver.wait_for(holds).await;
        }
    }

    #[async_trait]
    impl Clock for ManualClock {
        fn now(&self) -> Timestamp {
            self.shown.borrow().now
        }

        fn monotonic(&self) -> Instant {
            self.shown.borrow().monotonic
        }

        async fn sleep(&self, span: Duration) {
            let until = self.monotonic().saturating_add(span);
            self.wait_for(|shown| shown.monotonic >= until).await;
        }

        async fn sleep_until(&self, time: Timestamp) {
            self.wait_for(|shown| shown.now >= time).await;
        }

        fn monotonic_origin(&self) -> Option<u64> {
            Some(self.origin)
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn clock() -> ManualClock {
        ManualClock::new(Timestamp::EPOCH.saturating_add(1_000 * HOUR))
    }

    #[tokio::test]
    async fn a_span_is_over_when_that_time_has_passed_however_the_time_of_day_is_set() {
        let clock = clock();
        let mut span = Box::pin(clock.sleep(HOUR));
        assert_eq!((&mut span).now_or_never(), None);
        clock.step_forward(2 * HOUR);
        clock.step_back(5 * HOUR);
        assert_eq!((&mut span).now_or_never(), None, "no time has passed");
        clock.advance(HOUR);
        assert_eq!(span.now_or_never(), Some(()));
    }

    #[tokio::test]
    async fn a_time_of_day_has_come_when_the_clock_shows_it_also_where_it_was_set() {
        let clock = clock();
        let noon = clock.now().saturating_add(HOUR);
        let mut wait = Box::pin(clock.sleep_until(noon));
        clock.step_back(HOUR);
        clock.advance(HOUR);
        assert_eq!((&mut wait).now_or_never(), None, "it was set back by an hour");
        clock.step_forward(HOUR);
        assert_eq!(wait.now_or_never(), Some(()));
    }

    #[test]
    fn a_watch_tells_a_clock_that_was_set_from_one_that_goes_on() {
        let clock = clock();
        let mut watch = StepWatch::start(&clock);
        clock.advance(HOUR);
        assert_eq!(watch.step_micros(&clock), 0);
        clock.step_back(HOUR);
        clock.advance(HOUR);
        assert_eq!(watch.step_micros(&clock), -3_600_000_000);
        assert_eq!(watch.step_micros(&clock), 0, "it was told");
        clock.step_forward(HOUR);
        assert_eq!(watch.step_micros(&clock), 3_600_000_000);
    }

    #[test]
    fn the_monotonic_time_of_the_machine_goes_on_and_is_counted_from_the_same_start_by_everyone() {
        let (before, after) = (SystemClock.monotonic(), SystemClock.monotonic());
        assert!(before <= after);
        assert_eq!(SystemClock.monotonic_origin(), SystemClock.monotonic_origin());
        assert_eq!(SystemClock.monotonic_origin().is_some(), cfg!(target_os = "linux"));
    }
}
