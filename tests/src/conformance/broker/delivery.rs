//! What is delivered, to whom, and in which order.

use std::collections::HashMap;
use std::time::Duration;

use host::broker::{Delivery, SUBSCRIBER_EVENTS_MAX};
use host::model::{Event, EventKind, Timestamp};
use tokio::task::JoinSet;

use super::{event, events, next, number, pause, publish};
use crate::brokers::Place;

pub(super) async fn everybody_receives_every_publisher_in_order(place: Place) {
    const COUNT: i64 = 600;
    let mut brokers = Vec::new();
    for _ in 0..3 {
        brokers.push(place.broker().await.expect("it opens"));
    }
    let subscriptions: Vec<_> = brokers.iter().map(|broker| broker.subscribe()).collect();
    let mut publishers = JoinSet::new();
    for (at, broker) in brokers.iter().enumerate() {
        let broker = std::sync::Arc::clone(broker);
        publishers.spawn(async move {
            let mut random = fastrand::Rng::with_seed(at as u64);
            let mut from = 0;
            while from < COUNT {
                let to = (from + random.i64(1..40)).min(COUNT);
                publish(&*broker, events(&format!("p{at}"), from..to)).await;
                from = to;
                // Slowly enough for whoever reads without a break on a busy machine.
                pause(Duration::from_millis(5)).await;
            }
        });
    }
    let mut readers = JoinSet::new();
    for mut subscription in subscriptions {
        readers.spawn(async move {
            let mut received: HashMap<String, i64> = HashMap::new();
            while received.values().sum::<i64>() < 3 * COUNT {
                let Delivery::Event(Event { at, kind: EventKind::SchedulerStarted { scheduler_id } }) =
                    next(&mut subscription).await
                else {
                    panic!("only events were published, and nobody was away")
                };
                let expected = received.entry(scheduler_id.to_string()).or_default();
                assert_eq!(at.as_micros(), *expected, "of {scheduler_id}");
                *expected += 1;
            }
        });
    }
    while let Some(ended) = publishers.join_next().await {
        ended.expect("publishing does not fail");
    }
    while let Some(ended) = readers.join_next().await {
        ended.expect("everything arrives in order");
    }
}

pub(super) async fn what_was_before_is_not_delivered(place: Place) {
    let (here, there) = (place.broker().await.expect("it opens"), place.broker().await.expect("it opens"));
    let mut early = there.subscribe();
    publish(&*here, vec![event("p", 1)]).await;
    assert_eq!(next(&mut early).await, Delivery::Event(event("p", 1)));
    let mut late = there.subscribe();
    publish(&*here, vec![event("p", 2)]).await;
    assert_eq!(next(&mut late).await, Delivery::Event(event("p", 2)));
    assert_eq!(next(&mut early).await, Delivery::Event(event("p", 2)));
}

pub(super) async fn closing_sends_what_is_left(place: Place) {
    let (here, there) = (place.broker().await.expect("it opens"), place.broker().await.expect("it opens"));
    let (mut own, mut other) = (here.subscribe(), there.subscribe());
    publish(&*here, events("p", 0..500)).await;
    here.close().await;
    for number in 0..500 {
        assert_eq!(next(&mut other).await, Delivery::Event(event("p", number)));
        assert_eq!(own.next().await, Some(Delivery::Event(event("p", number))));
    }
    assert_eq!(own.next().await, None, "closing ends subscriptions");
    assert_eq!(here.subscribe().next().await, None);
}

pub(super) async fn a_slow_subscriber_harms_nobody_and_is_told(place: Place) {
    let (here, there) = (place.broker().await.expect("it opens"), place.broker().await.expect("it opens"));
    let (mut slow, mut quick) = (there.subscribe(), there.subscribe());
    let room = i64::try_from(SUBSCRIBER_EVENTS_MAX).expect("small");
    let count = room + 500;
    for from in (0..count).step_by(100) {
        let to = (from + 100).min(count);
        publish(&*here, events("p", from..to)).await;
        for number in from..to {
            assert_eq!(next(&mut quick).await, Delivery::Event(event("p", number)));
        }
    }
    for number in 0..room {
        assert_eq!(next(&mut slow).await, Delivery::Event(event("p", number)));
    }
    publish(&*here, vec![event("p", count)]).await;
    assert_eq!(next(&mut slow).await, Delivery::Missed(500));
    assert_eq!(next(&mut slow).await, Delivery::Event(event("p", count)));
}

