//! Tests of tasks without a sandbox: a fake host in the test's own thread.
//!
//! A task's function can be called as it is. What this adds is a job for it to run in, and a record of what it said:
//!
//! ```
//! use guest_sdk::{Context, TaskError, log, task, testing};
//! use serde_json::json;
//!
//! /// Greets somebody.
//! #[task]
//! fn greet(ctx: &Context, name: String) -> Result<String, TaskError> {
//!     log::info!(attempt = ctx.attempt(), "greeting {name}");
//!     Ok(format!("Hello, {name}!"))
//! }
//!
//! // The function itself, given a context:
//! let host = testing::Host::new().attempt(2);
//! assert_eq!(host.enter(|ctx| greet(ctx, "Ada".into())).returned.unwrap(), "Hello, Ada!");
//!
//! // The task as the host runs it, arguments and result by way of JSON:
//! let attempt = host.run("greet", json!({"name": "Ada"}));
//! assert_eq!(attempt.returned.unwrap(), json!("Hello, Ada!"));
//! assert_eq!(attempt.logs[0].message, "greeting Ada");
//! assert_eq!(attempt.logs[0].field("attempt"), Some("2"));
//! ```
//!
//! What it cannot show are the limits of the sandbox (memory, fuel, time, files); for those there is
//! `host invoke FILE TASK`, which makes one real attempt. A panic of the task is a panic of the test.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::context::{Context, Job};
use crate::error::TaskError;
use crate::http;
use crate::log::Level;
use crate::payload::{Encoding, Payload};
use crate::registry;
use crate::scheduler::{JobRequest, JobResult, ResumeFrom, ScheduleRequest, SchedulerError};
use crate::{kv, secrets};

pub use crate::registry::TaskDescription;

/// The tasks of the crate under test, as the host will see them, sorted by name.
///
/// # Errors
///
/// If two have one name: the text names both places.
pub fn tasks() -> Result<Vec<TaskDescription>, String> {
    registry::descriptions()
}

/// A fake host: what the job is like that a task is to be run in.
///
/// The defaults: the first of one attempt, no schedule, no metadata, not cancelled, five minutes left, no grant for the
/// scheduler.
#[derive(Debug, Clone)]
#[must_use = "a host does nothing until it runs something"]
pub struct Host {
    job: Job,
    cancel_after: Option<u32>,
    remaining: Duration,
    scheduler_granted: bool,
    job_results: Vec<(String, JobResult)>,
    answers: Vec<PlannedAnswer>,
    buckets: Buckets,
    secrets: BTreeMap<String, PlannedSecret>,
}

impl Default for Host {
    fn default() -> Self {
        Host::new()
    }
}

impl Host {
    /// A host with the defaults.
    pub fn new() -> Self {
        // A fixed time, so that two runs of a test see the same job.
        let began = SystemTime::UNIX_EPOCH + Duration::from_secs(1_750_000_000);
        let remaining = Duration::from_secs(300);
        let job = Job {
            job_id: "01977a3e-0000-7000-8000-000000000001".to_owned(),
            task: "task".to_owned(),
            task_id: "plugin:task".to_owned(),
            plugin: "plugin".to_owned(),
            plugin_digest: "0".repeat(64),
            schedule_id: None,
            attempt: 1,
            max_attempts: 1,
            scheduled_fire_time: None,
            jitter: Duration::ZERO,
            created_at: began,
            started_at: began,
            deadline: began + remaining,
            metadata: serde_json::Map::new(),
            scheduler_id: "test".to_owned(),
        };
        Host {
            job,
            cancel_after: None,
            remaining,
            scheduler_granted: false,
            job_results: Vec::new(),
            answers: Vec::new(),
            buckets: Buckets::default(),
            secrets: BTreeMap::new(),
        }
    }

    /// The job's ID.
    pub fn job_id(mut self, id: &str) -> Self {
        self.job.job_id = id.to_owned();
        self
    }

