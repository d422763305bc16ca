//! Versions of plugins: jobs stay on the one they have begun with, and those that something needs are not pruned.

use host::model::{
    Digest, ErrorKind, Grant, JobError, JobId, JobSettings, JobSpec, Percent, PluginVersion, Schedule, Settings,
};
use host::store::{
    ActivatePlugin, EndRollout, Ending, KeptVersion, PrunePlugin, Pruned, Put, PutPlugin, PutRollout, Reviewed,
    StagePlugin, StoreError, Subject,
};

use super::{Rig, cases};
use crate::factory::{add, plugin, recover, release, releases, schedule, success, t, task};

cases![
    a_running_job_stays_on_the_version_that_it_has_begun_with,
    a_job_that_is_tried_again_stays_on_its_version,
    a_job_whose_worker_is_gone_stays_on_its_version,
    a_job_that_has_not_begun_goes_with_the_current_version,
    a_job_that_is_retried_by_hand_is_bound_to_no_version,
    an_older_version_that_is_made_current_again_leaves_running_jobs_alone,
    a_job_that_was_taken_and_has_not_begun_is_bound_to_no_version,
    a_pin_is_kept_by_jobs_and_schedules,
    a_pinned_job_that_runs_is_on_its_version_whichever_is_current,
    versions_that_nobody_needs_are_pruned_with_their_bytes,
    a_version_that_a_job_or_a_schedule_needs_is_not_pruned,
    pruning_says_what_it_would_do_without_doing_it,
    an_unknown_plugin_cannot_be_pruned,
    what_was_reviewed_must_still_be_so_when_a_version_gets_jobs,
    a_first_version_is_not_registered_over_one_that_nobody_has_seen,
    a_change_that_was_reviewed_can_be_asked_for_again,
];

/// The version of plugin `p` whose component is that byte, registered at `t(at)`.
fn version(byte: u8, at: i64) -> PutPlugin {
    let put = plugin(&[byte], vec![task("p:work", None)]);
    PutPlugin { version: PluginVersion { registered_at: t(at), ..put.version }, ..put }
}

fn digest(byte: u8) -> Digest {
    version(byte, 0).version.digest
}

fn failed() -> JobError {
    JobError::new(ErrorKind::GuestError, "no")
}

impl Rig {
    async fn register(&self, byte: u8, at: i64) {
        self.a.plugin_put(version(byte, at)).await.expect("registered");
    }

    async fn prune(&self, keep: usize, dry_run: bool) -> Pruned {
        let name = version(0, 0).version.name;
        self.a.plugin_prune(PrunePlugin { name, keep, dry_run }).await.expect("pruned")
    }

    async fn digest_of(&self, id: JobId) -> Option<Digest> {
        self.job(id).await.plugin_digest
    }

    async fn versions(&self) -> Vec<Digest> {
        let history = self.b.plugin_history(&version(0, 0).version.name).await.expect("read");
        history.rows.into_iter().map(|version| version.digest).collect()
    }
}

async fn a_running_job_stays_on_the_version_that_it_has_begun_with(rig: Rig) {
    rig.register(1, 1).await;
    rig.add(rig.make.job("p:work")).await;
    let (id, token) = rig.acquire_one(0).await;
    assert_eq!(rig.digest_of(id).await, None, "while nothing has changed, it is the current one");
    rig.register(2, 2).await;
    assert_eq!(rig.digest_of(id).await, Some(digest(1)));
    rig.register(3, 3).await;
    assert_eq!(rig.digest_of(id).await, Some(digest(1)));
    let retry = release(id, token, Ending::Retry { due_at: t(5), error: failed() });
    rig.a.job_release(releases(6, retry)).await.expect("released");
    assert_eq!(rig.digest_of(id).await, Some(digest(1)));
    assert_eq!(rig.acquire(6, 1).await[0].version(), Some(digest(1)));
}

async fn a_job_that_is_tried_again_stays_on_its_version(rig: Rig) {
    rig.register(1, 1).await;
    rig.add(rig.make.job("p:work")).await;
    let (id, token) = rig.acquire_one(0).await;
    let mut retry = release(id, token, Ending::Retry { due_at: t(5), error: failed() });
    retry.plugin_digest = Some(digest(1));
    rig.a.job_release(releases(1, retry)).await.expect("released");
    rig.register(2, 2).await;
    let again = rig.acquire(6, 1).await.pop().expect("it is due");
    assert_eq!((again.spec.id, again.attempt, again.version()), (id, 2, Some(digest(1))));
    // It gave its attempt back, and stays where it was.
    let token = again.lease.expect("acquired").token;
    let given_back = release(id, token, Ending::Requeued { not_before: None });
    rig.a.job_release(releases(7, given_back)).await.expect("released");
    assert_eq!(rig.digest_of(id).await, Some(digest(1)));
}

