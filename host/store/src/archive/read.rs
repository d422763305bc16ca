//! Lines to records, with every check that can be made without a store.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::line::{EndEncoded, Header, Line, decode};
use super::{Counts, FORMAT, LINE_BYTES_MAX, VERSION, check};
use crate::model::limits::COMPONENT_BYTES_MAX;
use crate::model::{Digest, FireKey, JobId, PluginName, ScheduleId, ScheduleLife, Timestamp};
use crate::{Record, StoredPlugin};

/// Longest reason that is passed on: it may quote what somebody else wrote.
const REASON_CHARS_MAX: usize = 300;

/// Why an archive cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It could not be read.
    #[error("the archive cannot be read")]
    Io(#[from] io::Error),
    /// A line is wrong.
    #[error("line {line}: {reason}")]
    Line {
        /// Which, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
        /// What to do about it.
        hint: &'static str,
    },
}

const NO_EXPORT: &str = "`host export FILE` writes such files";
const CUT_OFF: &str = "the file is not whole: copy it again, or export again";
const DAMAGED: &str = "the file was changed or damaged: copy it again, or export again";
const NEWER: &str = "use the version of `host` that wrote it, or a later one";

/// Reads an archive. Every record is checked as far as that is possible without a store; that the archive is whole and undamaged is known
/// once [`Reader::next_record`] has answered `None`.
pub struct Reader<R> {
    input: R,
    /// The line that was read last, from 1.
    line: u64,
    text: Vec<u8>,
    hash: Sha256,
    counts: Counts,
    exported_at: Timestamp,
    /// The place of the last record: the rank of its kind, and its key.
    place: (u8, Vec<u8>),
    /// The place of the last log line of the last job.
    log_place: Option<(u32, u32)>,
    /// The last plugin that had a current version.
    current_of: Option<PluginName>,
    fires: Fires,
    /// A line that was read while looking for the end of a component.
    ahead: Option<Line>,
    is_over: bool,
}

/// The fires that jobs were made for, to find two jobs of one.
#[derive(Default)]
struct Fires {
    schedules: HashMap<ScheduleId, u32>,
    seen: HashSet<(u32, ScheduleLife, Timestamp)>,
}

impl Fires {
    fn is_new(&mut self, fire: FireKey) -> bool {
        let number = u32::try_from(self.schedules.len()).unwrap_or(u32::MAX);
        let number = *self.schedules.entry(fire.schedule_id).or_insert(number);
        self.seen.insert((number, fire.life, fire.at))
    }
}

impl<R: BufRead> Reader<R> {
    /// Begins to read: takes the first line.
    ///
    /// # Errors
    /// [`ArchiveError::Line`] where that is not the first line of an archive that this version can read.
    pub fn open(input: R) -> Result<Reader<R>, ArchiveError> {
        let mut reader = Reader {
            input,
            line: 0,
            text: Vec::new(),
            hash: Sha256::new(),
            counts: Counts::default(),
            exported_at: Timestamp::EPOCH,
            place: (0, Vec::new()),
            log_place: None,
            current_of: None,
            fires: Fires::default(),
            ahead: None,
            is_over: false,
        };
        if !reader.read_line()? {
            return Err(reader.wrong("the file is empty", NO_EXPORT));
        }
        reader.exported_at = reader.header()?;
        reader.hash.update(&reader.text);
        Ok(reader)
    }

    fn header(&self) -> Result<Timestamp, ArchiveError> {
        #[derive(Deserialize)]
        struct Kind {
            format: String,
            version: u32,
        }
        let kind: Kind = serde_json::from_slice(&self.text)
            .map_err(|_| self.wrong("this is not the first line of an export", NO_EXPORT))?;
        if kind.format != FORMAT {
            return Err(self.wrong("this is not the first line of an export", NO_EXPORT));
        }
        if kind.version > VERSION {
            let reason = format!("the export has version {}, and this program reads up to {VERSION}", kind.version);
            return Err(self.wrong(&reason, NEWER));
        }
        let header: Header =
            serde_json::from_slice(&self.text).map_err(|error| self.wrong(&reason_of(&error), DAMAGED))?;
        Ok(header.exported_at.0)
    }

    /// When the archive was written.
    pub fn exported_at(&self) -> Timestamp {
        self.exported_at
    }

