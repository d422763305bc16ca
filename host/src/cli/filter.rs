//! Flags that say which jobs are meant.

use clap::{Args, ValueEnum};

use super::exit::Outcomes;
use crate::app::App;
use crate::model::{JobState, Outcome, ScheduleId};
use crate::store::JobFilter;

/// Which jobs are meant.
#[derive(Debug, Default, Args)]
pub(super) struct FilterArgs {
    /// Only those in this state
    #[arg(long, value_name = "S")]
    state: Option<StateArg>,
    /// Only those that ended this way
    #[arg(long, value_name = "O")]
    outcome: Option<OutcomeArg>,
    /// Only those of this task
    #[arg(long, value_name = "T")]
    task: Option<String>,
    /// Only those of this schedule
    #[arg(long, value_name = "ID")]
    schedule: Option<ScheduleId>,
    /// Only those of this group
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum StateArg {
    Queued,
    Running,
    Finished,
}

/// Named as in JSON.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum OutcomeArg {
    Success,
    Error,
    MissedStartDeadline,
    DeserializationFailed,
    Cancelled,
    Abandoned,
}

impl FilterArgs {
    /// Whether every job is meant.
    pub(super) fn is_empty(&self) -> bool {
        let FilterArgs { state, outcome, task, schedule, group } = self;
        state.is_none() && outcome.is_none() && task.is_none() && schedule.is_none() && group.is_none()
    }

    pub(super) async fn filter(self, app: &App) -> Outcomes<JobFilter> {
        let task_id = match self.task {
            Some(task) => Some(app.task_of_filter(&task).await?),
            None => None,
        };
        Ok(JobFilter {
            state: self.state.map(|state| match state {
                StateArg::Queued => JobState::Queued,
                StateArg::Running => JobState::Running,
                StateArg::Finished => JobState::Finished,
            }),
            outcome: self.outcome.map(|outcome| match outcome {
                OutcomeArg::Success => Outcome::Success,
                OutcomeArg::Error => Outcome::Error,
                OutcomeArg::MissedStartDeadline => Outcome::MissedStartDeadline,
                OutcomeArg::DeserializationFailed => Outcome::DeserializationFailed,
                OutcomeArg::Cancelled => Outcome::Cancelled,
                OutcomeArg::Abandoned => Outcome::Abandoned,
            }),
            task_id,
            schedule_id: self.schedule,
            group: self.group,
            ..JobFilter::default()
        })
    }
}
