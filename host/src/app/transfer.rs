//! Export and import: everything that a store holds as an archive, and an archive into a store.

use std::io::{BufReader, Read, Seek};

use tokio::sync::mpsc;

use super::{App, AppError, AppResult};
use crate::model::{ConflictPolicy, JobId, Timestamp};
use crate::store::archive::{ArchiveError, Counts, Encoder, Reader, RestoredCounts};
use crate::store::record::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX};
use crate::store::{Defect, Record, Restore, Restored, Snapshot, Unreadable};

/// How many of the things that stand in the way are named.
const NAMED_MAX: usize = 10;

/// Batches of an archive that are read ahead.
const AHEAD_MAX: usize = 2;

/// Bytes that are read from an archive at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// An export under way. Dropped, it ends, and nothing is left of it.
pub struct Export {
    snapshot: Box<dyn Snapshot>,
    /// `None` once the last line was written, and after a failure.
    encoder: Option<Encoder>,
    /// What was encoded and not handed out yet: at first, the first line.
    ready: Vec<u8>,
    skip_unreadable: bool,
    counts: Counts,
    unreadable: Unreads,
}

/// Rows that cannot be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unreads {
    /// How many there are.
    pub count: u64,
    /// The first few of them.
    pub first: Vec<Unreadable>,
}

impl Unreads {
    /// Adds rows of one kind, and answers how many there are.
    pub(super) fn add_all(&mut self, kind: &str, rows: Vec<Unreadable>) -> usize {
        let count = rows.len();
        for Unreadable { id, defect } in rows {
            self.add(Unreadable { id: format!("{kind} `{id}`"), defect });
        }
        count
    }

    fn add(&mut self, row: Unreadable) {
        self.count += 1;
        if self.first.len() < NAMED_MAX {
            self.first.push(row);
        }
    }

    /// The first few, a line each, and how many more there are.
    pub fn lines(&self) -> Vec<String> {
        let named = self.first.iter().map(|row| format!("{}: {}", row.id, row.defect));
        named.chain(more(self.count)).collect()
    }
}

/// The line that stands for those that are not named.
fn more(count: u64) -> Option<String> {
    let more = count.saturating_sub(NAMED_MAX as u64);
    (more > 0).then(|| format!("and {more} more"))
}

impl Export {
    /// The next piece of the archive; `None` once it is whole. An archive that ended otherwise lacks its last line, which every reader
    /// asks for.
    ///
    /// # Errors
    /// Those of the store. [`AppError::Refused`], in place of the last piece, where rows could not be read and are not to be left out.
    pub async fn next(&mut self) -> AppResult<Option<Vec<u8>>> {
        if !self.ready.is_empty() {
            return Ok(Some(std::mem::take(&mut self.ready)));
        }
        let Some(mut encoder) = self.encoder.take() else { return Ok(None) };
        let Some(batch) = self.snapshot.next().await? else {
            if self.unreadable.count > 0 && !self.skip_unreadable {
                return Err(self.refusal());
            }
            let mut last = Vec::new();
            self.counts = encoder.end(&mut last);
            return Ok(Some(last));
        };
        for row in batch.unreadable {
            self.unreadable.add(row);
        }
        let records = batch.records;
        // Hashing and encoding a component takes a while.
        let encoding = tokio::task::spawn_blocking(move || {
            let (mut text, mut refused) = (Vec::new(), Vec::new());
            for record in &records {
                if let Err(reason) = encoder.record(record, &mut text) {
                    refused.push(Unreadable { id: record.subject().to_string(), defect: Defect::damaged(reason) });
                }
            }
            (encoder, text, refused)
        });
        let (encoder, text, refused) =
            encoding.await.map_err(|error| AppError::unexpected("the export was not encoded", error))?;
        for row in refused {
            self.unreadable.add(row);
        }
        self.counts = encoder.counts();
        self.encoder = Some(encoder);
        Ok(Some(text))
    }

    /// What was exported so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What was left out so far, because it cannot be read.
    pub fn unreadable(&self) -> &Unreads {
        &self.unreadable
    }

    fn refusal(&self) -> AppError {
        let count = self.unreadable.count;
        let rows = if count == 1 { "a row".to_owned() } else { format!("{count} rows") };
        let what = format!("{rows} of the store cannot be read: {}", self.unreadable.lines().join("; "));
        AppError::refused(what).with_hint("with --skip-unreadable the export leaves them out")
    }
}

