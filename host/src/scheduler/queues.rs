//! The queues that this worker serves, and how many more jobs of each it has room for.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::QueueLimit;
use crate::model::QueueName;
use crate::store::ServedQueue;

/// The queues that a worker serves.
pub(super) struct Queues {
    slots: Vec<(QueueName, Option<Arc<Semaphore>>)>,
    /// Whose turn it is.
    next: usize,
}

impl Queues {
    pub(super) fn new(queues: &[QueueLimit]) -> Queues {
        let slots = |limit: &QueueLimit| limit.max_concurrent_jobs.map(|max| Arc::new(Semaphore::new(max.get())));
        Queues { slots: queues.iter().map(|limit| (limit.queue.clone(), slots(limit))).collect(), next: 0 }
    }

    /// The queues with what there is room for, up to `limit`; another one comes first each time. `taken`: how many jobs of a queue were
    /// taken before and have no slot yet.
    pub(super) fn turn(&mut self, limit: usize, taken: impl Fn(&QueueName) -> usize) -> Vec<ServedQueue> {
        let served = self.slots.iter().map(|(queue, slots)| {
            let free = slots.as_ref().map_or(limit, |slots| slots.available_permits().saturating_sub(taken(queue)));
            ServedQueue { queue: queue.clone(), limit: free.min(limit) }
        });
        let mut served: Vec<ServedQueue> = served.collect();
        let first = self.next.checked_rem(served.len()).unwrap_or(0);
        served.rotate_left(first);
        self.next = first + 1;
        served
    }

    /// The slot of a job that was taken, if its queue has a limit of its own. Only the loop that asked for a turn takes slots, so what
    /// there was room for has one.
    pub(super) fn slot(&self, queue: &QueueName) -> Option<OwnedSemaphorePermit> {
        let (_, slots) = self.slots.iter().find(|(name, _)| name == queue)?;
        Arc::clone(slots.as_ref()?).try_acquire_owned().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_queue_comes_first_each_time_and_none_has_more_room_than_its_limit() {
        let mut queues = Queues::new(&["a".parse().expect("a queue"), "b=2".parse().expect("a queue")]);
        let mut turn =
            || queues.turn(10, |_| 0).into_iter().map(|it| format!("{} {}", it.queue, it.limit)).collect::<Vec<_>>();
        assert_eq!(turn(), ["a 10", "b 2"]);
        assert_eq!(turn(), ["b 2", "a 10"]);
        let _held = queues.slot(&"b".parse().expect("a queue"));
        assert_eq!(queues.turn(10, |_| 0)[1].limit, 1);
        assert_eq!(queues.turn(10, |_| 1).iter().map(|served| served.limit).max(), Some(10), "no limit of its own");
        assert_eq!(queues.turn(10, |_| 1)[1].limit, 0, "the other one is taken and waits for its slot");
    }
}
