//! The command line: words to operations, answers to words.
//!
//! Each command is a file. A command reads its flags, calls one or two operations of [`crate::app`], and prints: the answer to standard output,
//! everything else to standard error. What `--json` prints are the types of `crate::wire`. How commands end is `exit`.
//!
//! The command line knows no adapters. What must be built before it can work comes from [`crate::assemble`].
//!
//! # To add a command
//!
//! Operation in `app` → file here with its `Args` and `run` → variant of `Command` → wire type, if it prints data → cases in
//! `tests/it/cli`, with the help text among the snapshots.

mod agreement;
mod answer;
#[cfg(feature = "api")]
mod api;
#[cfg(feature = "api")]
mod api_settings;
mod approval;
mod backfill;
mod batch;
mod bulk;
mod context;
mod crontab;
mod events;
mod exit;
mod export;
mod filter;
mod flags;
mod history;
mod import;
mod input;
mod invoke;
mod jobs;
mod kv;
mod logs;
mod new;
mod output;
mod parse;
mod plugins;
mod queues;
mod register;
mod rollout;
mod schedule;
mod schedule_set;
mod schedules;
#[cfg(feature = "wasm")]
mod secrets;
mod serve;
mod settings;
mod settings_file;
mod submit;
mod supervisor;
mod system;
mod tasks;
#[cfg(feature = "api")]
mod tokens;
mod top;
mod trigger;
mod when;

use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand};

pub use exit::Exit;

use crate::assemble::Machine;
use crate::assemble::signals::Signals;
use context::Context;
use exit::{Failure, Outcomes};
use settings::{GlobalArgs, ServeArgs};

/// A job runtime whose tasks are sandboxed WebAssembly components.
#[derive(Debug, Parser)]
#[command(name = "host", version, about, max_term_width = 100, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0 done   1 unexpected   2 bad usage or input   3 needs --yes   4 not found
  5 store, broker or server out of reach   6 refused or in conflict
  7 the job ended unsuccessfully   130 interrupted   143 terminated";

#[derive(Debug, Subcommand)]
enum Command {
    /// Register a plugin, or a new version of one: check it, list its tasks, store it
    Register(register::RegisterArgs),
    /// List, inspect, roll back, remove or verify plugins
    Plugins(plugins::PluginsArgs),
    /// List, inspect or configure tasks
    Tasks(tasks::TasksArgs),
    /// Put a task on a schedule
    Schedule(Box<schedule::ScheduleArgs>),
    /// List, inspect, run, change, pause, unpause, remove or preview schedules
    Schedules(schedules::SchedulesArgs),
    /// Queue a job and print its ID
    Submit(Box<submit::SubmitArgs>),
    /// Queue a job, run it right here, print its result
    Run(Box<submit::RunArgs>),
    /// List, inspect, cancel or retry jobs, read their logs and results
    Jobs(jobs::JobsArgs),
    /// List, pause or resume queues
    Queues(queues::QueuesArgs),
    /// List, read, write or delete what plugins keep between jobs
    Kv(kv::KvArgs),
    /// List, set or remove secrets that plugins use
    #[cfg(feature = "wasm")]
    Secrets(secrets::SecretsArgs),
    /// List, make or revoke tokens of the HTTP interface
    #[cfg(feature = "api")]
    Tokens(tokens::TokensArgs),
    /// Fire schedules and run jobs until told to stop
    Serve(Box<ServeArgs>),
    /// Answer requests over HTTP until told to stop, without a scheduler
    #[cfg(feature = "api")]
    Api(api::ApiCommandArgs),
    /// Print events as they happen
    Events(events::EventsArgs),
    /// Remove what has expired, take back what dead workers left
    Cleanup,
    /// How things stand: jobs, schedules, schedulers
    Status,
    /// How things stand, again and again: jobs that run, that ended and that failed, queues, schedulers
    Top(top::TopArgs),
    /// Show or apply what brings the store's schema up to date
    Migrate(system::MigrateArgs),
    /// Write everything that the store holds into a file, for backup or for another store
    ///
    /// The export is of one instant, also while schedulers work. For a move, stop them first: a job that is running is exported with the
    /// claim on it, and waits in the other store until that claim ends. The file holds arguments, results and grants, and is made readable
    /// for its owner alone.
    Export(export::ExportArgs),
    /// Bring what `export` has written into this store
    ///
    /// The whole file is checked, and compared with the store, before anything is changed. An import that was interrupted is repeated.
    Import(import::ImportArgs),
    /// Print a completion script for a shell
    Completions(system::CompletionsArgs),
    /// Run a task straight from a file: no store, the limits of production, a report
    Invoke(invoke::InvokeArgs),
    /// Make a plugin crate that builds, with a task and a test
    New(new::NewArgs),
    /// Compute fire times without any store
    Trigger(trigger::TriggerArgs),
}

