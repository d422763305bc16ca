//! The store's time as a host knows it, whatever the store and the clocks do.

use std::sync::Arc;
use std::time::Duration;

use host::clock::{Clock as _, ManualClock};
use host::model::Timestamp;
use host::store::memory::MemoryStore;
use host::store::store_clock::{Measured, StoreClock};
use tests::doubles::stalling::{Stall, Stalling};

const QUICK: Duration = Duration::from_millis(500);
const SLOW: Duration = Duration::from_secs(45);

fn noon() -> Timestamp {
    "2026-05-01T12:00:00Z".parse().expect("a time")
}

/// A server that is right, and a host that is behind by a minute; one second passes on both alike.
struct Two {
    server: ManualClock,
    host: ManualClock,
    store: Arc<Stalling>,
    clock: StoreClock,
}

impl Two {
    fn new() -> Two {
        let (server, host) = (ManualClock::new(noon()), ManualClock::new(noon()));
        host.step_back(Duration::from_secs(60));
        let store = Arc::new(Stalling::new(Arc::new(MemoryStore::server(Arc::new(server.clone())))));
        let clock = StoreClock::new(Arc::new(host.clone()));
        Two { server, host, store, clock }
    }

    fn advance(&self, span: Duration) {
        self.server.advance(span);
        self.host.advance(span);
    }

    async fn measure(&self) -> Measured {
        self.clock.measure(&*self.store, QUICK).await.expect("it answers")
    }

    /// A measurement whose request or answer is under way for `took`.
    async fn measure_slowly(&self, stall: Stall, took: Duration) -> Measured {
        self.store.stall(stall);
        let (measured, ()) = futures_util::future::join(self.measure(), async {
            self.store.reached("store_clock", 1).await;
            self.advance(took);
            self.store.go_on();
        })
        .await;
        measured
    }
}

#[tokio::test]
async fn it_shows_the_servers_time_and_waits_by_it() {
    let two = Two::new();
    assert_eq!(two.clock.now(), two.host.now(), "nobody has asked yet");
    two.measure().await;
    two.advance(Duration::from_secs(5));
    assert_eq!(two.clock.now(), two.server.now());
    let mut wait = Box::pin(two.clock.sleep_until(two.server.now().saturating_add(Duration::from_secs(1))));
    assert_eq!(futures_util::FutureExt::now_or_never(&mut wait), None);
    two.advance(Duration::from_secs(1));
    wait.await;
}

#[tokio::test]
async fn the_hosts_time_of_day_may_be_set_without_changing_it() {
    let two = Two::new();
    two.measure().await;
    two.host.step_back(Duration::from_secs(3_600));
    assert_eq!(two.clock.now(), two.server.now());
    assert!(!two.measure().await.was_set);
    assert_eq!(two.clock.now(), two.server.now());
}

#[tokio::test]
async fn an_answer_that_took_long_changes_nothing() {
    let two = Two::new();
    two.measure().await;
    for stall in [Stall::Requests, Stall::Answers] {
        let measured = two.measure_slowly(stall, SLOW).await;
        assert_eq!((measured.took(), measured.was_set), (SLOW, false));
        assert_eq!(two.clock.now(), two.server.now(), "{stall:?}");
    }
}

#[tokio::test]
async fn that_a_servers_clock_was_set_is_noticed_also_by_an_answer_that_took_long() {
    for stall in [Stall::Requests, Stall::Answers] {
        let two = Two::new();
        two.measure().await;
        two.server.step_forward(Duration::from_secs(7_200));
        let measured = two.measure_slowly(stall, SLOW).await;
        assert!(measured.was_set, "{stall:?}");
        assert!(two.server.now().saturating_since(two.clock.now()) <= SLOW, "{stall:?}");
        two.measure().await;
        assert_eq!(two.clock.now(), two.server.now(), "{stall:?}");
    }
}

#[tokio::test]
async fn a_server_whose_clock_is_set_is_followed_and_that_is_noticed() {
    let two = Two::new();
    two.measure().await;
    two.server.step_forward(Duration::from_secs(7_200));
    assert!(two.measure().await.was_set);
    assert_eq!(two.clock.now(), two.server.now());
    assert!(!two.measure().await.was_set);
}

#[tokio::test]
async fn without_a_clock_of_the_stores_own_a_step_of_the_machines_is_noticed() {
    let host = ManualClock::new(noon());
    let clock = StoreClock::new(Arc::new(host.clone()));
    let store = MemoryStore::new();
    assert!(!clock.measure(&store, QUICK).await.expect("it answers").was_set);
    host.advance(Duration::from_secs(60));
    assert!(!clock.measure(&store, QUICK).await.expect("it answers").was_set);
    host.step_back(Duration::from_secs(600));
    assert!(clock.measure(&store, QUICK).await.expect("it answers").was_set);
    assert_eq!(clock.now(), host.now());
}
