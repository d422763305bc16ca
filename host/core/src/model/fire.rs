//! What became of the due times of a schedule.

use super::Timestamp;
use super::id::JobId;

/// Some due times of a schedule, one after the other, of which the same became. Each due time is in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FireLine {
    /// Its place among the lines of the schedule, from 1 on.
    pub number: u64,
    /// The first of the due times.
    pub first: Timestamp,
    /// The last one.
    pub last: Timestamp,
    /// How many they are.
    pub count: u64,
    /// Whether there may be more: not all of many missed ones are counted.
    pub or_more: bool,
    /// When it was decided.
    pub at: Timestamp,
    /// What became of them.
    pub fate: Fate,
    /// The jobs that were made: one for each of the due times, or one for all of them.
    pub jobs: Vec<JobId>,
    /// Why, in words; empty where there is nothing to be said.
    pub reason: String,
    /// Whether the trigger has no more fire times after them.
    pub is_end: bool,
}

/// What became of a due time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It got a job.
    Queued,
    /// It shares a job with others that were due as well.
    Coalesced,
    /// It got a job that was too late to start when it was made.
    Missed,
    /// It had a job already.
    HadJob,
    /// No job was made, because of the overlap policy.
    Overlap,
    /// No job was made, because so many due times were missed that the bound on catching up was reached.
    CatchUp,
    /// The schedule was paused, and whoever unpaused it passed it over.
    Paused,
    /// The rule was changed after it had been due.
    Changed,
    /// The schedule was finished before it was due, by the number of its fires or by the success of a job.
    Finished,
    /// Another schedule was put in the place of this one after it had been due.
    Replaced,
}

super::outcome::names! { Fate {
    Queued => "queued",
    Coalesced => "coalesced",
    Missed => "missed",
    HadJob => "had_job",
    Overlap => "overlap",
    CatchUp => "catch_up",
    Paused => "paused",
    Changed => "changed",
    Finished => "finished",
    Replaced => "replaced",
} }
