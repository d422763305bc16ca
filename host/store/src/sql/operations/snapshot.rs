//! Reading everything that is stored, in one transaction that sees one instant, page by page.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;

use super::{catalog_rows, kv};
use crate::model::{BucketName, Digest, Job, JobId, LogLine};
use crate::record::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX, kv_subject, log_subject, version_subject};
use crate::sql::drivers::connection::Database;
use crate::sql::drivers::tx::{Fault, Tx, read_error};
use crate::sql::statements::query::q;
use crate::sql::statements::row;
use crate::sql::statements::value::args;
use crate::{Defect, KvBucket, Record, Snapshot, SnapshotBatch, StoreError, StoredPlugin, Unreadable};

/// Tasks and schedules in one page: what they carry (schemas, arguments) may be long.
const PAGE_ROWS: i64 = 64;

/// Jobs that are weighed at once, before as many are read as a batch may hold.
const WEIGHED_ROWS: i64 = 1_000;

/// Log lines in one page.
const LOG_ROWS: i64 = 500;

/// How far reading has come.
enum Stage {
    /// After this version: its name and digest.
    Plugins(String, Vec<u8>),
    /// After the task of this id.
    Tasks(String),
    Jobs(Box<Jobs>),
    /// After the schedule of this id.
    Schedules(String),
    Buckets(Buckets),
    Done,
}

pub(in crate::sql) struct SqlSnapshot {
    database: Arc<dyn Database>,
    /// `None` while a part is being read, so that one whose caller is gone, and one that fails, ends the transaction with its
    /// connection; and at the end.
    tx: Option<Tx>,
    stage: Stage,
}

impl SqlSnapshot {
    /// On a connection whose transaction has begun.
    pub(in crate::sql) fn new(database: Arc<dyn Database>, tx: Tx) -> SqlSnapshot {
        SqlSnapshot { database, tx: Some(tx), stage: Stage::Plugins(String::new(), Vec::new()) }
    }
}

#[async_trait]
impl Snapshot for SqlSnapshot {
    async fn next(&mut self) -> Result<Option<SnapshotBatch>, StoreError> {
        if matches!(self.stage, Stage::Done) {
            return Ok(None);
        }
        let mut tx = self.tx.take().ok_or(StoreError::Closed)?;
        let read = match advance(&mut tx, &mut self.stage).await {
            Ok(batch) if !matches!(self.stage, Stage::Done) => {
                self.tx = Some(tx);
                return Ok(Some(batch));
            }
            Ok(batch) => tx.end(true).await.map(|()| Some(batch)).map_err(Fault::from),
            Err(fault) => Err(fault),
        };
        read.map_err(|fault| read_error(&*self.database, "snapshot", fault))
    }
}

/// Reads the next part and moves the stage on.
async fn advance(tx: &mut Tx, stage: &mut Stage) -> Result<SnapshotBatch, Fault> {
    let mut batch = SnapshotBatch::default();
    let next = match stage {
        Stage::Plugins(name, digest) => {
            (!plugin(tx, name, digest, &mut batch).await?).then(|| Stage::Tasks(String::new()))
        }
        Stage::Tasks(after) => (!tasks(tx, after, &mut batch).await?).then(|| Stage::Jobs(Box::default())),
        Stage::Jobs(jobs) => (!jobs.read(tx, &mut batch).await?).then(|| Stage::Schedules(String::new())),
        Stage::Schedules(after) => {
            (!schedules(tx, after, &mut batch).await?).then(|| Stage::Buckets(Buckets::default()))
        }
        Stage::Buckets(buckets) => (!buckets.read(tx, &mut batch).await?).then_some(Stage::Done),
        Stage::Done => None,
    };
    if let Some(next) = next {
        *stage = next;
    }
    Ok(batch)
}

