//! Measurements. Each prints ratios between things that it measured in one run: absolute figures of a noisy machine mean little.

use std::process::Command;

use crate::shell::run as run_command;
use crate::{plugins, setup, workspace};

/// What the command takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What to measure; everything if nothing is named.
    subjects: Vec<Subject>,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Subject {
    /// Fire times, beside other crates.
    Triggers,
    /// One attempt in the sandbox, beside a bare wasmtime loop.
    Sandbox,
    /// A no-op beside attempts of another task that do their worst.
    Neighbours,
    /// Jobs through a whole scheduler, beside a bare wasmtime loop.
    Jobs,
    /// Data stores, beside bare SQL.
    Stores,
    /// A queue on PostgreSQL drained, beside graphile-worker.
    Drain,
    /// Ten thousand schedules due at once, and the state of the whole with a million of them.
    Schedules,
}

impl Subject {
    const ALL: [Subject; 7] = [
        Subject::Triggers,
        Subject::Sandbox,
        Subject::Neighbours,
        Subject::Jobs,
        Subject::Stores,
        Subject::Drain,
        Subject::Schedules,
    ];

    const fn target(self) -> &'static str {
        match self {
            Subject::Triggers => "trigger",
            Subject::Sandbox => "sandbox",
            Subject::Neighbours => "neighbours",
            Subject::Jobs => "jobs",
            Subject::Stores => "stores",
            Subject::Drain => "drain",
            Subject::Schedules => "schedules",
        }
    }
}

/// Measures. Everything is compiled as for a release; the first time takes long.
///
/// # Errors
///
/// If a measurement cannot be made. A figure never makes it fail.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    setup::run(&setup::Arguments::default())?;
    plugins::build()?;
    let subjects = if arguments.subjects.is_empty() { &Subject::ALL[..] } else { &arguments.subjects[..] };
    let mut command = Command::new(env!("CARGO"));
    // The whole workspace, so that dependencies have the same features whatever is measured.
    command.current_dir(workspace()).args(["bench", "--quiet", "--workspace"]);
    for subject in subjects {
        command.args(["--bench", subject.target()]);
    }
    run_command(&mut command)
}
