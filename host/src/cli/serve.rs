//! `host serve`.

#[cfg(feature = "api")]
use super::api;
use super::context::Context;
use super::exit::{Failure, Outcomes};
use super::supervisor::Supervisor;
use crate::app::AppError;
use crate::assemble::signals::Signals;
use crate::config::units::format_duration;
use crate::scheduler::Scheduler;

/// Starts a scheduler, says `ready` on standard error, and stops it in good order on SIGTERM or SIGINT. A second signal ends the process at once:
/// leases run out, and nothing is lost that a crash would not lose.
pub(super) async fn run(context: &mut Context) -> Outcomes {
    // Heard from here on, so that a signal during the start is not lost.
    let mut signals = Signals::listen()?;
    let supervisor = Supervisor::find(context.ready_file())?;
    let opened = context.opened().await?;
    let store = context.config()?.store;
    let options = opened.options;
    let (role, drain) = (options.role.as_str(), options.drain_timeout);
    #[cfg(feature = "api")]
    let mut server = api::open(context, opened.app.clone()).await?;
    let parts = opened.app.scheduler_parts(opened.executors);
    let handle = Scheduler::start(parts, options).await.map_err(AppError::from)?;
    #[cfg(feature = "api")]
    if let Some(server) = &server {
        server.measure(handle.meter());
    }
    let identity = handle.identity().clone();
    // Said first, so that whoever waits for `ready` has heard it.
    #[cfg(feature = "api")]
    api::start(context, &mut server)?;
    supervisor.ready(identity.as_str())?;
    context.out.note(&format!("ready: {role} `{identity}` on {store}"))?;
    let failed = tokio::select! {
        _ = signals.next() => false,
        () = handle.failed() => true,
        never = supervisor.keep_alive() => match never {},
    };
    supervisor.stopping();
    let within = format_duration(drain);
    context.out.note(&format!("stopping: running jobs have {within}; once more stops at once"))?;
    #[cfg(feature = "api")]
    let api_stopped = api::stop(server, drain);
    #[cfg(not(feature = "api"))]
    let api_stopped = std::future::ready(());
    let stopped = async { tokio::join!(handle.stop(), api_stopped).0 };
    let report = tokio::select! {
        report = stopped => report,
        signal = signals.next() => return Err(Failure::Interrupted(signal)),
        never = supervisor.keep_alive() => match never {},
    };
    if report.interrupted > 0 {
        context.out.note(&interruptions(report.interrupted))?;
    }
    if failed {
        let what = "the scheduler stopped by itself; the log says why".to_owned();
        return Err(AppError::Unexpected { what, source: None }.into());
    }
    Ok(context.out.note("stopped")?)
}

fn interruptions(count: usize) -> String {
    match count {
        1 => "1 job was interrupted and goes back into the queue".to_owned(),
        _ => format!("{count} jobs were interrupted and go back into the queue"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_interrupted_job_is_reported_as_one() {
        assert_eq!(interruptions(1), "1 job was interrupted and goes back into the queue");
        assert_eq!(interruptions(2), "2 jobs were interrupted and go back into the queue");
    }
}