/// Where an archive comes from: something that can be read more than once.
pub trait Archive: Read + Seek + Send + 'static {}

impl<T: Read + Seek + Send + 'static> Archive for T {}

/// An archive that is to be imported.
pub struct Import {
    /// The archive, from its beginning.
    pub archive: Box<dyn Archive>,
    /// What to do where something else is in the place of a record. Under [`ConflictPolicy::Error`] nothing at all is imported then.
    pub conflict: ConflictPolicy,
    /// Change nothing; check, and say what would be done.
    pub dry_run: bool,
}

/// What an import did, or would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// When the archive was written.
    pub exported_at: Timestamp,
    /// What became of the records.
    pub restored: RestoredCounts,
}

impl App {
    /// Begins to export everything that the store holds, as it is at this instant. The store stays in use; a job that is running is
    /// exported with the claim on it, and where it is imported counts as running until that claim ends.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn export(&self, skip_unreadable: bool) -> AppResult<Export> {
        let snapshot = self.store.snapshot().await?;
        let mut ready = Vec::new();
        let encoder = Some(Encoder::begin(self.clock.now(), &mut ready));
        let (counts, unreadable) = (Counts::default(), Unreads::default());
        Ok(Export { snapshot, encoder, ready, skip_unreadable, counts, unreadable })
    }

    /// Imports an archive. First all of it is checked, then, where something might be in its way, all of it is compared with the store, and
    /// only then anything is stored, in steps that are each atomic. An import that was interrupted is repeated: what is there already is
    /// left alone. No events are published: schedulers find the jobs and schedules when they next look.
    ///
    /// # Errors
    /// [`AppError::Invalid`] where the archive is not whole and sound, with the line; [`AppError::Refused`] where something is in its way; in
    /// both cases nothing has changed. Those of the store, after which a part may be stored.
    pub async fn import(&self, import: Import) -> AppResult<Imported> {
        let Import { archive, conflict, dry_run } = import;
        let (mut archive, exported_at) = checked(archive).await?;
        let mut restored = RestoredCounts::default();
        if conflict == ConflictPolicy::Error || dry_run {
            (archive, restored) = self.compare(archive, conflict).await?;
        }
        if !dry_run {
            let mut pass = Pass::new(conflict, false);
            let stored = self.restore(archive, &mut pass).await;
            restored = pass.restored;
            stored.map_err(|error| if pass.has_written() { half_done(error) } else { error })?;
        }
        Ok(Imported { exported_at, restored })
    }

    /// Looks what would become of each record.
    async fn compare(
        &self,
        archive: Box<dyn Archive>,
        conflict: ConflictPolicy,
    ) -> AppResult<(Box<dyn Archive>, RestoredCounts)> {
        let is_strict = conflict == ConflictPolicy::Error;
        // What would be replaced is what is in the way.
        let mut pass = Pass::new(if is_strict { ConflictPolicy::Replace } else { conflict }, true);
        let archive = self.restore(archive, &mut pass).await?;
        let count = pass.restored.replaced.total();
        if is_strict && count > 0 {
            let named = pass.replaced.into_iter().chain(more(count)).collect::<Vec<_>>().join(", ");
            let what = format!("the store has other content in the place of {named}");
            return Err(AppError::refused(what)
                .with_hint("--conflict skip keeps what the store has, --conflict replace takes what the archive has"));
        }
        Ok((archive, pass.restored))
    }

    /// Takes an archive through the store once, batch by batch.
    async fn restore(&self, archive: Box<dyn Archive>, pass: &mut Pass) -> AppResult<Box<dyn Archive>> {
        let (batches, mut arriving) = mpsc::channel(AHEAD_MAX);
        let reading = tokio::task::spawn_blocking(move || read_batches(archive, &batches));
        while let Some(records) = arriving.recv().await {
            let now = self.store.store_clock().await?.unwrap_or_else(|| self.clock.now());
            let records = pass.open(records);
            let (conflict, dry_run) = (pass.conflict, pass.dry_run);
            let done = self.store.restore(Restore { now, records: records.clone(), conflict, dry_run }).await?;
            pass.close(&records, &done);
        }
        let read = reading.await.map_err(|error| AppError::unexpected("the archive was not read", error))?;
        read.map_err(AppError::from)
    }
}

