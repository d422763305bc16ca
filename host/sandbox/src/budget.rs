//! The memory that all attempts of this process may have together.
//!
//! A hundred attempts of 256 MiB each are more than most machines have, so an attempt begins only when there is room for
//! it: for what it may use, or, once its task has run, for what the task was seen to use. One that then grows beyond that
//! takes more while it runs. It waits if there is nothing left, as others end; if that takes too long the growth is refused,
//! so that attempts which wait for each other do not wait for ever. The next attempt of the task begins with room for more.
//!
//! Attempts begin in the order in which they ask: a large one is not passed by small ones for ever. One that runs and grows
//! does not queue behind them, as it holds what they wait for. A task leaves a part of the memory to others, and one of which no attempt
//! has memory does not queue behind those that have some: however much the attempts of one task want, others begin.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::Stopwatch;
use crate::model::{Digest, MemoryLoad, TaskName};

/// How long an attempt that grows waits for others to end.
const GROWTH_WAIT_MAX: Duration = Duration::from_secs(5);
/// Tasks whose memory is remembered.
const TASKS_MAX: usize = 10_000;
/// The least that an attempt begins with: its own memory, and what the host needs to run it.
const ATTEMPT_BYTES_MIN: u64 = 1 << 20;

/// The memory of all attempts.
pub(super) struct Budget {
    total: u64,
    held: Mutex<Held>,
    released: Notify,
    /// Held by the attempt whose turn it is to begin, of those whose tasks have memory.
    turn: tokio::sync::Mutex<()>,
    /// Held by the attempt whose turn it is to begin, of those whose tasks have none.
    first_turn: tokio::sync::Mutex<()>,
    /// Attempts that wait to begin.
    waiting: AtomicUsize,
    growth_wait_max: Duration,
    peaks: Mutex<HashMap<TaskKey, u64>>,
}

type TaskKey = (Digest, TaskName);

/// Who has what.
struct Held {
    free: u64,
    /// What the attempts of a task have, if they have anything.
    by_task: HashMap<TaskKey, u64>,
}

/// What one attempt has of it; given back when dropped.
pub(super) struct Share {
    /// Where it is from, and for which task; `None`: as much as it likes.
    budget: Option<(Arc<Budget>, TaskKey)>,
    bytes: u64,
    /// How long its growth may still wait.
    patience: Duration,
}

impl Budget {
    /// A budget of so many bytes.
    pub(super) fn new(total: u64) -> Arc<Budget> {
        Arc::new(Budget {
            total,
            held: Mutex::new(Held { free: total, by_task: HashMap::new() }),
            released: Notify::new(),
            turn: tokio::sync::Mutex::default(),
            first_turn: tokio::sync::Mutex::default(),
            waiting: AtomicUsize::new(0),
            growth_wait_max: GROWTH_WAIT_MAX,
            peaks: Mutex::default(),
        })
    }

    /// How things stand.
    pub(super) fn load(&self) -> MemoryLoad {
        MemoryLoad {
            total_bytes: self.total,
            reserved_bytes: self.total.saturating_sub(self.held().free),
            waiting: self.waiting.load(Ordering::Relaxed),
        }
    }

    /// Waits for room for an attempt of a task that may use `limit` bytes.
    pub(super) async fn admit(self: &Arc<Self>, digest: Digest, task: &TaskName, limit: u64) -> Share {
        let task = (digest, task.clone());
        let known = self.peaks().get(&task).copied();
        // A quarter more than was seen, so that not every attempt that uses a little more has to ask.
        let wanted = known.map_or(limit, |peak| peak.saturating_add(peak / 4)).max(ATTEMPT_BYTES_MIN).min(limit);
        // An attempt that may use more than there is gets all there is.
        let bytes = wanted.min(self.total);
        let is_taken = self.turn_of(&task).try_lock().is_ok_and(|_turn| self.try_begin(&task, bytes));
        if !is_taken {
            let _waiting = Waiting::begin(self);
            let _turn = self.wait_for_turn(&task).await;
            self.until(|| self.try_begin(&task, bytes)).await;
        }
        Share { budget: Some((Arc::clone(self), task)), bytes, patience: self.growth_wait_max }
    }

