//! What the tests are worth: safeguards are taken out of a copy of the sources, one at a time, and a test must fail each time.
//!
//! Nearly all are looked for by the simulation (`tests/it/simulation`), which is told here by the seeds that failed. What needs a course of
//! events that no seed draws has a test of its own, which is named in [`list`].

pub mod list;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

use self::list::{FoundBy, MUTANTS, Mutant};
use crate::shell::{answer, say};
use crate::{target_folder, workspace};

/// What the command takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Parts of the names of those to try; all if nothing is named.
    names: Vec<String>,
    /// How many seeds the simulation draws for each.
    #[arg(long, default_value_t = 2_000)]
    seeds: u32,
}

/// Longest run of a test on one mutant. One that hangs has been found too.
const RUN_MAX: Duration = Duration::from_secs(20 * 60);

/// Most seeds that are printed for each.
const SEEDS_SHOWN: usize = 3;

/// Tries each mutant, and prints a line for it: what is missing, and by which seeds or which test that was found.
///
/// # Errors
/// If one is not found, if one no longer fits the sources, or does not compile.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let is_wanted = |mutant: &&Mutant| {
        arguments.names.is_empty() || arguments.names.iter().any(|part| mutant.missing.contains(part.as_str()))
    };
    let wanted: Vec<&Mutant> = MUTANTS.iter().filter(is_wanted).collect();
    ensure!(!wanted.is_empty(), "there is no mutant of such a name");
    let sources = copy_sources()?;
    let mut missed = Vec::new();
    for mutant in wanted {
        let whole = fs::read_to_string(sources.join(mutant.file))?;
        fs::write(sources.join(mutant.file), mutant.applied(&whole)?)?;
        let found = try_one(&sources, mutant, arguments.seeds);
        fs::write(sources.join(mutant.file), whole)?;
        match found? {
            Some(how) => println!("{}: {how}", mutant.missing),
            None => {
                println!("{}: NOT FOUND", mutant.missing);
                missed.push(mutant.missing);
            }
        }
    }
    ensure!(missed.is_empty(), "not found: {}", missed.join(", "));
    Ok(())
}

/// A copy of all files that belong to the project, so that the sources themselves are never changed.
fn copy_sources() -> anyhow::Result<PathBuf> {
    let copy = target_folder().join("mutants");
    let mut git = Command::new("git");
    let files = answer(git.current_dir(workspace()).args(["ls-files", "--cached", "--others", "--exclude-standard"]))
        .context("git does not say which files belong to the project")?;
    for file in files.lines() {
        let (from, to) = (workspace().join(file), copy.join(file));
        let Ok(content) = fs::read(&from) else { continue };
        // What is as it was keeps its time, so that cargo compiles nothing anew.
        if fs::read(&to).is_ok_and(|there| there == content) {
            continue;
        }
        fs::create_dir_all(to.parent().context("a file is in a folder")?)?;
        fs::write(to, content)?;
    }
    Ok(copy)
}

fn try_one(sources: &Path, mutant: &Mutant, seeds: u32) -> anyhow::Result<Option<String>> {
    let mut build = cargo(sources);
    build.args(["test", "--quiet", "--workspace", "--test", "it", "--no-run"]);
    say(format_args!("compiling without: {}", mutant.missing));
    let output = build.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        bail!("`{}` does not compile: {}", mutant.missing, String::from_utf8_lossy(&output.stderr));
    }
    let filter = match mutant.found_by {
        FoundBy::Simulation => "simulation::no_seed",
        FoundBy::Test(name) => name,
    };
    let log = sources.join("mutant.log");
    let mut test = cargo(sources);
    test.args(["test", "--quiet", "--workspace", "--test", "it", filter]);
    test.env("SIMULATION_SEEDS", seeds.to_string()).env("TEST_BACKENDS", "memory");
    let (out, err) = (fs::File::create(&log)?, Stdio::null());
    let status = wait(test.stdin(Stdio::null()).stdout(out).stderr(err).spawn()?)?;
    let said = fs::read_to_string(&log)?;
    Ok(match (status, mutant.found_by) {
        (None, _) => Some("the test hangs".to_owned()),
        (Some(status), _) if status.success() => {
            ensure!(!said.contains("running 0 tests"), "there is no test `{filter}`");
            None
        }
        (Some(_), FoundBy::Test(_)) => Some(failed_tests(&said)),
        (Some(_), FoundBy::Simulation) => {
            Some(failed_seeds(&said).unwrap_or_else(|| "the simulation fails".to_owned()))
        }
    })
}

