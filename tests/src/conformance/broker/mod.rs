//! What every event broker must do, whatever it goes over: broker × case.
//!
//! To add a case: write it in the file of its group, list it there.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use host::broker::{Broker, Delivery, Subscription};
use host::model::{Event, EventKind, Timestamp};

use crate::brokers::{Kind, Place};
use crate::wait::PATIENCE;

pub mod access;
mod delivery;
mod failures;
pub mod silent;

/// A case: its name, the brokers that it is about, and what it does.
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// Whether it is about brokers with a server only.
    pub needs_server: bool,
    /// The case.
    pub run: fn(Place) -> Running,
}

/// A case that runs.
pub type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

macro_rules! cases {
    ($needs_server:literal, $($group:ident: $($name:ident),+;)+) => {
        &[$($(Case {
            name: stringify!($name),
            needs_server: $needs_server,
            run: |place| Box::pin($group::$name(place)),
        }),+),+]
    };
}

/// The cases.
pub const CASES: &[&[Case]] = &[
    cases! { false,
        delivery: everybody_receives_every_publisher_in_order, what_was_before_is_not_delivered, closing_sends_what_is_left,
            a_slow_subscriber_harms_nobody_and_is_told, long_events_arrive_or_are_hints, ten_thousand_events_a_second,
            messages_of_others_do_no_harm, messages_of_other_versions_are_hints;
    },
    cases! { true,
        failures: restarts_under_load_are_survived, what_is_cut_off_comes_back_and_is_reported, a_server_that_hangs_is_left,
            late_answers_change_nothing, what_does_not_fit_while_it_is_away_is_counted;
    },
];

impl Case {
    /// Whether it is about a kind of broker.
    pub fn is_about(&self, kind: Kind) -> bool {
        !self.needs_server || kind.has_server()
    }
}

/// An event that says who published it and which one it is.
fn event(publisher: &str, number: i64) -> Event {
    Event {
        at: Timestamp::from_micros(number).expect("in range"),
        kind: EventKind::SchedulerStarted { scheduler_id: publisher.parse().expect("a name") },
    }
}

fn events(publisher: &str, numbers: std::ops::Range<i64>) -> Vec<Event> {
    numbers.map(|number| event(publisher, number)).collect()
}

async fn publish(broker: &dyn Broker, events: Vec<Event>) {
    broker.publish(events).await.expect("there is room");
}

/// What comes next; a test that waits in vain fails.
async fn next(subscription: &mut Subscription) -> Delivery {
    within(subscription.next()).await.expect("the broker is open")
}

/// # Panics
/// If it takes longer than anything may.
#[expect(clippy::disallowed_methods, reason = "tests wait in real time, for conditions and with a bound")]
async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("something in time")
}

#[expect(clippy::disallowed_methods, reason = "load over a span of real time")]
async fn pause(span: Duration) {
    tokio::time::sleep(span).await;
}

/// The number of an event of [`event`].
fn number(event: &Event) -> i64 {
    event.at.as_micros()
}
