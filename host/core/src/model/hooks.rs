//! Hooks: tasks that run because a job has ended for good.
//!
//! A job takes its hooks along when it is made. With its end a job of the task that is named for such an end is made, in the same transaction,
//! so that there is one for each end and none without. A job that was cancelled calls no hook: somebody knows of it already. Nor do the due
//! times that the ledger of a schedule tells of and that no job was made for.

use std::fmt;
use std::str::FromStr;

use super::id::{IdError, TaskId};
use super::outcome::Outcome;

/// What a layer of settings says about one hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hook {
    /// There is none, whatever more general layers say.
    None,
    /// This task is run.
    Task(TaskId),
}

impl Hook {
    /// The task, where one is run.
    pub fn task(&self) -> Option<&TaskId> {
        match self {
            Hook::None => None,
            Hook::Task(task) => Some(task),
        }
    }
}

impl FromStr for Hook {
    type Err = IdError;

    /// `none`, or a task.
    fn from_str(text: &str) -> Result<Hook, IdError> {
        if text == "none" { Ok(Hook::None) } else { TaskId::new(text).map(Hook::Task) }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.task().map_or("none", TaskId::as_str))
    }
}

/// What a layer of settings says about hooks. `None` means "not said here".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HookSettings {
    /// After an error, of which no attempt is left, or after the last worker vanished.
    pub on_failure: Option<Hook>,
    /// After a success.
    pub on_success: Option<Hook>,
    /// After a start deadline that was missed.
    pub on_missed: Option<Hook>,
}

impl HookSettings {
    /// This layer over a more general one.
    #[must_use]
    pub fn over(&self, general: &HookSettings) -> HookSettings {
        let either = |own: &Option<Hook>, other: &Option<Hook>| own.clone().or_else(|| other.clone());
        HookSettings {
            on_failure: either(&self.on_failure, &general.on_failure),
            on_success: either(&self.on_success, &general.on_success),
            on_missed: either(&self.on_missed, &general.on_missed),
        }
    }

    /// The hooks, where nothing more is said about them.
    pub fn resolve(&self) -> Hooks {
        let task = |hook: &Option<Hook>| hook.as_ref().and_then(Hook::task).cloned();
        Hooks {
            on_failure: task(&self.on_failure),
            on_success: task(&self.on_success),
            on_missed: task(&self.on_missed),
        }
    }

    /// What is said, by name.
    pub fn named(&self) -> [(&'static str, Option<&Hook>); 3] {
        [
            ("on_failure", self.on_failure.as_ref()),
            ("on_success", self.on_success.as_ref()),
            ("on_missed", self.on_missed.as_ref()),
        ]
    }

    /// The tasks that are named.
    pub fn tasks_mut(&mut self) -> impl Iterator<Item = &mut TaskId> {
        [&mut self.on_failure, &mut self.on_success, &mut self.on_missed].into_iter().flatten().filter_map(|hook| {
            match hook {
                Hook::None => None,
                Hook::Task(task) => Some(task),
            }
        })
    }
}

/// The tasks that run when a job has ended. The fields mean what those of [`HookSettings`] mean.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "field by field the answers to `HookSettings`, which documents them")]
pub struct Hooks {
    pub on_failure: Option<TaskId>,
    pub on_success: Option<TaskId>,
    pub on_missed: Option<TaskId>,
}

impl Hooks {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Hooks::default()
    }

    /// The task that runs after such an end.
    pub fn after(&self, outcome: Outcome) -> Option<&TaskId> {
        match outcome {
            Outcome::Success => self.on_success.as_ref(),
            Outcome::Error | Outcome::Abandoned | Outcome::DeserializationFailed => self.on_failure.as_ref(),
            Outcome::MissedStartDeadline => self.on_missed.as_ref(),
            Outcome::Cancelled => None,
        }
    }

    /// The tasks, each once.
    pub fn tasks(&self) -> Vec<&TaskId> {
        let mut tasks: Vec<&TaskId> =
            [&self.on_failure, &self.on_success, &self.on_missed].into_iter().flatten().collect();
        tasks.sort_unstable();
        tasks.dedup();
        tasks
    }
}
