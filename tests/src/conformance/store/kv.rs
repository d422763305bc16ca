//! Buckets: what jobs write comes with their success, once and as a whole.

use host::model::kv::NO_VERSION;
use host::model::{BucketName, ErrorKind, JobError, JobId, KvKey, KvRefusal, KvWrite, KvWrites, LeaseToken, Outcome};
use host::store::{
    Effects, Ending, ExchangeJobs, GetKv, KvBucket, ListKv, ReleaseJob, ReleaseJobs, Released, StoreError, WriteKv,
};

use super::{Rig, cases};
use crate::factory::{recover, release, releases, success, t};

cases![
    what_a_job_writes_is_there_with_its_success,
    a_job_that_does_not_succeed_writes_nothing,
    a_job_whose_lease_was_lost_writes_nothing,
    a_release_that_is_repeated_writes_once,
    an_exchange_writes_as_a_release_does,
    of_two_jobs_that_write_a_key_the_one_that_ends_last_wins,
    a_job_that_expected_another_version_is_refused_and_keeps_its_lease,
    a_refused_job_hurts_no_other_in_its_batch,
    of_many_that_expect_the_same_version_one_wins,
    a_bucket_that_would_be_too_large_refuses_and_may_shrink,
    keys_are_listed_in_order_by_prefix_and_page,
    names_that_differ_in_case_or_accent_are_different_keys,
    an_operator_writes_and_deletes_at_once,
    a_bucket_that_is_made_twice_keeps_what_it_has,
    a_thousand_keys_are_written_at_once,
];

fn bucket(name: &str) -> BucketName {
    BucketName::new(name).expect("valid")
}

fn key(text: &str) -> KvKey {
    KvKey::new(text).expect("valid")
}

fn put(name: &str, value: &str) -> KvWrite {
    KvWrite { bucket: bucket("b"), key: key(name), value: Some(value.as_bytes().into()), expected: None }
}

fn delete(name: &str) -> KvWrite {
    KvWrite { value: None, ..put(name, "") }
}

fn expecting(version: u64, write: KvWrite) -> KvWrite {
    KvWrite { expected: Some(version), ..write }
}

fn together(writes: Vec<KvWrite>) -> KvWrites {
    KvWrites { writes, bucket_bytes_max: 1 << 20 }
}

fn writing(id: JobId, token: LeaseToken, writes: Vec<KvWrite>) -> ReleaseJob {
    let effects = Effects { kv: together(writes), ..Effects::default() };
    ReleaseJob { effects, ..release(id, token, success(1_000)) }
}

impl Rig {
    async fn started(&self) -> (JobId, LeaseToken) {
        self.add(self.make.job("p:work")).await;
        self.acquire_one(0).await
    }

    /// Lets a job of its own write, and answers what became of it.
    async fn job_writes(&self, writes: Vec<KvWrite>) -> Released {
        let (id, token) = self.started().await;
        let released = self.a.job_release(releases(5, writing(id, token, writes))).await.expect("released");
        released.into_iter().next().expect("an answer")
    }

    /// The value and the version under a key.
    async fn value(&self, name: &str) -> Option<(String, u64)> {
        let request = GetKv { bucket: bucket("b"), key: key(name) };
        let entry = self.b.kv_get(request).await.expect("a key can be read")?;
        Some((String::from_utf8(entry.value.to_vec()).expect("text"), entry.version))
    }

    async fn text(&self, name: &str) -> Option<String> {
        self.value(name).await.map(|(text, _)| text)
    }