/// Reads one version of a plugin; `false` where there are no more.
async fn plugin(
    tx: &mut Tx,
    name: &mut String,
    digest: &mut Vec<u8>,
    batch: &mut SnapshotBatch,
) -> Result<bool, Fault> {
    let one = 1_i64;
    let Some(mut row) = tx.fetch_one(q::plugin_page, args![name.as_str(), digest.as_slice(), one]).await? else {
        return Ok(false);
    };
    let is_current = row.flag()?;
    let rollout = catalog_rows::read_rollout(&mut row);
    let mut place = row.clone();
    (*name, *digest) = (place.text()?, place.bytes()?);
    let version = match row::plugin(row) {
        Ok(version) => version,
        Err(Unreadable { id, defect }) => {
            batch.unreadable.push(Unreadable { id: format!("plugin `{id}`"), defect });
            return Ok(true);
        }
    };
    let rollout = match rollout {
        Ok(rollout) => rollout,
        Err(defect) => {
            batch.unreadable.push(Unreadable { id: format!("rollout of plugin `{}`", version.name), defect });
            None
        }
    };
    let bytes = bytes(tx, &version.digest).await?;
    if bytes.len() as u64 == version.size_bytes {
        batch.records.push(Record::Plugin(StoredPlugin { version, is_current, rollout, bytes: bytes.into() }));
    } else {
        let defect = Defect::damaged(format!("{} of its {} bytes are stored", bytes.len(), version.size_bytes));
        batch.unreadable.push(Unreadable { id: version_subject(&version).to_string(), defect });
    }
    Ok(true)
}

async fn bytes(tx: &mut Tx, digest: &Digest) -> Result<Vec<u8>, Fault> {
    let mut whole = Vec::new();
    for mut row in tx.fetch(q::plugin_bytes_get, args![*digest]).await? {
        whole.extend(row.bytes()?);
    }
    Ok(whole)
}

/// Reads a page of tasks; `false` where there are no more.
async fn tasks(tx: &mut Tx, after: &mut String, batch: &mut SnapshotBatch) -> Result<bool, Fault> {
    let rows = tx.fetch(q::task_page, args![after.as_str(), PAGE_ROWS]).await?;
    let is_last = rows.is_empty();
    for mut row in rows {
        *after = row.clone().text()?;
        match row::task(&mut row) {
            Ok(task) => batch.records.push(Record::Task(Box::new(task))),
            Err(Unreadable { id, defect }) => {
                batch.unreadable.push(Unreadable { id: format!("task `{id}`"), defect });
            }
        }
    }
    Ok(!is_last)
}

/// Reads a page of schedules; `false` where there are no more.
async fn schedules(tx: &mut Tx, after: &mut String, batch: &mut SnapshotBatch) -> Result<bool, Fault> {
    let rows = tx.fetch(q::schedule_list, args![after.as_str(), PAGE_ROWS]).await?;
    let is_last = rows.is_empty();
    for row in rows {
        *after = row.clone().text()?;
        match row::schedule(row) {
            Ok(schedule) => batch.records.push(Record::Schedule(Box::new(schedule))),
            Err(Unreadable { id, defect }) => {
                batch.unreadable.push(Unreadable { id: format!("schedule `{id}`"), defect });
            }
        }
    }
    Ok(!is_last)
}

/// Buckets, each with its keys.
#[derive(Default)]
struct Buckets {
    /// Those that were not begun; `None` before they were listed.
    left: Option<VecDeque<KvBucket>>,
    /// The one whose keys come next, and after which key.
    current: Option<(BucketName, String)>,
}

impl Buckets {
    /// Reads a bucket, or a page of keys; `false` where there are no more.
    async fn read(&mut self, tx: &mut Tx, batch: &mut SnapshotBatch) -> Result<bool, Fault> {
        let left = match &mut self.left {
            Some(left) => left,
            None => self.left.insert(kv::buckets(tx).await?.into()),
        };
        let Some((bucket, after)) = &mut self.current else {
            let Some(KvBucket { name, revision, .. }) = left.pop_front() else { return Ok(false) };
            batch.records.push(Record::KvBucket { name: name.clone(), revision });
            self.current = Some((name, String::new()));
            return Ok(true);
        };
        let rows = tx.fetch(q::kv_page, args![&*bucket, after.as_str(), PAGE_ROWS]).await?;
        let is_last = rows.is_empty();
        for mut row in rows {
            *after = row.clone().text()?;
            match row.kv_key().and_then(|key| Ok((key, row.kv_entry()?))) {
                Ok((key, entry)) => batch.records.push(Record::KvEntry { bucket: bucket.clone(), key, entry }),
                Err(defect) => {
                    batch.unreadable.push(Unreadable { id: kv_subject(bucket, after).to_string(), defect });
                }
            }
        }
        if is_last {
            self.current = None;
        }
        Ok(true)
    }
}

/// Jobs and log lines: two streams in the order of job ids that are merged, so that a page of either costs one statement however the
/// lines are spread over the jobs.
#[derive(Default)]
struct Jobs {
    /// The job whose log lines come next.
    current: Option<JobId>,
    jobs: VecDeque<Result<Job, Unreadable>>,
    /// After this id jobs were not read yet.
    jobs_after: Vec<u8>,
    /// Ids after that one with about how many bytes each job takes.
    weighed: VecDeque<(Vec<u8>, i64)>,
    logs: VecDeque<(JobId, Result<LogLine, Unreadable>)>,
    /// The place of the last line that was read; before the first one, `None`.
    logs_after: Option<(Vec<u8>, i64, i64)>,
    are_logs_read: bool,
}

