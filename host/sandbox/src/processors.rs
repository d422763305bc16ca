//! Shares the processors between tasks.
//!
//! A guest that computes is interrupted at every tick of the epoch, when its time slice is over. Which guest goes on then is decided here:
//! one of the task that has had the least time on processors, and among those of one task the one that waits longest. So a task is not
//! slowed down by how many attempts another one has.
//!
//! A task that comes back after a pause begins where the others are: time that it did not use is not saved up, and time that it had before
//! the others is not forgotten by ending one attempt and beginning the next.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::clock::Stopwatch;
use crate::model::TaskId;

/// Tasks without attempts that are remembered before those that others have caught up with are forgotten.
const IDLE_TASKS_MAX: usize = 1_024;

/// The shortest time slice. The tick at which a guest is interrupted was set when it ran last and may be long over when it goes on: it would
/// make room again before it has done anything.
const SLICE_MIN: Duration = Duration::from_millis(5);

/// The processors that guests run on.
pub(super) struct Processors(Mutex<State>);

#[derive(Default)]
struct State {
    free: usize,
    /// The least time that any task with something to do had when it last got a processor. It never goes back.
    time: Duration,
    tasks: HashMap<TaskId, Task>,
    /// The tasks with attempts that wait, those that have had least first.
    waiting: BTreeSet<(Duration, TaskId)>,
    attempts: HashMap<u64, Standing>,
    next_attempt: u64,
}

#[derive(Default)]
struct Task {
    /// Time on processors.
    used: Duration,
    attempts: usize,
    waiting: VecDeque<u64>,
}

/// How an attempt stands.
enum Standing {
    /// It waits for something else than a processor.
    Idle,
    Waiting(Waker),
    /// It has a processor, or has been woken to go on with it.
    Running,
    /// It has a processor and goes on, unless somebody else is to have it.
    MakesRoom,
}

/// What a future has done with a processor.
enum Used {
    /// It has ended, or waits for something else.
    Up,
    /// It made room for others, and would go on.
    Slice,
}

impl Processors {
    pub(super) fn new(count: usize) -> Arc<Processors> {
        Arc::new(Processors(Mutex::new(State { free: count.max(1), ..State::default() })))
    }

