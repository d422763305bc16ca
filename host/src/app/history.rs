//! What became of the due times of a schedule.

use std::time::Duration;

use super::{App, AppResult};
use crate::model::limits::PAGE_ROWS_MAX;
use crate::model::{FireLine, Job, JobId, ScheduleId};
use crate::store::{ReadHistory, StoreError, TrimHistory, Unreadable};

/// Most jobs of a line that are looked at.
const JOBS_LOOKED_AT_MAX: usize = 100;

/// The last lines of a schedule's ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleHistory {
    /// The lines, the latest first.
    pub lines: Vec<FireLine>,
    /// Lines among them that cannot be read.
    pub unreadable: Vec<Unreadable>,
    /// Whether there are earlier ones.
    pub has_more: bool,
}

impl App {
    /// What became of the last due times of a schedule, in up to `limit` lines, the latest first. Each due time is in one of them, as long as
    /// they are kept.
    ///
    /// # Errors
    /// As [`App::schedule_get`].
    pub async fn schedule_history(&self, id: &ScheduleId, limit: usize) -> AppResult<ScheduleHistory> {
        if !self.schedule_exists(id).await? {
            return Err(self.unknown_schedule(id).await?);
        }
        let mut history = ScheduleHistory { lines: Vec::new(), unreadable: Vec::new(), has_more: false };
        let mut before = None;
        loop {
            let left = limit.saturating_sub(history.lines.len());
            let request = ReadHistory { id: id.clone(), before, limit: left.min(PAGE_ROWS_MAX) };
            let page = self.store.schedule_history(request).await?;
            history.lines.extend(page.rows);
            history.unreadable.extend(page.unreadable);
            before = page.next.and_then(|next| next.parse().ok());
            history.has_more = before.is_some();
            if before.is_none() || history.lines.len() >= limit {
                return Ok(history);
            }
        }
    }

    /// Removes lines from before `ttl`, and all but the last `keep` of each schedule.
    ///
    /// # Errors
    /// Those of the store; what was done before is done.
    pub async fn history_trim(&self, ttl: Duration, keep: usize) -> AppResult<()> {
        let before = self.now().await?.saturating_sub(ttl);
        let mut after = None;
        loop {
            let request = TrimHistory { before, keep: keep as u64, after, limit: PAGE_ROWS_MAX };
            after = self.store.trim_history(request).await?;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// How the jobs of a line stand, as far as they are still there; of many the first ones.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn jobs_of_fire(&self, line: &FireLine) -> AppResult<Vec<(JobId, Option<Job>)>> {
        let mut jobs = Vec::new();
        for id in line.jobs.iter().take(JOBS_LOOKED_AT_MAX) {
            let job = match self.store.job_get(*id).await {
                // One that cannot be read is shown as such by `host jobs`.
                Err(StoreError::Unreadable { .. }) => continue,
                job => job?,
            };
            jobs.push((*id, job));
        }
        Ok(jobs)
    }
}
