//! Streams of files as a guest sees them: WASI's own, with what they cost and may carry.

use bytes::Bytes;
use rustix::io::Errno;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, InputStream, OutputStream, Pollable, StreamError, StreamResult,
};

use super::memory::Kept;
use super::quota::Quota;
use super::work::{FILE_CALL, Work};

/// What the host keeps for a stream: what was read ahead, or is being written.
pub(super) const STREAM_BYTES: u64 = 64 << 10;

/// Reads a file.
pub(super) struct Reading {
    /// WASI's own stream.
    pub(super) inner: DynInputStream,
    /// What it costs.
    pub(super) work: Work,
    /// What the host keeps for it.
    pub(super) _kept: Kept,
}

/// Writes a file.
pub(super) struct Writing {
    /// WASI's own stream.
    pub(super) inner: DynOutputStream,
    /// What it costs.
    pub(super) work: Work,
    /// What may still be written where the file lies.
    pub(super) quota: Quota,
    /// What the host keeps for it.
    pub(super) _kept: Kept,
}

impl Reading {
    /// An answer without bytes has begun to read.
    fn noted(&self, read: StreamResult<Bytes>) -> StreamResult<Bytes> {
        self.work.note(FILE_CALL);
        self.work.note_bytes(read.as_ref().map_or(0, Bytes::len));
        read
    }
}

#[async_trait]
impl InputStream for Reading {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let read = self.inner.read(size);
        self.noted(read)
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        let read = self.inner.blocking_read(size).await;
        self.noted(read)
    }

    async fn cancel(&mut self) {
        self.inner.cancel().await;
    }
}

#[async_trait]
impl Pollable for Reading {
    async fn ready(&mut self) {
        self.inner.ready().await;
    }
}

impl Writing {
    fn begin(&self, bytes: &Bytes) -> StreamResult<()> {
        if bytes.len() as u64 > STREAM_BYTES {
            return Err(StreamError::trap("it wrote more to a stream at once than `check-write` allows"));
        }
        self.work.note(FILE_CALL);
        self.work.note_bytes(bytes.len());
        match self.quota.take_bytes(bytes.len() as u64) {
            true => Ok(()),
            // What a full disk says, which programs know.
            false => Err(StreamError::LastOperationFailed(std::io::Error::from(Errno::NOSPC).into())),
        }
    }
}

#[async_trait]
impl OutputStream for Writing {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.begin(&bytes)?;
        self.inner.write(bytes)
    }

    async fn blocking_write_and_flush(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.begin(&bytes)?;
        self.inner.blocking_write_and_flush(bytes).await
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.inner.flush()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.inner.check_write()
    }

    async fn cancel(&mut self) {
        self.inner.cancel().await;
    }
}

#[async_trait]
impl Pollable for Writing {
    async fn ready(&mut self) {
        self.inner.ready().await;
    }
}
