//! The developer's commands: `cargo xtask help`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What a developer of the host runs, beside cargo itself.
#[derive(Parser)]
#[command(name = "cargo xtask", disable_help_subcommand = false)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

/// One command, one module of the library, with its arguments and a function `run`.
#[derive(Subcommand)]
enum Command {
    /// Install what is missing for building plugins and running tests; does nothing the second time.
    Setup(xtask::setup::Arguments),
    /// Build every plugin as a component, and print where they are.
    Plugins(xtask::plugins::Arguments),
    /// Run the main job end to end in a temporary folder: register, schedule, serve, look at the jobs.
    Demo(xtask::demo::Arguments),
    /// Run all tests.
    Test(xtask::test::Arguments),
    /// Take safeguards out of a copy of the sources, one at a time, and see which tests fail.
    Mutants(xtask::mutants::Arguments),
    /// Measure, and print ratios.
    Bench(xtask::bench::Arguments),
}

fn main() -> ExitCode {
    let done = match CommandLine::parse().command {
        Command::Setup(arguments) => xtask::setup::run(&arguments),
        Command::Plugins(arguments) => xtask::plugins::run(&arguments),
        Command::Demo(arguments) => xtask::demo::run(&arguments),
        Command::Test(arguments) => xtask::test::run(&arguments),
        Command::Mutants(arguments) => xtask::mutants::run(&arguments),
        Command::Bench(arguments) => xtask::bench::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            error.chain().skip(1).for_each(|cause| eprintln!("  {cause}"));
            ExitCode::FAILURE
        }
    }
}