async fn a_job_whose_worker_is_gone_stays_on_its_version(rig: Rig) {
    rig.register(1, 1).await;
    rig.add(rig.make.job("p:work")).await;
    let (id, _) = rig.acquire_one(0).await;
    let recovered = rig.a.recover(recover(100)).await.expect("recovered");
    assert_eq!(recovered.requeued.len(), 1);
    assert_eq!(rig.digest_of(id).await, Some(digest(1)), "when it is tried again, another one may be current");
    rig.register(2, 2).await;
    assert_eq!(rig.digest_of(id).await, Some(digest(1)));
}

async fn a_job_that_has_not_begun_goes_with_the_current_version(rig: Rig) {
    rig.register(1, 1).await;
    let job = rig.add(rig.make.job("p:work")).await;
    rig.register(2, 2).await;
    assert_eq!(rig.digest_of(job.id).await, None);
    assert_eq!(rig.acquire(0, 1).await[0].version(), None);
}

async fn a_job_that_is_retried_by_hand_is_bound_to_no_version(rig: Rig) {
    rig.register(1, 1).await;
    rig.add(rig.make.job("p:work")).await;
    let (id, token) = rig.acquire_one(0).await;
    let mut ended = release(id, token, success(1_000));
    ended.plugin_digest = Some(digest(1));
    rig.a.job_release(releases(1, ended)).await.expect("released");
    assert_eq!(rig.digest_of(id).await, Some(digest(1)));
    assert_eq!(rig.b.job_retry(id, t(2)).await.expect("it has ended").version(), None);
    assert_eq!(rig.digest_of(id).await, None);
}

async fn an_older_version_that_is_made_current_again_leaves_running_jobs_alone(rig: Rig) {
    rig.register(1, 1).await;
    rig.register(2, 2).await;
    rig.add(rig.make.job("p:work")).await;
    let (id, _) = rig.acquire_one(0).await;
    let PutPlugin { version: old, tasks, .. } = version(1, 1);
    let revision = rig.b.catalog_revision().await.expect("read");
    let request = ActivatePlugin { name: old.name, digest: old.digest, tasks, reviewed: None };
    rig.a.plugin_activate(request).await.expect("activated");
    assert_eq!(rig.digest_of(id).await, Some(digest(2)));
    assert!(rig.b.catalog_revision().await.expect("read") > revision, "so that other workers learn of it");
}

async fn a_job_that_was_taken_and_has_not_begun_is_bound_to_no_version(rig: Rig) {
    rig.register(1, 1).await;
    rig.add(rig.make.job("p:work")).await;
    let (id, token) = rig.acquire_one(0).await;
    rig.register(2, 2).await;
    assert_eq!(rig.digest_of(id).await, Some(digest(1)), "nobody can tell yet whether it has begun");
    let given_back = release(id, token, Ending::Requeued { not_before: None });
    rig.a.job_release(releases(3, given_back)).await.expect("released");
    assert_eq!(rig.digest_of(id).await, None);
    let again = rig.acquire(4, 1).await.pop().expect("it is due");
    assert_eq!((again.attempt, again.version()), (1, None));
    // This time it has begun before it is given back.
    let token = again.lease.expect("acquired").token;
    let mut given_back = release(id, token, Ending::Requeued { not_before: None });
    given_back.plugin_digest = Some(digest(2));
    rig.a.job_release(releases(5, given_back)).await.expect("released");
    assert_eq!(rig.digest_of(id).await, Some(digest(2)));
}

async fn a_pinned_job_that_runs_is_on_its_version_whichever_is_current(rig: Rig) {
    rig.register(1, 1).await;
    rig.register(2, 2).await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let job = rig.make.job("p:work");
        let job = JobSpec { settings: JobSettings { version: Some(digest(1)), ..job.settings }, ..job };
        ids.push(rig.add(job).await.id);
    }
    rig.acquire_one(0).await;
    rig.register(3, 3).await;
    assert_eq!(rig.digest_of(ids[0]).await, Some(digest(1)));
    rig.a.recover(recover(100)).await.expect("recovered");
    rig.acquire(101, 2).await;
    rig.a.recover(recover(200)).await.expect("recovered");
    assert_eq!((rig.digest_of(ids[0]).await, rig.digest_of(ids[1]).await), (Some(digest(1)), Some(digest(1))));
}

