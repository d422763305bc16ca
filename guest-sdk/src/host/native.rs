//! The fake host of the thread, if a test has put one up.

use std::time::Duration;

use crate::context::Job;
use crate::http::{self, Inbound, Outbound};
use crate::log::Level;
use crate::scheduler::{JobRequest, JobResult, ResumeFrom, ScheduleRequest, SchedulerError};
use crate::testing::{Progress, Request, fake};
use crate::{kv, secrets};

pub(crate) fn current() -> Job {
    fake(|host| host.job.clone()).unwrap_or_else(|| {
        panic!("there is no job outside the sandbox; in a test, use `guest_sdk::testing::Host`");
    })
}

pub(crate) fn is_cancelled() -> bool {
    fake(|host| host.is_cancelled()).unwrap_or(false)
}

pub(crate) fn remaining() -> Duration {
    fake(|host| host.remaining).unwrap_or(Duration::MAX)
}

pub(crate) fn log(level: Level, target: &str, message: &str, fields: &[(&str, String)]) {
    if fake(|host| host.record_line(level, target, message, fields)).is_none() {
        let fields: String = fields.iter().map(|(name, value)| format!(" {name}={value}")).collect();
        eprintln!("{level:?} {target}: {message}{fields}");
    }
}

pub(crate) fn progress(done: u64, total: Option<u64>, note: &str) {
    fake(|host| host.progress.push(Progress { done, total, note: note.to_owned() }));
}

pub(crate) fn add_job(request: JobRequest) -> Result<String, SchedulerError> {
    ask(Request::AddJob(request))
}

pub(crate) fn add_schedule(request: ScheduleRequest) -> Result<String, SchedulerError> {
    ask(Request::AddSchedule(request))
}

pub(crate) fn job_result(job_id: &str) -> Result<Option<JobResult>, SchedulerError> {
    fake(|host| host.job_result(job_id)).unwrap_or_else(|| Err(outside()))
}

pub(crate) fn cancel_job(job_id: &str) -> Result<(), SchedulerError> {
    ask(Request::CancelJob(job_id.to_owned())).map(drop)
}

pub(crate) fn pause_schedule(id: &str) -> Result<(), SchedulerError> {
    ask(Request::PauseSchedule(id.to_owned())).map(drop)
}

pub(crate) fn unpause_schedule(id: &str, from: ResumeFrom) -> Result<(), SchedulerError> {
    ask(Request::UnpauseSchedule(id.to_owned(), from)).map(drop)
}

pub(crate) fn remove_schedule(id: &str) -> Result<(), SchedulerError> {
    ask(Request::RemoveSchedule(id.to_owned())).map(drop)
}

/// The body of an answer, all of which is there.
pub(crate) struct Body(Vec<u8>);

impl Body {
    pub(crate) fn chunk(&mut self, most: usize) -> Result<Vec<u8>, http::Error> {
        let rest = self.0.split_off(most.min(self.0.len()));
        Ok(std::mem::replace(&mut self.0, rest))
    }
}

pub(crate) fn http_send(outbound: &Outbound<'_>) -> Result<Inbound, http::Error> {
    let answer = fake(|host| host.answer(outbound.request)).unwrap_or_else(|| {
        let what = "nobody sends requests outside the sandbox; see `guest_sdk::testing::Host::http`";
        Err(http::Error::new(http::ErrorKind::Unavailable, what))
    })?;
    let headers = answer.headers.into_iter().map(|(name, value)| (name, value.into_bytes())).collect();
    Ok(Inbound { status: answer.status, headers, body: Body(answer.body) })
}

pub(crate) fn kv_get(bucket: &str, key: &str) -> Result<Option<kv::Entry<Vec<u8>>>, kv::Error> {
    fake(|host| host.kv_get(bucket, key)).unwrap_or_else(|| Err(no_buckets()))
}

pub(crate) fn kv_keys(
    bucket: &str,
    prefix: &str,
    after: Option<&str>,
    limit: u32,
) -> Result<(Vec<String>, bool), kv::Error> {
    fake(|host| host.kv_keys(bucket, prefix, after, limit)).unwrap_or_else(|| Err(no_buckets()))
}

/// Without a value, deletes.
pub(crate) fn kv_set(bucket: &str, key: &str, value: Option<Vec<u8>>, version: Option<u64>) -> Result<(), kv::Error> {
    fake(|host| host.kv_set(bucket, key, value, version)).unwrap_or_else(|| Err(no_buckets()))
}

pub(crate) fn secret_placeholder(name: &str) -> Result<String, secrets::Error> {
    fake(|host| host.secret_placeholder(name)).unwrap_or_else(|| Err(no_secrets()))
}

pub(crate) fn secret_reveal(name: &str) -> Result<Vec<u8>, secrets::Error> {
    fake(|host| host.secret_reveal(name)).unwrap_or_else(|| Err(no_secrets()))
}

fn no_secrets() -> secrets::Error {
    let what = "there are no secrets outside the sandbox; see `guest_sdk::testing::Host::secret`";
    secrets::Error::new(secrets::ErrorKind::Unavailable, what)
}

fn no_buckets() -> kv::Error {
    let what = "there are no buckets outside the sandbox; see `guest_sdk::testing::Host::kv`";
    kv::Error::new(kv::ErrorKind::Unavailable, what)
}

fn ask(request: Request) -> Result<String, SchedulerError> {
    fake(|host| host.accept(request)).unwrap_or_else(|| Err(outside()))
}

fn outside() -> SchedulerError {
    SchedulerError::Unavailable("there is no scheduler outside the sandbox; see `guest_sdk::testing::Host`".to_owned())
}
