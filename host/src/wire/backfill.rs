//! What a backfill came to.

use serde::Serialize;

use crate::app::Backfilled;

#[derive(Serialize)]
#[cfg_attr(feature = "api", derive(schemars::JsonSchema), schemars(rename = "Backfilled"))]
pub(crate) struct BackfilledWire {
    /// The fire times that were looked at.
    fires: Vec<String>,
    /// The jobs that were queued.
    job_ids: Vec<String>,
    /// How many of the fire times had a job already.
    had_job: usize,
    /// The first fire time beyond the limit.
    next: Option<String>,
}

impl From<&Backfilled> for BackfilledWire {
    fn from(done: &Backfilled) -> BackfilledWire {
        BackfilledWire {
            fires: done.fires.iter().map(ToString::to_string).collect(),
            job_ids: done.jobs.iter().map(ToString::to_string).collect(),
            had_job: done.had_job,
            next: done.next.map(|fire| fire.to_string()),
        }
    }
}
