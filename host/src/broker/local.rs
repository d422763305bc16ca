//! The broker inside one process; also the last step of every other one.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::{Broker, BrokerError, Delivery, SUBSCRIBER_EVENTS_MAX, Subscription};
use crate::model::Event;

/// Delivers events to the subscribers of this process.
#[derive(Debug, Default)]
pub struct LocalBroker {
    fanout: Fanout,
}

impl LocalBroker {
    /// A broker without subscribers.
    pub fn new() -> LocalBroker {
        LocalBroker::default()
    }
}

#[async_trait]
impl Broker for LocalBroker {
    async fn publish(&self, events: Vec<Event>) -> Result<(), BrokerError> {
        self.fanout.deliver(events.into_iter().map(Delivery::Event));
        Ok(())
    }

    fn subscribe(&self) -> Subscription {
        self.fanout.subscribe()
    }

    async fn reaches_other_processes(&self) -> bool {
        false
    }

    async fn close(&self) {
        self.fanout.close();
    }
}

/// The subscribers of one process.
#[derive(Debug, Default)]
pub(super) struct Fanout {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    subscribers: Vec<Subscriber>,
    is_closed: bool,
}

#[derive(Debug)]
struct Subscriber {
    sender: mpsc::Sender<Delivery>,
    /// How many events it has lost and not been told of, if any.
    missed: Option<u64>,
}

impl Fanout {
    pub(super) fn subscribe(&self) -> Subscription {
        let (sender, receiver) = mpsc::channel(SUBSCRIBER_EVENTS_MAX);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.is_closed {
            state.subscribers.push(Subscriber { sender, missed: None });
        }
        Subscription::new(receiver)
    }

    /// Gives everyone what there is room for, and forgets those who have gone.
    pub(super) fn deliver(&self, deliveries: impl IntoIterator<Item = Delivery>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for delivery in deliveries {
            state.subscribers.retain_mut(|subscriber| subscriber.give(delivery.clone()));
        }
    }

    pub(super) fn close(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_closed = true;
        state.subscribers.clear();
    }
}

impl Subscriber {
    /// `false` once the subscription is gone.
    fn give(&mut self, delivery: Delivery) -> bool {
        if let Some(missed) = self.missed
            && self.sender.try_send(Delivery::Missed(missed)).is_ok()
        {
            self.missed = None;
        }
        let lost = if let Delivery::Missed(count) = delivery { count } else { 1 };
        // While the news of a loss has not gone through, nothing newer overtakes it.
        if self.missed.is_some() || self.sender.try_send(delivery).is_err() {
            self.missed = Some(self.missed.unwrap_or_default().saturating_add(lost));
        }
        !self.sender.is_closed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EventKind, Timestamp};

    fn event(number: i64) -> Event {
        Event {
            at: Timestamp::from_micros(number).expect("in range"),
            kind: EventKind::SchedulerStarted { scheduler_id: "s".parse().expect("valid") },
        }
    }

    #[tokio::test]
    async fn every_subscriber_receives_every_event_in_order() {
        let broker = LocalBroker::new();
        let (mut one, mut two) = (broker.subscribe(), broker.subscribe());
        broker.publish((0..10).map(event).collect()).await.expect("local");
        for number in 0..10 {
            assert_eq!(one.next().await, Some(Delivery::Event(event(number))));
            assert_eq!(two.next().await, Some(Delivery::Event(event(number))));
        }
    }

    #[tokio::test]
    async fn a_slow_subscriber_is_told_how_many_events_it_lost_and_slows_nobody_down() {
        let broker = LocalBroker::new();
        let mut slow = broker.subscribe();
        let extra = 5;
        let bound = i64::try_from(SUBSCRIBER_EVENTS_MAX).expect("small");
        broker.publish((0..bound + extra).map(event).collect()).await.expect("local");
        for number in 0..bound {
            assert_eq!(slow.next().await, Some(Delivery::Event(event(number))));
        }
        broker.publish(vec![event(-1)]).await.expect("local");
        assert_eq!(slow.next().await, Some(Delivery::Missed(5)));
        assert_eq!(slow.next().await, Some(Delivery::Event(event(-1))));
    }

    #[tokio::test]
    async fn what_was_lost_on_the_way_is_told_also_to_whoever_had_no_room_for_that() {
        let fanout = Fanout::default();
        let mut slow = fanout.subscribe();
        fanout.deliver((0..SUBSCRIBER_EVENTS_MAX).map(|_| Delivery::Hint));
        fanout.deliver([Delivery::Missed(7), Delivery::Event(event(1)), Delivery::Missed(0)]);
        for _ in 0..SUBSCRIBER_EVENTS_MAX {
            assert_eq!(slow.next().await, Some(Delivery::Hint));
        }
        fanout.deliver([Delivery::Event(event(2))]);
        assert_eq!(slow.next().await, Some(Delivery::Missed(8)));
        assert_eq!(slow.next().await, Some(Delivery::Event(event(2))));
    }

    #[tokio::test]
    async fn closing_ends_all_subscriptions_and_a_late_one_too() {
        let broker = LocalBroker::new();
        let mut early = broker.subscribe();
        broker.close().await;
        assert_eq!(early.next().await, None);
        assert_eq!(broker.subscribe().next().await, None);
    }
}
