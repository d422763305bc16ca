//! What a command works with, and the seam to whoever builds it.

use std::sync::Arc;

use async_trait::async_trait;

use super::exit::Outcomes;
use super::output::Output;
use super::settings::{GlobalArgs, ServeArgs};
use crate::app::{App, AppResult, Sandbox};
use crate::clock::Clock;
use crate::config::Config;
use crate::scheduler::{Executors, Options};

/// Builds what commands need from the settings: the only way from the command line to stores, brokers and executors.
#[async_trait]
pub trait Machinery: Send + Sync {
    /// The time.
    fn clock(&self) -> Arc<dyn Clock>;

    /// Opens the store and the broker. Does not start anything that runs jobs.
    async fn open(&self, config: &Config) -> AppResult<Opened>;

    /// A sandbox around one component, without any store.
    async fn sandbox(&self, config: &Config, component: &[u8]) -> AppResult<Sandbox>;

    /// Looks at the store's schema, and brings it up to date where asked.
    async fn migrate(&self, config: &Config, migrating: Migrating) -> AppResult<Migrations>;
}

/// Whether a migration is done or only shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Migrating {
    /// Show what would be done.
    Plan,
    /// Do it.
    Apply,
}

/// Where a schema stands, and what it takes (or, applied, took) to bring it up to date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrations {
    /// The version that the store had.
    pub current: i64,
    /// The version that this program needs.
    pub wanted: i64,
    /// The steps from one to the other.
    pub steps: Vec<Migration>,
}

/// One step of a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// Its number.
    pub version: i64,
    /// What it does, in a word or two.
    pub name: String,
    /// Its statements.
    pub text: String,
}

/// What is open.
#[derive(Clone)]
pub struct Opened {
    /// The operations.
    pub app: App,
    /// What runs jobs, in this process.
    pub executors: Executors,
    /// How a scheduler of this process is set.
    pub options: Options,
}

/// What a command works with.
pub(super) struct Context {
    pub(super) machinery: Arc<dyn Machinery>,
    pub(super) out: Output,
    flags: GlobalArgs,
    serve: ServeArgs,
    config: Option<Config>,
    opened: Option<Opened>,
}

impl Context {
    pub(super) fn new(machinery: Arc<dyn Machinery>, flags: GlobalArgs, serve: ServeArgs) -> Context {
        let out = Output::new(flags.json, flags.quiet);
        Context { machinery, out, flags, serve, config: None, opened: None }
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
        let opened = self.machinery.open(&config).await?;
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
