//! The way from a scheduler to the database: requests and answers take time, some are lost, and either side may stand still.
//!
//! A call is a transaction of several round trips. Of one that was under way when the server stopped, only the answer is held up: it had come
//! as far as its commit. One that began afterwards takes effect when the server goes on, and only if its caller still waits then, because
//! nobody else would commit it.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use host::model::*;
use host::store::decorate::{Call, Repeat};
use host::store::*;

use tokio_util::task::TaskTracker;

use super::machine::{Power, ProcessClock, Switch, Timeline, Wall};

/// After this long a client gives a call up, as drivers of databases do.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(8);

/// How the network behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Temper {
    /// Messages take up to two milliseconds.
    Calm,
    /// One call of twenty takes up to a second and a half; one of fifty is refused, one of fifty loses its answer.
    Rough,
    /// As when calm, but of renewals of leases, which have a connection of their own, one of twenty is never answered. Those that follow within
    /// a while are, as nobody could keep a lease otherwise.
    Deaf,
}

/// The database and everything between it and its clients.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) timeline: Timeline,
    random: Mutex<fastrand::Rng>,
    temper: Switch<Temper>,
    /// Whether the server answers; SIGSTOP where not.
    is_up: Switch<bool>,
    /// Whether the server stops when it has given jobs to somebody, before the answer is on its way.
    stops_after_giving: Switch<bool>,
    /// The clock that is set, by so many microseconds, when the server has told its time to somebody.
    step_after_asking: Mutex<Option<(Wall, i64)>>,
    /// Every renewal of leases is answered until then.
    none_deaf_before: Mutex<Duration>,
    calls: TaskTracker,
}

struct Passage {
    request: Duration,
    /// How long after the server goes on it reads this request, where it stood still: it has many connections.
    read_after: Duration,
    answer: Duration,
    is_refused: bool,
    is_answer_lost: bool,
    /// Whether the connection is dead, and nobody says so.
    is_dead: bool,
}

impl Network {
    pub(super) fn new(timeline: &Timeline, seed: u64, temper: Temper) -> Network {
        let (temper, is_up) = (Switch::new(temper), Switch::new(true));
        Network {
            timeline: timeline.clone(),
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
            temper,
            is_up,
            stops_after_giving: Switch::new(false),
            step_after_asking: Mutex::default(),
            none_deaf_before: Mutex::default(),
            calls: TaskTracker::new(),
        }
    }

    pub(super) fn set_up(&self, is_up: bool) {
        self.is_up.set(|_| is_up);
    }

    /// Stops the server as soon as the next call that asks for jobs has taken effect.
    pub(super) fn stop_after_giving(&self, stops: bool) {
        self.stops_after_giving.set(|_| stops);
    }

    /// Sets a clock as soon as the next call that asks for the time has been answered.
    pub(super) fn step_after_asking(&self, wall: &Wall, micros: i64) {
        *self.step_after_asking.lock().unwrap_or_else(PoisonError::into_inner) = Some((wall.clone(), micros));
    }

    fn has_told_the_time(&self) {
        let step = self.step_after_asking.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((wall, micros)) = step {
            wall.step(micros);
        }
    }

    /// Whether the server answers.
    pub(super) fn is_up(&self) -> bool {
        self.is_up.get()
    }

    /// Whether every message arrives at once.
    pub(super) fn is_well(&self) -> bool {
        self.is_up.get() && self.temper.get() == Temper::Calm
    }

    pub(super) fn calm_down(&self) {
        self.temper.set(|_| Temper::Calm);
    }

    fn passage(&self, call: Call) -> Passage {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        let mut span = |most: u64| Duration::from_micros(random.u64(0..most * 1_000));
        let (request, read_after, answer) = (span(2), span(4), span(2));
        let calm = Passage { request, read_after, answer, is_refused: false, is_answer_lost: false, is_dead: false };
        match self.temper.get() {
            Temper::Calm => return calm,
            Temper::Rough => {}
            Temper::Deaf => {
                let mut none_before = self.none_deaf_before.lock().unwrap_or_else(PoisonError::into_inner);
                let now = self.timeline.now();
                let is_dead = call.name == "job_extend" && now >= *none_before && random.u8(0..20) == 0;
                if is_dead {
                    *none_before = now + GIVEN_UP_AFTER;
                }
                return Passage { is_dead, ..calm };
            }
        }
        let late = span(750);
        match random.u8(0..100) {
            0..5 => Passage { request: request + late, answer: answer + late, ..calm },
            5..7 => Passage { is_refused: true, ..calm },
            7..9 => Passage { is_answer_lost: true, ..calm },
            _ => calm,
        }
    }
}

/// The caller's end of a call; dropped when it is given up or answered.
struct Waits(Switch<bool>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.set(|_| false);
    }
}

