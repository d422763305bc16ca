//! How commands end: exit codes, and errors in words.

use std::io::{self, Write};
use std::process::ExitCode;

use super::output::printable;
use crate::app::AppError;
use crate::assemble::signals::Signal;
use crate::model::{JobError, Outcome};

/// The exit codes of `host`. Scripts rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It is done.
    Done = 0,
    /// Something happened that should not.
    Unexpected = 1,
    /// Bad usage or input; nothing has changed.
    Usage = 2,
    /// It would destroy something and wants `--yes`.
    NeedsYes = 3,
    /// There is no such thing.
    NotFound = 4,
    /// The store, the broker or a server is out of reach.
    Unreachable = 5,
    /// Refused, or in conflict with what is there.
    Refused = 6,
    /// The job ended unsuccessfully.
    JobFailed = 7,
    /// Interrupted from the keyboard, by SIGINT.
    Interrupted = 130,
    /// Told to end, by SIGTERM.
    Terminated = 143,
}

impl From<Signal> for Exit {
    /// As shells count it: 128 and the signal's number.
    fn from(signal: Signal) -> Exit {
        match signal {
            Signal::Interrupt => Exit::Interrupted,
            Signal::Terminate => Exit::Terminated,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(super) enum Failure {
    /// An operation failed.
    App(AppError),
    /// It would destroy something.
    NeedsYes(String),
    /// It would give a plugin rights that its current version does not have.
    RightsGrow {
        /// What has to be agreed to.
        what: String,
        /// The rights, one line each.
        rights: Vec<String>,
    },
    /// The job it waited for ended unsuccessfully.
    Job {
        /// How.
        outcome: Outcome,
        /// Why.
        error: Option<JobError>,
    },
    /// The answer could not be written.
    Output(io::Error),
    /// A signal asked it to end.
    Interrupted(Signal),
    /// Everything was said already.
    Silent(Exit),
}

/// What commands return.
pub(super) type Outcomes<T = ()> = Result<T, Failure>;

impl From<AppError> for Failure {
    fn from(error: AppError) -> Failure {
        Failure::App(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Output(error)
    }
}

impl Failure {
    /// Input that must be changed, with a hint.
    pub(super) fn usage(what: impl Into<String>, hint: impl Into<String>) -> Failure {
        Failure::App(AppError::invalid(what).with_hint(hint))
    }

    /// The exit code.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Failure::App(AppError::Invalid { .. }) => Exit::Usage,
            Failure::App(AppError::NotFound { .. }) => Exit::NotFound,
            Failure::App(AppError::Refused { .. }) => Exit::Refused,
            Failure::App(AppError::Unreachable { .. }) => Exit::Unreachable,
            Failure::App(AppError::Unexpected { .. }) => Exit::Unexpected,
            Failure::NeedsYes(_) | Failure::RightsGrow { .. } => Exit::NeedsYes,
            Failure::Job { .. } => Exit::JobFailed,
            // Whoever reads has read enough: `host jobs | head -1` is no failure.
            Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
            Failure::Output(_) => Exit::Unexpected,
            Failure::Interrupted(signal) => Exit::from(*signal),
            Failure::Silent(exit) => *exit,
        }
    }

    /// Says what happened: one line, the causes indented, then, after a blank line, what to do.
    pub(super) fn print(&self, to: &mut dyn Write) -> io::Result<()> {
        match self {
            Failure::App(error) => print_app_error(error, to),
            Failure::NeedsYes(what) => print_error(what, &[], Some("add --yes to do it"), to),
            Failure::RightsGrow { what, rights } => {
                let hint = "if it is to have them, add --yes, or --approval with the file of whoever approved them";
                print_error(what, rights, Some(hint), to)
            }
            Failure::Job { outcome, error: None } => print_error(&format!("the job ended as {outcome}"), &[], None, to),
            Failure::Job { error: Some(error), .. } => print_job_error(error, to),
            Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Failure::Output(error) => print_error("the answer could not be written", &[error.to_string()], None, to),
            Failure::Interrupted(_) | Failure::Silent(_) => Ok(()),
        }
    }
}

fn print_app_error(error: &AppError, to: &mut dyn Write) -> io::Result<()> {
    print_error(&error.to_string(), &error.causes(), error.hint(), to)
}

/// A guest's failure, with the backtrace where there is one.
pub(super) fn print_job_error(error: &JobError, to: &mut dyn Write) -> io::Result<()> {
    let mut details = error.context.clone();
    if let Some(backtrace) = &error.backtrace {
        details.push(format!("backtrace:\n{backtrace}"));
    }
    print_error(&format!("the job failed: {}: {}", error.kind, error.message), &details, None, to)
}

fn print_error(what: &str, causes: &[String], hint: Option<&str>, to: &mut dyn Write) -> io::Result<()> {
    writeln!(to, "error: {}", printable(what))?;
    for cause in causes {
        for line in cause.lines() {
            writeln!(to, "  {}", printable(line))?;
        }
    }
    match hint {
        Some(hint) => writeln!(to, "\nhint: {}", printable(hint)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::StoreError;

    fn printed(failure: &Failure) -> String {
        let mut text = Vec::new();
        failure.print(&mut text).expect("a vector takes everything");
        String::from_utf8(text).expect("UTF-8")
    }

    #[test]
    fn an_error_is_one_line_then_causes_then_a_hint() {
        let failure = Failure::App(AppError::from(StoreError::Unusable {
            reason: "the database cannot be opened".to_owned(),
            hint: "check the password".to_owned(),
            source: Some(Arc::new(io::Error::other("refused"))),
        }));
        assert_eq!(printed(&failure), "error: the database cannot be opened\n  refused\n\nhint: check the password\n");
        assert_eq!(failure.exit(), Exit::Unreachable);
    }

    #[test]
    fn a_reader_that_has_read_enough_is_no_failure() {
        let failure = Failure::Output(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((failure.exit(), printed(&failure)), (Exit::Done, String::new()));
    }
}