    /// Remembers what an attempt used at most. One that was refused more than its share would have used an unknown amount.
    pub(super) fn ended(&self, digest: Digest, task: &TaskName, peak: u64, was_refused: bool) {
        let mut peaks = self.peaks();
        let key = (digest, task.clone());
        if was_refused {
            peaks.remove(&key);
            return;
        }
        if peaks.len() >= TASKS_MAX && !peaks.contains_key(&key) {
            // They are measured again soon enough.
            peaks.clear();
        }
        let known = peaks.entry(key).or_default();
        *known = peak.max(*known);
    }

    fn peaks(&self) -> MutexGuard<'_, HashMap<TaskKey, u64>> {
        // The map is whole between any two of its statements.
        self.peaks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Nothing that can panic happens between its statements.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn_of(&self, task: &TaskKey) -> &tokio::sync::Mutex<()> {
        if self.held().by_task.contains_key(task) { &self.turn } else { &self.first_turn }
    }

    /// Waits for the turn of an attempt. One whose task has got memory meanwhile goes to the others of that kind, or it would keep those
    /// waiting whose tasks have none.
    async fn wait_for_turn(&self, task: &TaskKey) -> tokio::sync::MutexGuard<'_, ()> {
        loop {
            let turn = self.turn_of(task);
            let guard = turn.lock().await;
            if std::ptr::eq(turn, self.turn_of(task)) || std::ptr::eq(turn, &self.turn) {
                return guard;
            }
        }
    }

    /// Takes what an attempt begins with.
    fn try_begin(&self, task: &TaskKey, bytes: u64) -> bool {
        let mut held = self.held();
        let left_to_others = if held.by_task.contains_key(task) { MemoryLoad::kept_for_others(self.total) } else { 0 };
        bytes.saturating_add(left_to_others) <= held.free && held.take(task, bytes)
    }

    /// Takes what an attempt grows by.
    fn try_grow(&self, task: &TaskKey, bytes: u64) -> bool {
        self.held().take(task, bytes)
    }

    /// Waits until there was enough.
    async fn until(&self, mut try_take: impl FnMut() -> bool) {
        loop {
            // From here on, so that what is released after the look is noticed.
            let mut released = std::pin::pin!(self.released.notified());
            released.as_mut().enable();
            if try_take() {
                return;
            }
            released.await;
        }
    }

    fn give_back(&self, task: &TaskKey, bytes: u64) {
        self.held().give_back(task, bytes);
        self.released.notify_waiters();
    }
}

impl Held {
    fn take(&mut self, task: &TaskKey, bytes: u64) -> bool {
        let Some(left) = self.free.checked_sub(bytes) else { return false };
        self.free = left;
        match self.by_task.get_mut(task) {
            Some(held) => *held += bytes,
            None => {
                self.by_task.insert(task.clone(), bytes);
            }
        }
        true
    }

    fn give_back(&mut self, task: &TaskKey, bytes: u64) {
        self.free += bytes;
        if let Some(held) = self.by_task.get_mut(task) {
            *held -= bytes;
            if *held == 0 {
                self.by_task.remove(task);
            }
        }
    }
}

/// An attempt that waits to begin, counted until it is dropped.
struct Waiting<'a>(&'a Budget);

impl Waiting<'_> {
    fn begin(budget: &Budget) -> Waiting<'_> {
        if budget.waiting.fetch_add(1, Ordering::Relaxed) == 0 {
            let MemoryLoad { total_bytes, reserved_bytes, .. } = budget.load();
            tracing::info!(total_bytes, reserved_bytes, "jobs wait for memory; `--max-memory` gives all of them more");
        }
        Waiting(budget)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Some((budget, task)) = &self.budget {
            budget.give_back(task, self.bytes);
        }
    }
}

impl Share {
    /// A share without a bound.
    pub(super) fn unlimited() -> Share {
        Share { budget: None, bytes: 0, patience: Duration::ZERO }
    }

    /// Makes the share cover `bytes`, if there is room now.
    pub(super) fn extend_now(&mut self, bytes: u64) -> bool {
        let Some((budget, task, more)) = self.missing(bytes) else { return true };
        let is_taken = budget.try_grow(task, more);
        self.bytes += if is_taken { more } else { 0 };
        is_taken
    }

