//! Virtual time. It stands still while anybody has something to do, and then moves on to what is waited for next.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use host::clock::{Clock, Instant};
use host::model::Timestamp;

/// No run lasts longer than this; one that does waits for something that never comes.
const HORIZON: Duration = Duration::from_secs(24 * 3_600);

/// The time that passes for everyone alike.
#[derive(Debug, Clone)]
pub(super) struct Timeline(Arc<Mutex<Timers>>);

#[derive(Debug)]
struct Timers {
    now: Duration,
    /// Who waits, by when. Those who wait for the same moment are woken in an order that the seed decides.
    waiting: BTreeMap<Key, Waker>,
    last: u64,
    random: fastrand::Rng,
}

type Key = (Duration, u32, u64);

impl Timeline {
    pub(super) fn new(seed: u64) -> Timeline {
        let random = fastrand::Rng::with_seed(seed);
        Timeline(Arc::new(Mutex::new(Timers { now: Duration::ZERO, waiting: BTreeMap::new(), last: 0, random })))
    }

    /// Runs a program of which every wait is one of this time.
    pub(super) fn run<T>(&self, program: impl Future<Output = T>) -> T {
        let on = self.clone();
        // The runtime says so before it would put its only thread to sleep: nothing can go on by itself then.
        let runtime = tokio::runtime::Builder::new_current_thread().on_thread_park(move || on.move_on()).build();
        runtime.expect("a runtime").block_on(program)
    }

    /// How long it has run.
    pub(super) fn now(&self) -> Duration {
        self.timers().now
    }

    pub(super) fn sleep(&self, span: Duration) -> Sleep {
        Sleep { on: self.clone(), until: self.now().saturating_add(span), key: None }
    }

    fn move_on(&self) {
        let waker = {
            let mut timers = self.timers();
            let Some(((at, ..), waker)) = timers.waiting.pop_first() else {
                panic!("everybody waits, and for nothing")
            };
            assert!(at < HORIZON, "the run does not end");
            timers.now = timers.now.max(at);
            waker
        };
        waker.wake();
    }

    fn timers(&self) -> MutexGuard<'_, Timers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A wait.
#[derive(Debug)]
pub(super) struct Sleep {
    on: Timeline,
    until: Duration,
    key: Option<Key>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let until = self.until;
        let key = self.key.take();
        let mut timers = self.on.timers();
        let key = key.unwrap_or_else(|| {
            timers.last += 1;
            (until, timers.random.u32(..), timers.last)
        });
        if timers.now >= until {
            timers.waiting.remove(&key);
            return Poll::Ready(());
        }
        timers.waiting.insert(key, cx.waker().clone());
        drop(timers);
        self.key = Some(key);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.on.timers().waiting.remove(&key);
        }
    }
}

/// A value that somebody sets and others wait for. They are woken in the order in which they came, so that a seed is one course of events.
#[derive(Debug)]
pub(super) struct Switch<T>(Arc<Mutex<(T, Vec<Waker>)>>);

impl<T> Clone for Switch<T> {
    fn clone(&self) -> Switch<T> {
        Switch(Arc::clone(&self.0))
    }
}

impl<T: Copy> Switch<T> {
    pub(super) fn new(value: T) -> Switch<T> {
        Switch(Arc::new(Mutex::new((value, Vec::new()))))
    }

    pub(super) fn get(&self) -> T {
        self.state().0
    }

    pub(super) fn set(&self, change: impl FnOnce(T) -> T) {
        let waiting = {
            let mut state = self.state();
            state.0 = change(state.0);
            std::mem::take(&mut state.1)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    pub(super) async fn wait_for(&self, holds: impl Fn(T) -> bool) {
        std::future::poll_fn(|cx| {
            let mut state = self.state();
            if holds(state.0) {
                return Poll::Ready(());
            }
            state.1.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    pub(super) fn is(&self, other: &Switch<T>) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn state(&self) -> MutexGuard<'_, (T, Vec<Waker>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time of day, which somebody may set.
#[derive(Debug, Clone)]
pub(super) struct Wall {
    timeline: Timeline,
    ahead: Switch<i64>,
    /// The latest that it has ever shown.
    latest: Arc<Mutex<Timestamp>>,
}

impl Wall {
    pub(super) fn new(timeline: &Timeline, ahead_micros: i64) -> Wall {
        let wall = Wall {
            timeline: timeline.clone(),
            ahead: Switch::new(ahead_micros),
            latest: Arc::new(Mutex::new(Timestamp::MIN)),
        };
        wall.now();
        wall
    }

    pub(super) fn now(&self) -> Timestamp {
        let micros = i64::try_from(self.timeline.now().as_micros()).expect("a short run");
        let start = tests::factory::t(0).as_micros();
        let now = Timestamp::from_micros(start + micros + self.ahead.get()).expect("a time");
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        *latest = now.max(*latest);
        now
    }

    pub(super) fn latest(&self) -> Timestamp {
        self.now();
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn step(&self, micros: i64) {
        self.now();
        self.ahead.set(|ahead| ahead + micros);
    }
}

/// What becomes of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Power {
    Runs,
    /// SIGSTOP: nothing goes on until it is continued, and time passes.
    Stopped,
    /// SIGKILL.
    Dead,
}

/// The clock of one process; it is also what can stop it.
#[derive(Debug, Clone)]
pub(super) struct ProcessClock {
    pub(super) timeline: Timeline,
    pub(super) wall: Wall,
    power: Switch<Power>,
}

impl ProcessClock {
    pub(super) fn new(timeline: &Timeline, wall: &Wall) -> ProcessClock {
        ProcessClock { timeline: timeline.clone(), wall: wall.clone(), power: Switch::new(Power::Runs) }
    }

    pub(super) fn power(&self) -> Power {
        self.power.get()
    }

    pub(super) fn is(&self, other: &ProcessClock) -> bool {
        self.power.is(&other.power)
    }

    /// A dead one stays dead.
    pub(super) fn set_power(&self, power: Power) {
        self.power.set(|now| if now == Power::Dead { now } else { power });
    }

    /// Waits until the process runs.
    pub(super) async fn awake(&self) {
        self.power.wait_for(|power| power == Power::Runs).await;
    }
}

#[async_trait]
impl Clock for ProcessClock {
    fn now(&self) -> Timestamp {
        self.wall.now()
    }

    fn monotonic(&self) -> Instant {
        Instant::new(Duration::from_secs(1_000_000) + self.timeline.now())
    }

    async fn sleep(&self, span: Duration) {
        self.timeline.sleep(span).await;
        self.awake().await;
    }

    async fn sleep_until(&self, time: Timestamp) {
        loop {
            let ahead = self.wall.ahead.get();
            let left = time.saturating_since(self.wall.now());
            if left.is_zero() {
                return self.awake().await;
            }
            tokio::select! {
                biased;
                () = self.wall.ahead.wait_for(|now| now != ahead) => {}
                () = self.timeline.sleep(left) => {}
            }
        }
    }
}
