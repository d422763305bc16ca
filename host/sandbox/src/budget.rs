//! The memory that all attempts of this process may have together.
//!
//! A hundred attempts of 256 MiB each are more than most machines have, so an attempt begins only when there is room for
//! it: for what it may use, or, once its task has run, for what the task was seen to use. One that then grows beyond that
//! takes more while it runs. It waits if there is nothing left, as others end; if that takes too long the growth is refused,
//! so that attempts which wait for each other do not wait for ever. The next attempt of the task begins with room for more.
//!
//! Attempts get their room in the order in which they ask: a large one is not passed by small ones for ever.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::model::{Digest, MemoryLoad, TaskName};

/// What is counted: a page of a guest's memory.
const UNIT_BYTES: u64 = 64 << 10;
/// How long an attempt that grows waits for others to end.
const GROWTH_WAIT_MAX: Duration = Duration::from_secs(5);
/// Tasks whose memory is remembered.
const TASKS_MAX: usize = 10_000;
/// The least that an attempt begins with: its own memory, and what the host needs to run it.
const ATTEMPT_BYTES_MIN: u64 = 1 << 20;

/// The memory of all attempts.
pub(super) struct Budget {
    total: u64,
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
    growth_wait_max: Duration,
    peaks: Mutex<HashMap<(Digest, TaskName), u64>>,
}

/// What one attempt has of it; given back when dropped.
pub(super) struct Share {
    /// `None`: as much as it likes.
    budget: Option<Arc<Budget>>,
    units: u32,
    permit: Option<OwnedSemaphorePermit>,
}

impl Budget {
    /// A budget of so many bytes.
    pub(super) fn new(total: u64) -> Arc<Budget> {
        let units = usize::try_from(total / UNIT_BYTES).unwrap_or(usize::MAX).clamp(1, u32::MAX as usize);
        Arc::new(Budget {
            total,
            free: Arc::new(Semaphore::new(units)),
            waiting: AtomicUsize::new(0),
            growth_wait_max: GROWTH_WAIT_MAX,
            peaks: Mutex::default(),
        })
    }

    /// How things stand.
    pub(super) fn load(&self) -> MemoryLoad {
        let free = self.free.available_permits() as u64 * UNIT_BYTES;
        MemoryLoad {
            total_bytes: self.total,
            reserved_bytes: self.total.saturating_sub(free),
            waiting: self.waiting.load(Ordering::Relaxed),
        }
    }

    /// Waits for room for an attempt of a task that may use `limit` bytes.
    pub(super) async fn admit(self: &Arc<Self>, digest: Digest, task: &TaskName, limit: u64) -> Share {
        let known = self.peaks().get(&(digest, task.clone())).copied();
        // A quarter more than was seen, so that not every attempt that uses a little more has to ask.
        let wanted = known.map_or(limit, |peak| peak.saturating_add(peak / 4)).max(ATTEMPT_BYTES_MIN).min(limit);
        let units = self.units(wanted);
        let permit = match Arc::clone(&self.free).try_acquire_many_owned(units) {
            Ok(permit) => Some(permit),
            Err(_none_free) => {
                let _waiting = Waiting::begin(self);
                // The semaphore is never closed.
                Arc::clone(&self.free).acquire_many_owned(units).await.ok()
            }
        };
        Share { budget: Some(Arc::clone(self)), units, permit }
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

    fn peaks(&self) -> std::sync::MutexGuard<'_, HashMap<(Digest, TaskName), u64>> {
        // The map is whole between any two of its statements.
        self.peaks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An attempt that may use more than there is gets all there is.
    fn units(&self, bytes: u64) -> u32 {
        u32::try_from(bytes.min(self.total).div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX).clamp(1, self.units_max())
    }

    fn units_max(&self) -> u32 {
        u32::try_from(self.total / UNIT_BYTES).unwrap_or(u32::MAX).max(1)
    }
}

/// An attempt that waits for room, counted until it is dropped.
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

impl Share {
    /// A share without a bound.
    pub(super) fn unlimited() -> Share {
        Share { budget: None, units: 0, permit: None }
    }

    /// Makes the share cover `bytes`, if there is room now.
    pub(super) fn extend_now(&mut self, bytes: u64) -> bool {
        let Some((budget, more)) = self.missing(bytes) else { return true };
        match Arc::clone(&budget.free).try_acquire_many_owned(more) {
            Ok(permit) => self.add(permit, more),
            Err(_none_free) => false,
        }
    }

    /// Makes the share cover `bytes`, waiting a while for room.
    #[expect(clippy::disallowed_methods, reason = "bounds the wait for other attempts; no store call is raced here")]
    pub(super) async fn extend(&mut self, bytes: u64) -> bool {
        let Some((budget, more)) = self.missing(bytes) else { return true };
        let room = match Arc::clone(&budget.free).try_acquire_many_owned(more) {
            Ok(permit) => Some(permit),
            Err(_none_free) => {
                let _waiting = Waiting::begin(&budget);
                let room = Arc::clone(&budget.free).acquire_many_owned(more);
                tokio::time::timeout(budget.growth_wait_max, room).await.ok().and_then(Result::ok)
            }
        };
        room.is_some_and(|permit| self.add(permit, more))
    }

    /// What is missing to cover `bytes`. An attempt that has all there is lacks nothing: its own limit holds it.
    fn missing(&self, bytes: u64) -> Option<(Arc<Budget>, u32)> {
        let budget = self.budget.as_ref()?;
        let more = budget.units(bytes).saturating_sub(self.units);
        (more > 0).then(|| (Arc::clone(budget), more))
    }

    fn add(&mut self, permit: OwnedSemaphorePermit, more: u32) -> bool {
        self.units += more;
        match &mut self.permit {
            Some(held) => held.merge(permit),
            None => self.permit = Some(permit),
        }
        true
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
        let second = tokio::spawn(async move { waiting.admit(digest(), &task("b"), 60 * MIB).await });
        while budget.load().waiting == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(budget.load().reserved_bytes, 60 * MIB);
        drop(first);
        let second = second.await.expect("admitted");
        assert_eq!((budget.load().reserved_bytes, budget.load().waiting), (60 * MIB, 0));
        drop(second);
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
        let (one, two) = tokio::join!(one.extend(60 * MIB), two.extend(60 * MIB));
        assert_eq!((one, two), (false, false));
    }
}