    /// Makes the share cover `bytes`, waiting a while for room; all its growth together does not wait longer than one may, or a guest
    /// that is refused and asks again would sit on what it has.
    #[expect(clippy::disallowed_methods, reason = "bounds the wait for other attempts; no store call is raced here")]
    pub(super) async fn extend(&mut self, bytes: u64) -> bool {
        if self.extend_now(bytes) {
            return true;
        }
        let Some((budget, task, more)) = self.missing(bytes) else { return true };
        if self.patience.is_zero() {
            return false;
        }
        tracing::info!(
            total_bytes = budget.total,
            "a job that runs waits for memory; `--max-memory` gives all of them more"
        );
        let waited = Stopwatch::start();
        let taken = budget.until(|| budget.try_grow(task, more));
        let is_taken = tokio::time::timeout(self.patience, taken).await.is_ok();
        self.patience = if is_taken { self.patience.saturating_sub(waited.elapsed()) } else { Duration::ZERO };
        self.bytes += if is_taken { more } else { 0 };
        is_taken
    }

    /// What is missing to cover `bytes`. An attempt that has all there is lacks nothing: its own limit holds it.
    fn missing(&self, bytes: u64) -> Option<(&Arc<Budget>, &TaskKey, u64)> {
        let (budget, task) = self.budget.as_ref()?;
        let more = bytes.min(budget.total).saturating_sub(self.bytes);
        (more > 0).then_some((budget, task, more))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn task(name: &str) -> TaskName {
        TaskName::new(name).expect("valid")
    }

    fn digest() -> Digest {
        Digest::from_bytes([7; 32])
    }

    #[tokio::test]
    async fn an_attempt_reserves_what_it_may_use_until_its_task_was_measured() {
        let budget = Budget::new(100 * MIB);
        let share = budget.admit(digest(), &task("t"), 64 * MIB).await;
        assert_eq!(budget.load().reserved_bytes, 64 * MIB);
        drop(share);
        budget.ended(digest(), &task("t"), 8 * MIB, false);
        let share = budget.admit(digest(), &task("t"), 64 * MIB).await;
        assert_eq!(budget.load().reserved_bytes, 10 * MIB);
        drop(share);
        assert_eq!(budget.load().reserved_bytes, 0);
        // It was refused more, so that nobody knows what it would have used.
        budget.ended(digest(), &task("t"), 8 * MIB, true);
        let _share = budget.admit(digest(), &task("t"), 64 * MIB).await;
        assert_eq!(budget.load().reserved_bytes, 64 * MIB);
    }

    #[tokio::test]
    async fn attempts_together_never_have_more_than_there_is_and_who_waits_is_counted() {
        let budget = Budget::new(100 * MIB);
        let first = budget.admit(digest(), &task("a"), 60 * MIB).await;
        let waiting = Arc::clone(&budget);
        let second = tokio_util::task::TaskTracker::new()
            .spawn(async move { waiting.admit(digest(), &task("b"), 60 * MIB).await });
        while budget.load().waiting == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(budget.load().reserved_bytes, 60 * MIB);
        drop(first);
        let second = second.await.expect("admitted");
        assert_eq!((budget.load().reserved_bytes, budget.load().waiting), (60 * MIB, 0));
        drop(second);
    }

    /// Ten attempts of one task that ask for 10 MiB each.
    fn flood(budget: &Arc<Budget>) -> Vec<tokio::task::JoinHandle<Share>> {
        let admit = |_| {
            let budget = Arc::clone(budget);
            tokio_util::task::TaskTracker::new()
                .spawn(async move { budget.admit(digest(), &task("flood"), 10 * MIB).await })
        };
        (0..10).map(admit).collect()
    }

    #[tokio::test]
    async fn a_task_that_wants_all_there_is_leaves_some_to_others_and_keeps_none_waiting() {
        let budget = Budget::new(80 * MIB);
        let flood = flood(&budget);
        while budget.load().waiting < 3 {
            tokio::task::yield_now().await;
        }
        assert_eq!(budget.load().reserved_bytes, 70 * MIB);
        assert!(budget.load().has_room_for_others());
        let other = budget.admit(digest(), &task("other"), 10 * MIB).await;
        assert_eq!((budget.load().reserved_bytes, budget.load().waiting), (80 * MIB, 3));
        assert!(!budget.load().has_room_for_others());
        drop(other);
        for share in flood {
            drop(share.await.expect("admitted"));
        }
        assert_eq!((budget.load().reserved_bytes, budget.held().by_task.len()), (0, 0));
    }

    #[tokio::test]
    async fn attempts_that_waited_before_their_task_had_memory_keep_no_other_task_waiting() {
        let budget = Budget::new(80 * MIB);
        let all = budget.admit(digest(), &task("all"), 80 * MIB).await;
        let flood = flood(&budget);
        while budget.load().waiting < 10 {
            tokio::task::yield_now().await;
        }
        drop(all);
        while budget.load().waiting > 3 {
            tokio::task::yield_now().await;
        }
        drop(budget.admit(digest(), &task("other"), 10 * MIB).await);
        for share in flood {
            drop(share.await.expect("admitted"));
        }
    }

    #[tokio::test]
    async fn an_attempt_that_wants_all_there_is_begins_once_its_task_has_nothing() {
        let budget = Budget::new(80 * MIB);
        let small = budget.admit(digest(), &task("t"), 10 * MIB).await;
        let waiting = Arc::clone(&budget);
        let large = tokio_util::task::TaskTracker::new()
            .spawn(async move { waiting.admit(digest(), &task("t"), 1 << 40).await });
        while budget.load().waiting == 0 {
            tokio::task::yield_now().await;
        }
        drop(small);
        drop(large.await.expect("admitted"));
    }

    #[tokio::test]
    async fn one_that_grows_does_not_queue_behind_those_that_have_not_begun() {
        let budget = Budget::new(100 * MIB);
        let mut growing = budget.admit(digest(), &task("a"), 50 * MIB).await;
        let other = budget.admit(digest(), &task("b"), 50 * MIB).await;
        let waiting = Arc::clone(&budget);
        let last = tokio_util::task::TaskTracker::new()
            .spawn(async move { waiting.admit(digest(), &task("c"), 90 * MIB).await });
        while budget.load().waiting == 0 {
            tokio::task::yield_now().await;
        }
        drop(other);
        assert!(growing.extend(60 * MIB).await);
        assert_eq!((budget.load().reserved_bytes, budget.load().waiting), (60 * MIB, 1));
        drop(growing);
        drop(last.await.expect("admitted"));
    }

    #[tokio::test]
    async fn a_share_grows_while_there_is_room_and_an_attempt_that_has_all_lacks_nothing() {
        let budget = Budget::new(100 * MIB);
        budget.ended(digest(), &task("a"), 8 * MIB, false);
        let mut share = budget.admit(digest(), &task("a"), 1 << 40).await;
        assert!(share.extend_now(50 * MIB) && share.extend(60 * MIB).await);
        assert_eq!(budget.load().reserved_bytes, 60 * MIB);
        let other = budget.admit(digest(), &task("a"), 40 * MIB).await;
        assert!(!share.extend_now(100 * MIB));
        drop(other);
        assert!(share.extend_now(1 << 40));
        assert_eq!(budget.load().reserved_bytes, 100 * MIB);
    }

    #[tokio::test]
    async fn attempts_that_wait_for_each_other_do_not_wait_for_ever() {
        let mut budget = Budget::new(100 * MIB);
        Arc::get_mut(&mut budget).expect("nobody else has it yet").growth_wait_max = Duration::from_millis(10);
        let mut one = budget.admit(digest(), &task("a"), 50 * MIB).await;
        let mut two = budget.admit(digest(), &task("b"), 50 * MIB).await;
        let both = tokio::join!(one.extend(60 * MIB), two.extend(60 * MIB));
        assert_eq!(both, (false, false));
        assert!(one.patience.is_zero() && two.patience.is_zero(), "the next growth is refused at once");
        drop(one);
        assert!(two.extend(60 * MIB).await, "there is room, and nothing to wait for");
    }
}