/// One way of an archive through the store.
struct Pass {
    conflict: ConflictPolicy,
    dry_run: bool,
    restored: RestoredCounts,
    /// The first few records that took, or would take, another's place.
    replaced: Vec<String>,
    /// What became of the last job: its log lines may come in the next batch.
    last_job: Option<(JobId, Restored)>,
}

impl Pass {
    fn new(conflict: ConflictPolicy, dry_run: bool) -> Pass {
        Pass { conflict, dry_run, restored: RestoredCounts::default(), replaced: Vec::new(), last_job: None }
    }

    fn has_written(&self) -> bool {
        !self.dry_run && self.restored.added.total() + self.restored.replaced.total() > 0
    }

    /// Takes out the log lines whose job was decided on in an earlier batch in a way that the store does not know of.
    fn open(&mut self, mut records: Vec<Record>) -> Vec<Record> {
        let fate = match self.last_job {
            // The store's own job stayed, and with it its lines.
            Some((job, Restored::Kept)) => Some((job, Restored::Kept)),
            // The lines that are there now would be gone.
            Some((job, Restored::Replaced)) if self.dry_run => Some((job, Restored::Added)),
            _ => None,
        };
        if let Some((job, fate)) = fate {
            let is_its = |record: &Record| matches!(record, Record::Log { job_id, .. } if *job_id == job);
            let count = records.iter().take_while(|record| is_its(record)).count();
            records.drain(..count).for_each(|record| self.restored.add(&record, fate));
        }
        records
    }

    /// Takes note of what was done.
    fn close(&mut self, records: &[Record], done: &[Restored]) {
        for (record, done) in records.iter().zip(done) {
            self.restored.add(record, *done);
            if let Record::Job(job) = record {
                self.last_job = Some((job.spec.id, *done));
            }
            if *done == Restored::Replaced && self.replaced.len() < NAMED_MAX {
                self.replaced.push(record.subject().to_string());
            }
        }
    }
}

fn half_done(error: AppError) -> AppError {
    match error.hint() {
        Some(_) => error,
        None => error.with_hint("a part is imported; the same command goes on from there"),
    }
}

/// Reads an archive to its end, checks everything about it, and answers when it was written.
async fn checked(mut archive: Box<dyn Archive>) -> AppResult<(Box<dyn Archive>, Timestamp)> {
    let checking = tokio::task::spawn_blocking(move || {
        let mut reader = Reader::open(BufReader::with_capacity(BUFFER_BYTES, &mut archive))?;
        while reader.next_record()?.is_some() {}
        let exported_at = reader.exported_at();
        drop(reader);
        archive.rewind()?;
        Ok::<_, ArchiveError>((archive, exported_at))
    });
    let checked = checking.await.map_err(|error| AppError::unexpected("the archive was not read", error))?;
    checked.map_err(AppError::from)
}

/// Hands the records of an archive over in batches, until nobody takes them any more; answers the archive, at its beginning again.
fn read_batches(
    mut archive: Box<dyn Archive>,
    batches: &mpsc::Sender<Vec<Record>>,
) -> Result<Box<dyn Archive>, ArchiveError> {
    let mut reader = Reader::open(BufReader::with_capacity(BUFFER_BYTES, &mut archive))?;
    let (mut batch, mut weight) = (Vec::new(), 0);
    while let Some(record) = reader.next_record()? {
        let next = record.weight();
        if !batch.is_empty() && (batch.len() == BATCH_RECORDS_MAX || weight + next > BATCH_BYTES_MAX) {
            if batches.blocking_send(std::mem::take(&mut batch)).is_err() {
                break;
            }
            weight = 0;
        }
        weight += next;
        batch.push(record);
    }
    // Where nobody takes it, whoever was to take it has failed, and says why.
    let _taken = batches.blocking_send(batch);
    drop(reader);
    archive.rewind()?;
    Ok(archive)
}

impl From<ArchiveError> for AppError {
    fn from(error: ArchiveError) -> AppError {
        let what = error.to_string();
        match error {
            ArchiveError::Line { hint, .. } => AppError::invalid(what).with_hint(hint),
            ArchiveError::Io(error) => AppError::unexpected(what, error),
        }
    }
}
