//! Rollouts: which version a job begins with, what is counted, and how a rollout ends.

use host::model::{Digest, Grant, JobId, Percent, PluginVersion, Rollout, RolloutState, TaskDeclaration};
use host::store::{
    ActivatePlugin, CountRollout, EndRollout, Put, PutPlugin, PutRollout, RolloutEnded, StagePlugin, StoreError,
    Subject,
};

use super::{Rig, cases};
use crate::factory::{plugin, recover, t, task, task_id};

cases![
    a_staged_version_leaves_the_current_one_current,
    only_a_plugin_with_a_current_version_takes_a_staged_one,
    a_rollout_is_read_back_as_it_was_begun,
    a_rollout_that_goes_on_otherwise_keeps_what_was_counted,
    what_is_not_said_of_a_rollout_is_the_default_or_stays_as_it_is,
    a_rollout_needs_another_version_that_is_there,
    only_one_version_is_rolled_out_at_a_time,
    no_other_version_becomes_current_while_a_rollout_is_under_way,
    a_rollout_that_has_failed_too_often_ends_by_itself,
    nothing_is_counted_for_what_is_not_rolled_out,
    a_finished_rollout_has_made_its_version_current_with_its_tasks,
    an_aborted_rollout_leaves_the_current_version_current,
    running_jobs_stay_on_the_version_that_their_rollout_gave_them,
    a_crash_for_which_somebody_else_may_be_to_blame_counts_for_no_version,
    a_crash_of_a_job_that_was_run_alone_counts_as_a_failure_of_its_version,
    a_removed_plugin_takes_its_rollout_with_it,
];

/// The version of plugin `p` whose component is that byte, with the tasks `p:work` and one of its own.
fn version(byte: u8) -> PutPlugin {
    let own = format!("p:own{byte}");
    let tasks = vec![task("p:work", None), task(&own, None)];
    let declaration = |task: &host::model::Task| TaskDeclaration {
        name: task.target.function().clone(),
        description: String::new(),
        args_schema: None,
        result_schema: None,
        example_args: None,
        settings: host::model::Settings::default(),
    };
    let declared = tasks.iter().map(declaration).collect();
    let put = plugin(&[byte], tasks);
    PutPlugin { version: PluginVersion { registered_at: t(byte.into()), tasks: declared, ..put.version }, ..put }
}

fn digest(byte: u8) -> Digest {
    version(byte).version.digest
}

fn percent(text: &str) -> Percent {
    text.parse().expect("a percentage")
}

fn rollout(byte: u8, share: &str) -> PutRollout {
    let name = version(byte).version.name;
    let (share, error_rate_max) = (percent(share), Some(percent("10%")));
    let (digest, attempts_min) = (digest(byte), Some(5));
    PutRollout { name, digest, share, error_rate_max, attempts_min, now: t(10), reviewed: None }
}

impl Rig {
    /// Registers version 1, stages the others, and begins a rollout of version 2 for that part of the jobs.
    async fn rolled_out(&self, share: &str) -> Rollout {
        self.a.plugin_put(version(1)).await.expect("registered");
        for byte in [2, 3] {
            self.stage(byte).await.expect("staged");
        }
        self.a.rollout_put(rollout(2, share)).await.expect("begun")
    }

    async fn stage(&self, byte: u8) -> Result<Put, StoreError> {
        let PutPlugin { version, bytes, .. } = version(byte);
        self.a.plugin_stage(StagePlugin { version, bytes, reviewed: None }).await
    }

    async fn latest(&self) -> Option<Rollout> {
        self.b.rollout_get(&version(0).version.name).await.expect("read")
    }

    async fn count(&self, byte: u8, attempts: u64, failed: u64) -> Option<Rollout> {
        let (name, digest) = (version(0).version.name, digest(byte));
        self.a.rollout_count(CountRollout { name, digest, attempts, failed, now: t(20) }).await.expect("counted")
    }

    async fn end_rollout(&self, byte: u8, is_finished: bool) -> Result<RolloutEnded, StoreError> {
        let finish = is_finished.then(|| version(byte).tasks);
        self.a.rollout_end(EndRollout { name: version(0).version.name, digest: digest(byte), finish, now: t(30) }).await
    }