impl Command {
    fn is_server(&self) -> bool {
        #[cfg(feature = "api")]
        if matches!(self, Command::Api(_)) {
            return true;
        }
        matches!(self, Command::Serve(_))
    }

    /// Whether the command ends in its own way when a signal asks it to.
    fn minds_signals(&self) -> bool {
        self.is_server() || matches!(self, Command::Run(_) | Command::Invoke(_))
    }
}

/// How long detached work may go on after the answer was given.
const AFTERMATH: Duration = Duration::from_millis(500);

/// Runs the command that the process was started with, and says how it ended.
pub fn run(machine: Machine) -> ExitCode {
    let cli = match parse::parse(Cli::command()).and_then(|parsed| parsed.into::<Cli>()) {
        Ok(cli) => cli,
        // Help and version are answers and go to standard output; clap knows which is which.
        Err(answer) => {
            let exit = if answer.use_stderr() { Exit::Usage } else { Exit::Done };
            // Nobody is left to tell that telling failed.
            let _ = answer.print();
            return exit.into();
        }
    };
    logs::init(&cli.global, cli.command.is_server());
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(&Failure::Output(error)),
    };
    let ended = runtime.block_on(interruptible(machine, cli));
    runtime.shutdown_timeout(AFTERMATH);
    match ended {
        Ok(()) => Exit::Done.into(),
        Err(failure) => report(&failure),
    }
}

fn report(failure: &Failure) -> ExitCode {
    // Nobody is left to tell that telling failed.
    let _ = failure.print(&mut std::io::stderr());
    failure.exit().into()
}

async fn interruptible(machine: Machine, cli: Cli) -> Outcomes {
    if cli.command.minds_signals() {
        return command(machine, cli).await;
    }
    // Where signals cannot be heard they end the process, as they do by themselves.
    let Ok(mut signals) = Signals::listen() else { return command(machine, cli).await };
    // Dropping a command half way is sound: its store calls are detached and finish, or, with the process gone, are undone as a whole.
    tokio::select! {
        ended = command(machine, cli) => ended,
        signal = signals.next() => Err(Failure::Interrupted(signal)),
    }
}

async fn command(machine: Machine, cli: Cli) -> Outcomes {
    let (serve, command) = match cli.command {
        Command::Serve(args) => (*args, Command::Serve(Box::default())),
        #[cfg(feature = "api")]
        Command::Api(args) => (args.into(), Command::Api(api::ApiCommandArgs::default())),
        other => (ServeArgs::default(), other),
    };
    let mut context = Context::new(machine, cli.global, serve);
    // On the heap: a command's future is large, and there is one.
    let ended = Box::pin(dispatch(&mut context, command)).await;
    context.close().await;
    ended
}

async fn dispatch(context: &mut Context, command: Command) -> Outcomes {
    match command {
        Command::Register(args) => register::run(context, args).await,
        Command::Plugins(args) => plugins::run(context, args).await,
        Command::Tasks(args) => tasks::run(context, args).await,
        Command::Schedule(args) => schedule::run(context, *args).await,
        Command::Schedules(args) => schedules::run(context, args).await,
        Command::Submit(args) => submit::submit(context, *args).await,
        Command::Run(args) => Box::pin(submit::run(context, *args)).await,
        Command::Jobs(args) => jobs::run(context, args).await,
        Command::Queues(args) => queues::run(context, args).await,
        Command::Kv(args) => kv::run(context, args).await,
        #[cfg(feature = "wasm")]
        Command::Secrets(args) => secrets::run(context, args).await,
        #[cfg(feature = "api")]
        Command::Tokens(args) => tokens::run(context, args).await,
        Command::Serve(_) => serve::run(context).await,
        #[cfg(feature = "api")]
        Command::Api(_) => api::run(context).await,
        Command::Events(args) => events::run(context, args).await,
        Command::Cleanup => system::cleanup(context).await,
        Command::Status => system::status(context).await,
        Command::Top(args) => top::run(context, args).await,
        Command::Migrate(args) => system::migrate(context, args).await,
        Command::Export(args) => export::run(context, args).await,
        Command::Import(args) => import::run(context, args).await,
        Command::Completions(args) => system::completions(context, &args, Cli::command()),
        Command::Invoke(args) => invoke::run(context, args).await,
        Command::New(args) => new::run(context, &args),
        Command::Trigger(args) => trigger::run(context, args).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
