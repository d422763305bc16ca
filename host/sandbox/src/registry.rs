//! The plugins that are ready to run, by digest: each is made ready once, however many jobs wait for it, and the least
//! recently used makes room when there are too many.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use tokio::runtime::Handle;

use super::grants::{FolderUnavailable, Folders, OpenGrants};
use super::load::{Loader, Prepared, digest_of};
use super::pool::Pool;
use super::refusal::{Refusal as _, refused};
use crate::executor::{InspectError, PluginSource, RunnablePlugin};
use crate::model::{Digest, Grant};

/// Plugins kept ready. What is not in here comes from the cache on disk in a few milliseconds.
const PREPARED_MAX: usize = 128;
/// Sets of grants kept open for each plugin: there is one, until an operator changes it.
const GRANTS_MAX: usize = 4;

type Preparing = Shared<BoxFuture<'static, Result<Arc<Prepared>, InspectError>>>;

/// The plugins that are ready to run, and those that are getting ready.
pub(super) struct Registry {
    loader: Arc<Loader>,
    source: Arc<dyn PluginSource>,
    runtime: Handle,
    folders: Arc<Folders>,
    /// Threads that open folders, of their own: a disk or a network that does not answer holds up nothing else.
    opening: Pool,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    by_digest: HashMap<Digest, Entry>,
    uses: u64,
}

struct Entry {
    state: State,
    last_use: u64,
    grants: Vec<(Arc<[Grant]>, Arc<OpenGrants>)>,
}

enum State {
    Ready(Arc<Prepared>),
    Preparing(Preparing),
}

impl Registry {
    /// An empty registry over the plugins of `source`.
    pub(super) fn new(loader: Arc<Loader>, source: Arc<dyn PluginSource>, runtime: Handle, opening: Pool) -> Registry {
        Registry { loader, source, runtime, folders: Arc::default(), opening, entries: Mutex::default() }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        // The map is whole between any two of its statements.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The plugin of that digest, ready to run.
    ///
    /// Dropping the future drops the wait, not the preparation: another job waits for it, or will.
    ///
    /// # Errors
    /// It cannot be had or does not run here. The next call tries again.
    pub(super) async fn prepared(&self, digest: Digest) -> Result<Arc<Prepared>, InspectError> {
        let preparing = match self.ready_or_preparing(digest) {
            State::Ready(prepared) => return Ok(prepared),
            State::Preparing(preparing) => preparing,
        };
        let result = preparing.clone().await;
        let mut entries = self.entries();
        match (&result, entries.by_digest.get_mut(&digest)) {
            (Ok(prepared), Some(entry)) => entry.state = State::Ready(Arc::clone(prepared)),
            (Err(_), Some(Entry { state: State::Preparing(theirs), .. })) if theirs.ptr_eq(&preparing) => {
                entries.by_digest.remove(&digest);
            }
            _ => {}
        }
        result
    }

    /// Puts in a plugin that was made ready elsewhere, if it may run here already: one that is being registered may not yet.
    pub(super) async fn insert(&self, prepared: Arc<Prepared>) {
        let digest = prepared.digest;
        if self.source.may_run(&digest).await.is_ok() {
            self.entries().touch(digest, || State::Ready(Arc::clone(&prepared)));
        }
    }

    fn ready_or_preparing(&self, digest: Digest) -> State {
        let mut entries = self.entries();
        let entry = entries.touch(digest, || State::Preparing(self.prepare(digest)));
        match &entry.state {
            State::Ready(prepared) => State::Ready(Arc::clone(prepared)),
            State::Preparing(preparing) => State::Preparing(preparing.clone()),
        }
    }

    /// Starts to make a plugin ready, on a task of its own.
    fn prepare(&self, digest: Digest) -> Preparing {
        let (loader, source) = (Arc::clone(&self.loader), Arc::clone(&self.source));
        let task = self.runtime.spawn(async move {
            source.may_run(&digest).await.map_err(|reason| refused("the plugin may not run here").because(reason))?;
            if let Some(prepared) = loader.cached(digest).await {
                return Ok(Arc::new(prepared));
            }
            let bytes = source
                .plugin_bytes(&digest)
                .await
                .map_err(|reason| refused("the plugin could not be read from the data store").because(reason))?
                .ok_or_else(|| refused(&format!("the data store has no plugin of digest {digest}")))?;
            if digest_of(&bytes) != digest {
                return Err(refused(&format!("the data store's plugin of digest {digest} is damaged"))
                    .hint("register the component again"));
            }
            loader.load(bytes).await.map(|(prepared, _outline)| Arc::new(prepared))
        });
        let result = task.map(|joined| {
            joined.unwrap_or_else(|error| Err(refused("the plugin could not be made ready").because(error.to_string())))
        });
        result.boxed().shared()
    }

    /// The grants of a plugin, open. They are kept open as long as the plugin is kept ready.
    ///
    /// # Errors
    /// A granted folder cannot be handed out.
    pub(super) async fn grants(&self, plugin: &RunnablePlugin) -> Result<Arc<OpenGrants>, FolderUnavailable> {
        if let Some(open) = self.entries().open_grants(plugin) {
            return Ok(open);
        }
        let open = Arc::new(self.open(Arc::clone(&plugin.grants)).await?);
        // Of several that were opened at the same time all use one: what it bounds is bounded for the plugin, not for each attempt.
        let mut entries = self.entries();
        if let Some(other) = entries.open_grants(plugin) {
            return Ok(other);
        }
        entries.keep_grants(plugin, &open);
        Ok(open)
    }

    /// Makes grants ready, without keeping them.
    ///
    /// # Errors
    /// A granted folder cannot be handed out.
    pub(super) async fn open(&self, grants: Arc<[Grant]>) -> Result<OpenGrants, FolderUnavailable> {
        let folders = Arc::clone(&self.folders);
        // Opening a folder may wait for a disk or a network.
        let opened = self.opening.run(move || folders.open(&grants)).await;
        opened.unwrap_or_else(|| Err(FolderUnavailable::stopping()))
    }
}

impl Entries {
    /// The entry of that digest, marked as used now; made by `state` if it is missing, with room made for it.
    fn touch(&mut self, digest: Digest, state: impl FnOnce() -> State) -> &mut Entry {
        self.uses += 1;
        if self.by_digest.len() >= PREPARED_MAX && !self.by_digest.contains_key(&digest) {
            let oldest = self.by_digest.iter().min_by_key(|(_, entry)| entry.last_use).map(|(digest, _)| *digest);
            if let Some(oldest) = oldest {
                self.by_digest.remove(&oldest);
            }
        }
        let entry =
            self.by_digest.entry(digest).or_insert_with(|| Entry { state: state(), last_use: 0, grants: Vec::new() });
        entry.last_use = self.uses;
        entry
    }

    fn open_grants(&self, plugin: &RunnablePlugin) -> Option<Arc<OpenGrants>> {
        let entry = self.by_digest.get(&plugin.digest)?;
        let (_, open) = entry
            .grants
            .iter()
            .find(|(grants, _)| Arc::ptr_eq(grants, &plugin.grants) || **grants == *plugin.grants)?;
        open.are_alive().then(|| Arc::clone(open))
    }

    fn keep_grants(&mut self, plugin: &RunnablePlugin, open: &Arc<OpenGrants>) {
        let Some(entry) = self.by_digest.get_mut(&plugin.digest) else { return };
        entry.grants.retain(|(grants, _)| **grants != *plugin.grants);
        if entry.grants.len() >= GRANTS_MAX {
            entry.grants.remove(0);
        }
        entry.grants.push((Arc::clone(&plugin.grants), Arc::clone(open)));
    }
}