    async fn current(&self) -> Digest {
        let version = self.b.plugin_get(&version(0).version.name).await.expect("read").expect("registered");
        version.digest
    }

    async fn version_of(&self, id: JobId) -> Option<Digest> {
        self.job(id).await.plugin_digest
    }

    async fn revision(&self) -> i64 {
        self.b.catalog_revision().await.expect("read")
    }
}

#[track_caller]
fn assert_conflict<T: std::fmt::Debug>(answer: &Result<T, StoreError>, mention: &str) {
    let Err(StoreError::Conflict { subject: Subject::Plugin(_), state }) = answer else { panic!("{answer:?}") };
    assert!(state.contains(mention), "{state}");
}

async fn a_staged_version_leaves_the_current_one_current(rig: Rig) {
    rig.a.plugin_put(version(1)).await.expect("registered");
    let revision = rig.revision().await;
    assert_eq!(rig.stage(2).await.expect("staged"), Put::Added);
    assert_eq!(rig.current().await, digest(1));
    assert_eq!(rig.b.plugin_bytes(&digest(2)).await.expect("read"), Some(vec![2]));
    assert_eq!(rig.b.task_get(&task_id("p:own2")).await.expect("read"), None, "its tasks come when it is current");
    assert!(rig.revision().await > revision);
    let revision = rig.revision().await;
    assert_eq!(rig.stage(2).await.expect("staged"), Put::Unchanged);
    assert_eq!(rig.revision().await, revision);
    let PutPlugin { version, bytes, .. } = version(2);
    let grants = vec![Grant::Env { name: "TZ".into(), value: None }];
    let version = PluginVersion { grants, ..version };
    assert_eq!(
        rig.a.plugin_stage(StagePlugin { version, bytes, reviewed: None }).await.expect("staged"),
        Put::Replaced
    );
}

async fn only_a_plugin_with_a_current_version_takes_a_staged_one(rig: Rig) {
    let refused = rig.stage(1).await;
    assert!(matches!(refused, Err(StoreError::NotFound(Subject::Plugin(_)))), "{refused:?}");
    assert_eq!(rig.b.plugin_bytes(&digest(1)).await.expect("read"), None);
    rig.a.plugin_put(version(1)).await.expect("registered");
    assert_conflict(&rig.stage(1).await, "current");
}

async fn a_rollout_is_read_back_as_it_was_begun(rig: Rig) {
    assert_eq!(rig.latest().await, None);
    let begun = rig.rolled_out("12.5%").await;
    assert_eq!((begun.share, begun.state(), begun.attempts), (percent("12.5"), RolloutState::Active, 0));
    assert_eq!((begun.digest, begun.started_at, begun.attempts_min), (digest(2), t(10), 5));
    assert_eq!(rig.latest().await, Some(begun));
}

async fn a_rollout_that_goes_on_otherwise_keeps_what_was_counted(rig: Rig) {
    let begun = rig.rolled_out("1%").await;
    rig.count(2, 30, 1).await;
    let revision = rig.revision().await;
    let more = rig.a.rollout_put(PutRollout { now: t(15), ..rollout(2, "50%") }).await.expect("changed");
    assert_eq!(more, Rollout { share: percent("50%"), attempts: 30, failed: 1, ..begun });
    assert!(rig.revision().await > revision, "so that other workers learn of it");
    // What is allowed from now on has been passed already.
    let strict = PutRollout { error_rate_max: Some(percent("1%")), ..rollout(2, "50%") };
    assert_eq!(rig.a.rollout_put(strict).await.expect("changed").state(), RolloutState::Returned);
}

async fn what_is_not_said_of_a_rollout_is_the_default_or_stays_as_it_is(rig: Rig) {
    let short = PutRollout { error_rate_max: None, attempts_min: None, ..rollout(2, "5%") };
    rig.a.plugin_put(version(1)).await.expect("registered");
    rig.stage(2).await.expect("staged");
    let begun = rig.a.rollout_put(short.clone()).await.expect("begun");
    assert_eq!((begun.error_rate_max, begun.attempts_min), (percent("1%"), 100));
    rig.a.rollout_put(rollout(2, "6%")).await.expect("changed");
    let more = rig.a.rollout_put(PutRollout { share: percent("7%"), ..short.clone() }).await.expect("changed");
    assert_eq!((more.share, more.error_rate_max, more.attempts_min), (percent("7%"), percent("10%"), 5));
    rig.end_rollout(2, false).await.expect("aborted");
    let again = rig.a.rollout_put(short).await.expect("begun");
    assert_eq!((again.error_rate_max, again.attempts_min), (percent("1%"), 100), "one that has ended says nothing");
}