    /// What was read so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The next record; `None` at the end of an archive that is whole.
    ///
    /// # Errors
    /// [`ArchiveError`]; there is no going on after one.
    pub fn next_record(&mut self) -> Result<Option<Record>, ArchiveError> {
        if self.is_over {
            return Ok(None);
        }
        let line = match self.ahead.take() {
            Some(line) => line,
            None => self.next_line()?,
        };
        let record = match line {
            Line::End(end) => {
                self.end(&end)?;
                self.is_over = true;
                return Ok(None);
            }
            Line::PluginBytes(_) => return Err(self.wrong("these bytes belong to no plugin", DAMAGED)),
            Line::Plugin(form) => {
                let at = self.line;
                let (version, is_current, rollout) = form.read().map_err(|reason| self.wrong(&reason, DAMAGED))?;
                self.component(StoredPlugin { version, is_current, rollout, bytes: Vec::new().into() }, at)?
            }
            Line::Task(form) => {
                form.read().map(|task| Record::Task(Box::new(task))).map_err(|reason| self.wrong(&reason, DAMAGED))?
            }
            Line::Job(form) => {
                form.read().map(|job| Record::Job(Box::new(job))).map_err(|reason| self.wrong(&reason, DAMAGED))?
            }
            Line::Log(form) => {
                let (job_id, line) = form.read().map_err(|reason| self.wrong(&reason, DAMAGED))?;
                Record::Log { job_id, line }
            }
            Line::Schedule(form) => {
                let schedule = form.read().map_err(|reason| self.wrong(&reason, DAMAGED))?;
                Record::Schedule(Box::new(schedule))
            }
            Line::KvBucket(form) => Record::KvBucket { name: form.name.0, revision: form.revision },
            Line::KvEntry(form) => {
                let (bucket, key, entry) = form.read().map_err(|reason| self.wrong(&reason, DAMAGED))?;
                Record::KvEntry { bucket, key, entry }
            }
        };
        check(&record).map_err(|reason| self.wrong(&reason, DAMAGED))?;
        self.place(&record)?;
        self.counts.add(&record);
        Ok(Some(record))
    }

    /// Reads the component of a version, whose own line is the one with number `at`.
    fn component(&mut self, plugin: StoredPlugin, at: u64) -> Result<Record, ArchiveError> {
        let version = &plugin.version;
        let damaged = |reason: String| ArchiveError::Line { line: at, reason, hint: DAMAGED };
        if version.size_bytes > COMPONENT_BYTES_MAX as u64 {
            return Err(damaged(format!("a component of {} bytes is larger than any can be", version.size_bytes)));
        }
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < version.size_bytes {
            match self.next_line()? {
                Line::PluginBytes(part) => {
                    bytes.extend(decode(&part).map_err(|reason| self.wrong(&reason, DAMAGED))?);
                }
                other => {
                    self.ahead = Some(other);
                    break;
                }
            }
        }
        let (found, size) = (Digest::from_bytes(Sha256::digest(&bytes).into()), bytes.len());
        if size as u64 != version.size_bytes || found != version.digest {
            let (name, wanted, of) = (&version.name, version.digest, version.size_bytes);
            return Err(damaged(format!(
                "the component of plugin `{name}` should have {of} bytes and the SHA-256 {wanted}, and has {size} and {found}"
            )));
        }
        Ok(Record::Plugin(StoredPlugin { bytes: bytes.into(), ..plugin }))
    }

    /// Checks that a record comes after all before it.
    fn place(&mut self, record: &Record) -> Result<(), ArchiveError> {
        let place = match record {
            Record::Plugin(plugin) => {
                let name = &plugin.version.name;
                if plugin.is_current && self.current_of.replace(name.clone()).as_ref() == Some(name) {
                    return Err(self.wrong("a second version of the plugin is current", DAMAGED));
                }
                // No name has a byte as small as the one between the two.
                (1, [name.as_str().as_bytes(), b"\0", plugin.version.digest.as_bytes()].concat())
            }
            Record::Task(task) => (2, task.id.as_str().as_bytes().to_vec()),
            Record::Job(job) => (3, job.spec.id.as_bytes().to_vec()),
            Record::Log { job_id, line } => return self.place_log(*job_id, (line.attempt, line.sequence)),
            Record::Schedule(schedule) => (4, schedule.id.as_str().as_bytes().to_vec()),
            Record::KvBucket { name, .. } => (5, name.as_str().as_bytes().to_vec()),
            Record::KvEntry { bucket, key, .. } => {
                (5, [bucket.as_str().as_bytes(), b"\0", key.as_str().as_bytes()].concat())
            }
        };
        if place <= self.place {
            return Err(self.wrong("it is there twice, or not in its place", DAMAGED));
        }
        if let Record::Job(job) = record
            && let Some(fire) = job.spec.fire()
            && !self.fires.is_new(fire)
        {
            return Err(self.wrong("a second job for the same fire of its schedule", DAMAGED));
        }
        (self.place, self.log_place) = (place, None);
        Ok(())
    }