    /// The number of the attempt, from 1. Raises the number of attempts to it, if that is less.
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.job.attempt = attempt;
        self.job.max_attempts = self.job.max_attempts.max(attempt);
        self
    }

    /// How many attempts the job may have.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.job.max_attempts = attempts;
        self
    }

    /// The schedule that made the job, and the time it made it for.
    pub fn schedule(mut self, id: &str, fire_time: SystemTime) -> Self {
        self.job.schedule_id = Some(id.to_owned());
        self.job.scheduled_fire_time = Some(fire_time);
        self
    }

    /// Adds one value to the job's metadata.
    pub fn metadata(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.job.metadata.insert(key.to_owned(), value.into());
        self
    }

    /// The job was cancelled before it began.
    pub fn cancelled(self) -> Self {
        self.cancel_after(0)
    }

    /// The job is cancelled once the task has looked `looks` times whether it was.
    pub fn cancel_after(mut self, looks: u32) -> Self {
        self.cancel_after = Some(looks);
        self
    }

    /// The time left, the same at each look.
    pub fn remaining(mut self, remaining: Duration) -> Self {
        self.remaining = remaining;
        self.job.deadline = self.job.started_at + remaining;
        self
    }

    /// Grants the scheduler: requests are accepted and recorded. Without, they are denied.
    pub fn allow_schedule(mut self) -> Self {
        self.scheduler_granted = true;
        self
    }

    /// What [`scheduler::job_result`](crate::scheduler::job_result) says of another job.
    pub fn job_result(mut self, job_id: &str, result: JobResult) -> Self {
        self.job_results.push((job_id.to_owned(), result));
        self
    }

    /// Grants requests with that method and URL, query included, and says what they are answered with. Several answers to one
    /// request come one after the other, and the last of them from then on. Requests that nothing is said about are denied.
    ///
    /// ```
    /// use guest_sdk::testing::{Host, HttpAnswer};
    /// use guest_sdk::http;
    ///
    /// let host = Host::new().http("GET", "https://a.example/?of=me", HttpAnswer::json(200, &[1, 2]));
    /// let attempt = host.enter(|_| http::get("https://a.example/").query("of", "me").send()?.json::<Vec<u8>>());
    /// assert_eq!(attempt.returned.unwrap(), [1, 2]);
    /// assert_eq!(attempt.http[0].url(), "https://a.example/?of=me");
    /// ```
    pub fn http(mut self, method: &str, url: &str, answer: HttpAnswer) -> Self {
        self.answers.push(PlannedAnswer { method: method.to_owned(), url: url.to_owned(), answer });
        self
    }

    /// Grants a bucket, to read and to write, that is empty so far. Others are denied.
    pub fn kv_bucket(mut self, bucket: &str) -> Self {
        self.buckets.0.entry(bucket.to_owned()).or_default();
        self
    }

    /// Grants a bucket, and puts a value into it, as JSON.
    ///
    /// # Panics
    ///
    /// If the value has no form in JSON.
    pub fn kv(self, bucket: &str, key: &str, value: &(impl Serialize + ?Sized)) -> Self {
        self.kv_bytes(bucket, key, serde_json::to_vec(value).expect("the value has a form in JSON"))
    }

    /// Grants a bucket, and puts bytes into it.
    pub fn kv_bytes(mut self, bucket: &str, key: &str, value: impl Into<Vec<u8>>) -> Self {
        let entries = self.buckets.0.entry(bucket.to_owned()).or_default();
        let version = entries.len() as u64 + 1;
        entries.insert(key.to_owned(), kv::Entry { value: value.into(), version });
        self
    }

    /// Grants a secret with its value, also to be read. In requests that are recorded the value stands in headers where its placeholder
    /// stood. Others are denied.
    pub fn secret(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.secrets.insert(name.to_owned(), PlannedSecret { value: Some(value.into()), may_be_read: true });
        self
    }

    /// As [`Host::secret`], but the code may not read it.
    pub fn sealed_secret(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.secrets.insert(name.to_owned(), PlannedSecret { value: Some(value.into()), may_be_read: false });
        self
    }

    /// Grants a secret that nobody has set.
    pub fn unset_secret(mut self, name: &str) -> Self {
        self.secrets.insert(name.to_owned(), PlannedSecret { value: None, may_be_read: true });
        self
    }

    /// Calls `body` inside the job, with its context.
    pub fn enter<T>(&self, body: impl FnOnce(&Context) -> T) -> Attempt<T> {
        self.clone().attempt_with(|| body(&Context::current()))
    }

    /// Runs a task by name, arguments and result by way of JSON: everything but the sandbox is as in the host.
    pub fn run(&self, task: &str, args: Value) -> Attempt<Result<Value, TaskError>> {
        let args = Payload { encoding: Encoding::Json, data: args.to_string().into_bytes() };
        let attempt = self.run_payload(task, &args);
        let returned = attempt.returned.and_then(|result| Ok(result.decode()?));
        Attempt {
            returned,
            logs: attempt.logs,
            progress: attempt.progress,
            requests: attempt.requests,
            http: attempt.http,
            buckets: attempt.buckets,
        }
    }

    /// As [`Host::run`], for any encoding.
    pub fn run_payload(&self, task: &str, args: &Payload) -> Attempt<Result<Payload, TaskError>> {
        let mut host = self.clone();
        host.job.task = task.to_owned();
        host.job.task_id = format!("{}:{task}", host.job.plugin);
        host.attempt_with(|| registry::run(task, args))
    }

    fn attempt_with<T>(self, body: impl FnOnce() -> T) -> Attempt<T> {
        let state = Fake {
            job: self.job,
            looks_left: self.cancel_after,
            remaining: self.remaining,
            scheduler_granted: self.scheduler_granted,
            job_results: self.job_results,
            answers: self.answers,
            buckets: self.buckets,
            secrets: self.secrets,
            http: Vec::new(),
            logs: Vec::new(),
            progress: Vec::new(),
            requests: Vec::new(),
        };
        let entered = Entered(CURRENT.replace(Some(state)));
        let returned = body();
        let state = CURRENT.take().expect("only the guard takes the state, and it is dropped after this");
        drop(entered);
        let Fake { logs, progress, requests, http, buckets, .. } = state;
        Attempt { returned, logs, progress, requests, http, buckets }
    }
}

