//! What the brokers with a server have in common: a connection that is kept, queues, and heartbeats that show whether messages go through.
//!
//! ```text
//!   publish ──► outbox (bounded) ──► send ──► server ──► receive ──► subscribers (each bounded)
//!                                      └─── heartbeats ─────┘
//!   connecting ──► up ◄──► down            send-only: connected, and nothing comes back
//! ```
//!
//! Every server here sends a process what it publishes itself. So a process that receives its own heartbeats knows that the whole way works,
//! and one that does not knows that it is broken, whatever the reason: a network that drops packets, a server that hangs, a right that is
//! missing, a pooler in between that runs `LISTEN` on a connection that somebody else gets next. The pings of the protocols do not show that.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::heartbeat::{Heartbeats, Silence};
use super::local::Fanout;
use super::message::{MESSAGE_EVENTS_MAX, Read, Reader, Writer};
use super::{Broker, BrokerError, Delivery, OpenError, Subscription, wire};
use crate::clock::{Clock, sleep_until_instant};
use crate::model::Event;
use crate::store::error::chain;

/// Most events that wait to be sent.
const WAITING_MAX: usize = 16 * 1_024;
/// Most bytes of events that wait to be sent.
const WAITING_BYTES_MAX: usize = 16 * 1_024 * 1_024;
/// How long connecting may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How often a heartbeat is sent.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(10);
/// How long the first heartbeat of a connection may take until the connection counts as one on which nothing comes back.
const FIRST_HEARTBEAT_MAX: Duration = Duration::from_secs(3);
/// How long a heartbeat may take on a connection that has worked.
const HEARTBEAT_MAX: Duration = Duration::from_secs(10);
/// How often is looked for heartbeats that are late.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// How long a connection on which nothing comes back is kept for sending.
const SEND_ONLY_MAX: Duration = Duration::from_secs(60);
/// The pause after the first failure.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// The longest pause between two attempts to connect.
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// How long what is left may take to be sent when the broker closes.
const FLUSH_MAX: Duration = Duration::from_secs(2);

/// A protocol.
#[async_trait]
pub(super) trait Transport: Send + Sync + 'static {
    /// The name of the broker.
    fn name(&self) -> &'static str;

    /// Where the server is, without anything secret.
    fn place(&self) -> String;

    /// What it may mean, and what to do, where messages are sent and do not come back.
    fn send_only_advice(&self) -> &'static str;

    /// Connects. What others publish from then on is received.
    async fn connect(&self) -> Result<Connected, OpenError>;
}

/// A connection.
pub(super) struct Connected {
    pub(super) outgoing: Box<dyn Outgoing>,
    pub(super) incoming: Box<dyn Incoming>,
    /// Longest message that the server takes.
    pub(super) message_bytes_max: usize,
}

/// Why a connection is lost.
pub(super) type Lost = Box<dyn std::error::Error + Send + Sync>;

/// The way to the server. Both ways are used at the same time, and dropped together.
#[async_trait]
pub(super) trait Outgoing: Send {
    /// Sends messages, in this order.
    async fn send(&mut self, messages: Vec<String>) -> Result<(), Lost>;

    /// Waits until the server has taken everything that was sent, as far as it says so. The connection may end meanwhile.
    async fn finish(&mut self) -> Result<(), Lost>;
}

/// The way from the server.
#[async_trait]
pub(super) trait Incoming: Send {
    /// The next message.
    async fn receive(&mut self) -> Result<Vec<u8>, Lost>;
}

/// A broker that goes over a server.
pub struct LinkedBroker {
    shared: Arc<Shared>,
    tasks: TaskTracker,
}

struct Shared {
    fanout: Fanout,
    clock: Arc<dyn Clock>,
    name: &'static str,
    /// Who this process is among the publishers.
    from: u64,
    outbox: Mutex<Outbox>,
    queued: Notify,
    state: watch::Sender<State>,
    reported: Mutex<Reported>,
    stop: CancellationToken,
}

/// What was logged already, and what is still to be said to subscribers.
#[derive(Debug, Default)]
struct Reported {
    is_down: bool,
    is_send_only: bool,
    is_foreign: bool,
    /// Subscribers are to be told that something may be missing.
    owes_missed: bool,
}