/// What one process has of the network.
pub(super) struct Link {
    inner: Arc<dyn Store>,
    network: Arc<Network>,
    process: ProcessClock,
    /// Whether messages pass; a partition where not.
    is_connected: Switch<bool>,
    /// Whether answers pass.
    hears: Switch<bool>,
    /// Whether the process is stopped when it has taken jobs, before it hears the answer.
    stops_after_taking: Switch<bool>,
}

fn failure(call: Call, certainty: Certainty) -> StoreError {
    StoreError::Backend {
        operation: call.name,
        certainty,
        transient: true,
        source: Arc::new(std::io::Error::other("the network lost it")),
    }
}

impl Link {
    pub(super) fn new(inner: Arc<dyn Store>, network: Arc<Network>, process: ProcessClock) -> Link {
        let (is_connected, hears, stops_after_taking) = (Switch::new(true), Switch::new(true), Switch::new(false));
        Link { inner, network, process, is_connected, hears, stops_after_taking }
    }

    /// Stops the process as soon as its next call that asks for jobs has taken effect.
    pub(super) fn stop_after_taking(&self, stops: bool) {
        self.stops_after_taking.set(|_| stops);
    }

    pub(super) fn connect(&self, is_connected: bool) {
        self.is_connected.set(|_| is_connected);
    }

    pub(super) fn hear(&self, hears: bool) {
        self.hears.set(|_| hears);
    }

    async fn call<R, W, F>(&self, call: Call, work: W) -> Result<R, StoreError>
    where
        R: Send + 'static,
        W: FnOnce(Arc<dyn Store>) -> F + Send,
        F: Future<Output = Result<R, StoreError>> + Send + 'static,
    {
        self.process.awake().await;
        let Passage { request, read_after, answer, is_refused, is_answer_lost, is_dead } = self.network.passage(call);
        if is_dead {
            self.network.timeline.sleep(GIVEN_UP_AFTER).await;
            self.process.awake().await;
            return Err(failure(call, Certainty::Unknown));
        }
        let (network, work) = (Arc::clone(&self.network), work(Arc::clone(&self.inner)));
        let (is_connected, hears) = (self.is_connected.clone(), self.hears.clone());
        let (stops_after_taking, process) = (self.stops_after_taking.clone(), self.process.clone());
        let waits = Waits(Switch::new(true));
        let (is_waited_for, was_heard) = (waits.0.clone(), network.is_up.get() && is_connected.get());
        let at_the_server = self.network.calls.spawn(async move {
            network.timeline.sleep(request).await;
            if !was_heard {
                is_connected.wait_for(|yes| yes).await;
                network.is_up.wait_for(|yes| yes).await;
                network.timeline.sleep(read_after).await;
            }
            if is_refused || !is_waited_for.get() && !was_heard {
                return Err(failure(call, Certainty::NotApplied));
            }
            let answered = work.await;
            if call.name == "store_clock" {
                network.has_told_the_time();
            }
            let gives_jobs = matches!(call.name, "job_acquire" | "job_exchange");
            if stops_after_taking.get() && gives_jobs {
                stops_after_taking.set(|_| false);
                process.set_power(Power::Stopped);
            }
            if network.stops_after_giving.get() && gives_jobs {
                network.stop_after_giving(false);
                network.set_up(false);
            }
            network.timeline.sleep(answer).await;
            network.is_up.wait_for(|yes| yes).await;
            is_connected.wait_for(|yes| yes).await;
            hears.wait_for(|yes| yes).await;
            // Lost is only what may be: a driver that cannot tell says so, and whoever called must cope.
            if is_answer_lost && call.repeat != Repeat::AtOnce {
                return answered.and_then(|_| Err(failure(call, Certainty::Unknown)));
            }
            answered
        });
        let answered = tokio::select! {
            biased;
            answered = at_the_server => answered.unwrap_or_else(|_| Err(failure(call, Certainty::Unknown))),
            () = self.network.timeline.sleep(GIVEN_UP_AFTER) => Err(failure(call, Certainty::Unknown)),
        };
        drop(waits);
        self.process.awake().await;
        answered
    }

    fn line(&self) -> Box<dyn LeaseLine> {
        Box::new(Line(Link {
            inner: Arc::clone(&self.inner),
            network: Arc::clone(&self.network),
            process: self.process.clone(),
            is_connected: self.is_connected.clone(),
            hears: self.hears.clone(),
            stops_after_taking: self.stops_after_taking.clone(),
        }))
    }

    async fn shut(&self) {
        // Others go on with the same data.
    }
}

/// A connection of its own, on the same network.
struct Line(Link);

#[async_trait::async_trait]
impl LeaseLine for Line {
    async fn extend(&mut self, request: ExtendJobs) -> Result<Vec<Extended>, StoreError> {
        self.0.job_extend(request).await
    }
}

host::store::decorate!(Link, once);
