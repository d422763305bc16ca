//! Looks whether each due time of a schedule has exactly one line in the ledger, and whether the jobs of a line are those of its due times.

use std::collections::BTreeMap;
use std::time::Duration;

use host::model::{Fate, FireLine, Job, JobId, Schedule, Timestamp};
use host::store::{ReadHistory, Store};

/// What is wrong with the ledger of a schedule that fires at that interval from its creation on.
pub(super) async fn faults(store: &dyn Store, schedule: &Schedule, interval: Duration, jobs: &[Job]) -> Vec<String> {
    let lines = lines(store, schedule).await;
    let jobs: BTreeMap<JobId, &Job> = jobs.iter().map(|job| (job.spec.id, job)).collect();
    let mut faults = Vec::new();
    let mut due = schedule.created_at;
    for (place, line) in lines.iter().enumerate() {
        if line.number != place as u64 + 1 || line.first != due {
            faults.push(format!("line {place} begins at {} and not at {due}: {line:?}", line.first));
        }
        due = line.last.saturating_add(interval);
        if line.count != count(line, interval) || line.or_more {
            faults.push(format!("due times of a line are not counted right: {line:?}"));
        }
        if let Some(fault) = jobs_fault(line, interval, &jobs) {
            faults.push(format!("{fault}: {line:?}"));
        }
    }
    if schedule.next_fire_time.is_some_and(|next| next != due) {
        faults.push(format!("the lines end before {due}, and it fires next at {:?}", schedule.next_fire_time));
    }
    let written: Vec<JobId> = lines.iter().flat_map(|line| line.jobs.iter().copied()).collect();
    let made = jobs.values().filter(|job| job.spec.schedule_id.as_ref() == Some(&schedule.id)).count();
    if written.len() != made {
        faults.push(format!("{made} jobs were made, and {} are in the lines", written.len()));
    }
    faults
}

async fn lines(store: &dyn Store, schedule: &Schedule) -> Vec<FireLine> {
    let mut lines = Vec::new();
    let mut before = None;
    loop {
        let request = ReadHistory { id: schedule.id.clone(), before, limit: 10 };
        let page = store.schedule_history(request).await.expect("it answers");
        lines.extend(page.rows);
        before = page.next.map(|next| next.parse().expect("a number"));
        if before.is_none() {
            lines.reverse();
            return lines;
        }
    }
}

/// How many due times there are from the first to the last one of a line.
fn count(line: &FireLine, interval: Duration) -> u64 {
    let span = line.last.saturating_since(line.first);
    u64::try_from(span.as_micros() / interval.as_micros()).expect("a small number") + 1
}

fn jobs_fault(line: &FireLine, interval: Duration, jobs: &BTreeMap<JobId, &Job>) -> Option<&'static str> {
    let fires: Vec<Option<Timestamp>> =
        line.jobs.iter().map(|id| jobs.get(id).and_then(|job| job.spec.scheduled_fire_time)).collect();
    let all = |at: u32| Some(line.first.saturating_add(interval * at));
    let is_right = match line.fate {
        Fate::Queued => fires == (0..).map(all).take(usize::try_from(line.count).expect("few")).collect::<Vec<_>>(),
        Fate::Coalesced => fires == [Some(line.first)] || fires == [Some(line.last)],
        Fate::Overlap => fires.is_empty(),
        // Nothing that happens here leads to them.
        _ => false,
    };
    (!is_right).then_some("the jobs are not those of its due times")
}