async fn a_rollout_needs_another_version_that_is_there(rig: Rig) {
    let refused = rig.a.rollout_put(rollout(2, "5%")).await;
    assert!(matches!(refused, Err(StoreError::NotFound(_))), "{refused:?}");
    rig.a.plugin_put(version(1)).await.expect("registered");
    let refused = rig.a.rollout_put(rollout(2, "5%")).await;
    assert!(matches!(refused, Err(StoreError::NotFound(_))), "{refused:?}");
    assert_conflict(&rig.a.rollout_put(rollout(1, "5%")).await, "current");
    assert_eq!(rig.latest().await, None);
}

async fn only_one_version_is_rolled_out_at_a_time(rig: Rig) {
    let begun = rig.rolled_out("5%").await;
    assert_conflict(&rig.a.rollout_put(rollout(3, "5%")).await, "under way");
    assert_eq!(rig.latest().await, Some(begun));
    rig.end_rollout(2, false).await.expect("aborted");
    rig.a.rollout_put(rollout(3, "5%")).await.expect("begun");
    assert_eq!(rig.latest().await.map(|latest| latest.digest), Some(digest(3)));
}

async fn no_other_version_becomes_current_while_a_rollout_is_under_way(rig: Rig) {
    let begun = rig.rolled_out("5%").await;
    assert_conflict(&rig.a.plugin_put(version(4)).await, "under way");
    let PutPlugin { version: third, tasks, .. } = version(3);
    let activate = ActivatePlugin { name: third.name, digest: third.digest, tasks, reviewed: None };
    assert_conflict(&rig.a.plugin_activate(activate.clone()).await, "under way");
    assert_eq!(rig.a.plugin_put(version(1)).await.expect("it is just like this").put, Put::Unchanged);
    assert_eq!((rig.current().await, rig.latest().await), (digest(1), Some(begun)));
    assert_eq!(rig.b.plugin_bytes(&digest(4)).await.expect("read"), None);
    rig.end_rollout(2, false).await.expect("aborted");
    rig.a.plugin_activate(activate).await.expect("activated");
    assert_eq!(rig.current().await, digest(3));
}

async fn a_rollout_that_has_failed_too_often_ends_by_itself(rig: Rig) {
    rig.rolled_out("100%").await;
    assert_eq!(rig.count(2, 9, 0).await.map(|it| it.state()), Some(RolloutState::Active));
    let revision = rig.revision().await;
    assert_eq!(rig.count(2, 1, 1).await.map(|it| it.state()), Some(RolloutState::Active), "one of ten is allowed");
    assert_eq!(rig.revision().await, revision, "nobody has to look again");
    let returned = rig.count(2, 1, 1).await.expect("it was under way");
    assert_eq!((returned.state(), returned.attempts, returned.failed), (RolloutState::Returned, 11, 2));
    assert_eq!(returned.end.map(|end| end.at), Some(t(20)));
    assert!(rig.revision().await > revision, "so that other workers learn of it");
    assert_eq!(rig.latest().await, Some(returned));
    assert_eq!(rig.count(2, 1, 1).await, None, "it is over");
    assert_eq!(rig.current().await, digest(1));
}

async fn nothing_is_counted_for_what_is_not_rolled_out(rig: Rig) {
    assert_eq!(rig.count(2, 1, 1).await, None);
    let begun = rig.rolled_out("5%").await;
    assert_eq!(rig.count(1, 1, 1).await, None);
    assert_eq!(rig.latest().await, Some(begun));
}

