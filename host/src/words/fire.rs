//! The ledger of fires.

use std::collections::BTreeMap;

use crate::model::{Fate, FireLine, Job, JobId};

/// What became of due times.
pub(crate) fn what(fate: Fate) -> &'static str {
    match fate {
        Fate::Queued => "queued",
        Fate::Coalesced => "coalesced",
        Fate::Missed => "queued too late",
        Fate::HadJob => "had a job",
        Fate::Overlap => "skipped: overlap",
        Fate::CatchUp => "skipped: catch-up",
        Fate::Paused => "skipped: paused",
        Fate::Changed => "skipped: changed",
        Fate::Finished => "skipped: finished",
        Fate::Replaced => "skipped: replaced",
    }
}

/// The reason of a line, and what became of its jobs.
pub(crate) fn why(line: &FireLine, jobs: &[(JobId, Option<Job>)]) -> String {
    let mut parts: Vec<String> = Vec::new();
    if !line.reason.is_empty() {
        parts.push(line.reason.clone());
    }
    let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
    for (_, job) in jobs {
        *counts.entry(job.as_ref().map_or("removed", standing)).or_default() += 1;
    }
    let one = jobs.len() == 1;
    parts.extend(counts.into_iter().map(|(how, count)| if one { how.to_owned() } else { format!("{count} {how}") }));
    if line.is_end {
        parts.push("the last fire time".to_owned());
    }
    parts.join("; ")
}

fn standing(job: &Job) -> &'static str {
    job.outcome.map_or(job.state.as_str(), |outcome| outcome.as_str())
}
