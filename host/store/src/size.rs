//! About how many bytes things take, so that a call or a transaction carries no more than databases like to take at once. Only those parts
//! count that may be long.

use super::{Ending, FireSchedule, JobReport, ReleaseJob};
use crate::model::{Job, JobSpec, LogLine, Schedule, Task};

/// Something that may be long.
pub trait PayloadBytes {
    /// About how many bytes it takes.
    fn payload_bytes(&self) -> usize;
}

impl PayloadBytes for JobSpec {
    fn payload_bytes(&self) -> usize {
        let metadata = &self.settings.metadata;
        self.args.data.len() + if metadata.0.is_empty() { 0 } else { metadata.to_json().len() }
    }
}

impl PayloadBytes for LogLine {
    fn payload_bytes(&self) -> usize {
        let fields = self.fields.iter().map(|(name, value)| name.len() + value.len());
        self.target.len() + self.message.len() + fields.sum::<usize>()
    }
}

impl PayloadBytes for FireSchedule {
    fn payload_bytes(&self) -> usize {
        self.trigger_state.len() + self.jobs.iter().map(JobSpec::payload_bytes).sum::<usize>()
    }
}

impl PayloadBytes for JobReport {
    fn payload_bytes(&self) -> usize {
        self.lines.iter().map(LogLine::payload_bytes).sum()
    }
}

impl PayloadBytes for ReleaseJob {
    fn payload_bytes(&self) -> usize {
        let (result, error) = match &self.ending {
            Ending::Finished { result, error, .. } => (result.as_ref(), error.as_ref()),
            Ending::Retry { error, .. } => (None, Some(error)),
            Ending::Requeued { .. } => (None, None),
        };
        let error = error.map_or(0, |error| {
            let texts = error.context.iter().chain(&error.backtrace).chain([&error.message]);
            texts.map(String::len).sum()
        });
        let lines: usize = self.lines.iter().map(LogLine::payload_bytes).sum();
        let jobs: usize = self.effects.jobs.iter().map(JobSpec::payload_bytes).sum();
        let schedules: usize = self.effects.schedules.iter().map(|added| added.schedule.args.data.len()).sum();
        let written = self.effects.kv.writes.iter();
        let written: usize = written.map(|write| write.value.as_ref().map_or(0, |value| value.len())).sum();
        // A hook gets the arguments, and what is counted already.
        let hooked = self.hooked.as_ref().map_or(0, |hooked| hooked.job.spec.payload_bytes());
        result.map_or(0, |result| result.data.len()) + error + lines + jobs + schedules + written + hooked
    }
}

impl PayloadBytes for Job {
    fn payload_bytes(&self) -> usize {
        self.spec.payload_bytes() + self.result.as_ref().map_or(0, |result| result.data.len())
    }
}

impl PayloadBytes for Task {
    fn payload_bytes(&self) -> usize {
        let texts = [&self.args_schema, &self.result_schema, &self.example_args];
        self.description.len() + texts.into_iter().flatten().map(String::len).sum::<usize>()
    }
}

impl PayloadBytes for Schedule {
    fn payload_bytes(&self) -> usize {
        self.args.data.len() + self.trigger_state.len()
    }
}
