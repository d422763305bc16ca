//! The ledger of fires.

use serde::Serialize;

use super::micros;
use crate::model::{FireLine, Job, JobId};

/// Some due times of a schedule of which the same became.
#[derive(Serialize)]
#[cfg_attr(feature = "api", derive(schemars::JsonSchema), schemars(rename = "FireLine"))]
pub(crate) struct FireLineWire {
    pub(crate) number: u64,
    pub(crate) first_due: String,
    pub(crate) last_due: String,
    pub(crate) count: u64,
    /// Whether there may be more.
    pub(crate) or_more: bool,
    /// When it was decided.
    pub(crate) decided_at: String,
    /// From the last due time to then.
    pub(crate) late_us: u64,
    pub(crate) fate: &'static str,
    pub(crate) job_ids: Vec<String>,
    pub(crate) reason: Option<String>,
    /// Whether the trigger has no more fire times after them.
    pub(crate) is_end: bool,
    /// What became of the jobs so far, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) jobs: Option<Vec<FireJobWire>>,
}

/// What became of a job of a fire.
#[derive(Serialize)]
#[cfg_attr(feature = "api", derive(schemars::JsonSchema), schemars(rename = "FireJob"))]
pub(crate) struct FireJobWire {
    pub(crate) id: String,
    /// `null` for a job that is removed.
    pub(crate) state: Option<&'static str>,
    pub(crate) outcome: Option<&'static str>,
    pub(crate) started_at: Option<String>,
}

impl FireLineWire {
    /// `jobs`: as many of the line's jobs as were looked for.
    pub(crate) fn new(line: &FireLine, jobs: Option<&[(JobId, Option<Job>)]>) -> FireLineWire {
        FireLineWire {
            number: line.number,
            first_due: line.first.to_string(),
            last_due: line.last.to_string(),
            count: line.count,
            or_more: line.or_more,
            decided_at: line.at.to_string(),
            late_us: micros(line.at.saturating_since(line.last)),
            fate: line.fate.as_str(),
            job_ids: line.jobs.iter().map(ToString::to_string).collect(),
            reason: (!line.reason.is_empty()).then(|| line.reason.clone()),
            is_end: line.is_end,
            jobs: jobs.map(|jobs| jobs.iter().map(FireJobWire::new).collect()),
        }
    }
}

impl FireJobWire {
    fn new((id, job): &(JobId, Option<Job>)) -> FireJobWire {
        FireJobWire {
            id: id.to_string(),
            state: job.as_ref().map(|job| job.state.as_str()),
            outcome: job.as_ref().and_then(|job| job.outcome).map(|outcome| outcome.as_str()),
            started_at: job.as_ref().and_then(|job| job.started_at).map(|at| at.to_string()),
        }
    }
}
