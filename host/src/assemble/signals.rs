//! Signals that ask the process to end: Ctrl-C, and SIGTERM from whoever manages services.

use std::future;

#[cfg(unix)]
use crate::app::AppError;
use crate::app::AppResult;

/// A signal that asks the process to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

/// Those signals, from the moment on that this exists: they no longer end the process by themselves, and none is lost between two waits.
pub(crate) struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    /// Begins to listen.
    pub(crate) fn listen() -> AppResult<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        let both = signal(SignalKind::interrupt()).and_then(|it| Ok((it, signal(SignalKind::terminate())?)));
        let (interrupt, terminate) = both.map_err(|error| AppError::unexpected("signals cannot be heard", error))?;
        Ok(Signals { interrupt, terminate })
    }

    /// The next one. Several of a kind that arrive before anybody waits are one.
    pub(crate) async fn next(&mut self) -> Signal {
        let came = tokio::select! {
            Some(()) = self.interrupt.recv() => Some(Signal::Interrupt),
            Some(()) = self.terminate.recv() => Some(Signal::Terminate),
            else => None,
        };
        match came {
            Some(signal) => signal,
            None => future::pending().await,
        }
    }
}

#[cfg(not(unix))]
impl Signals {
    #[expect(clippy::unnecessary_wraps, reason = "the same signature on every system")]
    pub(crate) fn listen() -> AppResult<Signals> {
        Ok(Signals {})
    }

    pub(crate) async fn next(&mut self) -> Signal {
        match tokio::signal::ctrl_c().await {
            Ok(()) => Signal::Interrupt,
            Err(_) => future::pending().await,
        }
    }
}
