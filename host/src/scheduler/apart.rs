//! Jobs that may have killed a worker run apart.
//!
//! When a worker dies, nobody knows which of its jobs was to blame. All of them are tried again, but one at a time: while one of them
//! begins, nothing else runs in this process, and nothing else starts until it has run for a while without harm. So whichever kills its
//! workers soon dies alone, which is what it is ended for ([`crate::store::rules::survives_crash`]), and the others are not ended for what
//! it did.
//!
//! To the store, a job is alone that is the only one of its worker. So the job loop takes nothing while one of them waits or is alone, and
//! puts back what it took with it ([`Apart::is_over`], [`PUT_BACK_FOR`]).
//!
//! After each further crash a job runs alone for longer. Neither the wait for being alone nor the time alone is without end: a job of many
//! hours holds up the others of its worker for seconds.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock as _;
use crate::model::Backoff;
use crate::store::store_clock::StoreClock;

/// How long another one waits that was taken with it.
pub(super) const PUT_BACK_FOR: Duration = Duration::from_millis(250);
/// How long a job runs alone at most.
const ALONE_MAX: Duration = Duration::from_secs(4_096);
/// How long it runs alone: a second after the first crash, four times as long after each further one.
const ALONE: Backoff =
    Backoff { initial: Duration::from_secs(1), max: ALONE_MAX, factor_percent: 400, jitter_percent: 0 };

/// The attempts of one process, as far as they may run beside each other.
#[derive(Debug, Default)]
pub(super) struct Apart {
    /// Held by the one that is under suspicion.
    turn: Arc<Mutex<()>>,
    /// Held for reading by every attempt, for writing by one that is alone.
    company: Arc<RwLock<()>>,
}

/// A place that an attempt has before it is started, so that whatever is started after it finds it taken.
#[derive(Debug)]
pub(super) enum Place {
    /// Among the others.
    Company(OwnedRwLockReadGuard<()>),
    /// The turn of one that is under suspicion.
    Turn(OwnedMutexGuard<()>),
}

enum Company {
    Others(OwnedRwLockReadGuard<()>),
    Nobody(OwnedRwLockWriteGuard<()>),
}

impl Apart {
    /// The place of a job that was running in so many workers when they died, if it can be had now.
    pub(super) fn place(&self, crashes: u32) -> Option<Place> {
        match crashes {
            0 => Arc::clone(&self.company).try_read_owned().ok().map(Place::Company),
            _ => Arc::clone(&self.turn).try_lock_owned().ok().map(Place::Turn),
        }
    }

    /// Waits for that place.
    async fn wait_for_place(&self, crashes: u32) -> Place {
        match crashes {
            0 => Place::Company(Arc::clone(&self.company).read_owned().await),
            _ => Place::Turn(Arc::clone(&self.turn).lock_owned().await),
        }
    }

    /// Runs an attempt of a job that was running in so many workers when they died, in its place or in the first that it can have.
    /// `None` if it was cancelled before it began.
    pub(super) async fn run<T>(
        &self,
        time: &StoreClock,
        crashes: u32,
        place: Option<Place>,
        cancel: &CancellationToken,
        attempt: impl Future<Output = T>,
    ) -> Option<T> {
        let place = match place {
            Some(place) => place,
            None => unless_cancelled(cancel, self.wait_for_place(crashes)).await?,
        };
        let turn = match place {
            Place::Company(_others) => return Some(attempt.await),
            Place::Turn(turn) => turn,
        };
        let span = alone_for(crashes);
        let company = unless_cancelled(cancel, self.alone(time, span)).await?;
        let mut attempt = pin!(attempt);
        tokio::select! {
            biased;
            done = &mut attempt => return Some(done),
            () = time.sleep(span) => {}
        }
        // It did no harm so far. Others may start.
        drop(turn);
        let _others = match company {
            Company::Nobody(guard) => guard.downgrade(),
            Company::Others(guard) => guard,
        };
        Some(attempt.await)
    }

    /// Whether somebody runs, or is about to, who is under suspicion.
    pub(super) fn has_turn(&self) -> bool {
        self.turn.try_lock().is_err()
    }

    /// Waits until nobody runs who is under suspicion, so that jobs are left to other workers meanwhile.
    pub(super) async fn is_over(&self) {
        drop(self.turn.lock().await);
    }

    /// Waits until nothing else runs, for no longer than `span`.
    async fn alone(&self, time: &StoreClock, span: Duration) -> Company {
        let alone = tokio::select! {
            biased;
            guard = Arc::clone(&self.company).write_owned() => Some(guard),
            () = time.sleep(span) => None,
        };
        match alone {
            Some(guard) => Company::Nobody(guard),
            None => Company::Others(Arc::clone(&self.company).read_owned().await),
        }
    }
}

async fn unless_cancelled<T>(cancel: &CancellationToken, wait: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => None,
        value = wait => Some(value),
    }
}

