//! Rollouts: a new version of a plugin that gets a part of the jobs, until it has shown that it can have all of them.

use std::fmt;
use std::str::FromStr;

use super::Timestamp;
use super::id::{Digest, JobId};

/// Hundredths of a percent in the whole.
const WHOLE: u16 = 10_000;

/// A part of a whole, in hundredths of a percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u16);

impl Percent {
    /// From hundredths of a percent, 10,000 at most.
    pub const fn from_hundredths(hundredths: u16) -> Option<Percent> {
        if hundredths <= WHOLE { Some(Percent(hundredths)) } else { None }
    }

    /// In hundredths of a percent.
    pub const fn hundredths(self) -> u16 {
        self.0
    }

    /// The smallest whole of which one is no larger a part, where there is one.
    pub fn one_of(self) -> Option<u32> {
        (self.0 > 0).then(|| u32::from(WHOLE).div_ceil(self.0.into()))
    }

    /// As a number: 100 is the whole.
    pub fn as_number(self) -> f64 {
        f64::from(self.0) / 100.0
    }
}

/// `5`, `5%` or `0.25%`.
impl FromStr for Percent {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Percent, &'static str> {
        const FORM: &str = "it is a number from 0 to 100 with at most two decimals, such as 5% or 0.25%";
        let number = text.strip_suffix('%').unwrap_or(text);
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !are_digits(whole) || !are_digits(part) || part.len() > 2 {
            return Err(FORM);
        }
        let (whole, part) = (whole.parse::<u16>(), format!("{part:0<2}").parse::<u16>());
        let (Ok(whole), Ok(part)) = (whole, part) else { return Err(FORM) };
        whole.checked_mul(100).and_then(|whole| whole.checked_add(part)).and_then(Percent::from_hundredths).ok_or(FORM)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.as_number())
    }
}

/// A version of a plugin that gets a part of the jobs.
///
/// ```text
///              ┌──► finished   it is the current version
///   active ────┼──► aborted    somebody ended it
///              └──► returned   too many attempts failed
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollout {
    /// The version.
    pub digest: Digest,
    /// The part of the jobs that it gets.
    pub share: Percent,
    /// The part of its attempts that may fail.
    pub error_rate_max: Percent,
    /// The rate is not looked at before so many attempts have ended, unless by then it is bound to be too high.
    pub attempts_min: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// Attempts that ended on this version since then, well or not. Those that were cancelled or given back do not count, and of those that a
    /// crash of their worker ended only the ones that nothing else can be to blame for.
    pub attempts: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// How and when it ended; `None` while it is active.
    pub end: Option<RolloutEnd>,
}

/// The end of a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RolloutEnd {
    /// How.
    pub state: RolloutState,
    /// When.
    pub at: Timestamp,
}

/// How a rollout stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RolloutState {
    /// The version gets its part of the jobs.
    Active,
    /// The version has become the current one.
    Finished,
    /// Somebody ended it: the version gets no jobs any more.
    Aborted,
    /// It ended by itself, because too many attempts failed: the version gets no jobs any more.
    Returned,
}

super::outcome::names! { RolloutState {
    Active => "active",
    Finished => "finished",
    Aborted => "aborted",
    Returned => "returned",
} }

/// Fewest attempts that a rate is looked at from, unless somebody says otherwise.
const ATTEMPTS_MIN: u32 = 10;

impl Rollout {
    /// From how many attempts on a rate is looked at, unless somebody says otherwise: so many that one failure is not too many among them, as one
    /// says little about a rate. Where none may fail, one says enough.
    pub fn attempts_min_of(error_rate_max: Percent) -> u32 {
        error_rate_max.one_of().unwrap_or(0).max(ATTEMPTS_MIN)
    }

    /// How it stands.
    pub fn state(&self) -> RolloutState {
        self.end.map_or(RolloutState::Active, |end| end.state)
    }

    /// Whether the version gets jobs.
    pub fn is_active(&self) -> bool {
        self.end.is_none()
    }

    /// Whether a job is among those that the version gets. The same for every worker and at every look; a larger part contains a smaller one.
    pub fn takes(&self, job: JobId) -> bool {
        self.is_active() && hash(&self.digest, job) % u64::from(WHOLE) < u64::from(self.share.0)
    }

    /// Counts attempts that have ended, and ends the rollout where too many of them failed: that is, where the rate is, or at
    /// `attempts_min` attempts is bound to be, larger than it may be. Nothing is counted once it has ended.
    pub fn count(&mut self, attempts: u64, failed: u64, now: Timestamp) {
        if !self.is_active() {
            return;
        }
        self.attempts = self.attempts.saturating_add(attempts);
        self.failed = self.failed.saturating_add(failed);
        let of = u128::from(self.attempts.max(u64::from(self.attempts_min)));
        if u128::from(self.failed) * u128::from(WHOLE) > of * u128::from(self.error_rate_max.0) {
            self.end = Some(RolloutEnd { state: RolloutState::Returned, at: now });
        }
    }
}