/// What waits to be sent.
#[derive(Debug, Default)]
struct Outbox {
    /// As JSON, each with its number.
    waiting: VecDeque<(u64, String)>,
    bytes: usize,
    /// The number of the next event. One that is dropped has a number too, so that others see that it is missing.
    next: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Connecting,
    Up,
    SendOnly,
    Down,
}

/// Too many events wait to be sent.
#[derive(Debug, thiserror::Error)]
#[error("too many events wait to be sent")]
struct Backlog;

/// The server takes its time.
#[derive(Debug, thiserror::Error)]
#[error("the server has not answered within {} s", .0.as_secs())]
pub(super) struct TimedOut(Duration);

impl LinkedBroker {
    /// Connects to the server.
    pub(super) async fn open(transport: impl Transport, clock: Arc<dyn Clock>) -> Result<LinkedBroker, OpenError> {
        let connected = connect(&transport, &*clock).await?;
        Ok(LinkedBroker::start(transport, clock, Some(connected)))
    }

    /// Connects to the server, or goes on trying.
    #[cfg(feature = "postgres")]
    pub(super) async fn open_or_retry(transport: impl Transport, clock: Arc<dyn Clock>) -> LinkedBroker {
        let connected = connect(&transport, &*clock).await;
        let connected = connected.inspect_err(|error| report_down(&transport, error)).ok();
        LinkedBroker::start(transport, clock, connected)
    }

    fn start(transport: impl Transport, clock: Arc<dyn Clock>, connected: Option<Connected>) -> LinkedBroker {
        let is_down = connected.is_none();
        let shared = Arc::new(Shared {
            fanout: Fanout::default(),
            clock,
            name: transport.name(),
            from: fastrand::u64(..),
            outbox: Mutex::default(),
            queued: Notify::new(),
            state: watch::Sender::new(if is_down { State::Down } else { State::Connecting }),
            reported: Mutex::new(Reported { is_down, owes_missed: is_down, ..Reported::default() }),
            stop: CancellationToken::new(),
        });
        let tasks = TaskTracker::new();
        let reader = Reader::new(shared.from);
        tasks.spawn(Link { shared: Arc::clone(&shared), transport, reader }.run(connected));
        tasks.close();
        LinkedBroker { shared, tasks }
    }
}

#[async_trait]
impl Broker for LinkedBroker {
    async fn publish(&self, events: Vec<Event>) -> Result<(), BrokerError> {
        let texts: Vec<_> = events.iter().map(|event| wire::encode(event).to_string()).collect();
        self.shared.fanout.deliver(events.into_iter().map(Delivery::Event));
        let taken = self.shared.outbox().put(texts);
        self.shared.queued.notify_one();
        taken.map_err(|backlog| BrokerError { broker: self.shared.name, source: Arc::new(backlog) })
    }

    fn subscribe(&self) -> Subscription {
        self.shared.fanout.subscribe()
    }

    async fn reaches_other_processes(&self) -> bool {
        let mut state = self.shared.state.subscribe();
        let found_out = state.wait_for(|state| *state != State::Connecting).await;
        found_out.is_ok_and(|state| *state == State::Up)
    }

    async fn close(&self) {
        self.shared.stop.cancel();
        self.tasks.wait().await;
        self.shared.fanout.close();
    }
}

impl Drop for LinkedBroker {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

impl Outbox {
    /// Takes all or none.
    fn put(&mut self, texts: Vec<String>) -> Result<(), Backlog> {
        let (first, count) = (self.next, texts.len());
        let bytes: usize = texts.iter().map(String::len).sum();
        self.next += count as u64;
        if self.waiting.len() + count > WAITING_MAX || self.bytes + bytes > WAITING_BYTES_MAX {
            return Err(Backlog);
        }
        self.bytes += bytes;
        self.waiting.extend((first..).zip(texts));
        Ok(())
    }

    /// Moves what comes next to `batch`, as much as fits into one message.
    fn take(&mut self, batch: &mut Vec<(u64, String)>) {
        let count = self.waiting.len().min(MESSAGE_EVENTS_MAX);
        batch.extend(self.waiting.drain(..count));
        self.bytes -= batch.iter().map(|(_, text)| text.len()).sum::<usize>();
    }

