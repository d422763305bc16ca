//! What a command works with.

use std::path::PathBuf;

use super::exit::Outcomes;
use super::output::Output;
use super::settings::{GlobalArgs, ServeArgs};
#[cfg(feature = "api")]
use crate::api::ApiOptions;
use crate::app::App;
use crate::assemble::{Machine, Opened};
use crate::config::Config;

/// What a command works with.
pub(super) struct Context {
    pub(super) machine: Machine,
    pub(super) out: Output,
    flags: GlobalArgs,
    serve: ServeArgs,
    config: Option<Config>,
    opened: Option<Opened>,
}

impl Context {
    pub(super) fn new(machine: Machine, flags: GlobalArgs, serve: ServeArgs) -> Context {
        let out = Output::new(flags.json, flags.quiet);
        Context { machine, out, flags, serve, config: None, opened: None }
    }

    /// The file by which a server says that it works.
    pub(super) fn ready_file(&self) -> Option<PathBuf> {
        self.serve.ready_file.clone().filter(|path| !path.as_os_str().is_empty())
    }

    /// The settings that hold; the file is read the first time. Commands that need none work without a home.
    pub(super) fn config(&mut self) -> Outcomes<Config> {
        if let Some(config) = &self.config {
            return Ok(config.clone());
        }
        let config = self.flags.config(&self.serve)?;
        self.config = Some(config.clone());
        Ok(config)
    }

    /// How the HTTP interface is set.
    #[cfg(feature = "api")]
    pub(super) fn api_options(&mut self) -> Outcomes<ApiOptions> {
        let data_dir = self.config()?.data_dir;
        Ok(ApiOptions { data_dir, ..self.flags.api_options(&self.serve)? })
    }

    /// The operations; the store is opened the first time.
    pub(super) async fn app(&mut self) -> Outcomes<App> {
        Ok(self.opened().await?.app)
    }

    /// The operations and what runs jobs.
    pub(super) async fn opened(&mut self) -> Outcomes<Opened> {
        if let Some(opened) = &self.opened {
            return Ok(opened.clone());
        }
        let config = self.config()?;
        let opened = self.machine.open(&config).await?;
        self.opened = Some(opened.clone());
        Ok(opened)
    }

    /// Lets go of what was opened.
    pub(super) async fn close(&mut self) {
        if let Some(opened) = self.opened.take() {
            opened.app.close().await;
        }
    }
}
