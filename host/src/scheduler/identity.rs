//! One scheduler for each identity.
//!
//! A scheduler takes back at once what an earlier one of its identity has left. If that one lives, this would take the jobs out of its hands,
//! so before anything else it has to be known whether it does. On the same machine the process table tells, within the same process we know
//! it ourselves; otherwise whoever lives is heard of every few seconds.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::StartError;
use super::core::Core;
use super::housekeeping::{self, HEARD_EVERY_MAX};
use crate::clock::Clock as _;
use crate::model::{Incarnation, Timestamp};
use crate::store::{PutScheduler, SchedulerPut, SchedulerRow};

/// Who was not heard of for this long is gone: two times were missed, and some time is left for a slow store.
const SILENT_MAX: Duration = Duration::from_secs(2 * HEARD_EVERY_MAX.as_secs() + 1);

/// How often it is looked whether the other one was heard of.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The incarnations that live in this process.
static LIVING: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

fn living() -> MutexGuard<'static, BTreeSet<String>> {
    // Each change is one insertion or removal.
    LIVING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lives for as long as this does.
#[derive(Debug)]
pub(super) struct Life(Incarnation);

impl Life {
    /// A new one, of this process.
    pub(super) fn begin() -> Life {
        let incarnation = process::incarnation(fastrand::u64(..));
        living().insert(incarnation.to_string());
        Life(incarnation)
    }

    pub(super) fn incarnation(&self) -> &Incarnation {
        &self.0
    }

    /// It is over, although somebody may still hold this.
    pub(super) fn end(&self) {
        living().remove(self.0.as_str());
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.end();
    }
}

/// What is known of another incarnation without waiting for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Lives,
    Gone,
    Nothing,
}

fn look_at(other: &SchedulerRow, now: Timestamp) -> Known {
    if other.stopped_at.is_some() {
        return Known::Gone;
    }
    match process::look_at(&other.incarnation) {
        process::Found::Ours if living().contains(other.incarnation.as_str()) => Known::Lives,
        process::Found::Ours | process::Found::Gone => Known::Gone,
        // A clock that was set back would make it look as if it had been heard of in time to come.
        process::Found::Elsewhere if now.saturating_since(other.seen_at) > SILENT_MAX => Known::Gone,
        process::Found::Elsewhere => Known::Nothing,
    }
}

/// Makes the identity that of this scheduler; refused where another one has it that lives.
pub(super) async fn claim(core: &Core, started_at: Timestamp) -> Result<(), StartError> {
    let identity = &core.options.identity;
    let mut replaces: Option<Incarnation> = None;
    // The one that is waited for: when it was heard of last, and since when that has not changed.
    let mut watched: Option<(Incarnation, Timestamp, crate::clock::Instant)> = None;
    loop {
        let scheduler = housekeeping::row(core, started_at, None);
        let request = PutScheduler { scheduler, replaces: replaces.take() };
        let put = core.store.scheduler_put(request).await;
        let other = match put.map_err(|source| StartError::Store { identity: identity.clone(), source })? {
            SchedulerPut::Stored => return Ok(()),
            SchedulerPut::Taken(other) => other,
        };
        let (seen_at, now) = (other.seen_at, core.time.monotonic());
        let refused = || StartError::IdentityInUse { identity: identity.clone(), seen_at };
        let is_gone = match (look_at(&other, core.time.now()), &watched) {
            (Known::Lives, _) => return Err(refused()),
            (Known::Gone, _) => true,
            (Known::Nothing, Some((incarnation, seen, since))) if *incarnation == other.incarnation => {
                if *seen != seen_at {
                    return Err(refused());
                }
                now.saturating_since(*since) > SILENT_MAX
            }
            (Known::Nothing, _) => {
                tracing::info!(scheduler.id = %identity, "another scheduler has had this identity; looking whether it lives");
                watched = Some((other.incarnation.clone(), seen_at, now));
                false
            }
        };
        if is_gone {
            replaces = Some(other.incarnation);
        } else {
            core.time.sleep(LOOK_EVERY).await;
        }
    }
}

