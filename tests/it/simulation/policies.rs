//! Looks at what each fire does about the earlier jobs of its schedule. Calls of the store in memory do not wait, so that nothing happens
//! between the looks and the fire.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use host::model::*;
use host::store::decorate;
use host::store::decorate::{Call, Repeat};
use host::store::*;

use super::history::History;

/// The id of the schedule of that number.
pub(super) fn schedule_id(number: usize) -> ScheduleId {
    ScheduleId::new(&format!("schedule {number}")).expect("an id")
}

/// All jobs that a store holds.
pub(super) async fn jobs_of(store: &dyn Store) -> Vec<Job> {
    let mut jobs = Vec::new();
    let mut filter = JobFilter { limit: limits::PAGE_ROWS_MAX, ..JobFilter::default() };
    loop {
        let page = store.job_list(filter.clone()).await.expect("it answers");
        jobs.extend(page.rows);
        match page.next {
            Some(next) => filter.after = Some(next),
            None => return jobs,
        }
    }
}

/// Passes calls on, and notes fires that break the policy of their schedule.
pub(super) struct Policed {
    inner: Arc<dyn Store>,
    history: History,
    policies: BTreeMap<ScheduleId, Overlap>,
}

impl Policed {
    pub(super) fn new(inner: Arc<dyn Store>, history: History, policies: BTreeMap<ScheduleId, Overlap>) -> Policed {
        Policed { inner, history, policies }
    }

    async fn call<R, W, F>(&self, call: Call, work: W) -> Result<R, StoreError>
    where
        R: Send,
        W: FnOnce(Arc<dyn Store>) -> F + Send,
        F: Future<Output = Result<R, StoreError>> + Send,
    {
        if call.name != "schedule_fire" {
            return work(Arc::clone(&self.inner)).await;
        }
        let before = self.jobs().await;
        let answer = work(Arc::clone(&self.inner)).await;
        let after = self.jobs().await;
        for (schedule, policy) in &self.policies {
            if let Some(fault) = fault(*policy, &of(schedule, &before), &of(schedule, &after)) {
                self.history.violation(format_args!("{schedule}, {policy}: {fault}"));
            }
        }
        answer
    }

    async fn jobs(&self) -> Vec<Job> {
        jobs_of(&*self.inner).await
    }

    fn line(&self) -> Box<dyn LeaseLine> {
        self.inner.lease_line()
    }

    async fn shut(&self) {
        self.inner.close().await;
    }
}

fn of<'a>(schedule: &ScheduleId, jobs: &'a [Job]) -> BTreeMap<JobId, &'a Job> {
    let jobs = jobs.iter().filter(|job| job.spec.schedule_id.as_ref() == Some(schedule));
    jobs.map(|job| (job.spec.id, job)).collect()
}

/// What is wrong with a fire that found these jobs of its schedule, and left those.
fn fault(policy: Overlap, before: &BTreeMap<JobId, &Job>, after: &BTreeMap<JobId, &Job>) -> Option<String> {
    let made = after.keys().filter(|id| !before.contains_key(id)).count();
    let count = |state| before.values().filter(|job| job.state == state).count();
    let (waited, ran) = (count(JobState::Queued), count(JobState::Running));
    let is_gone = |job: &&Job| after.get(&job.spec.id).is_some_and(|job| job.outcome == Some(Outcome::Cancelled));
    let is_asked = |job: &&Job| after.get(&job.spec.id).is_some_and(|job| job.cancel_requested.is_some());
    let in_state = |state| before.values().copied().filter(move |job| job.state == state);
    let gone = in_state(JobState::Queued).filter(is_gone).count();
    let asked = in_state(JobState::Running).filter(is_asked).count();
    let asked_before = in_state(JobState::Running).filter(|job| job.cancel_requested.is_some()).count();
    let is_right = match policy {
        Overlap::Queue => gone == 0 && asked == asked_before,
        Overlap::Skip => made <= usize::from(waited + ran == 0) && gone == 0 && asked == asked_before,
        Overlap::QueueOne => made <= usize::from(waited == 0) && gone == 0 && asked == asked_before,
        Overlap::CancelRunning if made > 0 => made == 1 && gone == waited && asked == ran,
        Overlap::ReplaceQueued if made > 0 => made == 1 && gone == waited && asked == asked_before,
        Overlap::CancelRunning | Overlap::ReplaceQueued => gone == 0 && asked == asked_before,
    };
    let said = || {
        format!("{made} made where {waited} waited and {ran} ran; {gone} cancelled, {asked} asked after {asked_before}")
    };
    (!is_right).then(said)
}

decorate!(Policed, once);
