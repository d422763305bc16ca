//! The incarnations of schedulers that live in this process, and what can be found out about those of others.
//!
//! On the same machine the process table tells whether an incarnation lives, and within the same process we know it ourselves.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock::{Clock as _, SystemClock};
use crate::model::Incarnation;

/// The incarnations that live in this process.
static LIVING: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

fn living() -> MutexGuard<'static, BTreeSet<String>> {
    // Each change is one insertion or removal.
    LIVING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether an incarnation lives in this process.
pub(super) fn is_alive_here(incarnation: &Incarnation) -> bool {
    living().contains(incarnation.as_str())
}

/// Lives for as long as this does.
#[derive(Debug)]
pub(super) struct Life(Incarnation);

impl Life {
    /// A new one, of this process.
    pub(super) fn begin() -> Life {
        let incarnation = incarnation(fastrand::u64(..));
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

fn incarnation(random: u64) -> Incarnation {
    let text = match Process::current() {
        Some(Process { boot, namespace, id, started }) => {
            format!("{boot}-{namespace}-{id}-{started}-{random:016x}")
        }
        None => format!("{}-{random:016x}", std::process::id()),
    };
    // Digits and dashes, and not many of them.
    Incarnation::new(&text).expect("a valid incarnation")
}

/// Where an incarnation is, by the process table.
pub(super) fn find(incarnation: &Incarnation) -> Found {
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
        assert_eq!(find(&ours), if cfg!(target_os = "linux") { Found::Ours } else { Found::Elsewhere });
        let Some(current) = Process::current() else { return };
        let (boot, namespace) = (&current.boot, &current.namespace);
        let look = |text: String| find(&Incarnation::new(&text).expect("valid"));
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
