//! Whether messages go through a connection: what a process publishes for itself, and how long it has waited for it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Instant;

/// The heartbeats of one connection.
pub(super) struct Heartbeats(Mutex<State>);

struct State {
    /// When the connection was made.
    since: Instant,
    last: u64,
    /// The oldest one that has not come back, and when it was sent.
    waiting: Option<(u64, Instant)>,
    has_worked: bool,
}

/// For how long nothing came back that should have.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// Nothing ever did.
    SinceConnected(Duration),
    /// Something did before.
    SinceSent(Duration),
}

impl Heartbeats {
    pub(super) fn new(now: Instant) -> Heartbeats {
        Heartbeats(Mutex::new(State { since: now, last: 0, waiting: None, has_worked: false }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of a new one, which is sent now.
    pub(super) fn send(&self, now: Instant) -> u64 {
        let mut state = self.state();
        state.last += 1;
        let last = state.last;
        state.waiting.get_or_insert((last, now));
        last
    }

    /// One has come back. `false` where it was not waited for: it is one of an earlier connection, or late.
    pub(super) fn receive(&self, number: u64) -> bool {
        let mut state = self.state();
        let is_awaited = state.waiting.is_some_and(|(oldest, _)| (oldest..=state.last).contains(&number));
        if is_awaited {
            state.waiting = None;
            state.has_worked = true;
        }
        is_awaited
    }

    pub(super) fn silence(&self, now: Instant) -> Silence {
        let state = self.state();
        if !state.has_worked {
            return Silence::SinceConnected(now.saturating_since(state.since));
        }
        let span = state.waiting.map(|(_, sent)| now.saturating_since(sent));
        Silence::SinceSent(span.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::new(Duration::from_secs(seconds))
    }

    #[test]
    fn the_silence_is_that_of_the_oldest_heartbeat_that_has_not_come_back() {
        let heartbeats = Heartbeats::new(at(10));
        assert_eq!(heartbeats.silence(at(13)), Silence::SinceConnected(Duration::from_secs(3)));
        let first = heartbeats.send(at(13));
        assert!(heartbeats.receive(first));
        assert_eq!(heartbeats.silence(at(20)), Silence::SinceSent(Duration::ZERO));
        let (second, third) = (heartbeats.send(at(20)), heartbeats.send(at(30)));
        assert_eq!(heartbeats.silence(at(31)), Silence::SinceSent(Duration::from_secs(11)));
        assert!(heartbeats.receive(third));
        assert_eq!(heartbeats.silence(at(32)), Silence::SinceSent(Duration::ZERO));
        assert!(!heartbeats.receive(second), "it is late");
    }

    #[test]
    fn what_was_not_sent_on_this_connection_proves_nothing_about_it() {
        let heartbeats = Heartbeats::new(at(0));
        assert!(!heartbeats.receive(7));
        let number = heartbeats.send(at(1));
        assert!(!heartbeats.receive(number + 1) && !heartbeats.receive(0));
        assert_eq!(heartbeats.silence(at(2)), Silence::SinceConnected(Duration::from_secs(2)));
    }
}
