//! Servers that restart, hang, answer late or are cut off.

use std::sync::Arc;
use std::time::Duration;

use host::broker::{Broker, Delivery, Subscription};
use host::clock::{Clock, Instant, SystemClock};
use host::model::Timestamp;
use tokio::task::JoinSet;

use super::{event, next, number, pause, publish};
use crate::brokers::Place;
use crate::doubles::proxy::Fault;
use crate::wait::wait_for;

/// A clock on which spans pass quicker than outside: the limits of the broker are the same, and the test shorter.
#[derive(Debug)]
struct Hurried;

/// How much quicker.
const HURRY: u32 = 3;

#[async_trait::async_trait]
impl Clock for Hurried {
    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    fn monotonic(&self) -> Instant {
        Instant::new(SystemClock.monotonic().since_origin() * HURRY)
    }

    async fn sleep(&self, span: Duration) {
        SystemClock.sleep(span / HURRY).await;
    }

    async fn sleep_until(&self, time: Timestamp) {
        SystemClock.sleep_until(time).await;
    }
}

/// Publishes events with growing numbers until it is dropped.
struct Load {
    _tasks: JoinSet<()>,
}

impl Load {
    fn on(broker: &Arc<dyn Broker>) -> Load {
        let mut tasks = JoinSet::new();
        let broker = Arc::clone(broker);
        tasks.spawn(async move {
            for number in 0.. {
                // While the server is away, what waits may be full, and that is told to the publisher.
                let _taken = broker.publish(vec![event("load", number)]).await;
                pause(Duration::from_millis(2)).await;
            }
        });
        Load { _tasks: tasks }
    }
}

/// Reads until the loss is told and events come again after it. Numbers grow all the time.
async fn comes_back(subscription: &mut Subscription, last: &mut i64) {
    let mut is_told = false;
    let mut after = 0;
    while !is_told || after < 50 {
        match next(subscription).await {
            Delivery::Missed(_) => {
                is_told = true;
                after = 0;
            }
            Delivery::Event(event) => {
                assert!(number(&event) > *last, "{} after {last}", number(&event));
                *last = number(&event);
                after += 1;
            }
            Delivery::Hint => {}
        }
    }
}

pub(super) async fn restarts_under_load_are_survived(mut place: Place) {
    let (here, there) = (place.broker().await.expect("it opens"), place.broker().await.expect("it opens"));
    let mut subscription = there.subscribe();
    let _load = Load::on(&here);
    let mut last = -1;
    for _ in 0..3 {
        place.crash_and_restart().expect("the server starts again");
        comes_back(&mut subscription, &mut last).await;
    }
    let is_back = || async { here.reaches_other_processes().await && there.reaches_other_processes().await };
    wait_for("both to be back", || async { is_back().await.then_some(()) }).await;
}

pub(super) async fn what_is_cut_off_comes_back_and_is_reported(mut place: Place) {
    let here = place.broker().await.expect("it opens");
    // One of two is behind the network that is cut.
    place.put_proxy().await;
    let there = place.broker().await.expect("it opens");
    let (mut inside, mut cut_off) = (here.subscribe(), there.subscribe());
    publish(&*there, vec![event("p", 0)]).await;
    assert_eq!(next(&mut inside).await, Delivery::Event(event("p", 0)));
    place.proxy().set(Fault::Cut);
    wait_for("the loss to be noticed", || async { (!there.reaches_other_processes().await).then_some(()) }).await;
    publish(&*here, vec![event("q", 1)]).await;
    publish(&*there, vec![event("p", 1)]).await;
    // In its own process it goes on.
    while next(&mut cut_off).await != Delivery::Event(event("p", 1)) {}
    assert_eq!(next(&mut inside).await, Delivery::Event(event("q", 1)));
    place.proxy().set(Fault::None);
    // What was published there meanwhile is sent late; what was published here is lost, and that is told.
    assert_eq!(next(&mut inside).await, Delivery::Event(event("p", 1)));
    let told = next(&mut cut_off).await;
    assert!(matches!(told, Delivery::Missed(_)), "{told:?}");
    // The first message of the one whose events were lost shows how many there were, at least.
    publish(&*here, vec![event("q", 2)]).await;
    let mut missed = 0;
    loop {
        match next(&mut cut_off).await {
            Delivery::Missed(count) => missed += count,
            delivery => {
                assert_eq!(delivery, Delivery::Event(event("q", 2)));
                break;
            }
        }
    }
    assert!(missed <= 1, "one event was lost, and {missed} are told");
}

