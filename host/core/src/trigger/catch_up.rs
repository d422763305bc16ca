//! Fires that were missed: which of them are wanted, and where the trigger stands after all of them, without visiting
//! each.

use super::error::TriggerError;
use super::fire::Fire;
use super::state::{Position, TriggerState};
use super::{Trigger, combine::Budget};
use crate::model::Timestamp;

/// Which of several due fires are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The one that is due longest.
    Earliest,
    /// The one that was due last.
    Latest,
    /// All of them, from the earliest on, but not more than this.
    All {
        /// The most that are wanted.
        at_most: usize,
    },
}

/// What [`Trigger::catch_up`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatchUp {
    /// The due fires that are wanted, from the earliest to the latest. Empty only if none is due, or none wanted.
    pub fires: Vec<Fire>,
    /// The due fires that are not wanted.
    pub skipped: Skipped,
    /// The first and the last of the due fires that are not wanted. With [`Keep::Latest`] the last one is the wanted one, which they come
    /// before: the one before it is not looked for.
    pub skipped_between: Option<(Fire, Fire)>,
    /// Where the trigger stands when everything that is due has fired. It is the state that was given if nothing is due.
    pub state: TriggerState,
    /// The first fire that is not due yet: what the new state gives next. `None` if there is none.
    ///
    /// An `and` trigger may fail to find it. What it gave before is due all the same, and stands in `fires`.
    pub next: Result<Option<Fire>, TriggerError>,
    /// Whether it took too long to find all of the fires that are wanted: there may be more after `state`. Only with [`Keep::All`], and only
    /// where at least one was found; `next` is the last of them.
    pub is_cut_short: bool,
}

/// What visiting fires one by one may cost, besides the last question.
const VISITING_STEPS: u32 = 500_000;

/// What finding the last due fire may cost after that.
const HALVING_STEPS: u32 = 2_000_000;

/// A number of fires that were passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// How many there are.
    pub count: u64,
    /// Whether there may be more: counting stops after [`Skipped::COUNTED_MAX`] where it would mean visiting each.
    pub or_more: bool,
}

impl Skipped {
    /// How far fires are counted one by one.
    pub const COUNTED_MAX: u64 = 1_000;
}

impl Trigger {
    /// Everything that is due at `now` (fires at that very instant included), after what `state` has behind it.
    ///
    /// The cost does not grow with the number of missed fires: after a thousand, or fewer where each is costly to find, the rest is jumped
    /// over. Where all are wanted, they may come in several calls ([`CatchUp::is_cut_short`]). With triggers that are costly to ask, one call
    /// takes as long as three questions to them ([`Trigger::next`]), a second at most.
    ///
    /// An `and` trigger whose missed fires are jumped over takes up its children afresh at the far side. With a threshold
    /// longer than a child's own period its later fires may then pair up differently from those of an uninterrupted walk.
    ///
    /// # Errors
    /// [`TriggerError::State`] for a state of another trigger. That an `and` trigger gave up is said by [`CatchUp::next`].
    pub fn catch_up(&self, state: &TriggerState, now: Timestamp, keep: Keep) -> Result<CatchUp, TriggerError> {
        self.check_state(state)?;
        let mut walk =
            Walk { trigger: self, position: state.0.clone(), now, next: Ok(None), steps_left: VISITING_STEPS };
        let mut fires = Vec::new();
        let wanted = match keep {
            Keep::Earliest => 1,
            Keep::Latest => 0,
            Keep::All { at_most } => at_most,
        };
        while fires.len() < wanted {
            if let (0, Some(last)) = (walk.steps_left, fires.last()) {
                walk.next = Ok(Some(*last));
                return Ok(CatchUp { is_cut_short: true, ..walk.done(fires, Skipped::default(), None) });
            }
            match walk.due() {
                Some(fire) => fires.push(fire),
                None => return Ok(walk.done(fires, Skipped::default(), None)),
            }
        }
        let mut skipped = Skipped { count: 0, or_more: false };
        let (mut first, mut latest) = (None, None);
        while let Some(fire) = walk.due() {
            first.get_or_insert(fire);
            latest = Some(fire);
            skipped.count += 1;
            if skipped.count == Skipped::COUNTED_MAX || walk.steps_left == 0 {
                let uncounted = self.count(&walk.position, now);
                // Where the last one cannot be found, the last one that was visited stands for it.
                latest = self.latest(&walk.position, now).unwrap_or_default().or(latest);
                skipped.count += uncounted.unwrap_or(0);
                skipped.or_more = uncounted.is_none();
                self.skip_past(&mut walk.position, now);
            }
        }
        if keep == Keep::Latest
            && let Some(latest) = latest
        {
            fires.push(latest);
            skipped.count -= 1;
        }
        let between = first.zip(latest).filter(|_| skipped.count > 0);
        Ok(walk.done(fires, skipped, between))
    }

