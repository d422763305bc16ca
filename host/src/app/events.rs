//! Events: hear what happens, filtered.

use super::App;
use crate::broker::{Delivery, Subscription};
use crate::model::{Event, EventType};

/// Which events to hear.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Only these types; empty: all.
    pub types: Vec<EventType>,
}

impl EventFilter {
    fn passes(&self, event: &Event) -> bool {
        self.types.is_empty() || self.types.contains(&event.kind.event_type())
    }
}

/// What a listener receives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// Passes the filter.
    Event(Event),
    /// Something changed in another process; this broker cannot say what.
    Hint,
    /// At least this many events were lost; 0: the connection to the broker was away, and nobody knows whether there were any.
    Missed(u64),
}

/// Events from the moment it was made. Dropping it ends the subscription.
#[derive(Debug)]
pub struct EventStream {
    subscription: Subscription,
    filter: EventFilter,
}

impl App {
    /// Whether events of other processes are among those that [`App::events`] hears.
    pub async fn hears_other_processes(&self) -> bool {
        self.broker.reaches_other_processes().await
    }

    /// Events from now on.
    pub fn events(&self, filter: EventFilter) -> EventStream {
        EventStream { subscription: self.broker.subscribe(), filter }
    }
}

impl EventStream {
    /// What is heard next; `None` once the broker is closed. Keeps its place when dropped.
    pub async fn next(&mut self) -> Option<Received> {
        loop {
            match self.subscription.next().await? {
                Delivery::Event(event) if self.filter.passes(&event) => return Some(Received::Event(event)),
                Delivery::Event(_) => {}
                Delivery::Hint => return Some(Received::Hint),
                Delivery::Missed(count) => return Some(Received::Missed(count)),
            }
        }
    }
}
