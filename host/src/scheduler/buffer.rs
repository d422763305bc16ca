//! Jobs that were taken ahead, and how many are.
//!
//! A call to the store costs nearly the same for one job as for hundreds, so a worker that ends many jobs in a short time takes the next ones
//! before it has slots for them. It takes no more than it will begin within a moment ([`crate::scheduler::Options::take_ahead`]), by how many
//! have ended lately: whoever runs long jobs takes none ahead, and leaves them to others.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::catalog::Resolved;
use super::runner::Held;
use crate::clock::Instant;
use crate::model::QueueName;
use crate::store::rules::{self, Order};

/// Most jobs that wait here for a slot.
pub(super) const BUFFERED_MAX: usize = 1_000;

/// A job that was taken ahead.
#[derive(Debug)]
pub(super) struct Buffered {
    pub(super) held: Held,
    pub(super) resolved: Resolved,
    /// When it was taken.
    pub(super) since: Instant,
}

/// Jobs that were taken and wait for a slot. Their leases are kept, as those of running ones are.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    /// Those that start before the others.
    first: VecDeque<Buffered>,
    /// The queues with jobs, the one whose turn it is first.
    queues: VecDeque<(QueueName, BTreeMap<Order, Buffered>)>,
    count: usize,
    /// When the oldest ones were taken, or earlier.
    since: Option<Instant>,
}

impl Buffer {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether a job waits that may have killed a worker. Nothing else waits beside it.
    pub(super) fn has_suspect(&self) -> bool {
        let first = self.queues.front().and_then(|(_, jobs)| jobs.values().next());
        first.is_some_and(|job| job.held.job.crashes > 0)
    }

    /// How many of a queue there are.
    pub(super) fn of_queue(&self, queue: &QueueName) -> usize {
        let first = self.first.iter().filter(|job| job.held.job.spec.settings.queue == *queue).count();
        first + self.queues.iter().find(|(name, _)| name == queue).map_or(0, |(_, jobs)| jobs.len())
    }

    /// Adds a job that starts before all that are not added so.
    pub(super) fn add_first(&mut self, job: Buffered) {
        self.note_since(job.since);
        self.count += 1;
        self.first.push_back(job);
    }

    pub(super) fn add(&mut self, job: Buffered) {
        let spec = &job.held.job.spec;
        let (queue, order) = (spec.settings.queue.clone(), rules::order(spec));
        self.note_since(job.since);
        let at = self.queues.iter().position(|(name, _)| *name == queue).unwrap_or_else(|| {
            self.queues.push_back((queue, BTreeMap::new()));
            self.queues.len() - 1
        });
        self.count += usize::from(self.queues[at].1.insert(order, job).is_none());
    }

    /// The job that starts next: the queues take turns, and each gives its first.
    pub(super) fn next(&mut self) -> Option<Buffered> {
        if let Some(first) = self.first.pop_front() {
            self.took_out(1);
            return Some(first);
        }
        let (queue, mut jobs) = self.queues.pop_front()?;
        let next = jobs.pop_first().map(|(_, job)| job);
        if !jobs.is_empty() {
            self.queues.push_back((queue, jobs));
        }
        self.took_out(usize::from(next.is_some()));
        next
    }

    /// Since when the oldest ones wait, or longer.
    pub(super) fn since(&self) -> Option<Instant> {
        self.since
    }

    /// Takes out those that were taken by then.
    pub(super) fn older_than(&mut self, by: Instant) -> Vec<Buffered> {
        let (old, young): (VecDeque<_>, _) =
            std::mem::take(&mut self.first).into_iter().partition(|job| job.since <= by);
        self.first = young;
        let mut old = Vec::from(old);
        for (_, jobs) in &mut self.queues {
            old.extend(jobs.extract_if(.., |_, job| job.since <= by).map(|(_, job)| job));
        }
        self.queues.retain(|(_, jobs)| !jobs.is_empty());
        self.took_out(old.len());
        let left = self.first.iter().chain(self.queues.iter().flat_map(|(_, jobs)| jobs.values()));
        self.since = left.map(|job| job.since).min();
        old
    }

    /// Takes out all.
    pub(super) fn drain(&mut self) -> Vec<Buffered> {
        let all = std::mem::take(self);
        all.first.into_iter().chain(all.queues.into_iter().flat_map(|(_, jobs)| jobs.into_values())).collect()
    }

    fn note_since(&mut self, since: Instant) {
        self.since = Some(self.since.map_or(since, |oldest| oldest.min(since)));
    }

    fn took_out(&mut self, count: usize) {
        self.count -= count;
        if self.count == 0 {
            self.since = None;
        }
    }
}

/// How many jobs end here in a span: as many as in the slower one of the last two stretches of half that span, so that jobs which end
/// together after a long time say nothing.
#[derive(Debug)]
pub(super) struct Pace {
    span: Duration,
    since: Instant,
    /// How many had ended by then.
    ended: u64,
    /// What the last two stretches came to.
    last: [usize; 2],
}

impl Pace {
    pub(super) fn new(now: Instant, span: Duration) -> Pace {
        Pace { span, since: now, ended: 0, last: [0; 2] }
    }

    /// How many more will end within the span, at most [`BUFFERED_MAX`]. `ended`: how many have so far.
    pub(super) fn ahead(&mut self, now: Instant, ended: u64) -> usize {
        let stretch = now.saturating_since(self.since);
        if stretch >= (self.span / 2).max(Duration::from_micros(1)) {
            let count = u128::from(ended.saturating_sub(self.ended));
            let ahead = count * self.span.as_micros() / stretch.as_micros();
            (self.since, self.ended) = (now, ended);
            self.last = [self.last[1], usize::try_from(ahead).unwrap_or(BUFFERED_MAX).min(BUFFERED_MAX)];
        }
        self.last[0].min(self.last[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::new(Duration::from_millis(millis))
    }

    #[test]
    fn whoever_runs_long_jobs_takes_none_ahead_and_whoever_runs_short_ones_takes_what_ends_in_a_moment() {
        let mut pace = Pace::new(at(0), Duration::from_millis(50));
        assert_eq!(pace.ahead(at(10_000), 100), 0);
        assert_eq!(pace.ahead(at(20_000), 200), 0, "ten jobs a second");
        assert_eq!(pace.ahead(at(20_030), 500), 0, "one stretch says nothing");
        assert_eq!(pace.ahead(at(20_060), 800), 500, "ten thousand a second");
        assert_eq!(pace.ahead(at(20_061), 801), 500, "too soon to tell");
        assert_eq!(pace.ahead(at(20_100), 100_000), 500);
        assert_eq!(pace.ahead(at(20_130), 200_000), BUFFERED_MAX);
        assert_eq!(pace.ahead(at(30_000), 200_000), 0);
    }

    #[test]
    fn jobs_that_end_together_after_a_long_time_are_not_taken_for_short_ones() {
        let mut pace = Pace::new(at(0), Duration::from_millis(50));
        for second in 1..5_u64 {
            assert_eq!(pace.ahead(at(second * 1_000 - 30), (second - 1) * 100), 0);
            assert!(pace.ahead(at(second * 1_000), second * 100) <= 5, "a hundred at once, once a second");
        }
    }
}