/// What became of an attempt.
#[derive(Debug, Clone)]
pub struct Attempt<T> {
    /// What the task returned.
    pub returned: T,
    /// What it logged.
    pub logs: Vec<Line>,
    /// What it said of its progress.
    pub progress: Vec<Progress>,
    /// What it asked of the scheduler. The host forgets these if the attempt fails.
    pub requests: Vec<Request>,
    /// The requests over HTTP that it made, those that were denied included.
    pub http: Vec<http::Request>,
    buckets: Buckets,
}

impl<T> Attempt<T> {
    /// What is under a key afterwards, as JSON of that type. The host forgets what was written if the attempt fails.
    ///
    /// # Panics
    ///
    /// If it is something else.
    pub fn kv_value<V: DeserializeOwned>(&self, bucket: &str, key: &str) -> Option<V> {
        let bytes = self.kv_bytes(bucket, key)?;
        Some(serde_json::from_slice(bytes).unwrap_or_else(|error| panic!("key `{key}` of bucket `{bucket}`: {error}")))
    }

    /// The bytes under a key afterwards.
    pub fn kv_bytes(&self, bucket: &str, key: &str) -> Option<&[u8]> {
        Some(&self.buckets.0.get(bucket)?.get(key)?.value)
    }
}

/// Buckets as the fake host has them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Buckets(BTreeMap<String, BTreeMap<String, kv::Entry<Vec<u8>>>>);

