//! Pauses between the attempts of a job.

use std::time::Duration;

use super::limits::SPAN_MAX;

/// How long to wait before the next attempt: `initial * factor^(n-1)`, at most `max`, then spread by `jitter_percent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Pause after the first attempt.
    pub initial: Duration,
    /// Longest pause.
    pub max: Duration,
    /// Growth from one pause to the next, in percent: 100 keeps it, 200 doubles it.
    pub factor_percent: u32,
    /// Spread to either side, in percent of the pause, 0 to 100, so that jobs that failed together do not return together.
    pub jitter_percent: u8,
}

impl Default for Backoff {
    /// One second, doubling up to ten minutes, spread by a tenth.
    fn default() -> Self {
        Backoff {
            initial: Duration::from_secs(1),
            max: Duration::from_secs(600),
            factor_percent: 200,
            jitter_percent: 10,
        }
    }
}

impl Backoff {
    /// The pause after attempt number `attempt` (the first is 1). `chance` in 0..1 places it inside the spread: 0.5 is the middle.
    pub fn delay(&self, attempt: u32, chance: f64) -> Duration {
        // However often nothing is multiplied, nothing it stays; to floating-point numbers, zero times infinity is no number.
        if self.initial.is_zero() {
            return Duration::ZERO;
        }
        let max = self.max.min(SPAN_MAX).as_secs_f64();
        let growth = f64::from(self.factor_percent) / 100.0;
        let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let middle = (self.initial.as_secs_f64() * growth.powi(exponent)).min(max);
        let spread = middle * f64::from(self.jitter_percent.min(100)) / 100.0;
        let delay = middle + spread * (2.0 * chance.clamp(0.0, 1.0) - 1.0);
        // A growth of zero to a negative power and the like cannot occur: exponents are never negative.
        Duration::from_secs_f64(delay.clamp(0.0, max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_maximum_and_stay_there() {
        let backoff = Backoff { jitter_percent: 0, ..Backoff::default() };
        let pauses: Vec<u64> = [1, 2, 3, 10, 11, 100, u32::MAX].map(|n| backoff.delay(n, 0.5).as_secs()).into();
        assert_eq!(pauses, [1, 2, 4, 512, 600, 600, 600]);
    }

    #[test]
    fn a_pause_of_nothing_stays_nothing_after_however_many_attempts() {
        for factor_percent in [100, 300, 10_000] {
            let backoff = Backoff { initial: Duration::ZERO, factor_percent, ..Backoff::default() };
            for attempt in [1, 2, 156, 157, 649, 1_000, u32::MAX] {
                assert_eq!(backoff.delay(attempt, 0.9), Duration::ZERO, "{attempt} times {factor_percent} %");
            }
        }
    }

    #[test]
    fn the_spread_stays_within_its_percentage() {
        let backoff = Backoff { jitter_percent: 50, ..Backoff::default() };
        assert_eq!(backoff.delay(1, 0.0), Duration::from_millis(500));
        assert_eq!(backoff.delay(1, 1.0), Duration::from_millis(1500));
    }
}
