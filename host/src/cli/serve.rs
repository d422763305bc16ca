//! `host serve`.

use super::context::Context;
use super::exit::{Failure, Outcomes};
use crate::app::AppError;
use crate::config::units::format_duration;
use crate::scheduler::Scheduler;

/// Starts a scheduler, says `ready` on standard error, and stops it in good order on SIGTERM or SIGINT. A second signal ends the process at once:
/// leases run out, and nothing is lost that a crash would not lose.
pub(super) async fn run(context: &mut Context) -> Outcomes {
    // Heard from here on, so that a signal during the start is not lost.
    let mut signals = Signals::listen().map_err(|error| AppError::unexpected("signals cannot be heard", error))?;
    let opened = context.opened().await?;
    let store = context.config()?.store;
    let options = opened.options;
    let (role, drain) = (options.role.as_str(), options.drain_timeout);
    let parts = opened.app.scheduler_parts(opened.executors);
    let handle = Scheduler::start(parts, options).await.map_err(|error| {
        let cause = AppError::from(error.source.clone());
        tracing::debug!(scheduler.id = %error.identity, "the scheduler did not start");
        cause
    })?;
    let identity = handle.identity().clone();
    context.out.note(&format!("ready: {role} `{identity}` on {store}"))?;
    let failed = tokio::select! {
        () = signals.next() => false,
        () = handle.failed() => true,
    };
    let within = format_duration(drain);
    context.out.note(&format!("stopping: running jobs have {within}; once more stops at once"))?;
    let report = tokio::select! {
        report = handle.stop() => report,
        () = signals.next() => return Err(Failure::Interrupted),
    };
    if report.interrupted > 0 {
        context.out.note(&format!(
            "{} were interrupted and go back into the queue",
            super::output::plural(report.interrupted, "job")
        ))?;
    }
    if failed {
        let what = "the scheduler stopped by itself; the log says why".to_owned();
        return Err(AppError::Unexpected { what, source: None }.into());
    }
    Ok(context.out.note("stopped")?)
}

/// The signals that ask a process to end.
#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> std::io::Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    #[expect(clippy::unnecessary_wraps, reason = "the same signature on every system")]
    fn listen() -> std::io::Result<Signals> {
        Ok(Signals)
    }

    async fn next(&mut self) {
        super::submit::interrupted().await;
    }
}
