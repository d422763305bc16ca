//! The port to the event brokers: how processes tell each other that something changed.
//!
//! # The contract
//!
//! * **Events are hints.** They are delivered at most once. With a broker that delivers nothing, every job still runs,
//!   because everyone looks into the store again after a while. Looking twice does no harm.
//! * While the connection of the publisher and that of a subscriber hold, the subscriber receives every event, as the event
//!   itself or, where that is too long for the broker, as [`Delivery::Hint`]. It receives what is published after
//!   [`Broker::reaches_other_processes`] has answered; nothing that was published before it subscribed.
//! * Events of one publisher arrive in the order in which they were published, and in its own process before [`Broker::publish`]
//!   returns.
//! * What is lost is told: a subscriber that is too slow, or that learns that events of another process have not reached it,
//!   is told how many ([`Delivery::Missed`]); one whose connection was away is told that it was.
//! * Nobody waits for anybody: publishing waits neither for a subscriber nor for a server, a slow subscriber slows nobody else down, and
//!   every queue of this program has a bound. What does not fit is dropped, counted and told.
//! * A connection that is lost, or on which nothing moves any more, is made again, with pauses that grow and are not the same for
//!   everyone. That is logged once when it goes and once when it is back, not for every attempt.
//! * Messages of another version of this program are hints. Those of other programs are passed over.
//! * An event is published after its change was stored, never before.
//!
//! `tests/src/conformance/broker` holds every broker to that, with real servers that restart, hang and are cut off.
//!
//! # The brokers
//!
//! | broker | between | goes over | an event may be as long as |
//! |---|---|---|---|
//! | [`local`] | the parts of one process | memory | it likes |
//! | `sqlite` | processes of one machine that share a file | a database beside the store | 256 KiB |
//! | `postgres` | processes that share a database | `LISTEN` and `NOTIFY` | 7.8 KB |
//! | `redis` | all that reach the server | publish/subscribe | 256 KiB |
//! | `mqtt` | all that reach the server | MQTT 5 or 3.1.1, quality of service 0 | 256 KiB, or what the server allows |
//! | `nats` | all that reach the server | core NATS | 256 KiB, or what the server allows |
//!
//! Those with a server have in common what is in `link`: they differ in how they connect, send and receive.

#[cfg(any(feature = "postgres", feature = "redis", feature = "mqtt", feature = "nats"))]
mod heartbeat;
#[cfg(any(feature = "postgres", feature = "redis", feature = "mqtt", feature = "nats"))]
mod link;
pub mod local;
#[cfg(any(feature = "postgres", feature = "redis", feature = "mqtt", feature = "nats"))]
mod message;
#[cfg(feature = "mqtt")]
pub mod mqtt;
#[cfg(feature = "nats")]
pub mod nats;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "sqlite")]
pub mod sqlite;
#[cfg(any(feature = "redis", feature = "mqtt", feature = "nats"))]
mod tls;
pub mod wire;

use async_trait::async_trait;
use tokio::sync::mpsc;

#[cfg(any(feature = "postgres", feature = "redis", feature = "mqtt", feature = "nats"))]
pub use self::link::LinkedBroker;

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

    /// Whether events of other processes arrive here, and those of this one there. Where that is still being found out, waits for it, a
    /// few seconds at most.
    async fn reaches_other_processes(&self) -> bool;

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
    /// The subscriber was too slow, or the connection was away: this many events, at least, are lost. 0: the connection was away, and nobody
    /// knows whether there were any.
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

/// Why a broker cannot be opened.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{what}")]
pub struct OpenError {
    /// What is wrong, with the place of the broker. Shows nothing secret.
    pub what: String,
    /// The way out.
    pub hint: String,
    /// The cause.
    #[source]
    pub source: std::sync::Arc<dyn std::error::Error + Send + Sync>,
}
