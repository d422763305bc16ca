//! The conformance suites as tests: those of the stores, one for each back end, wrapping and case (`store::sqlite::plain::leases::…`), and
//! those of the event brokers (`broker::redis::…`).
//!
//! `TEST_BROKERS=local,sqlite,postgres,redis,mqtt,mqtt3,nats` chooses the brokers (without it: local and sqlite).
//! `TEST_BACKENDS=memory,sqlite,postgres,mysql` chooses the back ends (without it: memory and sqlite). One that is not chosen or
//! not installed shows as ignored; one that does not start fails one case. `TEST_SEED` draws other random
//! operations and faults: a hexadecimal number, or `random`.

use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow};
use libtest_mimic::Trial;
use tests::backends::Backend;
use tests::brokers::{Kind, Place};
use tests::conformance::broker;
use tests::conformance::store::{Case, GROUPS, Rig, Wrapping, moving, opening};
use tests::factory::Factory;
use tests::trials::{block_on, conclude, trial};

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
    let enabled = Backend::enabled()?;
    let seed = seed()?;
    let mut trials = Vec::new();
    for backend in Backend::ALL {
        for wrapping in Wrapping::ALL {
            for (group, cases) in GROUPS {
                for case in *cases {
                    let name = format!("store::{backend}::{wrapping}::{group}::{}", case.name);
                    let trial = trial(name, move || run_case(backend, wrapping, case, seed));
                    trials.push(trial.with_ignored_flag(!enabled.contains(&backend)));
                }
            }
        }
    }
    for backend in [Backend::Postgres, Backend::Mysql] {
        for (name, case) in opening::CASES {
            let trial = trial(format!("store::{backend}::opening::{name}"), move || case(backend));
            trials.push(trial.with_ignored_flag(!enabled.contains(&backend)));
        }
    }
    for from in Backend::ALL {
        for to in Backend::ALL {
            let trial = trial(format!("store::moving::{from}_to_{to}"), move || moving::case(from, to, seed));
            trials.push(trial.with_ignored_flag(!enabled.contains(&from) || !enabled.contains(&to)));
        }
    }
    trials.extend(broker_trials(&enabled)?);
    Ok(conclude(trials))
}

fn broker_trials(backends: &[Backend]) -> Result<Vec<Trial>> {
    let enabled = Kind::enabled()?;
    let mut trials = Vec::new();
    for kind in Kind::ALL {
        let is_off = !enabled.contains(&kind);
        for case in broker::CASES.iter().copied().flatten().filter(|case| case.is_about(kind)) {
            let trial = trial(format!("broker::{kind}::{}", case.name), move || run_broker_case(kind, case));
            trials.push(trial.with_ignored_flag(is_off));
        }
        let with_server = broker::access::CASES.iter().filter(|_| kind.has_server());
        let with_message_server =
            broker::access::MESSAGE_SERVERS.iter().filter(|_| kind.has_server() && kind != Kind::Postgres);
        for (name, case) in with_server.chain(with_message_server) {
            let trial = trial(format!("broker::{kind}::{name}"), move || case(kind));
            trials.push(trial.with_ignored_flag(is_off));
        }
    }
    for (kind, cases) in [(Kind::Postgres, broker::access::POSTGRES), (Kind::Nats, broker::access::NATS)] {
        for (name, case) in cases {
            let trial = trial(format!("broker::{kind}::{name}"), *case);
            trials.push(trial.with_ignored_flag(!enabled.contains(&kind)));
        }
    }
    for backend in Backend::ALL {
        let name = format!("broker::silent::{backend}::with_a_broker_that_delivers_nothing_every_job_runs");
        let trial = trial(name, move || broker::silent::case(backend));
        trials.push(trial.with_ignored_flag(!backends.contains(&backend)));
    }
    Ok(trials)
}

fn run_broker_case(kind: Kind, case: &'static broker::Case) -> Result<()> {
    block_on(async {
        let place = if case.needs_server { Place::new(kind)? } else { Place::in_peace(kind)? };
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn((case.run)(place));
        let ended = tasks.join_next().await.unwrap_or(Ok(()));
        ended.map_err(|failure| anyhow!("{}", panic_text(failure)))
    })
}

/// The seed of the runs that nobody gave one: the same every time, so that what fails is what was changed last.
const SEED: u64 = 0x5eed;

fn seed() -> Result<u64> {
    match std::env::var("TEST_SEED") {
        Ok(text) if text == "random" => Ok(fastrand::u64(..)),
        Ok(text) => {
            let digits = text.trim_start_matches("0x");
            u64::from_str_radix(digits, 16).with_context(|| format!("TEST_SEED `{text}` is no hexadecimal number"))
        }
        Err(_) => Ok(SEED),
    }
}

fn run_case(backend: Backend, wrapping: Wrapping, case: &'static Case, seed: u64) -> Result<()> {
    block_on(async {
        let pair = backend.open().await?;
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
        ended.map_err(|failure| anyhow!("{} (TEST_SEED={seed:#x})", panic_text(failure)))
    })
}

fn panic_text(failure: tokio::task::JoinError) -> String {
    let Ok(panic) = failure.try_into_panic() else { return "the case was stopped".to_owned() };
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}
