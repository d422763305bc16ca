//! The mutants: safeguards, and how each is taken out.

use anyhow::ensure;

/// A safeguard that can be taken out.
#[derive(Debug, Clone, Copy)]
pub struct Mutant {
    /// What is missing then.
    pub missing: &'static str,
    /// Where it is, from the root of the workspace.
    pub file: &'static str,
    /// Its text, which is there once.
    pub find: &'static str,
    /// What stands there instead.
    pub replace: &'static str,
    /// What must fail then.
    pub found_by: FoundBy,
}

/// What finds a mutant.
#[derive(Debug, Clone, Copy)]
pub enum FoundBy {
    /// Some seed of the simulation.
    Simulation,
    /// The tests of `tests/it` with this in their name.
    Test(&'static str),
}

impl Mutant {
    /// The text of the file without the safeguard.
    ///
    /// # Errors
    /// If the safeguard is not there once.
    pub fn applied(&self, whole: &str) -> anyhow::Result<String> {
        let times = whole.matches(self.find).count();
        ensure!(
            times == 1,
            "`{}` is in {} {times} times, not once; bring {} up to date",
            self.missing,
            self.file,
            file!()
        );
        Ok(whole.replace(self.find, self.replace))
    }
}

const fn mutant(missing: &'static str, file: &'static str, find: &'static str, replace: &'static str) -> Mutant {
    Mutant { missing, file, find, replace, found_by: FoundBy::Simulation }
}

const fn with_test(mutant: Mutant, name: &'static str) -> Mutant {
    Mutant { found_by: FoundBy::Test(name), ..mutant }
}

/// All of them, by what they guard: leases, the clock, stopping, batches, what a job is entitled to.
pub const MUTANTS: &[Mutant] = &[
    mutant(
        "attempts are stopped before their leases end",
        "host/src/scheduler/lease.rs",
        "let stop_at = core.running.first_end().map(|end| end.saturating_sub(margin(core.options.lease_duration)));",
        "let stop_at: Option<Instant> = None;",
    ),
    mutant(
        "no attempt begins on a lease that may have run out",
        "host/src/scheduler/runner.rs",
        "            core.running.stop_those_that_end(ending_by);\n            !kill.is_cancelled()",
        "            let _ = ending_by;\n            !kill.is_cancelled()",
    ),
    mutant(
        "a lease counts from when it was asked for",
        "host/src/scheduler/acquisition.rs",
        "let asked_at = asked_at.unwrap_or_else(|| core.time.monotonic());",
        "let _ = asked_at;\n        let asked_at = core.time.monotonic();",
    ),
    mutant(
        "an extension counts from when it was asked for",
        "host/src/scheduler/lease.rs",
        "take(&core, &extended, asked_at.saturating_add(duration))",
        "take(&core, &extended, core.time.monotonic().saturating_add(duration))",
    ),
    mutant(
        "the keeper gives up a renewal that hangs",
        "host/src/scheduler/lease.rs",
        "() = core.time.sleep(third) => None,",
        "() = std::future::pending() => None,",
    ),
    mutant(
        "an acquisition whose answer was lost keeps its token",
        "host/src/scheduler/acquisition.rs",
        "        self.asked_at.get_or_insert_with(|| core.time.monotonic());",
        "        *self = Acquisition::new();\n        self.asked_at.get_or_insert_with(|| core.time.monotonic());",
    ),
    mutant(
        "holders may renew before anyone recovers after an outage",
        "host/src/scheduler/recovery.rs",
        "        now >= self.not_before\n",
        "        let _ = now;\n        true\n",
    ),
    mutant("a step of the clock ends no lease", "host/src/scheduler/recovery.rs", " || measured.was_set", ""),
    mutant(
        "a scheduler does not recover what it runs itself",
        "host/src/scheduler/housekeeping.rs",
        "let spared = core.running.ids();",
        "let spared = Vec::new();",
    ),
    mutant(
        "leases are over by the time at which the store was asked",
        "host/src/scheduler/housekeeping.rs",
        "let over_at = measured.leases.unwrap_or_else(|| core.time.now());",
        "let over_at = {\n        let _ = measured;\n        Timestamp::MAX\n    };",
    ),
    mutant(
        "leases of the new time are not over after the clock was set back",
        "host/store/src/memory/housekeeping.rs",
        "let over_at = now.leases.min(request.over_at);",
        "let over_at = request.over_at;",
    ),
    with_test(
        mutant(
            "a restart takes back what the process had before",
            "host/src/scheduler/handle.rs",
            "housekeeping::take_back_own(&core).await.map_err(failed)?;",
            "let _ = failed;",
        ),
        "scheduler::",
    ),
    // What is due and which leases are over is compared by the store's own clock, where it has one: a wrong offset does little harm.
    with_test(
        mutant(
            "slow samples of the store's clock are thrown away",
            "host/store/src/store_clock.rs",
            "        if measured.took() <= quick {",
            "        if measured.took() <= quick || true {",
        ),
        "store_clock::",
    ),
    with_test(
        mutant(
            "a step of the store's clock is seen by a slow answer too",
            "host/store/src/store_clock.rs",
            "        } else if is_suspicious(step) {",
            "        } else if is_suspicious(step) && false {",
        ),
        "store_clock::",
    ),
    mutant(
        "spans run on the monotonic clock",
        "host/store/src/store_clock.rs",
        "    fn monotonic(&self) -> Instant {\n        self.machine.monotonic()",
        "    fn monotonic(&self) -> Instant {\n        Instant::new(Duration::from_micros(u64::try_from(self.machine.now().as_micros()).unwrap_or(0)))",
    ),
    mutant(
        "stopping has an end",
        "host/src/scheduler/handle.rs",
        "const CLOSED_WITHIN: Duration = Duration::from_secs(3);",
        "const CLOSED_WITHIN: Duration = Duration::from_secs(300);",
    ),
    mutant(
        "a batch that the store refuses is halved",
        "host/src/scheduler/batch.rs",
        "if is_away(store, &error).await {",
        "if is_away(store, &error).await || true {",
    ),
];
