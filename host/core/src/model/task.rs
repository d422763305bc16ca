//! Tasks: what can run.

use super::id::{PluginName, TaskId, TaskName};
use super::settings::{ResolvedSettings, Settings};

/// Something that can run: a function of a plugin, or of the embedding program, with its settings.
///
/// A task has three roles: it is what a job runs, the key under which jobs are counted against
/// [`Parallelism`](super::settings::Parallelism), and the template from which schedules and jobs inherit settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Its id; `plugin:task` unless it was made by configuration.
    pub id: TaskId,
    /// Several tasks may have the same.
    pub target: Target,
    /// What it does, for people.
    pub description: String,
    /// JSON Schema of the arguments, as JSON text.
    pub args_schema: Option<String>,
    /// JSON Schema of the result, as JSON text.
    pub result_schema: Option<String>,
    /// Arguments that work, as JSON text.
    pub example_args: Option<String>,
    /// The layer that an operator set explicitly.
    pub configured: Settings,
    /// The layer that the author declared.
    pub declared: Settings,
    /// The task defaults of the host that registered it last.
    pub defaults: Settings,
}

impl Task {
    /// The settings with all layers applied, still open where nobody said anything: what a schedule's or a job's own
    /// layer is laid over.
    pub fn layered(&self) -> Settings {
        self.configured.over(&self.declared).over(&self.defaults)
    }

    /// The settings that hold for the task itself.
    pub fn resolved(&self) -> ResolvedSettings {
        self.layered().resolve()
    }
}

/// What runs when a job of a task runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// A function of a plugin: of the version that is current when the first attempt at a job begins.
    Plugin {
        /// The plugin.
        plugin: PluginName,
        /// The function, by the name its author gave it.
        function: TaskName,
    },
    /// A closure of the program that embeds the runtime, by the name it was given there.
    Native {
        /// The closure's name.
        function: TaskName,
    },
}

impl Target {
    /// The plugin, where there is one.
    pub fn plugin(&self) -> Option<&PluginName> {
        match self {
            Target::Plugin { plugin, .. } => Some(plugin),
            Target::Native { .. } => None,
        }
    }

    /// The function's name.
    pub fn function(&self) -> &TaskName {
        match self {
            Target::Plugin { function, .. } | Target::Native { function } => function,
        }
    }
}