pub(super) async fn long_events_arrive_or_are_hints(place: Place) {
    let (here, there) = (place.broker().await.expect("it opens"), place.broker().await.expect("it opens"));
    let mut subscription = there.subscribe();
    let mut numbers = 0..;
    for length in [1_000, 64 * 1024, 1024 * 1024] {
        for _ in 0..3 {
            let (short, long) = (numbers.next().expect("endless"), numbers.next().expect("endless"));
            let message = "ä".repeat(length / 2);
            let kind = EventKind::ScheduleFailed { schedule_id: "s".parse().expect("an id"), message };
            let long = Event { at: Timestamp::from_micros(long).expect("in range"), kind };
            publish(&*here, vec![event("p", short), long.clone(), event("p", -1)]).await;
            assert_eq!(next(&mut subscription).await, Delivery::Event(event("p", short)));
            let delivery = next(&mut subscription).await;
            assert!(
                delivery == Delivery::Event(long) || delivery == Delivery::Hint && length > 1_000,
                "an event of {length} bytes neither arrives nor is hinted at"
            );
            assert_eq!(next(&mut subscription).await, Delivery::Event(event("p", -1)));
        }
    }
}

pub(super) async fn ten_thousand_events_a_second(place: Place) {
    const COUNT: i64 = 10_000;
    let (here, there) = (place.broker().await.expect("it opens"), place.broker().await.expect("it opens"));
    let mut subscription = there.subscribe();
    let mut publishing = JoinSet::new();
    publishing.spawn(async move {
        for from in (0..COUNT).step_by(50) {
            publish(&*here, events("p", from..from + 50)).await;
            pause(Duration::from_millis(5)).await;
        }
        here
    });
    for number in 0..COUNT {
        assert_eq!(next(&mut subscription).await, Delivery::Event(event("p", number)));
    }
    publishing.join_next().await.expect("it publishes").expect("publishing does not fail");
}

/// What a broker makes of something that it does not understand: nothing, or a hint.
async fn next_but_hints(subscription: &mut host::broker::Subscription) -> Delivery {
    loop {
        match next(subscription).await {
            Delivery::Hint => {}
            delivery => return delivery,
        }
    }
}

pub(super) async fn messages_of_others_do_no_harm(place: Place) {
    let (here, there) = (place.broker().await.expect("it opens"), place.broker().await.expect("it opens"));
    let mut subscription = there.subscribe();
    let long = "x".repeat(7_000);
    let strangers = ["", "hello", "{}", "[1,2,3]", r#"{"v":1}"#, r#"{"v":"1","from":7,"n":-1,"events":{}}"#, &long];
    for (at, stranger) in (0..).zip(strangers) {
        place.inject(stranger).await.expect("the server takes it");
        publish(&*here, vec![event("p", at)]).await;
        assert_eq!(next_but_hints(&mut subscription).await, Delivery::Event(event("p", at)), "after `{stranger:.20}`");
    }
}

pub(super) async fn messages_of_other_versions_are_hints(place: Place) {
    let (here, there) = (place.broker().await.expect("it opens"), place.broker().await.expect("it opens"));
    let mut subscription = there.subscribe();
    let later = r#"{"v":9,"from":"00000000000000aa","n":1,"shape":"another"}"#;
    let unknown = r#"{"v":1,"from":"00000000000000ab","n":1,"events":[{"v":1,"at":"2026-01-01T00:00:00Z","type":"job_exploded"}]}"#;
    for message in [later, unknown] {
        place.inject(message).await.expect("the server takes it");
        if place.is_shared() {
            assert_eq!(next(&mut subscription).await, Delivery::Hint, "{message}");
        }
    }
    publish(&*here, vec![event("p", 1)]).await;
    let Delivery::Event(received) = next(&mut subscription).await else { panic!("an event was published") };
    assert_eq!(number(&received), 1);
}