async fn a_pin_is_kept_by_jobs_and_schedules(rig: Rig) {
    let job = rig.make.job("p:work");
    let job = JobSpec { settings: JobSettings { version: Some(digest(1)), ..job.settings }, ..job };
    let job = rig.add(job).await;
    assert_eq!(rig.acquire(0, 1).await[0].version(), Some(digest(1)));
    assert_eq!(rig.job(job.id).await.spec, job);
    let settings = Settings { version: Some(digest(2)), ..Settings::default() };
    let pinned = Schedule { settings, ..schedule("s", 10) };
    rig.a.schedule_add(add(pinned.clone())).await.expect("added");
    assert_eq!(rig.b.schedule_get(&pinned.id).await.expect("read"), Some(pinned));
}

async fn versions_that_nobody_needs_are_pruned_with_their_bytes(rig: Rig) {
    for byte in 1..=5 {
        rig.register(byte, byte.into()).await;
    }
    let revision = rig.b.catalog_revision().await.expect("read");
    let PutPlugin { version: first, tasks, .. } = version(1, 1);
    rig.a
        .plugin_activate(ActivatePlugin { name: first.name, digest: first.digest, tasks, reviewed: None })
        .await
        .expect("activated");
    let pruned = rig.prune(2, false).await;
    assert_eq!(pruned.removed, [digest(3), digest(2)]);
    let kept = [(digest(5), KeptVersion::Recent), (digest(4), KeptVersion::Recent), (digest(1), KeptVersion::Current)];
    assert_eq!(pruned.kept, kept);
    assert_eq!(rig.versions().await, [digest(5), digest(4), digest(1)]);
    assert_eq!(rig.b.plugin_bytes(&digest(2)).await.expect("read"), None);
    assert_eq!(rig.b.plugin_bytes(&digest(4)).await.expect("read"), Some(vec![4]));
    assert!(rig.b.catalog_revision().await.expect("read") > revision);
    assert_eq!(rig.prune(2, false).await.removed, []);
}

async fn a_version_that_a_job_or_a_schedule_needs_is_not_pruned(rig: Rig) {
    rig.register(1, 1).await;
    rig.add(rig.make.job("p:work")).await;
    let (running, token) = rig.acquire_one(0).await;
    for byte in 2..=4 {
        rig.register(byte, byte.into()).await;
    }
    let job = rig.make.job("p:work");
    rig.add(JobSpec { settings: JobSettings { version: Some(digest(2)), ..job.settings }, ..job }).await;
    let settings = Settings { version: Some(digest(3)), ..Settings::default() };
    rig.a.schedule_add(add(Schedule { settings, ..schedule("s", 10) })).await.expect("added");
    let pruned = rig.prune(0, false).await;
    let kept = [
        (digest(4), KeptVersion::Current),
        (digest(3), KeptVersion::Schedule),
        (digest(2), KeptVersion::Job),
        (digest(1), KeptVersion::Job),
    ];
    assert_eq!((pruned.removed, &pruned.kept[..]), (vec![], &kept[..]));
    rig.a.job_release(releases(1, release(running, token, success(1_000)))).await.expect("released");
    rig.b.schedule_remove(&schedule("s", 10).id).await.expect("removed");
    assert_eq!(rig.prune(0, false).await.removed, [digest(3), digest(1)], "what has ended needs nothing");
}

async fn pruning_says_what_it_would_do_without_doing_it(rig: Rig) {
    rig.register(1, 1).await;
    rig.register(2, 2).await;
    assert_eq!(rig.prune(1, true).await.removed, [digest(1)]);
    assert_eq!(rig.versions().await, [digest(2), digest(1)]);
}

async fn an_unknown_plugin_cannot_be_pruned(rig: Rig) {
    let name = version(0, 0).version.name;
    let request = PrunePlugin { name: name.clone(), keep: 0, dry_run: false };
    let refused = rig.a.plugin_prune(request).await;
    assert!(matches!(&refused, Err(StoreError::NotFound(Subject::Plugin(it))) if *it == name), "{refused:?}");
}