    fn place_log(&mut self, job: JobId, place: (u32, u32)) -> Result<(), ArchiveError> {
        if self.place.0 != 3 || self.place.1 != job.as_bytes() {
            return Err(self.wrong("a log line stands after the job that it belongs to", DAMAGED));
        }
        if self.log_place.is_some_and(|last| place <= last) {
            return Err(self.wrong("it is there twice, or not in its place", DAMAGED));
        }
        self.log_place = Some(place);
        Ok(())
    }

    /// Checks that what was read is all there was.
    fn end(&mut self, end: &EndEncoded) -> Result<(), ArchiveError> {
        let (wanted, found) = (end.counts(), self.counts);
        if wanted != found {
            let reason = format!("there should be {} records, and there are {}", wanted.total(), found.total());
            return Err(self.wrong(&reason, DAMAGED));
        }
        let digest = Digest::from_bytes(self.hash.clone().finalize().into());
        if end.sha256.as_ref().is_some_and(|wanted| wanted.0 != digest) {
            return Err(self.wrong("the lines before this one are not those that were written", DAMAGED));
        }
        if self.read_line()? {
            return Err(self.wrong("there is more after the last line", DAMAGED));
        }
        Ok(())
    }

    /// The next line, in its form.
    fn next_line(&mut self) -> Result<Line, ArchiveError> {
        if !self.read_line()? {
            return Err(self.wrong("the last line is missing", CUT_OFF));
        }
        let is_whole = self.text.ends_with(b"\n");
        let mut unknown = None;
        let mut json = serde_json::Deserializer::from_slice(&self.text);
        let read = serde_ignored::deserialize(&mut json, |field| {
            unknown.get_or_insert_with(|| field.to_string());
        });
        let line: Line = read.and_then(|line| json.end().map(|()| line)).map_err(|error| {
            // What ends in the middle of a line was cut off there.
            self.wrong(&reason_of(&error), if is_whole { DAMAGED } else { CUT_OFF })
        })?;
        if let Some(field) = unknown {
            let shown: String = field.chars().take(REASON_CHARS_MAX).collect();
            return Err(self.wrong(&format!("unknown field `{shown}`"), NEWER));
        }
        if !matches!(line, Line::End(_)) {
            self.hash.update(&self.text);
        }
        Ok(line)
    }

    /// Reads a line into `text`, with its end; `false` where there is none.
    fn read_line(&mut self) -> Result<bool, ArchiveError> {
        self.text.clear();
        loop {
            let chunk = self.input.fill_buf()?;
            let (taken, is_end) = match chunk.iter().position(|byte| *byte == b'\n') {
                Some(at) => (at + 1, true),
                None => (chunk.len(), chunk.is_empty()),
            };
            self.text.extend_from_slice(&chunk[..taken]);
            self.input.consume(taken);
            if self.text.len() > LINE_BYTES_MAX {
                self.line += 1;
                let reason = format!("the line is longer than {LINE_BYTES_MAX} bytes");
                return Err(self.wrong(&reason, if self.line == 1 { NO_EXPORT } else { DAMAGED }));
            }
            if is_end {
                self.line += 1;
                return Ok(!self.text.is_empty());
            }
        }
    }

    fn wrong(&self, reason: &str, hint: &'static str) -> ArchiveError {
        ArchiveError::Line { line: self.line, reason: reason.chars().take(REASON_CHARS_MAX).collect(), hint }
    }
}

/// What is wrong with a line, with the place inside of it. (To serde_json, each line is a file of its own.)
fn reason_of(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match text.strip_suffix(&place) {
        Some(reason) => format!("{reason} (at character {})", error.column()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read};

    use super::*;

    /// Says `x` for ever and counts how much of it was taken.
    struct Endless(u64);

    impl Read for Endless {
        fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
            to.fill(b'x');
            self.0 += to.len() as u64;
            Ok(to.len())
        }
    }

    #[test]
    fn a_line_without_an_end_is_given_up_at_its_maximum() {
        let mut endless = Endless(0);
        let error = Reader::open(BufReader::new(&mut endless)).err().expect("it is no archive");
        assert!(matches!(error, ArchiveError::Line { line: 1, .. }), "{error}");
        assert!(endless.0 < 2 * LINE_BYTES_MAX as u64, "{} bytes were read", endless.0);
    }
}
