//! The port to the event brokers: how processes tell each other that something changed.
//!
//! # The contract
//!
//! * **Events are hints.** They are delivered at most once. With a broker that delivers nothing, every job still runs,
//!   because everyone looks into the store again after a while. Looking twice does no harm.
//! * Events of one publisher arrive in the order in which they were published.
//! * A subscriber that is too slow loses events and is told how many ([`Delivery::Missed`]); it slows nobody else down.
//! * An event is published after its change was stored, never before.

pub mod local;
#[cfg(feature = "sqlite")]
pub mod sqlite;
pub mod wire;

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::model::Event;

/// Most events that wait for one subscriber.
pub const SUBSCRIBER_EVENTS_MAX: usize = 1_024;

/// Delivers events between the parts of one process, and between processes.
#[async_trait]
pub trait Broker: Send + Sync {
    /// Tells everyone, in this process and in others. Never waits for a subscriber.
    ///
    /// # Errors
    /// [`BrokerError`] where others could not be told. Those of this process were.
    async fn publish(&self, events: Vec<Event>) -> Result<(), BrokerError>;

    /// Events published from now on. Dropping the subscription ends it.
    fn subscribe(&self) -> Subscription;

    /// Whether events of other processes are heard here, and those of this one there.
    fn reaches_other_processes(&self) -> bool;

    /// Finishes what is under way and lets go of connections. All subscriptions end.
    async fn close(&self);
}

/// What a subscriber receives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// An event.
    Event(Event),
    /// Something changed elsewhere, nobody knows what: look into the store.
    Hint,
    /// The subscriber was too slow, or the connection was away: this many events, at least, are lost.
    Missed(u64),
}

/// A stream of events.
#[derive(Debug)]
pub struct Subscription {
    receiver: mpsc::Receiver<Delivery>,
}

impl Subscription {
    /// A subscription that is fed through `receiver`.
    pub fn new(receiver: mpsc::Receiver<Delivery>) -> Subscription {
        Subscription { receiver }
    }

    /// The next event; `None` once the broker is closed. Keeps its place when dropped.
    pub async fn next(&mut self) -> Option<Delivery> {
        self.receiver.recv().await
    }
}

/// Why other processes could not be told of an event.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the event broker {broker} did not take the events")]
pub struct BrokerError {
    /// Which broker.
    pub broker: &'static str,
    /// The cause.
    #[source]
    pub source: std::sync::Arc<dyn std::error::Error + Send + Sync>,
}