async fn a_finished_rollout_has_made_its_version_current_with_its_tasks(rig: Rig) {
    rig.rolled_out("5%").await;
    rig.count(2, 30, 1).await;
    let revision = rig.revision().await;
    let RolloutEnded { rollout, changes } = rig.end_rollout(2, true).await.expect("finished");
    assert_eq!((rollout.state(), rollout.attempts, rollout.failed), (RolloutState::Finished, 30, 1));
    let changes = changes.expect("another version is current");
    assert_eq!((changes.tasks_added, changes.tasks_removed), (vec![task_id("p:own2")], vec![task_id("p:own1")]));
    assert_eq!((rig.current().await, rig.latest().await), (digest(2), Some(rollout)));
    assert!(rig.revision().await > revision);
    assert_conflict(&rig.end_rollout(2, true).await, "no rollout under way");
}

async fn an_aborted_rollout_leaves_the_current_version_current(rig: Rig) {
    let unknown = rig.end_rollout(2, false).await;
    assert!(matches!(unknown, Err(StoreError::NotFound(Subject::Plugin(_)))), "{unknown:?}");
    rig.rolled_out("5%").await;
    assert_conflict(&rig.end_rollout(3, false).await, "under way");
    let ended = rig.end_rollout(2, false).await.expect("aborted");
    assert_eq!((ended.rollout.state(), ended.changes), (RolloutState::Aborted, None));
    assert_eq!(rig.current().await, digest(1));
}

async fn running_jobs_stay_on_the_version_that_their_rollout_gave_them(rig: Rig) {
    let begun = rig.rolled_out("50%").await;
    for _ in 0..40 {
        rig.add(rig.make.job("p:work")).await;
    }
    rig.add(rig.make.job("p:own1")).await;
    let running = rig.acquire(0, 100).await;
    rig.end_rollout(2, true).await.expect("finished");
    let mut new = 0;
    for job in &running {
        // The version does not offer `own1`, and gets none of its jobs.
        let takes = begun.takes(job.spec.id) && job.spec.task_id == task_id("p:work");
        let expected = if takes { digest(2) } else { digest(1) };
        assert_eq!(rig.version_of(job.spec.id).await, Some(expected));
        new += usize::from(takes);
    }
    assert!((5..=35).contains(&new), "{new} of 40");
}

async fn a_crash_for_which_somebody_else_may_be_to_blame_counts_for_no_version(rig: Rig) {
    let begun = rig.rolled_out("100%").await;
    for _ in 0..2 {
        rig.add(rig.make.job("p:work")).await;
    }
    // Whatever has ended the worker: both jobs ran there, each time.
    for time in [0, 100, 200] {
        let jobs = rig.acquire(time, 2).await;
        assert_eq!(jobs.len(), 2);
        rig.a.recover(recover(time + 50)).await.expect("recovered");
        for job in jobs {
            assert_eq!(rig.version_of(job.spec.id).await, Some(digest(2)));
        }
    }
    assert_eq!(rig.latest().await, Some(begun));
}

async fn a_crash_of_a_job_that_was_run_alone_counts_as_a_failure_of_its_version(rig: Rig) {
    let begun = rig.rolled_out("100%").await;
    rig.add(rig.make.job("p:work")).await;
    let (id, _) = rig.acquire_one(0).await;
    rig.a.recover(recover(50)).await.expect("recovered");
    assert_eq!(rig.version_of(id).await, Some(digest(2)));
    assert_eq!(rig.latest().await, Some(begun), "somebody may have ended the worker");
    rig.acquire_one(51).await;
    let revision = rig.revision().await;
    let recovered = rig.a.recover(recover(100)).await.expect("recovered");
    let latest = rig.latest().await.expect("it has begun");
    assert_eq!(
        (latest.attempts, latest.failed, latest.state()),
        (1, 1, RolloutState::Returned),
        "one of five is too many"
    );
    assert!(rig.revision().await > revision, "so that workers learn of it");
    if rig.is_exact {
        assert_eq!(recovered.returned, [(version(0).version.name, digest(2))]);
    }
}

async fn a_removed_plugin_takes_its_rollout_with_it(rig: Rig) {
    rig.rolled_out("5%").await;
    rig.a.plugin_remove(&version(0).version.name).await.expect("removed");
    assert_eq!(rig.latest().await, None);
    rig.a.plugin_put(version(2)).await.expect("registered");
    assert_eq!(rig.latest().await, None);
}