    /// Runs a future of that task, each time it is polled on a processor of its own. The future says in `slice` when it only makes room.
    pub(super) fn share<F: Future>(self: &Arc<Self>, task: TaskId, slice: TimeSlice, future: F) -> Sharing<F> {
        let mut state = self.state();
        state.forget_idle();
        state.tasks.entry(task.clone()).or_default().attempts += 1;
        let attempt = state.next_attempt;
        state.next_attempt += 1;
        state.attempts.insert(attempt, Standing::Idle);
        drop(state);
        Sharing { future: Box::pin(future), slice, turn: Turn { processors: Arc::clone(self), task, attempt } }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics between two changes that belong together.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether the attempt may go on now; else it is woken when it may.
    fn ask(&mut self, task: &TaskId, attempt: u64, waker: &Waker) -> Asked {
        let Some(standing) = self.attempts.get_mut(&attempt) else { return Asked::Waits(None) };
        match standing {
            Standing::Running => return Asked::Goes,
            Standing::Waiting(known) => {
                known.clone_from(waker);
                return Asked::Waits(None);
            }
            // As if it had waited for a processor since it made room, but behind those of its task that wait longer.
            Standing::MakesRoom => self.free += 1,
            Standing::Idle => {}
        }
        *standing = Standing::Waiting(waker.clone());
        let time = self.time;
        let Some(entry) = self.tasks.get_mut(task) else { return Asked::Waits(None) };
        entry.waiting.push_back(attempt);
        if entry.waiting.len() == 1 {
            entry.used = entry.used.max(time);
            self.waiting.insert((entry.used, task.clone()));
        }
        let next = self.give_out();
        match self.attempts.get(&attempt) {
            Some(Standing::Running) => Asked::Goes,
            _ => Asked::Waits(next),
        }
    }

    /// Gives a processor, if one is free, to the attempt whose turn it is, and answers what wakes it.
    fn give_out(&mut self) -> Option<Waker> {
        if self.free == 0 {
            return None;
        }
        let (used, task) = self.waiting.pop_first()?;
        let entry = self.tasks.get_mut(&task)?;
        let attempt = entry.waiting.pop_front()?;
        if !entry.waiting.is_empty() {
            self.waiting.insert((used, task));
        }
        self.time = self.time.max(used);
        self.free -= 1;
        match self.attempts.insert(attempt, Standing::Running) {
            Some(Standing::Waiting(waker)) => Some(waker),
            _ => None,
        }
    }

    /// Notes that an attempt had a processor for so long, and takes it back where the attempt has no more use for it. The answer wakes whose
    /// turn it is then.
    fn used(&mut self, task: &TaskId, attempt: u64, took: Duration, used: &Used) -> Option<Waker> {
        if let Some(entry) = self.tasks.get_mut(task) {
            let was = entry.used;
            entry.used = was.saturating_add(took);
            if !entry.waiting.is_empty() {
                self.waiting.remove(&(was, task.clone()));
                self.waiting.insert((entry.used, task.clone()));
            }
        }
        if matches!(used, Used::Slice) {
            self.attempts.insert(attempt, Standing::MakesRoom);
            return None;
        }
        self.attempts.insert(attempt, Standing::Idle);
        self.free += 1;
        self.give_out()
    }

    /// An attempt is over, whatever it waited for. The answer wakes whose turn it is then.
    fn leave(&mut self, task: &TaskId, attempt: u64) -> Option<Waker> {
        let standing = self.attempts.remove(&attempt);
        if let Some(entry) = self.tasks.get_mut(task) {
            entry.attempts = entry.attempts.saturating_sub(1);
            if matches!(standing, Some(Standing::Waiting(_))) {
                entry.waiting.retain(|waiting| *waiting != attempt);
                if entry.waiting.is_empty() {
                    self.waiting.remove(&(entry.used, task.clone()));
                }
            }
        }
        if !matches!(standing, Some(Standing::Running | Standing::MakesRoom)) {
            return None;
        }
        self.free += 1;
        self.give_out()
    }

    /// Forgets tasks without attempts whose time others have had since.
    fn forget_idle(&mut self) {
        if self.tasks.len() > IDLE_TASKS_MAX.saturating_add(self.attempts.len()) {
            let time = self.time;
            self.tasks.retain(|_, task| task.attempts > 0 || task.used > time);
        }
    }
}

/// What an attempt that asks for a processor is told.
#[derive(Debug)]
enum Asked {
    Goes,
    /// It is woken when its turn comes; whose turn it is now is woken by this.
    Waits(Option<Waker>),
}

/// The time for which an attempt has had its processor without a break.
#[derive(Clone)]
pub(super) struct TimeSlice(Arc<Mutex<Slice>>);

struct Slice {
    began: Stopwatch,
    makes_room: bool,
}

impl TimeSlice {
    pub(super) fn new() -> TimeSlice {
        TimeSlice(Arc::new(Mutex::new(Slice { began: Stopwatch::start(), makes_room: false })))
    }

    /// Whether it has lasted long enough to make room for others. The future that asked waits with [`tokio::task::yield_now`] then: it is
    /// polled again when everything else that its thread has to do was looked at, and goes on if nobody else is to.
    pub(super) fn is_over(&self) -> bool {
        let mut slice = self.slice();
        slice.makes_room = slice.began.elapsed() >= SLICE_MIN;
        slice.makes_room
    }

    fn begin(&self) {
        *self.slice() = Slice { began: Stopwatch::start(), makes_room: false };
    }

    fn end(&self) -> (Duration, bool) {
        let slice = self.slice();
        (slice.began.elapsed(), slice.makes_room)
    }

