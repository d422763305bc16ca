//! All tests, with everything they need.

use std::process::Command;

use crate::shell::run as run_command;
use crate::{host, plugins, setup, workspace};

/// What the command takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What `cargo test` takes, such as a part of a test's name.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Sets up what is missing, builds the plugins and `host`, and runs the tests of the whole workspace, the stores' on all four data
/// stores (`TEST_BACKENDS=memory,sqlite` narrows that) and the event brokers' on all brokers (`TEST_BROKERS=local,sqlite`).
///
/// # Errors
///
/// If a test fails.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    setup::run(&setup::Arguments::default())?;
    plugins::build()?;
    host::build()?;
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(workspace()).args(["test", "--workspace", "--no-fail-fast"]).args(&arguments.rest);
    // Set-up has installed the servers, so every store is tested unless somebody narrows it.
    if std::env::var_os("TEST_BACKENDS").is_none() {
        command.env("TEST_BACKENDS", "memory,sqlite,postgres,mysql");
    }
    if std::env::var_os("TEST_BROKERS").is_none() {
        command.env("TEST_BROKERS", "local,sqlite,postgres,redis,mqtt,mqtt3,nats");
    }
    run_command(&mut command)
}