impl Buckets {
    fn granted(&mut self, name: &str) -> Result<&mut BTreeMap<String, kv::Entry<Vec<u8>>>, kv::Error> {
        self.0.get_mut(name).ok_or_else(|| {
            kv::Error::new(kv::ErrorKind::Denied, "the bucket is not granted; see `testing::Host::kv_bucket`")
        })
    }
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// How much it matters.
    pub level: Level,
    /// The part of the plugin that spoke.
    pub target: String,
    /// The text.
    pub message: String,
    /// The fields.
    pub fields: Vec<(String, String)>,
}

impl Line {
    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }
}

/// A word on how far the job has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// How much is done.
    pub done: u64,
    /// Of how much, if known.
    pub total: Option<u64>,
    /// A line for people.
    pub note: String,
}

/// Something asked of the scheduler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// A job to add.
    AddJob(JobRequest),
    /// A schedule to add.
    AddSchedule(ScheduleRequest),
    /// A job to cancel.
    CancelJob(String),
    /// A schedule to pause.
    PauseSchedule(String),
    /// A schedule to let go on.
    UnpauseSchedule(String, ResumeFrom),
    /// A schedule to remove.
    RemoveSchedule(String),
}

/// What a request over HTTP is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAnswer(Result<Answered, http::ErrorKind>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl HttpAnswer {
    /// An answer with that status and body.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        HttpAnswer(Ok(Answered { status, headers: Vec::new(), body: body.into() }))
    }

    /// An answer with that status, and a value as JSON.
    ///
    /// # Panics
    ///
    /// If the value has no form in JSON.
    pub fn json(status: u16, value: &(impl Serialize + ?Sized)) -> Self {
        let body = serde_json::to_vec(value).expect("the value has a form in JSON");
        HttpAnswer::new(status, body).header("content-type", "application/json")
    }

    /// No answer, for that reason.
    pub fn failure(kind: http::ErrorKind) -> Self {
        HttpAnswer(Err(kind))
    }

    /// The same answer with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Ok(answered) = &mut self.0 {
            answered.headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }
}

#[derive(Debug, Clone)]
struct PlannedAnswer {
    method: String,
    url: String,
    answer: HttpAnswer,
}

fn placeholder_of(secret: &str) -> String {
    format!("{{secret:{secret}:test}}")
}

/// The state of the fake host while a task runs.
pub(crate) struct Fake {
    pub(crate) job: Job,
    looks_left: Option<u32>,
    pub(crate) remaining: Duration,
    scheduler_granted: bool,
    job_results: Vec<(String, JobResult)>,
    logs: Vec<Line>,
    pub(crate) progress: Vec<Progress>,
    requests: Vec<Request>,
    answers: Vec<PlannedAnswer>,
    http: Vec<http::Request>,
    buckets: Buckets,
    secrets: BTreeMap<String, PlannedSecret>,
}

#[derive(Debug, Clone)]
struct PlannedSecret {
    /// `None`: it is not set.
    value: Option<Vec<u8>>,
    may_be_read: bool,
}

thread_local! {
    static CURRENT: RefCell<Option<Fake>> = const { RefCell::new(None) };
}

/// Puts back what was there before, also when a task panics.
struct Entered(Option<Fake>);

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

/// Asks the fake host of this thread, if there is one.
pub(crate) fn fake<T>(ask: impl FnOnce(&mut Fake) -> T) -> Option<T> {
    CURRENT.with_borrow_mut(|host| host.as_mut().map(ask))
}

impl Fake {
    pub(crate) fn is_cancelled(&mut self) -> bool {
        match &mut self.looks_left {
            None => false,
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
        }
    }

    pub(crate) fn record_line(&mut self, level: Level, target: &str, message: &str, fields: &[(&str, String)]) {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        self.logs.push(Line { level, target: target.to_owned(), message: message.to_owned(), fields });
    }

    pub(crate) fn accept(&mut self, request: Request) -> Result<String, SchedulerError> {
        self.check_grant()?;
        let id = match &request {
            Request::AddSchedule(ScheduleRequest { id: Some(id), .. }) => id.clone(),
            _ => format!("test-{}", self.requests.len() + 1),
        };
        self.requests.push(request);
        Ok(id)
    }