    /// The number of the event that is sent next.
    fn first(&self) -> u64 {
        self.waiting.front().map_or(self.next, |(number, _)| *number)
    }
}

impl Shared {
    fn reported(&self) -> MutexGuard<'_, Reported> {
        self.reported.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn connect(transport: &impl Transport, clock: &dyn Clock) -> Result<Connected, OpenError> {
    tokio::select! {
        connected = transport.connect() => connected,
        () = clock.sleep(CONNECT_MAX) => Err(OpenError {
            what: format!("the event broker at {} is out of reach", transport.place()),
            hint: "check that it runs, and that the URL names its host and port".to_owned(),
            source: Arc::new(TimedOut(CONNECT_MAX)),
        }),
    }
}

fn report_down(transport: &impl Transport, error: &OpenError) {
    let (broker, place, cause) = (transport.name(), transport.place(), chain(error));
    tracing::warn!(
        broker,
        place,
        cause,
        "events reach nobody outside until the event broker is back; others will poll"
    );
}

/// Keeps a connection.
struct Link<T> {
    shared: Arc<Shared>,
    transport: T,
    reader: Reader,
}

/// How a connection ended.
enum Ended {
    /// The broker closes.
    Stopped,
    /// Nothing came back on it for long enough to try another one.
    SendOnly,
    /// It is lost.
    Lost(Lost),
}

impl<T: Transport> Link<T> {
    /// Lasts until the broker closes.
    async fn run(mut self, mut connected: Option<Connected>) {
        let shared = Arc::clone(&self.shared);
        let mut backoff = BACKOFF_MIN;
        loop {
            let next = match connected.take() {
                Some(connected) => Ok(connected),
                None => tokio::select! {
                    () = shared.stop.cancelled() => return,
                    next = connect(&self.transport, &*shared.clock) => next,
                },
            };
            let failure = match next {
                Ok(next) => match self.serve(next).await {
                    Ended::Stopped => return,
                    Ended::SendOnly => continue,
                    Ended::Lost(lost) => OpenError {
                        what: "the connection is lost".to_owned(),
                        hint: String::new(),
                        source: lost.into(),
                    },
                },
                Err(failure) => failure,
            };
            if shared.state.send_replace(State::Down) == State::Up {
                backoff = BACKOFF_MIN;
            }
            let was_reported = {
                let mut reported = shared.reported();
                reported.owes_missed = true;
                std::mem::replace(&mut reported.is_down, true)
            };
            if !was_reported {
                report_down(&self.transport, &failure);
            }
            tokio::select! {
                () = shared.stop.cancelled() => return,
                // Not for as long as everybody else, who has lost the same server at the same time.
                () = shared.clock.sleep(backoff.mul_f64(0.5 + fastrand::f64() / 2.0)) => {}
            }
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// Sends and receives until one of them fails.
    async fn serve(&mut self, connected: Connected) -> Ended {
        let Connected { mut outgoing, mut incoming, message_bytes_max } = connected;
        let shared = Arc::clone(&self.shared);
        let heartbeats = Heartbeats::new(shared.clock.monotonic());
        let writer = Writer::new(shared.from, message_bytes_max);
        let (transport, reader) = (&self.transport, &mut self.reader);
        let ended = tokio::select! {
            ended = send(&shared, &mut *outgoing, writer, &heartbeats) => ended,
            lost = receive(&shared, &mut *incoming, reader, &heartbeats, transport) => Ended::Lost(lost),
            ended = watch(&shared, &heartbeats, transport) => ended,
        };
        // Whatever a connection says while it is being closed is no news.
        if shared.stop.is_cancelled() { Ended::Stopped } else { ended }
    }
}

/// Sends what is published, and heartbeats, until the broker closes; then what is left.
async fn send(shared: &Shared, outgoing: &mut dyn Outgoing, writer: Writer, heartbeats: &Heartbeats) -> Ended {
    let mut next_heartbeat = shared.clock.monotonic();
    let mut batch = Vec::new();
    loop {
        let is_stopping = tokio::select! {
            biased;
            () = shared.stop.cancelled() => true,
            () = shared.queued.notified() => false,
            () = sleep_until_instant(&*shared.clock, next_heartbeat) => false,
        };
        let mut messages = Vec::new();
        let now = shared.clock.monotonic();
        let is_empty = {
            let mut outbox = shared.outbox();
            if now >= next_heartbeat {
                messages.push(writer.heartbeat(heartbeats.send(now), outbox.first()));
                next_heartbeat = now.saturating_add(HEARTBEAT_INTERVAL);
            }
            outbox.take(&mut batch);
            outbox.waiting.is_empty()
        };
        messages.extend(writer.events(&batch));
        batch.clear();
        if !messages.is_empty()
            && let Err(lost) = send_in_time(shared, outgoing, messages).await
        {
            return Ended::Lost(lost);
        }
        match (is_empty, is_stopping) {
            (false, _) => shared.queued.notify_one(),
            (true, false) => {}
            (true, true) => {
                if let Err(error) = outgoing.finish().await {
                    tracing::debug!(%error, "the connection to the event broker was not closed in good order");
                }
                return Ended::Stopped;
            }
        }
    }
}

/// Sends messages. While a server does not answer that it has them, no heartbeat is sent that could be missed.
async fn send_in_time(shared: &Shared, outgoing: &mut dyn Outgoing, messages: Vec<String>) -> Result<(), Lost> {
    tokio::select! {
        biased;
        sent = outgoing.send(messages) => sent,
        () = shared.clock.sleep(HEARTBEAT_MAX) => Err(Box::new(TimedOut(HEARTBEAT_MAX))),
    }
}

/// Delivers what is received, until the connection is lost.
async fn receive(
    shared: &Shared,
    incoming: &mut dyn Incoming,
    reader: &mut Reader,
    heartbeats: &Heartbeats,
    transport: &impl Transport,
) -> Lost {
    loop {
        let message = match incoming.receive().await {
            Ok(message) => message,
            Err(lost) => return lost,
        };
        match reader.read(&message) {
            Read::Own(heartbeat) => {
                if heartbeat.is_some_and(|number| heartbeats.receive(number)) {
                    works(shared, transport);
                }
            }
            Read::Deliver(deliveries) => {
                shared.fanout.deliver(deliveries);
                // Whoever shares this thread reads them before the next ones come.
                tokio::task::yield_now().await;
            }
            Read::Foreign => {
                let was_reported = std::mem::replace(&mut shared.reported().is_foreign, true);
                if !was_reported {
                    let (broker, place) = (transport.name(), transport.place());
                    tracing::warn!(
                        broker,
                        place,
                        "another program uses the channel of the events; its messages are passed over"
                    );
                }
            }
        }
    }
}

/// A heartbeat has come back.
fn works(shared: &Shared, transport: &impl Transport) {
    if shared.state.send_replace(State::Up) == State::Up {
        return;
    }
    let before = {
        let mut reported = shared.reported();
        let is_foreign = reported.is_foreign;
        std::mem::replace(&mut *reported, Reported { is_foreign, ..Reported::default() })
    };
    if before.owes_missed {
        shared.fanout.deliver([Delivery::Missed(0)]);
    }
    if before.is_down || before.is_send_only {
        let (broker, place) = (transport.name(), transport.place());
        tracing::info!(broker, place, "the event broker is back");
    }
}

/// Watches the heartbeats, until one is missing for too long or the broker has closed.
async fn watch(shared: &Shared, heartbeats: &Heartbeats, transport: &impl Transport) -> Ended {
    loop {
        tokio::select! {
            () = shared.stop.cancelled() => {
                shared.clock.sleep(FLUSH_MAX).await;
                return Ended::Stopped;
            }
            () = shared.clock.sleep(CHECK_INTERVAL) => {}
        }
        match heartbeats.silence(shared.clock.monotonic()) {
            Silence::SinceSent(span) if span > HEARTBEAT_MAX => {
                return Ended::Lost(Box::new(TimedOut(HEARTBEAT_MAX)));
            }
            Silence::SinceConnected(span) if span > FIRST_HEARTBEAT_MAX => {
                shared.state.send_replace(State::SendOnly);
                let was_reported = {
                    let mut reported = shared.reported();
                    reported.owes_missed = true;
                    std::mem::replace(&mut reported.is_send_only, true)
                };
                if !was_reported {
                    let (broker, place, advice) = (transport.name(), transport.place(), transport.send_only_advice());
                    tracing::warn!(
                        broker,
                        place,
                        advice,
                        "events are sent and none comes back; the store is polled instead"
                    );
                }
                if span > SEND_ONLY_MAX {
                    return Ended::SendOnly;
                }
            }
            _ => {}
        }
    }
}
