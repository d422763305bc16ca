//! The sandbox of a process, and where it finds its plugins.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::OnceCell;

use crate::app::TrustedKeys;
use crate::clock::Clock;
use crate::config::{CompilerLimits, Config};
use crate::executor::wasm::{Compiler, WasmExecutor, WasmOptions};
use crate::executor::{
    Executor, Finished, InspectError, Inspection, Invocation, KvReader, PluginInspector, PluginSource, Retry,
    RunControl, SecretSource, Verdict,
};
use crate::model::{BucketName, Digest, ErrorKind, Grant, JobError, KvEntry, KvKey, MemoryLoad};
use crate::store::{GetKv, ListKv, Store};

/// A sandbox that is set up when it is needed first: most commands never do, and setting it up takes longer than all they do.
pub(super) struct LazySandbox {
    cache_dir: std::path::PathBuf,
    concurrency: u32,
    memory_bytes_max: u64,
    memory_total: Option<u64>,
    compiler: CompilerLimits,
    plugins: Arc<dyn PluginSource>,
    kv: Option<Arc<dyn KvReader>>,
    secrets: Option<Arc<dyn SecretSource>>,
    clock: Arc<dyn Clock>,
    executor: OnceCell<WasmExecutor>,
}

impl LazySandbox {
    /// `kv`: where buckets of keys and values are; without it they are empty. `secrets`: what knows them; without it none is set.
    pub(super) fn new(
        config: &Config,
        plugins: Arc<dyn PluginSource>,
        kv: Option<Arc<dyn KvReader>>,
        secrets: Option<Arc<dyn SecretSource>>,
        clock: Arc<dyn Clock>,
    ) -> LazySandbox {
        LazySandbox {
            cache_dir: config.data_dir.join("cache"),
            concurrency: u32::try_from(config.serve.max_concurrent_jobs.saturating_add(config.serve.spare_slots()))
                .unwrap_or(u32::MAX),
            memory_bytes_max: config.caps.memory_bytes,
            memory_total: config.serve.max_memory,
            compiler: config.compiler,
            plugins,
            kv,
            secrets,
            clock,
            executor: OnceCell::new(),
        }
    }

    async fn get(&self) -> Result<&WasmExecutor, String> {
        self.executor
            .get_or_try_init(|| async {
                WasmExecutor::new(WasmOptions {
                    cache_dir: Some(self.cache_dir.clone()),
                    concurrency: self.concurrency,
                    memory_bytes_max: self.memory_bytes_max,
                    memory_total: self.memory_total,
                    compiler: Compiler::of_this_program(self.compiler),
                    kv: self.kv.clone(),
                    secrets: self.secrets.clone(),
                    ..WasmOptions::new(Arc::clone(&self.plugins), Arc::clone(&self.clock))
                })
                .map_err(|error| error.to_string())
            })
            .await
    }
}

#[async_trait]
impl Executor for LazySandbox {
    async fn run(&self, invocation: Invocation, control: RunControl) -> Finished {
        match self.get().await {
            Ok(executor) => executor.run(invocation, control).await,
            Err(reason) => {
                let error = JobError::new(ErrorKind::HostError, reason);
                Finished::of(Verdict::Failure { error, retry: Retry::Backoff })
            }
        }
    }

    fn memory_load(&self) -> Option<MemoryLoad> {
        self.executor.get().and_then(Executor::memory_load)
    }
}

#[async_trait]
impl PluginInspector for LazySandbox {
    async fn inspect(&self, component: Vec<u8>, grants: &[Grant]) -> Result<Inspection, InspectError> {
        let executor = self.get().await.map_err(|reason| InspectError { reason, context: Vec::new(), hint: None })?;
        executor.inspect(component, grants).await
    }
}

/// The plugins of a store.
pub(super) struct StoredPlugins {
    pub(super) store: Arc<dyn Store>,
    /// Those who must have signed them.
    pub(super) trusted_keys: Option<Arc<TrustedKeys>>,
}

#[async_trait]
impl PluginSource for StoredPlugins {
    async fn plugin_bytes(&self, digest: &Digest) -> Result<Option<Vec<u8>>, String> {
        self.store.plugin_bytes(digest).await.map_err(|error| error.to_string())
    }

    async fn may_run(&self, digest: &Digest) -> Result<(), String> {
        let Some(keys) = &self.trusted_keys else { return Ok(()) };
        match keys.signer_of_stored(&*self.store, digest).await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(format!("no key that this host trusts has signed {digest}; register it with --signature")),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// The buckets of a store.
pub(super) struct StoredBuckets(pub(super) Arc<dyn Store>);

#[async_trait]
impl KvReader for StoredBuckets {
    async fn kv_get(&self, bucket: &BucketName, key: &KvKey) -> Result<Option<KvEntry>, String> {
        let request = GetKv { bucket: bucket.clone(), key: key.clone() };
        self.0.kv_get(request).await.map_err(|error| error.to_string())
    }

    async fn kv_keys(
        &self,
        bucket: &BucketName,
        prefix: &str,
        after: Option<&KvKey>,
        limit: usize,
    ) -> Result<(Vec<KvKey>, bool), String> {
        let (bucket, prefix, after) = (bucket.clone(), prefix.to_owned(), after.cloned());
        let page = self.0.kv_list(ListKv { bucket, prefix, after, limit }).await.map_err(|error| error.to_string())?;
        Ok((page.keys.into_iter().map(|row| row.key).collect(), page.has_more))
    }
}

/// A component that is in no store.
pub(super) struct OnePlugin(pub(super) Vec<u8>);

#[async_trait]
impl PluginSource for OnePlugin {
    async fn plugin_bytes(&self, digest: &Digest) -> Result<Option<Vec<u8>>, String> {
        let found = crate::app::digest_of(self.0.clone()).await.map_err(|error| error.to_string())?;
        Ok((found == *digest).then(|| self.0.clone()))
    }
}
