//! Run a job right here.

use std::sync::Arc;

use super::{App, AppResult};
use crate::model::{Job, JobId};
use crate::scheduler::{self, Executors, Options, run_one};

impl App {
    /// Runs a queued job here, all its attempts, and answers it as it is stored then; with its result also where that is not kept. The job is
    /// leased and limited as any other; where a scheduler takes it first, this waits for its end.
    ///
    /// Dropping the future stops a running attempt; the job then goes on elsewhere once its lease has run out.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn job_run_here(&self, id: JobId, executors: &Executors, options: Options) -> AppResult<Job> {
        let parts = self.scheduler_parts(executors.clone());
        Ok(run_one(&parts, options, id).await?)
    }

    /// What a scheduler over the same store, broker and clock is started with.
    pub fn scheduler_parts(&self, executors: Executors) -> scheduler::Parts {
        scheduler::Parts {
            store: self.store.clone(),
            broker: self.broker.clone(),
            executors,
            time: Arc::clone(&self.time),
        }
    }
}
