//! The conformance suites as tests, one for each back end, wrapping and case: `store::sqlite::plain::leases::…`.
//!
//! `TEST_BACKENDS=memory,sqlite,postgres,mysql` chooses the back ends (without it: memory and sqlite). One that is not chosen shows
//! as ignored; one that is chosen and cannot be used fails. `TEST_SEED` repeats a run.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use libtest_mimic::{Arguments, Failed, Trial};
use tests::backends::{Backend, stop_all};
use tests::conformance::store::{Case, GROUPS, Rig, Wrapping, moving, opening};
use tests::factory::Factory;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let arguments = Arguments::from_args();
    let enabled = Backend::enabled()?;
    let seed = seed()?;
    let mut trials = Vec::new();
    for backend in Backend::ALL {
        for wrapping in Wrapping::ALL {
            for (group, cases) in GROUPS {
                for case in *cases {
                    let name = format!("store::{backend}::{wrapping}::{group}::{}", case.name);
                    let trial = Trial::test(name, move || run_case(backend, wrapping, case, seed));
                    trials.push(trial.with_ignored_flag(!enabled.contains(&backend)));
                }
            }
        }
    }
    for backend in [Backend::Postgres, Backend::Mysql] {
        for (name, case) in opening::CASES {
            let run = move || case(backend).map_err(|error| Failed::from(format!("{error:#}")));
            let trial = Trial::test(format!("store::{backend}::opening::{name}"), run);
            trials.push(trial.with_ignored_flag(!enabled.contains(&backend)));
        }
    }
    for from in Backend::ALL {
        for to in Backend::ALL {
            let run = move || moving::case(from, to, seed).map_err(|error| Failed::from(format!("{error:#}")));
            let trial = Trial::test(format!("store::moving::{from}_to_{to}"), run);
            trials.push(trial.with_ignored_flag(!enabled.contains(&from) || !enabled.contains(&to)));
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    stop_all();
    Ok(conclusion.exit_code())
}

/// The seed of this run: a new one every time, unless the environment says which.
fn seed() -> Result<u64> {
    match std::env::var("TEST_SEED") {
        Ok(text) => {
            let digits = text.trim_start_matches("0x");
            u64::from_str_radix(digits, 16).with_context(|| format!("TEST_SEED `{text}` is no hexadecimal number"))
        }
        Err(_) => Ok(fastrand::u64(..)),
    }
}

fn run_case(backend: Backend, wrapping: Wrapping, case: &'static Case, seed: u64) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let pair = backend.open().await.map_err(|error| format!("{error:#}"))?;
        let rig = Rig {
            a: wrapping.wrap(pair.a.clone(), seed),
            b: wrapping.wrap(pair.b.clone(), seed.wrapping_add(1)),
            make: Factory::new(seed),
            seed,
            is_exact: wrapping != Wrapping::FaultyRetrying,
        };
        // On a task of its own, so that a panic does not skip the closing of connections.
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn((case.run)(rig));
        let ended = tasks.join_next().await.unwrap_or(Ok(()));
        pair.a.close().await;
        pair.b.close().await;
        ended.map_err(|failure| format!("{} (TEST_SEED={seed:#x})", panic_text(failure)))?;
        Ok(())
    })
}

fn panic_text(failure: tokio::task::JoinError) -> String {
    let Ok(panic) = failure.try_into_panic() else { return "the case was stopped".to_owned() };
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}
