//! A gate that lets so many jobs through at once, always the first ones in order.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::rules::Order;

/// A due job: its place in the order, and what it is claimed by.
pub(super) type Due = (Order, Arc<str>);

/// What changed about a job at a gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Passed {
    In(Due),
    Out(Due),
}

#[derive(Debug)]
pub(super) struct Gate {
    max: usize,
    /// Those that have passed and run: they take room, and cannot be sent back.
    running: usize,
    inside: BTreeSet<Due>,
    outside: BTreeSet<Due>,
}

impl Gate {
    pub(super) fn new(max: usize) -> Gate {
        Gate { max, running: 0, inside: BTreeSet::new(), outside: BTreeSet::new() }
    }

    #[must_use]
    pub(super) fn insert(&mut self, due: Due) -> Vec<Passed> {
        self.outside.insert(due);
        self.settle()
    }

    #[must_use]
    pub(super) fn remove(&mut self, due: &Due) -> Vec<Passed> {
        let mut passed = Vec::new();
        if self.inside.remove(due) {
            passed.push(Passed::Out(due.clone()));
        } else {
            self.outside.remove(due);
        }
        passed.extend(self.settle());
        passed
    }

    /// Counts a job that begins to run, or no longer does.
    #[must_use]
    pub(super) fn run(&mut self, begins: bool) -> Vec<Passed> {
        self.running = if begins { self.running + 1 } else { self.running.saturating_sub(1) };
        self.settle()
    }

    /// Whether one more may run, whatever waits.
    pub(super) fn has_room(&self) -> bool {
        self.running < self.max
    }

    pub(super) fn is_idle(&self) -> bool {
        self.running == 0 && self.inside.is_empty() && self.outside.is_empty()
    }

    /// Those that have passed and do not run.
    pub(super) fn inside(&self) -> impl Iterator<Item = &Due> {
        self.inside.iter()
    }

    fn settle(&mut self) -> Vec<Passed> {
        let room = self.max.saturating_sub(self.running);
        let mut passed = Vec::new();
        while self.inside.len() > room {
            let Some(last) = self.inside.pop_last() else { break };
            self.outside.insert(last.clone());
            passed.push(Passed::Out(last));
        }
        while self.inside.len() < room {
            let Some(first) = self.outside.pop_first() else { break };
            self.inside.insert(first.clone());
            passed.push(Passed::In(first));
        }
        while let (Some(first), Some(last)) = (self.outside.first(), self.inside.last()) {
            if first > last {
                break;
            }
            let (first, last) = (first.clone(), last.clone());
            self.outside.remove(&first);
            self.inside.remove(&last);
            self.inside.insert(first.clone());
            self.outside.insert(last.clone());
            passed.extend([Passed::Out(last), Passed::In(first)]);
        }
        passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::JobId;

    fn due(priority: i64, id: u8) -> Due {
        ((-priority, JobId::from_bytes([id; 16])), Arc::from("default/wasm"))
    }

    #[test]
    fn an_urgent_job_takes_the_place_of_a_less_urgent_one_that_has_not_begun() {
        let mut gate = Gate::new(1);
        assert_eq!(gate.insert(due(0, 1)), [Passed::In(due(0, 1))]);
        assert_eq!(gate.insert(due(0, 2)), []);
        assert_eq!(gate.insert(due(5, 3)), [Passed::Out(due(0, 1)), Passed::In(due(5, 3))]);
        assert_eq!(gate.remove(&due(5, 3)), [Passed::Out(due(5, 3)), Passed::In(due(0, 1))]);
        assert_eq!(gate.run(true), [Passed::Out(due(0, 1))]);
        assert_eq!(gate.run(false), [Passed::In(due(0, 1))]);
    }
}