    async fn keys(&self, prefix: &str, after: Option<&str>, limit: usize) -> (Vec<String>, bool) {
        let request = ListKv { bucket: bucket("b"), prefix: prefix.to_owned(), after: after.map(key), limit };
        let page = self.b.kv_list(request).await.expect("keys can be listed");
        (page.keys.iter().map(|row| row.key.to_string()).collect(), page.has_more)
    }
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

async fn what_a_job_writes_is_there_with_its_success(rig: Rig) {
    assert_eq!(rig.text("a").await, None);
    rig.job_writes(vec![put("a", "1"), put("b", "2")]).await;
    assert_eq!((rig.text("a").await, rig.text("b").await), (some("1"), some("2")));
    rig.job_writes(vec![put("a", "3"), delete("b"), delete("never there")]).await;
    assert_eq!((rig.text("a").await, rig.text("b").await), (some("3"), None));
    let entry = rig.b.kv_get(GetKv { bucket: bucket("b"), key: key("a") }).await.expect("read").expect("there");
    assert_eq!(entry.updated_at, t(5));
    let buckets = rig.b.kv_buckets().await.expect("listed");
    assert_eq!(buckets, [KvBucket { name: bucket("b"), revision: 3, keys: 1, bytes: 64 + 1 + 1 }]);
}

async fn a_job_that_does_not_succeed_writes_nothing(rig: Rig) {
    let error = || JobError::new(ErrorKind::GuestError, "no");
    let failed = Ending::Finished { outcome: Outcome::Error, result: None, error: Some(error()), expires_at: t(100) };
    let cancelled = Ending::Finished { outcome: Outcome::Cancelled, result: None, error: None, expires_at: t(100) };
    let endings = [failed, cancelled, Ending::Retry { due_at: t(900), error: error() }];
    for ending in endings.into_iter().chain([Ending::Requeued { not_before: Some(t(900)) }]) {
        let (id, token) = rig.started().await;
        let ended = ReleaseJob { ending, ..writing(id, token, vec![put("a", "1")]) };
        assert_eq!(rig.a.job_release(releases(5, ended)).await.expect("released"), [Released::Stored]);
    }
    assert_eq!(rig.text("a").await, None);
    assert_eq!(rig.b.kv_buckets().await.expect("listed"), []);
}

async fn a_job_whose_lease_was_lost_writes_nothing(rig: Rig) {
    let (id, token) = rig.started().await;
    rig.a.recover(recover(60)).await.expect("recovered");
    let late = rig.a.job_release(releases(61, writing(id, token, vec![put("a", "1")]))).await.expect("answered");
    assert_eq!((late, rig.text("a").await), (vec![Released::LeaseLost], None));
}

async fn a_release_that_is_repeated_writes_once(rig: Rig) {
    let (id, token) = rig.started().await;
    let ended = writing(id, token, vec![put("a", "1")]);
    rig.a.job_release(releases(5, ended.clone())).await.expect("released");
    let first = rig.value("a").await;
    rig.job_writes(vec![put("a", "2")]).await;
    let again = rig.a.job_release(releases(5, ended)).await.expect("answered");
    assert_eq!(again, [Released::LeaseLost]);
    assert_eq!(first.map(|(text, _)| text), some("1"));
    assert_eq!(rig.text("a").await, some("2"));
}

async fn an_exchange_writes_as_a_release_does(rig: Rig) {
    let (id, token) = rig.started().await;
    let next = rig.add(rig.make.job("p:work")).await;
    let release = releases(5, writing(id, token, vec![put("a", "1")]));
    let request = ExchangeJobs { release, acquire: rig.make.acquire(5, 1) };
    let exchanged = rig.a.job_exchange(request).await.expect("exchanged");
    assert_eq!(exchanged.acquired.jobs[0].spec.id, next.id);
    assert_eq!(rig.text("a").await, some("1"));
    let token = exchanged.acquired.jobs[0].lease.as_ref().expect("leased").token;
    let release = releases(6, writing(next.id, token, vec![expecting(7, put("a", "2"))]));
    let request = ExchangeJobs { release, acquire: rig.make.acquire(6, 1) };
    let refused = rig.a.job_exchange(request).await.expect("exchanged").released;
    assert_eq!(refused, [Released::Refused(KvRefusal::Changed { bucket: bucket("b"), key: key("a") })]);
    assert_eq!(rig.text("a").await, some("1"));
}

async fn of_two_jobs_that_write_a_key_the_one_that_ends_last_wins(rig: Rig) {
    rig.add(rig.make.job("p:work")).await;
    rig.add(rig.make.job("p:work")).await;
    let (first, second) = (rig.acquire_one(0).await, rig.acquire_one(0).await);
    let ends = [(second, "second"), (first, "first")];
    let releases = ends.map(|((id, token), value)| writing(id, token, vec![put("a", value), put(value, value)]));
    rig.a.job_release(ReleaseJobs { now: t(5), releases: releases.into() }).await.expect("released");
    assert_eq!(rig.text("a").await, some("first"));
    assert_eq!((rig.text("first").await, rig.text("second").await), (some("first"), some("second")));
}

async fn a_job_that_expected_another_version_is_refused_and_keeps_its_lease(rig: Rig) {
    rig.job_writes(vec![put("a", "1")]).await;
    let (_, version) = rig.value("a").await.expect("there");
    let (id, token) = rig.started().await;
    rig.job_writes(vec![expecting(version, put("a", "2"))]).await;
    let stale = writing(id, token, vec![put("other", "x"), expecting(version, put("a", "3"))]);
    let refused = rig.a.job_release(releases(5, stale)).await.expect("answered");
    assert_eq!(refused, [Released::Refused(KvRefusal::Changed { bucket: bucket("b"), key: key("a") })]);
    assert_eq!((rig.text("a").await, rig.text("other").await), (some("2"), None));
    let job = rig.job(id).await;
    assert_eq!(job.lease.map(|lease| lease.token), Some(token));
    let error = JobError::new(ErrorKind::GuestError, "refused");
    let retried = release(id, token, Ending::Retry { due_at: t(6), error });
    assert_eq!(rig.a.job_release(releases(5, retried)).await.expect("released"), [Released::Stored]);
}

async fn a_refused_job_hurts_no_other_in_its_batch(rig: Rig) {
    let mut releases = Vec::new();
    for write in [put("a", "1"), expecting(99, put("b", "2")), put("c", "3")] {
        let (id, token) = rig.started().await;
        releases.push(writing(id, token, vec![write]));
    }
    let released = rig.a.job_release(ReleaseJobs { now: t(5), releases }).await.expect("released");
    assert!(!rig.is_exact || released[0] == Released::Stored && released[2] == Released::Stored, "{released:?}");
    assert_eq!(released[1], Released::Refused(KvRefusal::Changed { bucket: bucket("b"), key: key("b") }));
    let found = [rig.text("a").await, rig.text("b").await, rig.text("c").await];
    assert_eq!(found, [some("1"), None, some("3")]);
}

/// However they come, each of them adds one to what it has read, or is refused.
async fn of_many_that_expect_the_same_version_one_wins(rig: Rig) {
    const JOBS: usize = 6;
    rig.job_writes(vec![put("n", "0")]).await;
    let (_, version) = rig.value("n").await.expect("there");
    let mut started = Vec::new();
    for _ in 0..JOBS {
        started.push(rig.started().await);
    }
    let mut tasks = tokio::task::JoinSet::new();
    for (at, (id, token)) in started.into_iter().enumerate() {
        let store = if at % 2 == 0 { rig.a.clone() } else { rig.b.clone() };
        let write = expecting(version, put("n", "1"));
        tasks.spawn(async move { store.job_release(releases(5, writing(id, token, vec![write]))).await });
    }
    let mut refused = 0;
    while let Some(ended) = tasks.join_next().await {
        let released = ended.expect("no panic").expect("released");
        refused += usize::from(matches!(released[0], Released::Refused(_)));
    }
    assert_eq!(refused, JOBS - 1);
    assert_eq!(rig.value("n").await, Some(("1".to_owned(), version + 1)));
}

async fn a_bucket_that_would_be_too_large_refuses_and_may_shrink(rig: Rig) {
    let write = |value: usize, limit: u64| WriteKv {
        now: t(1),
        writes: KvWrites { writes: vec![put("a", &"x".repeat(value))], bucket_bytes_max: limit },
    };
    rig.a.kv_write(write(100, 165)).await.expect("it fits");
    let refused = rig.a.kv_write(write(101, 165)).await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
    rig.a.kv_write(write(99, 10)).await.expect("it shrinks");
    let (id, token) = rig.started().await;
    let mut full = writing(id, token, vec![put("b", "1")]);
    full.effects.kv.bucket_bytes_max = 200;
    let released = rig.a.job_release(releases(5, full)).await.expect("answered");
    assert_eq!(released, [Released::Refused(KvRefusal::Full { bucket: bucket("b"), bytes_max: 200 })]);
}

async fn keys_are_listed_in_order_by_prefix_and_page(rig: Rig) {
    assert_eq!(rig.keys("", None, 10).await, (Vec::new(), false));
    let names = ["a/1", "a/2", "a/3", "a", "b", "a b", "a!", "é", "zz", "Z"];
    rig.job_writes(names.map(|name| put(name, name)).into()).await;
    let other = KvWrite { bucket: bucket("a"), ..put("a/0", "in another bucket") };
    rig.a.kv_write(WriteKv { now: t(1), writes: together(vec![other]) }).await.expect("written");
    let mut sorted = names.map(str::to_owned).to_vec();
    sorted.sort();
    assert_eq!(rig.keys("", None, 100).await, (sorted, false));
    let page = |keys: &[&str], has_more| (keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>(), has_more);
    assert_eq!(rig.keys("a/", None, 2).await, page(&["a/1", "a/2"], true));
    assert_eq!(rig.keys("a/", Some("a/2"), 2).await, page(&["a/3"], false));
    assert_eq!(rig.keys("a/", None, 3).await, page(&["a/1", "a/2", "a/3"], false));
    assert_eq!(rig.keys("a ", None, 3).await, page(&["a b"], false));
    assert_eq!(rig.keys("c", None, 3).await, page(&[], false));
    assert_eq!(rig.keys("", Some("zz"), 3).await, page(&["é"], false));
}

async fn names_that_differ_in_case_or_accent_are_different_keys(rig: Rig) {
    let names = ["name", "Name", "näme", "na\u{308}me", "ｎａｍｅ", "name."];
    rig.job_writes(names.map(|name| put(name, name)).into()).await;
    for name in names {
        assert_eq!(rig.text(name).await, some(name));
    }
}

async fn an_operator_writes_and_deletes_at_once(rig: Rig) {
    let write = |write| WriteKv { now: t(1), writes: together(vec![write]) };
    rig.a.kv_write(write(expecting(NO_VERSION, put("a", "1")))).await.expect("it is new");
    let (_, version) = rig.value("a").await.expect("there");
    let stale = rig.a.kv_write(write(expecting(version + 1, put("a", "2")))).await;
    assert!(matches!(stale, Err(StoreError::Conflict { .. })), "{stale:?}");
    rig.a.kv_write(write(delete("a"))).await.expect("deleted");
    assert_eq!(rig.text("a").await, None);
    rig.a.kv_write(write(put("a", "3"))).await.expect("written again");
    let (_, later) = rig.value("a").await.expect("there");
    assert!(later > version, "a version comes once");
}

async fn a_bucket_that_is_made_twice_keeps_what_it_has(rig: Rig) {
    rig.a.kv_create(vec![bucket("b"), bucket("a"), bucket("b")]).await.expect("made");
    rig.job_writes(vec![put("a", "1")]).await;
    rig.b.kv_create(vec![bucket("b")]).await.expect("made");
    let buckets = rig.b.kv_buckets().await.expect("listed");
    let counts: Vec<(&str, u64)> = buckets.iter().map(|bucket| (bucket.name.as_str(), bucket.keys)).collect();
    assert_eq!(counts, [("a", 0), ("b", 1)]);
    assert_eq!(rig.text("a").await, some("1"));
}

async fn a_thousand_keys_are_written_at_once(rig: Rig) {
    let names: Vec<String> = (0..1_000).map(|at| format!("key {at:04}")).collect();
    let value = "v".repeat(2_000);
    let (id, token) = rig.started().await;
    let mut many = writing(id, token, names.iter().map(|name| put(name, &value)).collect());
    many.effects.kv.bucket_bytes_max = 8 << 20;
    rig.a.job_release(releases(5, many)).await.expect("released");
    assert_eq!(rig.keys("key ", None, 1_000).await, (names.clone(), false));
    rig.job_writes(names.iter().map(|name| delete(name)).collect()).await;
    let buckets = rig.b.kv_buckets().await.expect("listed");
    assert_eq!((buckets[0].keys, buckets[0].bytes), (0, 0));
}
