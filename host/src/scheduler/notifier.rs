//! Events on their way to the broker, so that no loop waits for a slow one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::broker::Broker;
use crate::clock::Clock;
use crate::model::{Event, EventKind};

/// Most events that wait. Beyond it they are dropped and counted: they are hints, and everyone polls.
const EVENTS_MAX: usize = 16 * 1024;
/// Most events that the broker is given at a time.
const BATCH_MAX: usize = 1_024;

/// Takes events without waiting.
pub(super) struct Notifier {
    clock: Arc<dyn Clock>,
    sender: mpsc::Sender<Event>,
    receiver: Mutex<Option<mpsc::Receiver<Event>>>,
    dropped: AtomicU64,
}

impl Notifier {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Notifier {
        let (sender, receiver) = mpsc::channel(EVENTS_MAX);
        Notifier { clock, sender, receiver: Mutex::new(Some(receiver)), dropped: AtomicU64::new(0) }
    }

    /// Puts events on their way.
    pub(super) fn publish(&self, kinds: impl IntoIterator<Item = EventKind>) {
        let at = self.clock.now();
        for kind in kinds {
            if self.sender.try_send(Event { at, kind }).is_err() {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Hands events to the broker until `stop` fires, and then what is left of them.
    pub(super) async fn run(&self, broker: Arc<dyn Broker>, stop: CancellationToken) {
        let Some(mut receiver) = self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let mut batch = Vec::with_capacity(BATCH_MAX);
        let mut is_failing = false;
        loop {
            let stopping = tokio::select! {
                biased;
                _count = receiver.recv_many(&mut batch, BATCH_MAX) => false,
                () = stop.cancelled() => true,
            };
            while batch.len() < BATCH_MAX
                && let Ok(event) = receiver.try_recv()
            {
                batch.push(event);
            }
            if batch.is_empty() && stopping {
                return;
            }
            let dropped = self.dropped.swap(0, Ordering::Relaxed);
            if dropped > 0 {
                tracing::warn!(dropped, "events were dropped: the event broker is too slow");
            }
            match broker.publish(std::mem::take(&mut batch)).await {
                Ok(()) => is_failing = false,
                // Said once for each time that it is away, not for every batch.
                Err(error) if !is_failing => {
                    is_failing = true;
                    tracing::warn!(error = %crate::scheduler::chain(&error), "events reach nobody outside; others will poll");
                }
                Err(_) => {}
            }
        }
    }
}