fn alone_for(crashes: u32) -> Duration {
    if crashes == 0 { Duration::ZERO } else { ALONE.delay(crashes, 0.5) }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use futures_util::poll;
    use tokio::sync::oneshot;

    use super::*;
    use crate::clock::ManualClock;

    struct Stage {
        clock: ManualClock,
        time: StoreClock,
        apart: Apart,
        cancel: CancellationToken,
    }

    impl Stage {
        fn new() -> Stage {
            let clock = ManualClock::new(crate::model::Timestamp::EPOCH);
            let time = StoreClock::new(Arc::new(clock.clone()));
            Stage { clock, time, apart: Apart::default(), cancel: CancellationToken::new() }
        }

        /// An attempt that says when it begins and ends when it is told.
        fn attempt(
            &self,
            crashes: u32,
        ) -> (impl Future<Output = Option<()>> + '_, oneshot::Receiver<()>, oneshot::Sender<()>) {
            let ((begin, has_begun), (end, ends)) = (oneshot::channel(), oneshot::channel());
            let attempt = async move {
                begin.send(()).expect("somebody looks");
                ends.await.expect("it is told");
            };
            (self.apart.run(&self.time, crashes, None, &self.cancel, attempt), has_begun, end)
        }
    }

    #[tokio::test]
    async fn a_suspect_begins_when_nobody_runs_and_others_begin_when_it_has_run_for_a_while() {
        let stage = Stage::new();
        let (one, mut one_begun, one_end) = stage.attempt(0);
        let (suspect, mut suspect_begun, suspect_end) = stage.attempt(1);
        let (other, mut other_begun, other_end) = stage.attempt(0);
        let (mut one, mut suspect, mut other) = (pin!(one), pin!(suspect), pin!(other));
        assert_eq!(poll!(&mut one), Poll::Pending);
        assert_eq!(poll!(&mut suspect), Poll::Pending);
        assert_eq!(poll!(&mut other), Poll::Pending);
        assert!(one_begun.try_recv().is_ok() && suspect_begun.try_recv().is_err() && other_begun.try_recv().is_err());
        one_end.send(()).expect("it waits");
        assert_eq!(poll!(&mut one), Poll::Ready(Some(())));
        assert_eq!(poll!(&mut suspect), Poll::Pending);
        assert_eq!(poll!(&mut other), Poll::Pending);
        assert!(suspect_begun.try_recv().is_ok() && other_begun.try_recv().is_err());
        stage.clock.advance(ALONE.initial);
        assert_eq!(poll!(&mut suspect), Poll::Pending);
        assert_eq!(poll!(&mut other), Poll::Pending);
        assert!(other_begun.try_recv().is_ok());
        suspect_end.send(()).expect("it waits");
        other_end.send(()).expect("it waits");
        assert_eq!((suspect.await, other.await), (Some(()), Some(())));
    }

    #[tokio::test]
    async fn suspects_begin_one_after_the_other_and_do_not_wait_for_ever() {
        let stage = Stage::new();
        let (long, mut long_begun, long_end) = stage.attempt(0);
        let (first, mut first_begun, first_end) = stage.attempt(1);
        let (second, mut second_begun, second_end) = stage.attempt(1);
        let (mut long, mut first, mut second) = (pin!(long), pin!(first), pin!(second));
        assert!(poll!(&mut long).is_pending() && poll!(&mut first).is_pending() && poll!(&mut second).is_pending());
        stage.clock.advance(ALONE.initial);
        assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending());
        assert!(long_begun.try_recv().is_ok() && first_begun.try_recv().is_ok(), "it has waited for long enough");
        assert!(second_begun.try_recv().is_err());
        first_end.send(()).expect("it waits");
        assert_eq!(first.await, Some(()));
        assert!(poll!(&mut second).is_pending());
        long_end.send(()).expect("it waits");
        assert_eq!(long.await, Some(()));
        assert!(poll!(&mut second).is_pending());
        assert!(second_begun.try_recv().is_ok());
        second_end.send(()).expect("it waits");
        assert_eq!(second.await, Some(()));
    }

    #[tokio::test]
    async fn one_that_is_cancelled_while_it_waits_never_begins() {
        let stage = Stage::new();
        let (one, _one_begun, _one_end) = stage.attempt(0);
        let (suspect, mut suspect_begun, _suspect_end) = stage.attempt(3);
        let (mut one, mut suspect) = (pin!(one), pin!(suspect));
        assert!(poll!(&mut one).is_pending() && poll!(&mut suspect).is_pending());
        stage.cancel.cancel();
        assert_eq!(poll!(&mut suspect), Poll::Ready(None));
        assert!(suspect_begun.try_recv().is_err());
    }

    #[test]
    fn each_crash_lets_a_job_run_alone_for_longer_within_a_bound() {
        let spans: Vec<u64> = (0..10).map(|crashes| alone_for(crashes).as_secs()).collect();
        assert_eq!(spans, [0, 1, 4, 16, 64, 256, 1_024, 4_096, 4_096, 4_096]);
        assert_eq!(alone_for(u32::MAX), ALONE_MAX);
    }
}