fn cargo(sources: &Path) -> Command {
    let mut command = Command::new(env!("CARGO"));
    // A folder of its own: cargo knows a crate by its place in the workspace, and would take those of the copy for ours.
    command.current_dir(sources).env("CARGO_TARGET_DIR", sources.join("target"));
    command
}

/// How it ended; `None` where it had to be ended.
fn wait(mut child: Child) -> anyhow::Result<Option<ExitStatus>> {
    const PAUSE: Duration = Duration::from_millis(200);
    for _ in 0..RUN_MAX.as_millis() / PAUSE.as_millis() {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(PAUSE);
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

/// `a::b and 2 others fail`, from the list at the end of what the test runner printed.
fn failed_tests(said: &str) -> String {
    let list = said.rsplit_once("\nfailures:\n").map_or("", |(_, list)| list);
    let mut names = list.lines().map_while(|line| line.strip_prefix("    "));
    match (names.next(), names.count()) {
        (None, _) => "the test process fails".to_owned(),
        (Some(name), 0) => format!("{name} fails"),
        (Some(name), others) => format!("{name} and {others} more fail"),
    }
}

/// `3 of 2000 seeds fail (17, 84, 1183)`, from what the simulation printed.
fn failed_seeds(said: &str) -> Option<String> {
    let (before, after) = said.split_once(" seeds failed: [")?;
    let numbers = before.lines().next_back()?.rsplit_once(": ").map_or(before.lines().next_back()?, |(_, rest)| rest);
    let seeds: BTreeSet<u64> = after.split_once(']')?.0.split(", ").filter_map(|seed| seed.parse().ok()).collect();
    let first: Vec<String> = seeds.iter().take(SEEDS_SHOWN).map(u64::to_string).collect();
    Some(format!("{numbers} seeds fail ({})", first.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mutant_fits_the_sources_in_one_place_and_changes_them() {
        for mutant in MUTANTS {
            let whole = fs::read_to_string(workspace().join(mutant.file)).expect("it is there");
            let changed = mutant.applied(&whole).unwrap_or_else(|error| panic!("{error}"));
            assert_ne!(changed, whole, "{}", mutant.missing);
        }
    }

    #[test]
    fn each_mutant_has_a_name_of_its_own() {
        let names: BTreeSet<&str> = MUTANTS.iter().map(|mutant| mutant.missing).collect();
        assert_eq!(names.len(), MUTANTS.len());
    }

    #[test]
    fn tests_are_read_from_the_list_at_the_end() {
        let said =
            "failures:\n\n---- a::b stdout ----\n    c::d\n\nfailures:\n    a::b\n    e::f\n\ntest result: FAILED.\n";
        assert_eq!(failed_tests(said), "a::b and 1 more fail");
        assert_eq!(failed_tests("Aborted"), "the test process fails");
    }

    #[test]
    fn seeds_are_read_from_what_the_simulation_prints() {
        let said = "thread 'x' panicked at y:\n3 of 2000 seeds failed: [84, 17, 1183]\n\nseed 84\n";
        assert_eq!(failed_seeds(said).as_deref(), Some("3 of 2000 seeds fail (17, 84, 1183)"));
        assert_eq!(failed_seeds("test result: ok"), None);
    }
}
