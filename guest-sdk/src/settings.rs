//! Settings of tasks, schedules and jobs.

use std::borrow::Cow;
use std::time::Duration;

/// A number that may be unlimited on purpose, which is not the same as leaving it unset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// No limit.
    Unlimited,
    /// This many and no more; at least 1.
    AtMost(u32),
}

/// How late something may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grace {
    /// However late.
    Unlimited,
    /// At most this late.
    Within(Duration),
}

/// How long to wait before the next attempt: `initial` after the first one, then longer each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The wait after the first attempt.
    pub initial: Duration,
    /// The longest wait.
    pub max: Duration,
    /// What each wait is of the one before, in percent: 100 keeps it, 200 doubles it.
    pub factor_percent: u32,
    /// How far a wait may be moved by chance, in percent of it, 0 to 100.
    pub jitter_percent: u8,
}

impl Default for Backoff {
    /// One second, doubling up to ten minutes, moved by up to a tenth.
    fn default() -> Self {
        Backoff {
            initial: Duration::from_secs(1),
            max: Duration::from_secs(600),
            factor_percent: 200,
            jitter_percent: 10,
        }
    }
}

/// What may be set; what is `None` comes from the next level up: a job's from its schedule, a schedule's from its task,
/// a task's from the operator, then from its attributes, then from the scheduler's defaults.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// How many jobs of the task may run at the same time, over all schedulers.
    pub max_running_jobs: Option<Limit>,
    /// How late a job may start before it is dropped as missed.
    pub misfire_grace_time: Option<Grace>,
    /// The job executor that runs it.
    pub executor: Option<Cow<'static, str>>,
    /// A JSON object of the author's own, as text.
    pub metadata: Option<Cow<'static, str>>,
    /// Wall-clock time of one attempt.
    pub timeout: Option<Duration>,
    /// Fuel of one attempt, about one unit for each instruction.
    pub fuel: Option<u64>,
    /// Memory of one attempt.
    pub memory_bytes: Option<u64>,
    /// Attempts at one job, the first included.
    pub max_attempts: Option<u32>,
    /// The waits between attempts.
    pub backoff: Option<Backoff>,
    /// Which of the waiting jobs goes first: the greater number.
    pub priority: Option<i32>,
    /// How long the result is kept; zero keeps none.
    pub result_ttl: Option<Duration>,
}