#[track_caller]
fn assert_changed<T: std::fmt::Debug>(answer: &Result<T, StoreError>) {
    let Err(StoreError::Conflict { subject: Subject::Plugin(_), state }) = answer else { panic!("{answer:?}") };
    assert!(state.contains("reviewed"), "{state}");
}

async fn what_was_reviewed_must_still_be_so_when_a_version_gets_jobs(rig: Rig) {
    rig.register(1, 1).await;
    rig.register(2, 2).await;
    let seen = rig.b.plugin_get(&version(0, 0).version.name).await.expect("read");
    let reviewed =
        |grants: Option<&[Grant]>| Some(Reviewed { current: seen.clone(), grants: grants.map(<[Grant]>::to_vec) });
    // Somebody gives the current version more rights, and stages another one, between the look and the change.
    let more = vec![Grant::Env { name: "TZ".into(), value: None }];
    let with_more =
        |put: PutPlugin| PutPlugin { version: PluginVersion { grants: more.clone(), ..put.version }, ..put };
    rig.b.plugin_put(with_more(version(2, 2))).await.expect("registered");
    let revision = rig.b.catalog_revision().await.expect("read");
    assert_changed(&rig.a.plugin_put(PutPlugin { reviewed: reviewed(None), ..version(3, 3) }).await);
    let PutPlugin { version: third, bytes, .. } = version(3, 3);
    let stage = StagePlugin { version: third, bytes, reviewed: reviewed(None) };
    assert_changed(&rig.a.plugin_stage(stage.clone()).await);
    let PutPlugin { version: first, tasks, .. } = version(1, 1);
    let back = ActivatePlugin { name: first.name, digest: first.digest, tasks, reviewed: reviewed(None) };
    assert_changed(&rig.a.plugin_activate(back.clone()).await);
    let share = Percent::from_hundredths(500).expect("a part");
    let rollout = PutRollout {
        name: back.name.clone(),
        digest: back.digest,
        share,
        error_rate_max: None,
        attempts_min: None,
        now: t(9),
        reviewed: reviewed(None),
    };
    assert_changed(&rig.a.rollout_put(rollout.clone()).await);
    assert_eq!(rig.b.catalog_revision().await.expect("read"), revision);
    assert_eq!(rig.versions().await, [digest(2), digest(1)]);
    assert_eq!(rig.b.rollout_get(&back.name).await.expect("read"), None);

    let seen = rig.b.plugin_get(&back.name).await.expect("read");
    let reviewed = |grants: Vec<Grant>| Some(Reviewed { current: seen.clone(), grants: Some(grants) });
    assert_changed(&rig.a.plugin_activate(ActivatePlugin { reviewed: reviewed(more.clone()), ..back.clone() }).await);
    assert_changed(&rig.a.rollout_put(PutRollout { reviewed: reviewed(more), ..rollout.clone() }).await);
    rig.a.rollout_put(PutRollout { reviewed: reviewed(Vec::new()), ..rollout }).await.expect("it is as it was seen");
    let end = EndRollout { name: back.name.clone(), digest: back.digest, finish: None, now: t(10) };
    rig.a.rollout_end(end).await.expect("it is under way");
    let staged = StagePlugin { reviewed: Some(Reviewed { current: seen.clone(), grants: None }), ..stage };
    rig.a.plugin_stage(staged).await.expect("it is as it was seen");
    rig.a
        .plugin_activate(ActivatePlugin { reviewed: reviewed(Vec::new()), ..back })
        .await
        .expect("it is as it was seen");
    let seen = rig.b.plugin_get(&version(0, 0).version.name).await.expect("read");
    let reviewed = Some(Reviewed { current: seen, grants: None });
    rig.a.plugin_put(PutPlugin { reviewed, ..version(4, 4) }).await.expect("it is as it was seen");
}

async fn a_first_version_is_not_registered_over_one_that_nobody_has_seen(rig: Rig) {
    rig.register(1, 1).await;
    let reviewed = Some(Reviewed { current: None, grants: None });
    assert_changed(&rig.a.plugin_put(PutPlugin { reviewed, ..version(2, 2) }).await);
    assert_eq!(rig.versions().await, [digest(1)]);
}

async fn a_change_that_was_reviewed_can_be_asked_for_again(rig: Rig) {
    let put = PutPlugin { reviewed: Some(Reviewed { current: None, grants: None }), ..version(1, 1) };
    rig.a.plugin_put(put.clone()).await.expect("registered");
    assert_eq!(rig.a.plugin_put(put).await.expect("its answer was lost").put, Put::Unchanged);
}