    fn slice(&self) -> MutexGuard<'_, Slice> {
        // Two plain values.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A future that runs only while it has a processor, and gives it back whenever it waits.
pub(super) struct Sharing<F> {
    future: Pin<Box<F>>,
    slice: TimeSlice,
    turn: Turn,
}

/// An attempt among the others. Dropped, it is no longer among them.
struct Turn {
    processors: Arc<Processors>,
    task: TaskId,
    attempt: u64,
}

impl<F: Future> Future for Sharing<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Sharing { future, slice, turn: Turn { processors, task, attempt } } = &mut *self;
        let asked = processors.state().ask(task, *attempt, cx.waker());
        // Wakers are called outside the lock: what they do is not ours to know.
        if let Asked::Waits(next) = asked {
            next.into_iter().for_each(Waker::wake);
            return Poll::Pending;
        }
        slice.begin();
        let polled = future.as_mut().poll(cx);
        let (took, makes_room) = slice.end();
        let used = if makes_room && polled.is_pending() { Used::Slice } else { Used::Up };
        let next = processors.state().used(task, *attempt, took, &used);
        next.into_iter().for_each(Waker::wake);
        polled
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let next = self.processors.state().leave(&self.task, self.attempt);
        next.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::task::noop_waker;

    use super::*;

    fn task(name: &str) -> TaskId {
        name.parse().expect("a task")
    }

    /// Takes turns by hand, each of so many milliseconds.
    struct Hand {
        processors: Arc<Processors>,
        turns: Vec<Turn>,
    }

    impl Hand {
        fn new(processors: usize) -> Hand {
            Hand { processors: Processors::new(processors), turns: Vec::new() }
        }

        /// Begins an attempt of a task, which wants a processor at once; answers whether it has one.
        fn begin(&mut self, name: &str) -> bool {
            let Sharing { turn, .. } = self.processors.share(task(name), TimeSlice::new(), async {});
            self.turns.push(turn);
            self.ask(self.turns.len() - 1)
        }

        fn begin_all(&mut self, names: &[&str]) {
            for name in names {
                self.begin(name);
            }
        }

        fn ask(&self, attempt: usize) -> bool {
            let Turn { task, attempt, .. } = &self.turns[attempt];
            matches!(self.processors.state().ask(task, *attempt, &noop_waker()), Asked::Goes)
        }

        /// The attempts that have a processor.
        fn running(&self) -> Vec<usize> {
            let state = self.processors.state();
            let runs = |turn: &Turn| matches!(state.attempts.get(&turn.attempt), Some(Standing::Running));
            (0..self.turns.len()).filter(|index| runs(&self.turns[*index])).collect()
        }

        /// An attempt computes for so long, and makes room.
        fn tick(&self, attempt: usize, millis: u64) {
            let Turn { task, attempt: id, .. } = &self.turns[attempt];
            let next = self.processors.state().used(task, *id, Duration::from_millis(millis), &Used::Slice);
            assert!(next.is_none(), "it has its processor until it is looked whether anybody else is to have it");
            self.ask(attempt);
        }
    }

