//! Triggers: the rules that say when a schedule fires.
//!
//! Pure: no clock, no I/O, no randomness. A trigger is immutable; where it stands is a [`TriggerState`], small enough to
//! be stored with every fire:
//!
//! ```
//! # use host_core::trigger::Trigger;
//! # let created_at = "2026-03-28T12:00:00Z".parse()?;
//! let trigger = Trigger::from_json(r#"{"type":"cron","hour":2,"minute":30,"timezone":"Europe/Berlin"}"#, created_at)?;
//! let mut state = trigger.initial_state();
//! // 02:30 does not exist on 29 March, so the trigger fires at the first instant after the gap.
//! assert_eq!(trigger.next(&mut state)?.map(|fire| fire.to_string()).as_deref(), Some("2026-03-29T03:00:00+02:00"));
//! assert_eq!(trigger.next(&mut state)?.map(|fire| fire.to_string()).as_deref(), Some("2026-03-30T02:30:00+02:00"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Whatever the rule and its policies, the fire times of a trigger strictly increase, never name a local time that does
//! not exist, and end with the year 9999.
//!
//! | type | fires | when the clock changes |
//! |---|---|---|
//! | `date` | once | does not matter |
//! | `interval` | at a fixed distance | counts elapsed time |
//! | `cron`, `crontab` | when the wall clock matches | `dst_gap`, `dst_fold`; all 24 hours: real time |
//! | `calendar_interval` | every so many years, months, weeks, days at a time of day | `dst_gap`, `dst_fold` |
//! | `and` | when all of several do | as its parts |
//! | `or` | when any of several does | as its parts |

mod back;
pub mod batch;
mod build;
mod calendar;
mod catch_up;
mod civil;
pub mod codec;
mod combine;
mod cron;
mod crontab;
mod describe;
mod edit;
mod error;
mod fire;
mod interval;
mod local;
mod state;
mod zone;

pub use build::RuleOptions;
pub use calendar::CalendarTrigger;
pub use catch_up::{CatchUp, Keep, Skipped};
pub use combine::{AndTrigger, OrTrigger};
pub use cron::{CronTrigger, DayMatch, Dialect};
pub use crontab::{CrontabEntry, CrontabLine};
pub use edit::{Rule, TriggerEdit};
pub use error::{Invalid, TriggerError};
pub use fire::Fire;
pub use interval::IntervalTrigger;
pub use local::LocalTime;
pub use state::TriggerState;
pub use zone::{DstFold, DstGap, DstPolicy};

use combine::Budget;
use state::Position;

use crate::model::Timestamp;

/// When a schedule fires.
///
/// Values are valid: they come from [`Trigger::from_json`] or one of the constructors, which refuse what makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// Once, at this instant.
    Date(Fire),
    /// At a fixed distance in elapsed time.
    Interval(IntervalTrigger),
    /// When the wall clock matches; both the field form and crontab strings.
    Cron(Box<CronTrigger>),
    /// At a time of day, every so many years, months, weeks and days.
    Calendar(Box<CalendarTrigger>),
    /// When all of several triggers fire together.
    And(AndTrigger),
    /// When any of several triggers fires.
    Or(OrTrigger),
}

impl Trigger {
    /// The state of a trigger that has not fired yet.
    pub fn initial_state(&self) -> TriggerState {
        TriggerState(self.initial_position())
    }

    /// The following fire; the state moves on past it. `None`, again and again, when there is none any more.
    ///
    /// # Errors
    /// [`TriggerError::MaxIterations`] from an `and` trigger, whose state keeps what was looked at;
    /// [`TriggerError::State`] for a state of another trigger.
    pub fn next(&self, state: &mut TriggerState) -> Result<Option<Fire>, TriggerError> {
        self.check_state(state)?;
        self.advance(&mut state.0, &mut Budget::new())
    }

    /// What [`Trigger::next`] would give, the state staying where it is.
    ///
    /// # Errors
    /// As [`Trigger::next`].
    pub fn peek(&self, state: &TriggerState) -> Result<Option<Fire>, TriggerError> {
        self.next(&mut state.clone())
    }

    /// The first fire after an instant, of a trigger that starts afresh. Jumps there.
    ///
    /// # Errors
    /// [`TriggerError::MaxIterations`] from an `and` trigger.
    pub fn next_after(&self, after: Timestamp) -> Result<Option<Fire>, TriggerError> {
        let mut position = self.initial_position();
        self.skip_past(&mut position, after);
        self.advance(&mut position, &mut Budget::new())
    }

