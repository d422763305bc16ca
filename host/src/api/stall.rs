//! Connections whose other side must read.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::clock::Clock;

/// How long a client may take nothing of what is sent to it.
const STALL: Duration = Duration::from_secs(30);

/// A connection that fails once nothing could be written for a while: a client that does not read would otherwise hold what is kept for it
/// for ever. What limits a client that does not write is the time that heads and bodies have.
pub(super) struct Stalling<S> {
    stream: S,
    clock: Arc<dyn Clock>,
    patience: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<S> Stalling<S> {
    pub(super) fn new(stream: S, clock: Arc<dyn Clock>) -> Stalling<S> {
        Stalling { stream, clock, patience: None }
    }

    /// What a write comes to, or an error where it has waited for too long.
    fn watched<T>(&mut self, written: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.patience = None;
            return written;
        }
        let clock = &self.clock;
        let patience = self.patience.get_or_insert_with(|| {
            let clock = Arc::clone(clock);
            Box::pin(async move { clock.sleep(STALL).await })
        });
        ready!(patience.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client reads nothing")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stalling<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stalling<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watched(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watched(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.watched(flushed, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;
    use crate::clock::ManualClock;
    use crate::model::Timestamp;

    #[tokio::test]
    async fn a_client_that_reads_nothing_for_a_while_is_given_up_and_one_that_reads_slowly_is_not() {
        let clock = ManualClock::new(Timestamp::EPOCH);
        let (ours, mut theirs) = tokio::io::duplex(8);
        let mut stream = Stalling::new(ours, Arc::new(clock.clone()));
        for _ in 0..3 {
            stream.write_all(&[0; 8]).await.expect("there is room");
            let mut more = Box::pin(stream.write_all(&[0; 8]));
            assert!(futures_util::poll!(&mut more).is_pending());
            clock.advance(STALL - Duration::from_secs(1));
            assert!(futures_util::poll!(&mut more).is_pending());
            tokio::io::AsyncReadExt::read_exact(&mut theirs, &mut [0; 16][..8]).await.expect("it was sent");
            more.await.expect("there is room again");
            tokio::io::AsyncReadExt::read_exact(&mut theirs, &mut [0; 16][..8]).await.expect("it was sent");
        }
        stream.write_all(&[0; 8]).await.expect("there is room");
        let mut more = Box::pin(stream.write_all(&[0; 8]));
        assert!(futures_util::poll!(&mut more).is_pending());
        clock.advance(STALL);
        assert_eq!(more.await.expect_err("nobody reads").kind(), io::ErrorKind::TimedOut);
    }
}