    #[test]
    fn attempts_of_one_task_take_turns_in_the_order_in_which_they_ask() {
        let mut hand = Hand::new(1);
        assert!(hand.begin("a:x"));
        assert!(!hand.begin("a:x"));
        assert!(!hand.begin("a:x"));
        let mut order = Vec::new();
        for _ in 0..6 {
            let running = hand.running()[0];
            order.push(running);
            hand.tick(running, 10);
        }
        assert_eq!(order, [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn a_task_with_many_attempts_gets_no_more_than_one_with_a_single_one() {
        let mut hand = Hand::new(2);
        hand.begin_all(&["many:x"; 100]);
        for _ in 0..50 {
            hand.tick(hand.running()[0], 10);
        }
        hand.begin("one:x");
        let mut turns = [0, 0];
        for _ in 0..200 {
            let running = hand.running();
            let next = running[turns.iter().sum::<usize>() % running.len()];
            turns[usize::from(next == 100)] += 1;
            hand.tick(next, 10);
        }
        assert!((99..=101).contains(&turns[1]), "one attempt can have one of two processors all the time: {turns:?}");
    }

    #[test]
    fn who_comes_anew_goes_first_at_the_next_tick_and_saves_nothing_up() {
        let mut hand = Hand::new(1);
        hand.begin_all(&["old:x"; 3]);
        for _ in 0..30 {
            hand.tick(hand.running()[0], 10);
        }
        hand.begin("new:x");
        hand.tick(hand.running()[0], 10);
        assert_eq!(hand.running(), [3], "it has had nothing yet");
        let mut turns = 0;
        for _ in 0..20 {
            let running = hand.running()[0];
            turns += usize::from(running == 3);
            hand.tick(running, 10);
        }
        assert!((10..=11).contains(&turns), "from then on they share: {turns}");
    }

    #[test]
    fn beginning_a_new_attempt_each_time_brings_a_task_no_more() {
        let mut hand = Hand::new(1);
        hand.begin("a:x");
        hand.begin("b:x");
        let mut turns = 0;
        for _ in 0..40 {
            let running = hand.running()[0];
            if running == 0 {
                hand.tick(0, 10);
                continue;
            }
            turns += 1;
            let Turn { task, attempt, .. } = &hand.turns[running];
            drop(hand.processors.state().used(task, *attempt, Duration::from_millis(10), &Used::Up));
            drop(hand.turns.pop());
            hand.begin("b:x");
        }
        assert!((19..=21).contains(&turns), "{turns}");
    }

    #[test]
    fn an_attempt_that_ends_while_it_waits_or_has_its_turn_leaves_the_processor_to_others() {
        let mut hand = Hand::new(1);
        hand.begin_all(&["a:x"; 3]);
        drop(hand.turns.remove(1));
        assert_eq!(hand.running(), [0]);
        drop(hand.turns.remove(0));
        assert_eq!(hand.running(), [0], "the third one");
        hand.turns.clear();
        assert!(hand.begin("b:x"));
        assert!(hand.processors.state().waiting.is_empty());
    }

    #[test]
    fn idle_tasks_are_forgotten_when_there_are_many() {
        let hand = Hand::new(1);
        for index in 0..3 * IDLE_TASKS_MAX {
            drop(hand.processors.share(task(&format!("t:x{index}")), TimeSlice::new(), async {}));
        }
        assert!(hand.processors.state().tasks.len() <= IDLE_TASKS_MAX + 2);
    }

    #[test]
    fn no_more_futures_run_at_once_than_there_are_processors_and_all_of_them_end() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().expect("threads");
        let processors = Processors::new(2);
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let attempts: Vec<_> = (0..50)
            .map(|index| {
                let (running, most) = (Arc::clone(&running), Arc::clone(&most));
                runtime.spawn(processors.share(task(&format!("t:x{}", index % 5)), TimeSlice::new(), async move {
                    for _ in 0..20 {
                        most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::hint::black_box((0..1_000).sum::<u64>());
                        running.fetch_sub(1, Ordering::SeqCst);
                        tokio::task::yield_now().await;
                    }
                }))
            })
            .collect();
        runtime.block_on(async {
            for attempt in attempts {
                attempt.await.expect("it ends");
            }
        });
        assert!(most.load(Ordering::SeqCst) <= 2);
        let state = processors.state();
        assert_eq!((state.free, state.attempts.len(), state.waiting.len()), (2, 0, 0));
    }

    #[test]
    fn a_future_that_panics_gives_its_processor_back() {
        let processors = Processors::new(1);
        let mut sharing = Box::pin(processors.share(task("a:x"), TimeSlice::new(), async { panic!("on purpose") }));
        let poll = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _pending = sharing.as_mut().poll(&mut Context::from_waker(&noop_waker()));
        }));
        assert!(poll.is_err());
        drop(sharing);
        assert_eq!(processors.state().free, 1);
    }
}
