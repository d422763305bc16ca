//! Turns what others tell into "look again". Nothing is done only because an event says so: whoever may publish could have made it up.

use std::sync::Arc;

use super::core::Core;
use crate::broker::{Delivery, Subscription};
use crate::model::EventKind;

/// Listens until serving ends or the broker closes. After that, polling finds what there is.
pub(super) async fn run(core: Arc<Core>, mut subscription: Subscription) {
    loop {
        let delivery = tokio::select! {
            biased;
            () = core.stop_serving.cancelled() => return,
            delivery = subscription.next() => delivery,
        };
        match delivery {
            None => return,
            Some(Delivery::Hint | Delivery::Missed(_)) => {
                core.schedules_changed.notify_one();
                core.jobs_changed.notify_one();
            }
            Some(Delivery::Event(event)) => react(&core, &event.kind),
        }
    }
}

fn react(core: &Core, event: &EventKind) {
    match event {
        EventKind::ScheduleAdded { .. } | EventKind::ScheduleUpdated { .. } => core.schedules_changed.notify_one(),
        EventKind::JobAdded { .. } => core.jobs_changed.notify_one(),
        // A slot of a task may have become free. Our own writer has said so already.
        EventKind::JobReleased(job) if job.scheduler_id.as_ref() != Some(&core.options.identity) => {
            core.jobs_changed.notify_one();
        }
        EventKind::JobCancelRequested { job_id } => core.running.renew_now(*job_id),
        _ => {}
    }
}