impl Jobs {
    /// Reads on until the batch is full; `false` where there are no more.
    async fn read(&mut self, tx: &mut Tx, batch: &mut SnapshotBatch) -> Result<bool, Fault> {
        let mut weight = 0;
        while batch.records.len() + batch.unreadable.len() < BATCH_RECORDS_MAX && weight < BATCH_BYTES_MAX {
            if let Some(job) = self.current {
                match self.next_line(tx, job).await? {
                    Some(Ok(line)) => {
                        let record = Record::Log { job_id: job, line };
                        weight += record.weight();
                        batch.records.push(record);
                    }
                    Some(Err(bad)) => batch.unreadable.push(bad),
                    None => self.current = None,
                }
                continue;
            }
            match self.next_job(tx).await? {
                Some(Ok(job)) => {
                    self.current = Some(job.spec.id);
                    let record = Record::Job(Box::new(job));
                    weight += record.weight();
                    batch.records.push(record);
                }
                // Its lines go with it: without it they say nothing.
                Some(Err(Unreadable { id, defect })) => {
                    batch.unreadable.push(Unreadable { id: format!("job {id}"), defect });
                }
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    async fn next_job(&mut self, tx: &mut Tx) -> Result<Option<Result<Job, Unreadable>>, Fault> {
        if self.jobs.is_empty() {
            self.read_jobs(tx).await?;
        }
        Ok(self.jobs.pop_front())
    }

    /// Reads as many jobs as a batch may hold.
    async fn read_jobs(&mut self, tx: &mut Tx) -> Result<(), Fault> {
        if self.weighed.is_empty() {
            for mut row in tx.fetch(q::job_sizes, args![self.jobs_after.as_slice(), WEIGHED_ROWS]).await? {
                self.weighed.push_back((row.bytes()?, row.int()?));
            }
        }
        let (mut count, mut weight) = (0, 0_i64);
        let mut last = None;
        while let Some((id, bytes)) = self.weighed.pop_front() {
            weight = weight.saturating_add(bytes);
            let is_too_heavy = usize::try_from(weight).is_ok_and(|weight| weight > BATCH_BYTES_MAX);
            if count > 0 && (is_too_heavy || count == BATCH_RECORDS_MAX) {
                self.weighed.push_front((id, bytes));
                break;
            }
            count += 1;
            last = Some(id);
        }
        let Some(last) = last else { return Ok(()) };
        let rows = tx.fetch(q::job_range, args![self.jobs_after.as_slice(), last.as_slice()]).await?;
        self.jobs = rows.into_iter().map(row::job).collect();
        self.jobs_after = last;
        Ok(())
    }

    /// The next line of the job; lines of jobs before it, which are no longer there or cannot be read, are passed over.
    async fn next_line(&mut self, tx: &mut Tx, job: JobId) -> Result<Option<Result<LogLine, Unreadable>>, Fault> {
        loop {
            if self.logs.is_empty() && !self.are_logs_read {
                self.read_lines(tx).await?;
            }
            match self.logs.front() {
                Some((owner, _)) if *owner < job => drop(self.logs.pop_front()),
                Some((owner, _)) if *owner == job => return Ok(self.logs.pop_front().map(|(_, line)| line)),
                _ => return Ok(None),
            }
        }
    }

    async fn read_lines(&mut self, tx: &mut Tx) -> Result<(), Fault> {
        let (job, attempt, sequence) = self.logs_after.clone().unwrap_or((Vec::new(), -1, -1));
        let place = args![job.as_slice(), job.as_slice(), attempt, sequence, LOG_ROWS];
        let rows = tx.fetch(q::job_log_page, place).await?;
        self.are_logs_read = rows.is_empty();
        for row in rows {
            let (mut place, mut line) = (row.clone(), row);
            self.logs_after = Some((place.bytes()?, place.int()?, place.int()?));
            // Lines that name no job belong to none.
            let Ok(job) = line.job_id() else { continue };
            let read = row::log_line(line).map_err(|(place, defect)| {
                let (attempt, sequence) = place.unwrap_or((u32::MAX, u32::MAX));
                Unreadable { id: log_subject(job, attempt, sequence).to_string(), defect }
            });
            self.logs.push_back((job, read));
        }
        Ok(())
    }
}