/// What a process can find out about itself and others of the same machine.
mod process {
    use crate::clock::{Clock as _, SystemClock};
    use crate::model::Incarnation;

    /// Where an incarnation is.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(super) enum Found {
        /// In this process.
        Ours,
        /// In a process of this machine that has ended.
        Gone,
        /// In another process, or on another machine, of which nothing is known.
        Elsewhere,
    }

    /// A process: the start of its machine, its namespace of process ids, its id, and when it started, which tells it from an earlier one
    /// of that id.
    #[derive(Debug, Clone, PartialEq, Eq)]
    struct Process {
        boot: String,
        namespace: String,
        id: u32,
        started: String,
    }

    impl Process {
        /// This one; `None` where the system does not tell.
        fn current() -> Option<Process> {
            let boot = format!("{:016x}", SystemClock.monotonic_origin()?);
            let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
            let namespace = namespace.to_str()?.chars().filter(char::is_ascii_digit).collect();
            let id = std::process::id();
            Some(Process { boot, namespace, id, started: started(id)? })
        }

        fn of(incarnation: &Incarnation) -> Option<Process> {
            let parts: Vec<&str> = incarnation.as_str().split('-').collect();
            let [boot, namespace, id, started, _random] = parts[..] else { return None };
            let (boot, namespace, started) = (boot.to_owned(), namespace.to_owned(), started.to_owned());
            Some(Process { boot, namespace, id: id.parse().ok()?, started })
        }
    }

    /// When a process started, in ticks since the start of the machine: the 22nd field, counted after the name, which may hold anything.
    fn started(id: u32) -> Option<String> {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        let (_, fields) = stat.rsplit_once(')')?;
        fields.split_whitespace().nth(19).map(str::to_owned)
    }

    pub(super) fn incarnation(random: u64) -> Incarnation {
        let text = match Process::current() {
            Some(Process { boot, namespace, id, started }) => {
                format!("{boot}-{namespace}-{id}-{started}-{random:016x}")
            }
            None => format!("{}-{random:016x}", std::process::id()),
        };
        // Digits and dashes, and not many of them.
        Incarnation::new(&text).expect("a valid incarnation")
    }

    pub(super) fn look_at(incarnation: &Incarnation) -> Found {
        let (Some(current), Some(other)) = (Process::current(), Process::of(incarnation)) else {
            return Found::Elsewhere;
        };
        if other == current {
            return Found::Ours;
        }
        // Ids can be compared only where they are given out by the same kernel and mean the same.
        if other.boot != current.boot || other.namespace != current.namespace {
            return Found::Elsewhere;
        }
        match started(other.id) {
            Some(started) if started == other.started => Found::Elsewhere,
            _ => Found::Gone,
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_process_of_this_machine_is_ours_gone_or_not_told_and_others_are_not_told() {
            let ours = incarnation(7);
            assert_eq!(look_at(&ours), if cfg!(target_os = "linux") { Found::Ours } else { Found::Elsewhere });
            let Some(current) = Process::current() else { return };
            let (boot, namespace) = (&current.boot, &current.namespace);
            let look = |text: String| look_at(&Incarnation::new(&text).expect("valid"));
            // An id that no process has, and that of the first process with another start.
            assert_eq!(look(format!("{boot}-{namespace}-4194305-1-0")), Found::Gone);
            assert_eq!(look(format!("{boot}-{namespace}-1-123456789-0")), Found::Gone);
            let first = started(1).expect("the first process runs");
            assert_eq!(look(format!("{boot}-{namespace}-1-{first}-0")), Found::Elsewhere);
            assert_eq!(look(format!("{boot}-1-4194305-1-0")), Found::Elsewhere);
            assert_eq!(look(format!("0123-{namespace}-4194305-1-0")), Found::Elsewhere);
            assert_eq!(look("unknown".to_owned()), Found::Elsewhere);
        }
    }
}