    /// How many fires are due at `now`, where arithmetic can tell.
    fn count(&self, position: &Position, now: Timestamp) -> Option<u64> {
        match (self, position) {
            (Trigger::Interval(interval), Position::After(after)) => Some(interval.count(*after, now)),
            _ => None,
        }
    }

    /// The last fire that is due at `now`: found by halving, not by walking.
    fn latest(&self, position: &Position, now: Timestamp) -> Result<Option<Fire>, TriggerError> {
        let mut budget = Budget::of(HALVING_STEPS).until(now);
        let mut from = |micros: i64| -> Result<Option<Fire>, TriggerError> {
            let mut position = position.clone();
            if let Some(before) = Timestamp::from_micros(micros - 1) {
                self.skip_past(&mut position, before);
            }
            let fire = self.advance(&mut position, &mut budget)?;
            Ok(fire.filter(|fire| fire.at <= now))
        };
        let now_micros = now.as_micros();
        let start = Timestamp::MIN.as_micros();
        let mut back = 1_000_000;
        let mut latest = loop {
            let since = now_micros.saturating_sub(back).max(start);
            match from(since)? {
                Some(fire) => break fire,
                None if since == start => return Ok(None),
                None => back = back.saturating_mul(2),
            }
        };
        // No fire is due after `until`.
        let mut until = now_micros;
        while latest.at.as_micros() < until {
            let known = latest.at.as_micros();
            let middle = known + (until - known + 1) / 2;
            match from(middle)? {
                Some(fire) if fire.at > latest.at => latest = fire,
                _ => until = middle - 1,
            }
        }
        Ok(Some(latest))
    }
}

/// A trigger on its way through what is due.
struct Walk<'a> {
    trigger: &'a Trigger,
    position: Position,
    now: Timestamp,
    next: Result<Option<Fire>, TriggerError>,
    /// What is left of [`VISITING_STEPS`].
    steps_left: u32,
}

impl Walk<'_> {
    /// The following fire, if it is due. If it is not, or cannot be found, the trigger stays before it.
    fn due(&mut self) -> Option<Fire> {
        let mut position = self.position.clone();
        let mut budget = Budget::new();
        let found = self.trigger.advance(&mut position, &mut budget);
        // A trigger that is not made of others costs next to nothing, and a thousand of its fires are counted.
        self.steps_left = self.steps_left.saturating_sub(budget.spent() - 1);
        match found {
            Ok(Some(fire)) if fire.at <= self.now => {
                self.position = position;
                Some(fire)
            }
            next => {
                self.next = next;
                None
            }
        }
    }

    fn done(self, fires: Vec<Fire>, skipped: Skipped, skipped_between: Option<(Fire, Fire)>) -> CatchUp {
        CatchUp {
            fires,
            skipped,
            skipped_between,
            state: TriggerState(self.position),
            next: self.next,
            is_cut_short: false,
        }
    }
}