/// FNV-1a over both ids with the finaliser of SplitMix64: every worker of every version must come to the same, so this never changes. With the
/// digest in it, it is not always the same jobs that are tried on.
fn hash(digest: &Digest, job: JobId) -> u64 {
    let bytes = digest.as_bytes().iter().chain(job.as_bytes());
    let mut hash = bytes
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::super::JobIdSource;
    use super::*;

    fn rollout(share: &str, error_rate_max: &str, attempts_min: u32) -> Rollout {
        Rollout {
            digest: Digest::from_bytes([7; 32]),
            share: share.parse().expect("valid"),
            error_rate_max: error_rate_max.parse().expect("valid"),
            attempts_min,
            started_at: Timestamp::EPOCH,
            attempts: 0,
            failed: 0,
            end: None,
        }
    }

    #[test]
    fn a_percentage_has_two_decimals_at_most() {
        for (text, hundredths) in [("5", 500), ("5%", 500), ("0.25%", 25), ("0.5", 50), ("100%", 10_000), ("0", 0)] {
            assert_eq!(text.parse::<Percent>().map(Percent::hundredths), Ok(hundredths), "{text}");
        }
        for bad in ["", "%", "5%%", "-1", "+5", "101", "100.01", "1.234", "1.", ".5", "5 %", "1e1", "99999999"] {
            assert!(bad.parse::<Percent>().is_err(), "{bad}");
        }
        assert_eq!("0.25".parse::<Percent>().map(|percent| percent.to_string()), Ok("0.25%".to_owned()));
    }

    #[test]
    fn a_rollout_gets_its_part_of_the_jobs_and_a_larger_part_contains_a_smaller_one() {
        let mut source = JobIdSource::new(fastrand::Rng::with_seed(3));
        let jobs: Vec<JobId> = (0..20_000).map(|_| source.next(Timestamp::EPOCH)).collect();
        let (some, more) = (rollout("5%", "1%", 1), rollout("20%", "1%", 1));
        for (rollout, expected) in [(&some, 1_000), (&more, 4_000), (&rollout("0", "1%", 1), 0)] {
            let taken = jobs.iter().filter(|job| rollout.takes(**job)).count();
            assert!(taken.abs_diff(expected) <= expected / 5, "{taken} of {expected}");
        }
        assert!(jobs.iter().all(|job| !some.takes(*job) || more.takes(*job)));
        assert!(jobs.iter().all(|job| rollout("100", "1%", 1).takes(*job)));
        let ended = Rollout { end: Some(RolloutEnd { state: RolloutState::Aborted, at: Timestamp::EPOCH }), ..more };
        assert!(!jobs.iter().any(|job| ended.takes(*job)));
    }

    #[test]
    fn which_jobs_a_version_gets_never_changes() {
        let job = "01890a5d-ac96-774b-bcce-b302099a8057".parse().expect("an id");
        assert_eq!(hash(&Digest::from_bytes([7; 32]), job) % 10_000, PINNED);
    }

    /// Computed once; another value would have workers of two versions disagree.
    const PINNED: u64 = 2615;

    #[test]
    fn one_failure_is_not_too_many_unless_somebody_says_so_or_none_is_allowed() {
        for (rate, attempts_min) in
            [("1%", 100), ("0.3%", 334), ("0.01%", 10_000), ("50%", 10), ("100%", 10), ("0", 10)]
        {
            let rate_max = rate.parse().expect("valid");
            assert_eq!(Rollout::attempts_min_of(rate_max), attempts_min, "{rate}");
            let mut one = rollout("5%", rate, attempts_min);
            one.count(1, 1, Timestamp::EPOCH);
            assert_eq!(one.is_active(), rate != "0", "{rate}");
        }
    }

    #[test]
    fn a_rollout_returns_as_soon_as_its_rate_is_bound_to_be_too_high() {
        let mut slow = rollout("5%", "10%", 20);
        slow.count(5, 2, Timestamp::EPOCH);
        assert!(slow.is_active(), "two failures of twenty are not more than a tenth");
        slow.count(15, 0, Timestamp::EPOCH);
        assert!(slow.is_active());
        slow.count(1, 1, Timestamp::MAX);
        assert_eq!(slow.end, Some(RolloutEnd { state: RolloutState::Returned, at: Timestamp::MAX }));
        slow.count(1, 1, Timestamp::MAX);
        assert_eq!((slow.attempts, slow.failed), (21, 3), "nothing is counted after the end");
        let mut early = rollout("5%", "10%", 20);
        early.count(3, 3, Timestamp::EPOCH);
        assert_eq!(early.state(), RolloutState::Returned, "three of twenty would be too many");
        let mut strict = rollout("5%", "0", 20);
        strict.count(1_000, 0, Timestamp::EPOCH);
        assert!(strict.is_active());
        strict.count(1, 1, Timestamp::EPOCH);
        assert_eq!(strict.state(), RolloutState::Returned);
    }
}
