//! What the test programs without a harness of their own share: a trial for each case on each back end that it is about.

use std::process::ExitCode;

use anyhow::Result;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::backends::{Backend, NotRun, stop_all};

/// A test on a back end.
pub type Case = fn(Backend) -> Result<()>;

/// Cases by name, and the back ends that each is about.
pub type Cases = &'static [(&'static str, Case, &'static [Backend])];

/// The trials of these cases, called `prefix`, the back end and the case. Those on a back end that is not enabled show as ignored.
///
/// # Errors
/// As [`Backend::enabled`].
pub fn trials(prefix: &str, cases: Cases) -> Result<Vec<Trial>> {
    let enabled = Backend::enabled()?;
    let mut trials = Vec::new();
    for (name, case, backends) in cases {
        for backend in *backends {
            let trial = trial(format!("{prefix}{backend}::{name}"), || case(*backend));
            trials.push(trial.with_ignored_flag(!enabled.contains(backend)));
        }
    }
    Ok(trials)
}

/// A trial of that name. Where its back end is not to be had it shows as ignored, with the reason.
pub fn trial(name: String, case: impl FnOnce() -> Result<()> + Send + 'static) -> Trial {
    Trial::ignorable_test(name, || completion(case()))
}

fn completion(ended: Result<()>) -> Result<Completion, Failed> {
    match ended {
        Ok(()) => Ok(Completion::Completed),
        Err(error) => match error.downcast_ref::<NotRun>() {
            Some(reason) => Ok(Completion::ignored_with(reason)),
            None => Err(format!("{error:#}").into()),
        },
    }
}

/// Runs trials as the command line asks, and stops the servers that they started.
pub fn conclude(trials: Vec<Trial>) -> ExitCode {
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials);
    stop_all();
    conclusion.exit_code()
}

/// Runs a future to its end.
///
/// # Panics
/// If no runtime starts.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime starts").block_on(future)
}