    /// The first fire of all: what a schedule is registered with.
    ///
    /// # Errors
    /// [`TriggerError::NeverFires`] if there is none; [`TriggerError::MaxIterations`] from an `and` trigger.
    pub fn first_fire(&self) -> Result<Fire, TriggerError> {
        self.peek(&self.initial_state())?.ok_or_else(|| TriggerError::NeverFires { reason: self.why_never() })
    }

    /// Moves the state so that the following fire is the first one that is not before `instant`. Never moves it back.
    ///
    /// Jumps: the cost does not depend on how many fires are left out. An `and` trigger takes up its children afresh
    /// there; see [`Trigger::catch_up`].
    ///
    /// # Errors
    /// [`TriggerError::State`] for a state of another trigger.
    pub fn skip_to(&self, state: &mut TriggerState, instant: Timestamp) -> Result<(), TriggerError> {
        self.check_state(state)?;
        // At the beginning of time there is nothing to skip.
        if let Some(before) = Timestamp::from_micros(instant.as_micros() - 1) {
            self.skip_past(&mut state.0, before);
        }
        Ok(())
    }

    fn initial_position(&self) -> Position {
        match self {
            Trigger::Date(_) | Trigger::Interval(_) | Trigger::Cron(_) => Position::After(None),
            Trigger::Calendar(_) => Position::Walk { date: None, after: None },
            Trigger::And(AndTrigger { children, .. }) | Trigger::Or(OrTrigger { children }) => {
                Position::Children(children.iter().map(Trigger::initial_position).collect())
            }
        }
    }

    /// `position` must be one of this trigger's.
    fn advance(&self, position: &mut Position, budget: &mut Budget) -> Result<Option<Fire>, TriggerError> {
        budget.take()?;
        match (self, position) {
            (Trigger::And(and), Position::Children(children)) => and.advance(children, budget),
            (Trigger::Or(or), Position::Children(children)) => or.advance(children, budget),
            (Trigger::Calendar(calendar), Position::Walk { date, after }) => {
                let Some((fire, found)) = calendar.next_from(*date, *after) else { return Ok(None) };
                (*date, *after) = (Some(found), Some(fire.at));
                Ok(Some(fire))
            }
            (simple, Position::After(after)) => {
                let fire = match simple {
                    Trigger::Date(fire) => Some(*fire).filter(|fire| after.is_none_or(|after| fire.at > after)),
                    Trigger::Interval(interval) => interval.next_after(*after),
                    Trigger::Cron(cron) => cron.next_after(*after),
                    Trigger::Calendar(_) | Trigger::And(_) | Trigger::Or(_) => return Err(foreign_state()),
                };
                if let Some(fire) = fire {
                    *after = Some(fire.at);
                }
                Ok(fire)
            }
            _ => Err(foreign_state()),
        }
    }

    /// Whatever is not after `instant` is over.
    fn skip_past(&self, position: &mut Position, instant: Timestamp) {
        match (self, position) {
            (_, Position::After(after) | Position::Walk { after, .. }) => *after = (*after).max(Some(instant)),
            (
                Trigger::And(AndTrigger { children, .. }) | Trigger::Or(OrTrigger { children }),
                Position::Children(places),
            ) => {
                combine::skip_past(children, places, instant);
            }
            (_, Position::Children(_)) => {}
        }
    }

    fn check_state(&self, state: &TriggerState) -> Result<(), TriggerError> {
        if self.fits(&state.0) { Ok(()) } else { Err(foreign_state()) }
    }

    fn fits(&self, position: &Position) -> bool {
        match (self, position) {
            (Trigger::Date(_) | Trigger::Interval(_) | Trigger::Cron(_), Position::After(_))
            | (Trigger::Calendar(_), Position::Walk { .. }) => true,
            (
                Trigger::And(AndTrigger { children, .. }) | Trigger::Or(OrTrigger { children }),
                Position::Children(places),
            ) => children.len() == places.len() && children.iter().zip(places).all(|(child, place)| child.fits(place)),
            _ => false,
        }
    }
}

fn foreign_state() -> TriggerError {
    TriggerError::State { reason: "it belongs to a trigger of another kind".to_owned() }
}
