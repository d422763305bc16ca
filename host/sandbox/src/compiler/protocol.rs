//! What the host and the process that compiles for it say to each other: each a line of JSON, and the bytes that it announces.

use std::io::{self, BufRead, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::executor::InspectError;

/// The only argument of a process that is to compile. Not a word that a command line would use.
pub(super) const ARGUMENT: &str = "__compile-component";

/// Longest line, in bytes.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// What is asked: one component, which follows.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    /// Hash of everything that shapes compiled code, in hexadecimal digits. Another program than the host's own has another one.
    pub(super) compatibility: String,
    /// Memory that may be used, in bytes.
    pub(super) memory_bytes: u64,
    /// Processor time that may be used, in seconds.
    pub(super) processor_seconds: u64,
    /// Length of the component.
    pub(super) component_bytes: u64,
}

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// Compiled code of that length follows.
    Compiled { code_bytes: u64 },
    /// There is none.
    Refused {
        /// What is wrong, for people.
        reason: String,
        /// What causes it, outermost first.
        context: Vec<String>,
        /// What to do about it.
        hint: Option<String>,
    },
}

impl From<InspectError> for Answer {
    fn from(error: InspectError) -> Answer {
        Answer::Refused { reason: error.reason, context: error.context, hint: error.hint }
    }
}

/// Writes a line.
pub(super) fn write_line(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message).map_err(io::Error::other)?;
    line.push(b'\n');
    to.write_all(&line)
}

/// Reads a line.
pub(super) fn read_line<T: DeserializeOwned>(from: &mut impl BufRead) -> io::Result<T> {
    let mut line = Vec::new();
    from.take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    if line.last() != Some(&b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    serde_json::from_slice(&line).map_err(io::Error::other)
}

/// Reads as many bytes as were announced, if they are no more than `max`.
pub(super) fn read_bytes(from: &mut impl Read, announced: u64, max: u64) -> io::Result<Vec<u8>> {
    if announced > max {
        return Err(io::Error::other(format!("{announced} bytes are announced, of {max} at most")));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(announced).unwrap_or(0));
    from.take(announced).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == announced { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
