//! Records to lines.

use sha2::{Digest as _, Sha256};

use super::line::{
    EndEncoded, Header, JobEncoded, KvBucketEncoded, KvEntryEncoded, Line, LogEncoded, PluginEncoded, ScheduleEncoded,
    TaskEncoded, Text, encode,
};
use super::{Counts, FORMAT, LINE_BYTES_MAX, PART_BYTES, VERSION, check};
use crate::Record;
use crate::model::{Digest, Timestamp};

/// Writes an archive, piece by piece, into memory that its caller passes on.
#[derive(Debug)]
pub struct Encoder {
    hash: Sha256,
    counts: Counts,
}

impl Encoder {
    /// Begins an archive in `to`.
    pub fn begin(exported_at: Timestamp, to: &mut Vec<u8>) -> Encoder {
        let mut encoder = Encoder { hash: Sha256::new(), counts: Counts::default() };
        let header = Header { format: FORMAT.into(), version: VERSION, exported_at: Text(exported_at) };
        let begin = to.len();
        push(&header, to);
        encoder.hash.update(&to[begin..]);
        encoder
    }

    /// Adds the lines of a record. Records come in the order of a [`Snapshot`](crate::Snapshot).
    ///
    /// Holds the calling thread for as long as hashing and encoding takes, of a large component some tenths of a second.
    ///
    /// # Errors
    /// What is wrong with the record, in words. Nothing is written then.
    pub fn record(&mut self, record: &Record, to: &mut Vec<u8>) -> Result<(), String> {
        check(record)?;
        let begin = to.len();
        match record {
            Record::Plugin(plugin) => {
                let (version, bytes) = (&plugin.version, &plugin.bytes);
                let found = Digest::from_bytes(Sha256::digest(bytes).into());
                if found != version.digest || bytes.len() as u64 != version.size_bytes {
                    return Err(format!("its {} bytes have the digest {found}", bytes.len()));
                }
                push(&Line::Plugin(PluginEncoded::new(version, plugin.is_current, plugin.rollout.as_ref())), to);
                for part in bytes.chunks(PART_BYTES) {
                    push(&Line::PluginBytes(encode(part)), to);
                }
            }
            Record::Task(task) => push(&Line::Task(Box::new(TaskEncoded::new(task))), to),
            Record::Job(job) => push(&Line::Job(Box::new(JobEncoded::new(job))), to),
            Record::Log { job_id, line } => push(&Line::Log(LogEncoded::new(*job_id, line)), to),
            Record::Schedule(schedule) => push(&Line::Schedule(Box::new(ScheduleEncoded::new(schedule))), to),
            Record::KvBucket { name, revision } => {
                push(&Line::KvBucket(KvBucketEncoded { name: Text(name.clone()), revision: *revision }), to);
            }
            Record::KvEntry { bucket, key, entry } => {
                push(&Line::KvEntry(KvEntryEncoded::new(bucket, key, entry)), to);
            }
        }
        if !matches!(record, Record::Plugin(_)) && to.len() - begin > LINE_BYTES_MAX {
            to.truncate(begin);
            return Err(format!("it is longer than the {LINE_BYTES_MAX} bytes that a line may have"));
        }
        self.hash.update(&to[begin..]);
        self.counts.add(record);
        Ok(())
    }

    /// Ends the archive, and answers what is in it. One without its end is recognised as cut off.
    pub fn end(self, to: &mut Vec<u8>) -> Counts {
        let digest = Digest::from_bytes(self.hash.finalize().into());
        push(&Line::End(EndEncoded::new(self.counts, digest)), to);
        self.counts
    }

    /// What is in it so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }
}

/// Adds a line.
fn push(line: &impl serde::Serialize, to: &mut Vec<u8>) {
    // The forms have text keys and finite numbers only, and a vector takes everything.
    serde_json::to_writer(&mut *to, line).unwrap_or_default();
    to.push(b'\n');
}
