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
    /// Jobs through a whole scheduler, beside a bare wasmtime loop.
    Jobs,
    /// Data stores, beside bare SQL.
    Stores,
}

impl Subject {
    const ALL: [Subject; 4] = [Subject::Triggers, Subject::Sandbox, Subject::Jobs, Subject::Stores];

    const fn target(self) -> &'static str {
        match self {
            Subject::Triggers => "trigger",
            Subject::Sandbox => "sandbox",
            Subject::Jobs => "jobs",
            Subject::Stores => "stores",
        }
    }
}

/// Measures. Our own code is optimised as its dependencies are; those are not compiled again.
///
/// # Errors
///
/// If a measurement cannot be made. A figure never makes it fail.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    setup::run(&setup::Arguments::default())?;
    plugins::build()?;
    let subjects = if arguments.subjects.is_empty() { &Subject::ALL[..] } else { &arguments.subjects[..] };
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(workspace()).args(["bench", "--quiet", "--workspace", "--profile", "dev"]);
    // As a release is compiled: in few pieces and from scratch, which is the faster way too where everything is optimised.
    command.env("CARGO_INCREMENTAL", "0");
    for member in ["host", "host-core", "host-sandbox", "host-store", "tests"] {
        command.args(["--config", &format!("profile.dev.package.{member}.opt-level=3")]);
        command.args(["--config", &format!("profile.dev.package.{member}.codegen-units=16")]);
        command.args(["--config", &format!("profile.dev.package.{member}.debug-assertions=false")]);
        command.args(["--config", &format!("profile.dev.package.{member}.overflow-checks=false")]);
    }
    for subject in subjects {
        command.args(["--bench", subject.target()]);
    }
    run_command(&mut command)
}
