//! `and` and `or`: triggers made of triggers.
//!
//! # and
//! Holds one pending time for each child. One iteration looks at the earliest and the latest of them and moves on every
//! child whose time is within `threshold` of the earliest, even where the others are too far off. If all were within it,
//! the earliest is the fire time. It is finished as soon as one child is. A child's time within the threshold can so be
//! used up without a fire; with a threshold longer than a child's own period, fires follow from this procedure and not
//! from intuition. After `max_iterations` iterations of one call it gives up with an error, and the next call goes on
//! from there.
//!
//! # or
//! Fires at the earliest pending time; children with the same instant fire once. It is finished when all of them are.
//!
//! On a tie the first child in the list gives the offset that the time is written with.

use super::Trigger;
use super::error::TriggerError;
use super::fire::Fire;
use super::state::Position;
use crate::model::Timestamp;

/// Fires when all of its children fire within `threshold` of each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AndTrigger {
    pub(super) children: Vec<Trigger>,
    /// Microseconds.
    pub(super) threshold: i64,
    pub(super) max_iterations: u32,
}

/// Fires when any of its children fires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrTrigger {
    pub(super) children: Vec<Trigger>,
}

/// What `threshold` is if it is not given: one second.
pub(super) const THRESHOLD_DEFAULT: i64 = 1_000_000;
/// What `max_iterations` is if it is not given.
pub(super) const ITERATIONS_DEFAULT: u32 = 10_000;
/// The greatest `max_iterations`.
pub(super) const ITERATIONS_MAX: u32 = 1_000_000;
/// How deep triggers may be nested; a simple one has depth 1.
pub(super) const DEPTH_MAX: usize = 8;
/// How many triggers one may be made of, itself included.
pub(super) const TRIGGERS_MAX: usize = 100;

/// What questions to a trigger may cost, counted in questions to its innermost parts. Nested `and` triggers multiply
/// their iterations; this bounds the product.
pub(super) struct Budget {
    steps: u32,
    left: u32,
    until: Timestamp,
}

impl Budget {
    /// For one question: a fraction of a second.
    pub(super) const QUESTION: u32 = 2_000_000;

    pub(super) fn new() -> Budget {
        Budget::of(Self::QUESTION)
    }

    pub(super) fn of(steps: u32) -> Budget {
        Budget { steps, left: steps, until: Timestamp::MAX }
    }

    /// Only fires up to that instant are of interest: an `and` trigger stops looking for others, and answers that there are none.
    pub(super) fn until(self, until: Timestamp) -> Budget {
        Budget { until, ..self }
    }

    pub(super) fn take(&mut self) -> Result<(), TriggerError> {
        self.left = self.left.checked_sub(1).ok_or(TriggerError::MaxIterations { limit: self.steps })?;
        Ok(())
    }

    pub(super) fn spent(&self) -> u32 {
        self.steps - self.left
    }
}

/// A child's pending time, and where the child stands once that time is used up.
struct Pending {
    fire: Option<Fire>,
    then: Position,
}

impl Pending {
    /// Asks a child that stands at `position`. If it fails it keeps what it did until then.
    fn of(child: &Trigger, position: &mut Position, budget: &mut Budget) -> Result<Pending, TriggerError> {
        let mut then = position.clone();
        match child.advance(&mut then, budget) {
            Ok(fire) => Ok(Pending { fire, then }),
            Err(error) => {
                *position = then;
                Err(error)
            }
        }
    }
}

impl AndTrigger {
    pub(super) fn advance(
        &self,
        positions: &mut [Position],
        budget: &mut Budget,
    ) -> Result<Option<Fire>, TriggerError> {
        let mut pending = Vec::with_capacity(self.children.len());
        for (child, position) in self.children.iter().zip(&mut *positions) {
            pending.push(Pending::of(child, position, budget)?);
        }
        for _ in 0..self.max_iterations {
            let mut times = pending.iter().map(|pending| pending.fire);
            let Some((earliest, latest)) = times
                .try_fold(None, |range: Option<(Fire, Fire)>, fire| {
                    let fire = fire?;
                    Some(Some(range.map_or((fire, fire), |(earliest, latest)| {
                        (
                            if fire.at < earliest.at { fire } else { earliest },
                            if fire.at > latest.at { fire } else { latest },
                        )
                    })))
                })
                .flatten()
            else {
                return Ok(None);
            };
            let near = |fire: Fire| fire.at.as_micros() - earliest.at.as_micros() <= self.threshold;
            let common = near(latest);
            for (index, child) in self.children.iter().enumerate() {
                if pending[index].fire.is_some_and(near) {
                    positions[index].clone_from(&pending[index].then);
                    if !common {
                        pending[index] = Pending::of(child, &mut positions[index], budget)?;
                    }
                }
            }
            if common {
                return Ok(Some(earliest));
            }
            if earliest.at > budget.until {
                return Ok(None);
            }
        }
        Err(TriggerError::MaxIterations { limit: self.max_iterations })
    }
}

impl OrTrigger {
    pub(super) fn advance(
        &self,
        positions: &mut [Position],
        budget: &mut Budget,
    ) -> Result<Option<Fire>, TriggerError> {
        let mut pending = Vec::with_capacity(self.children.len());
        for (child, position) in self.children.iter().zip(&mut *positions) {
            pending.push(Pending::of(child, position, budget)?);
        }
        let mut earliest: Option<Fire> = None;
        for fire in pending.iter().filter_map(|pending| pending.fire) {
            if earliest.is_none_or(|earliest| fire.at < earliest.at) {
                earliest = Some(fire);
            }
        }
        let Some(fire) = earliest else { return Ok(None) };
        let used_up = |pending: &Pending| pending.fire.is_some_and(|pending| pending.at == fire.at);
        for ((child, position), pending) in self.children.iter().zip(&mut *positions).zip(&mut pending) {
            // A child that cannot say what comes next makes the call fail before the fire is given, not after. It keeps
            // what it looked at, and the fire stays pending with the others.
            if used_up(pending) && child.can_give_up() {
                let mut place = pending.then.clone();
                if let Err(error) = Pending::of(child, &mut place, budget) {
                    *position = place;
                    return Err(error);
                }
            }
        }
        for (pending, position) in pending.into_iter().zip(positions) {
            if used_up(&pending) {
                *position = pending.then;
            }
        }
        Ok(earliest)
    }
}

impl Trigger {
    /// Whether asking for the next time may take long, and end with [`TriggerError::MaxIterations`].
    pub fn can_give_up(&self) -> bool {
        match self {
            Trigger::And(_) => true,
            Trigger::Or(or) => or.children.iter().any(Trigger::can_give_up),
            _ => false,
        }
    }
}

/// For every child, whatever is not after `instant` is over.
pub(super) fn skip_past(children: &[Trigger], positions: &mut [Position], instant: Timestamp) {
    for (child, position) in children.iter().zip(positions) {
        child.skip_past(position, instant);
    }
}
