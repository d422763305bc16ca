//! What a job needs of the worker that runs it, and what a worker offers: a worker claims only jobs that it can run.

use std::fmt;
use std::str::FromStr;

use super::id::{ExecutorName, IdError, TaskName};
use super::task::Target;

/// The executor that runs plugins if a job names none.
pub const WASM: &str = "wasm";
/// The executor that runs native functions if a job names none.
pub const INLINE: &str = "inline";

/// What a worker must have to run a job.
///
/// As text: the empty text, `executor` or `executor:function`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ability {
    /// Nothing: the task of the job is gone, and any worker can say so.
    Any,
    /// An executor, which runs any plugin.
    Executor(ExecutorName),
    /// A native function, registered with that executor.
    Function(ExecutorName, TaskName),
}

impl Ability {
    /// What a job needs that names `executor` (or none) and whose task runs `target` (`None`: there is no such task).
    pub fn needed(target: Option<&Target>, executor: Option<&ExecutorName>) -> Ability {
        let usual = |name: &str| executor.cloned().or_else(|| ExecutorName::new(name).ok());
        match target {
            None => executor.cloned().map_or(Ability::Any, Ability::Executor),
            Some(Target::Plugin { .. }) => usual(WASM).map_or(Ability::Any, Ability::Executor),
            Some(Target::Native { function }) => {
                usual(INLINE).map_or(Ability::Any, |executor| Ability::Function(executor, function.clone()))
            }
        }
    }

    /// Whether who has these abilities can run a job that needs this one.
    pub fn is_met_by(&self, abilities: &[Ability]) -> bool {
        *self == Ability::Any || abilities.contains(self)
    }
}

impl fmt::Display for Ability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ability::Any => Ok(()),
            Ability::Executor(executor) => write!(f, "{executor}"),
            Ability::Function(executor, function) => write!(f, "{executor}:{function}"),
        }
    }
}

impl FromStr for Ability {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match text.split_once(':') {
            None if text.is_empty() => Ok(Ability::Any),
            None => Ok(Ability::Executor(ExecutorName::new(text)?)),
            Some((executor, function)) => Ok(Ability::Function(ExecutorName::new(executor)?, TaskName::new(function)?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::PluginName;

    #[test]
    fn a_job_needs_the_executor_that_it_names_or_the_usual_one_of_its_target() {
        let function = TaskName::new("add").expect("valid");
        let native = Target::Native { function: function.clone() };
        let plugin = Target::Plugin { plugin: PluginName::new("p").expect("valid"), function };
        let gpu = ExecutorName::new("gpu").expect("valid");
        for (target, executor, needed) in [
            (Some(&native), None, "inline:add"),
            (Some(&native), Some(&gpu), "gpu:add"),
            (Some(&plugin), None, "wasm"),
            (Some(&plugin), Some(&gpu), "gpu"),
            (None, None, ""),
            (None, Some(&gpu), "gpu"),
        ] {
            let ability = Ability::needed(target, executor);
            assert_eq!(ability.to_string(), needed);
            assert_eq!(needed.parse(), Ok(ability));
        }
    }
}
