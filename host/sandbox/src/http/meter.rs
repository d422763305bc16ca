//! What goes over the connections of an attempt: counted, charged as fuel, and bounded.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Semaphore;

use super::super::work::Work;
use super::HEAD_BYTES_MAX;
use crate::model::HttpUsage;

/// What a server may send before its answer: interim answers, and what of the body comes along with the head.
const UNANSWERED_BYTES_MAX: u64 = 4 * HEAD_BYTES_MAX as u64;

/// The connections of one attempt, and what went over them.
#[derive(Debug)]
pub(super) struct Meter {
    /// The places for connections.
    pub(super) places: Arc<Semaphore>,
    /// What it costs.
    pub(super) work: Work,
    requests: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
}

impl Meter {
    pub(super) fn new(work: Work, connections: usize) -> Meter {
        let places = Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS)));
        Meter { places, work, requests: AtomicU64::new(0), sent: AtomicU64::new(0), received: AtomicU64::new(0) }
    }

    /// A request is about to be sent.
    pub(super) fn sends(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn usage(&self) -> HttpUsage {
        HttpUsage {
            requests: self.requests.load(Ordering::Relaxed),
            sent_bytes: self.sent.load(Ordering::Relaxed),
            received_bytes: self.received.load(Ordering::Relaxed),
        }
    }
}

/// How far a request has come.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Bytes that were sent.
    pub(super) sent: AtomicU64,
    received: AtomicU64,
    /// Whether the next part of the body is the guest's to write.
    pub(super) waits_for_guest: AtomicBool,
    /// Whether the head of the answer is there.
    pub(super) is_answered: AtomicBool,
    /// Whether it was given up because the head did not end.
    pub(super) is_flooded: AtomicBool,
}

/// A connection whose bytes are counted.
pub(super) struct Metered<S> {
    pub(super) stream: S,
    pub(super) meter: Arc<Meter>,
    pub(super) progress: Arc<Progress>,
}

impl<S> Metered<S> {
    fn sent(&self, written: io::Result<usize>) -> io::Result<usize> {
        let bytes = *written.as_ref().unwrap_or(&0);
        self.meter.work.note_bytes(bytes);
        self.meter.sent.fetch_add(bytes as u64, Ordering::Relaxed);
        self.progress.sent.fetch_add(bytes as u64, Ordering::Relaxed);
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let metered = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut metered.stream).poll_read(cx, buffer))?;
        let bytes = buffer.filled().len().saturating_sub(before);
        let Metered { meter, progress, .. } = metered;
        meter.work.note_bytes(bytes);
        meter.received.fetch_add(bytes as u64, Ordering::Relaxed);
        let received = progress.received.fetch_add(bytes as u64, Ordering::Relaxed).saturating_add(bytes as u64);
        if received > UNANSWERED_BYTES_MAX && !progress.is_answered.load(Ordering::Relaxed) {
            progress.is_flooded.store(true, Ordering::Relaxed);
            return Poll::Ready(Err(io::Error::other("the head of the answer does not end")));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let metered = self.get_mut();
        let written = ready!(Pin::new(&mut metered.stream).poll_write(cx, bytes));
        Poll::Ready(metered.sent(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let metered = self.get_mut();
        let written = ready!(Pin::new(&mut metered.stream).poll_write_vectored(cx, slices));
        Poll::Ready(metered.sent(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
