//! `host api`, and the same interface beside `host serve`.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::api_settings::ApiArgs;
use super::context::Context;
use super::exit::{Failure, Outcomes};
use super::settings::ServeArgs;
use super::supervisor::Supervisor;
use crate::api::ApiServer;
use crate::app::App;
use crate::assemble::signals::Signals;
use crate::config::units::{format_duration, parse_duration};

/// Flags of `host api`.
#[derive(Debug, Default, Args)]
pub(super) struct ApiCommandArgs {
    #[command(flatten)]
    api: ApiArgs,
    /// How long requests under way may go on once the process is asked to stop [default: 15s]
    #[arg(long, env = "HOST_DRAIN_TIMEOUT", value_name = "D", value_parser = parse_duration, hide_env_values = true)]
    drain_timeout: Option<Duration>,
    /// A file that is there while the server works: written once it is ready, removed when it begins to stop
    #[arg(long, env = "HOST_READY_FILE", value_name = "FILE", hide_env_values = true)]
    ready_file: Option<PathBuf>,
}

impl From<ApiCommandArgs> for ServeArgs {
    fn from(args: ApiCommandArgs) -> ServeArgs {
        ServeArgs::without_scheduler(args.api, args.drain_timeout, args.ready_file)
    }
}

/// Opens the interface, and accepts nothing yet.
pub(super) async fn open(context: &mut Context, app: App) -> Outcomes<Option<ApiServer>> {
    Ok(ApiServer::open(app, context.api_options()?).await?)
}

/// Accepts requests, and says where.
pub(super) fn start(context: &mut Context, server: &mut Option<ApiServer>) -> Outcomes {
    let Some(server) = server else { return Ok(()) };
    server.start();
    context.out.note(&format!("listening on {}", server.url()))?;
    // For whoever sits there: in a log, the address would be of use to its readers.
    if std::io::stderr().is_terminal()
        && let Some(url) = server.login_url()?
    {
        context.out.note(&format!("open {url} in a browser to log in, once and within 10 minutes"))?;
    }
    Ok(())
}

/// Ends it in good order, where there is one.
pub(super) async fn stop(server: Option<ApiServer>, within: Duration) {
    if let Some(server) = server {
        server.stop(within).await;
    }
}

/// Answers requests until SIGTERM or SIGINT. A second signal ends the process at once.
pub(super) async fn run(context: &mut Context) -> Outcomes {
    let mut signals = Signals::listen()?;
    let supervisor = Supervisor::find(context.ready_file())?;
    let drain = context.config()?.serve.drain_timeout;
    let app = context.app().await?;
    let mut server = open(context, app).await?;
    if server.is_none() {
        return Err(Failure::usage("there is nothing to do without a place to listen at", "leave `--listen none` out"));
    }
    start(context, &mut server)?;
    supervisor.ready("api")?;
    tokio::select! {
        _ = signals.next() => {}
        never = supervisor.keep_alive() => match never {},
    }
    supervisor.stopping();
    let within = format_duration(drain);
    context.out.note(&format!("stopping: requests under way have {within}; once more stops at once"))?;
    tokio::select! {
        () = stop(server, drain) => Ok(context.out.note("stopped")?),
        signal = signals.next() => Err(Failure::Interrupted(signal)),
        never = supervisor.keep_alive() => match never {},
    }
}