pub(super) async fn a_server_that_hangs_is_left(mut place: Place) {
    place.put_proxy().await;
    let here = place.broker_with(Arc::new(Hurried)).await.expect("it opens");
    let there = place.broker_with(Arc::new(Hurried)).await.expect("it opens");
    let mut subscription = there.subscribe();
    place.proxy().set(Fault::Stall);
    let is_noticed = || async { !here.reaches_other_processes().await && !there.reaches_other_processes().await };
    wait_for("the silence to be noticed", || async { is_noticed().await.then_some(()) }).await;
    // Neither publishing nor closing waits for a server that hangs.
    publish(&*here, vec![event("p", 1)]).await;
    place.proxy().set(Fault::None);
    let is_back = || async { here.reaches_other_processes().await && there.reaches_other_processes().await };
    wait_for("the server to be back", || async { is_back().await.then_some(()) }).await;
    publish(&*here, vec![event("p", 2)]).await;
    let mut is_told = false;
    loop {
        match next(&mut subscription).await {
            Delivery::Missed(_) => is_told = true,
            Delivery::Event(received) if number(&received) == 2 => break,
            _ => {}
        }
    }
    assert!(is_told);
    place.proxy().set(Fault::Stall);
    publish(&*here, vec![event("p", 3)]).await;
    super::within(here.close()).await;
}

pub(super) async fn late_answers_change_nothing(mut place: Place) {
    place.put_proxy().await;
    place.proxy().set(Fault::Delay(Duration::from_millis(150)));
    let (here, there) = (place.broker().await.expect("it opens"), place.broker().await.expect("it opens"));
    let mut subscription = there.subscribe();
    for number in 0..20 {
        publish(&*here, vec![event("p", number)]).await;
    }
    for number in 0..20 {
        assert_eq!(next(&mut subscription).await, Delivery::Event(event("p", number)));
    }
}

pub(super) async fn what_does_not_fit_while_it_is_away_is_counted(mut place: Place) {
    let there = place.broker().await.expect("it opens");
    place.put_proxy().await;
    let here = place.broker().await.expect("it opens");
    let mut subscription = there.subscribe();
    publish(&*here, vec![event("p", 0)]).await;
    assert_eq!(next(&mut subscription).await, Delivery::Event(event("p", 0)));
    place.proxy().set(Fault::Cut);
    wait_for("the loss to be noticed", || async { (!here.reaches_other_processes().await).then_some(()) }).await;
    let (mut taken, mut dropped) = (0_u64, 0_u64);
    for number in 1..400 {
        let batch = super::events("p", number * 100..(number + 1) * 100);
        match here.publish(batch).await {
            Ok(()) => taken += 100,
            Err(error) => {
                dropped += 100;
                assert!(error.source.to_string().contains("too many events"), "{error:?}");
            }
        }
    }
    assert!(dropped > 0, "the queue has no end");
    place.proxy().set(Fault::None);
    wait_for("the server to be back", || async { here.reaches_other_processes().await.then_some(()) }).await;
    // A subscriber that does not keep up with what was waiting is told of that as well, so only the sum is certain. What was dropped is seen
    // by the number of what comes after it.
    let (mut accounted, mut published) = (0, taken + dropped);
    while accounted < published {
        let delivery = tokio::select! {
            delivery = next(&mut subscription) => delivery,
            () = pause(Duration::from_millis(50)) => {
                publish(&*here, vec![event("p", -1)]).await;
                published += 1;
                continue;
            }
        };
        accounted += match delivery {
            Delivery::Event(_) => 1,
            Delivery::Missed(count) => count,
            Delivery::Hint => panic!("nothing was too long"),
        };
    }
    assert_eq!(accounted, published);
}