    pub(crate) fn job_result(&self, job_id: &str) -> Result<Option<JobResult>, SchedulerError> {
        self.check_grant()?;
        Ok(self.job_results.iter().find(|(id, _)| id == job_id).map(|(_, result)| result.clone()))
    }

    pub(crate) fn answer(&mut self, request: &http::Request) -> Result<Answered, http::Error> {
        let mut sent = request.clone();
        for (name, secret) in &self.secrets {
            if let Some(value) = &secret.value {
                sent.replace_in_headers(&placeholder_of(name), &String::from_utf8_lossy(value));
            }
        }
        self.http.push(sent);
        let is_for = |planned: &PlannedAnswer| planned.method == request.method() && planned.url == request.url();
        let Some(first) = self.answers.iter().position(is_for) else {
            let what = "it is not granted; see `testing::Host::http`";
            return Err(http::Error::new(http::ErrorKind::Denied, what));
        };
        let is_last = !self.answers[first + 1..].iter().any(is_for);
        let HttpAnswer(answer) =
            if is_last { self.answers[first].answer.clone() } else { self.answers.remove(first).answer };
        answer.map_err(|kind| http::Error::new(kind, "the test says so"))
    }

    fn granted_secret(&self, name: &str) -> Result<(&[u8], bool), secrets::Error> {
        let secret = self.secrets.get(name).ok_or_else(|| {
            secrets::Error::new(secrets::ErrorKind::Denied, "it is not granted; see `testing::Host::secret`")
        })?;
        let missing = || secrets::Error::new(secrets::ErrorKind::Missing, "it is not set");
        Ok((secret.value.as_deref().ok_or_else(missing)?, secret.may_be_read))
    }

    pub(crate) fn secret_placeholder(&mut self, name: &str) -> Result<String, secrets::Error> {
        self.granted_secret(name)?;
        Ok(placeholder_of(name))
    }

    pub(crate) fn secret_reveal(&mut self, name: &str) -> Result<Vec<u8>, secrets::Error> {
        match self.granted_secret(name)? {
            (value, true) => Ok(value.to_vec()),
            (_, false) => Err(secrets::Error::new(secrets::ErrorKind::Denied, "it may not be read")),
        }
    }

    pub(crate) fn kv_get(&mut self, bucket: &str, key: &str) -> Result<Option<kv::Entry<Vec<u8>>>, kv::Error> {
        Ok(self.buckets.granted(bucket)?.get(key).cloned())
    }

    pub(crate) fn kv_keys(
        &mut self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<(Vec<String>, bool), kv::Error> {
        let keys = self.buckets.granted(bucket)?.keys();
        let later = keys.filter(|key| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after));
        let mut keys: Vec<String> = later.cloned().collect();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = keys.len() > limit;
        keys.truncate(limit);
        Ok((keys, has_more))
    }

    pub(crate) fn kv_set(
        &mut self,
        bucket: &str,
        key: &str,
        value: Option<Vec<u8>>,
        version: Option<u64>,
    ) -> Result<(), kv::Error> {
        let entries = self.buckets.granted(bucket)?;
        let found = entries.get(key).map_or(kv::NO_VERSION, |entry| entry.version);
        if version.is_some_and(|version| version != found) {
            return Err(kv::Error::new(kv::ErrorKind::Conflict, format!("it has version {found}")));
        }
        match value {
            Some(value) => entries.insert(key.to_owned(), kv::Entry { value, version: kv::NO_VERSION }),
            None => entries.remove(key),
        };
        Ok(())
    }

    fn check_grant(&self) -> Result<(), SchedulerError> {
        if self.scheduler_granted {
            return Ok(());
        }
        Err(SchedulerError::Denied(
            "this plugin has no --allow-schedule; see `testing::Host::allow_schedule`".to_owned(),
        ))
    }
}
