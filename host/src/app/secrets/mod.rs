//! Secrets: set and removed by operators, and used by the plugins that were granted them. No operation answers a value.
//!
//! They are kept like the values of plugins, in a bucket of the host's own, sealed under a key that is not in the store: whoever reads the
//! store, or an export of it, reads no secret. Every host that runs plugins with secrets needs that key.

mod key;
mod seal;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::OnceCell;

use self::key::Missing;
use self::seal::SecretKey;
use super::error::candidates;
use super::reserved::all_keys;
use super::{App, AppError, AppResult};
use crate::config::SecretKeySource;
use crate::executor::SecretSource;
use crate::model::limits::SECRET_BYTES_MAX;
use crate::model::{BucketName, Grant, KvEntry, KvWrite, KvWrites, PluginName, SecretName, SecretValue, Timestamp};
use crate::store::{GetKv, KvKeyRow, Store, StoreError, WriteKv};

/// How large all secrets of a store may be together, sealed.
const ALL_BYTES_MAX: u64 = 16 << 20;

/// A secret, without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretInfo {
    /// Its name.
    pub name: SecretName,
    /// When its value was set; `None` for one that a plugin was granted and that nobody has set.
    pub set_at: Option<Timestamp>,
    /// The plugins that may use it in their current versions.
    pub granted_to: Vec<PluginName>,
}

/// Where secrets are, and the key that they are sealed under.
pub struct Vault {
    store: Arc<dyn Store>,
    source: SecretKeySource,
    key: OnceCell<Arc<SecretKey>>,
}

impl Vault {
    /// The secrets of `store`. The key is asked for when it is needed first.
    pub fn new(store: Arc<dyn Store>, source: SecretKeySource) -> Vault {
        Vault { store, source, key: OnceCell::new() }
    }

    /// The key; where there is none yet, and it is in a file, it is made if it may be.
    async fn key(&self, missing: Missing) -> AppResult<&SecretKey> {
        let source = self.source.clone();
        let read = || async move {
            let reading = tokio::task::spawn_blocking(move || key::read(&source, missing));
            reading.await.map_err(|error| AppError::unexpected("the key of the secrets was not read", error))?
        };
        Ok(self.key.get_or_try_init(read).await?)
    }

    /// What is stored under a name, unsealed; `None` where nothing is.
    async fn read(&self, name: &SecretName) -> AppResult<Option<SecretValue>> {
        let Some(entry) = sealed(&*self.store, name).await? else { return Ok(None) };
        let opened = self.key(Missing::Fails).await?.open(name, &entry.value);
        opened.map(Some).map_err(|error| {
            AppError::refused(format!("secret `{name}` cannot be unsealed: {error}")).with_hint(match error {
                seal::OpenError::OtherKey => "give this host the key that it was sealed under, or set it anew",
                seal::OpenError::Damaged => "set it anew",
                seal::OpenError::Newer => "it was set by a newer version; bring this host up to date",
            })
        })
    }

    async fn write(&self, name: &SecretName, sealed: Option<Vec<u8>>, now: Timestamp) -> Result<(), StoreError> {
        let value = sealed.map(Arc::from);
        let write = KvWrite { bucket: BucketName::of_secrets(), key: name.key(), value, expected: None };
        let writes = KvWrites { writes: vec![write], bucket_bytes_max: ALL_BYTES_MAX };
        self.store.kv_write(WriteKv { now, writes }).await
    }

    async fn rows(&self) -> AppResult<Vec<KvKeyRow>> {
        Ok(all_keys(&*self.store, BucketName::of_secrets()).await?)
    }
}

/// What is stored under the name of a secret.
async fn sealed(store: &dyn Store, name: &SecretName) -> AppResult<Option<KvEntry>> {
    Ok(store.kv_get(GetKv { bucket: BucketName::of_secrets(), key: name.key() }).await?)
}

#[async_trait]
impl SecretSource for Vault {
    async fn secret(&self, name: &SecretName) -> Result<Option<SecretValue>, String> {
        self.read(name).await.map_err(|error| match error {
            AppError::Invalid { what, causes, .. } => format!("{what}: {}", causes.join(": ")),
            other => other.to_string(),
        })
    }
}

impl App {
    /// Sets the value of a secret, whatever it was. Attempts that begin from now on use it; where there is no key yet, it is made.
    ///
    /// # Errors
    /// [`AppError::Invalid`] for a value that is empty or larger than a secret may be, and where the key is not one; [`AppError::Refused`]
    /// where the secrets of the store would be too large together. Those of the store.
    pub async fn secret_set(&self, name: &SecretName, value: &[u8]) -> AppResult<()> {
        if value.is_empty() {
            return Err(AppError::invalid(format!("secret `{name}` cannot be empty"))
                .with_hint(format!("`host secrets remove {name}` removes it")));
        }
        if value.len() > SECRET_BYTES_MAX {
            let what = format!("secret `{name}` has {} bytes, and may have {SECRET_BYTES_MAX}", value.len());
            return Err(AppError::invalid(what));
        }
        let vault = self.vault()?;
        let sealed = vault.key(Missing::IsMade).await?.seal(name, value)?;
        Ok(vault.write(name, Some(sealed), self.now().await?).await?)
    }

    /// The secrets that are set, and those that a plugin was granted, by name.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn secret_list(&self) -> AppResult<Vec<SecretInfo>> {
        let mut secrets: BTreeMap<SecretName, SecretInfo> = BTreeMap::new();
        fn entry<'a>(secrets: &'a mut BTreeMap<SecretName, SecretInfo>, name: &SecretName) -> &'a mut SecretInfo {
            secrets.entry(name.clone()).or_insert_with(|| SecretInfo {
                name: name.clone(),
                set_at: None,
                granted_to: Vec::new(),
            })
        }
        for row in self.vault()?.rows().await? {
            // Whatever else is there was not put there by a host.
            if let Ok(name) = SecretName::new(row.key.as_str()) {
                entry(&mut secrets, &name).set_at = Some(row.updated_at);
            }
        }
        for version in self.store.plugin_list().await?.rows {
            for grant in &version.grants {
                if let Grant::Secret(secret) = grant {
                    entry(&mut secrets, &secret.name).granted_to.push(version.name.clone());
                }
            }
        }
        Ok(secrets.into_values().collect())
    }

    /// Removes the value of a secret. What plugins were granted stays, and their attempts that ask for it from now on are told that it is
    /// not set.
    ///
    /// # Errors
    /// [`AppError::NotFound`] where it is not set. Those of the store.
    pub async fn secret_remove(&self, name: &SecretName) -> AppResult<()> {
        let vault = self.vault()?;
        if sealed(&*self.store, name).await?.is_none() {
            let rows = vault.rows().await?;
            let hint = match rows.is_empty() {
                true => "no secret is set: `host secrets set NAME` sets one".to_owned(),
                false => format!("secrets: {}", candidates(name.as_str(), rows.iter().map(|row| row.key.as_str()))),
            };
            return Err(AppError::not_found("secret", name).with_hint(hint));
        }
        Ok(vault.write(name, None, self.now().await?).await?)
    }

    /// A sentence for each of the granted secrets that nobody has set yet.
    pub(super) async fn unset_secrets(&self, grants: &[Grant]) -> AppResult<Vec<String>> {
        let granted = grants.iter().filter_map(|grant| match grant {
            Grant::Secret(secret) => Some(&secret.name),
            _ => None,
        });
        let mut notes = Vec::new();
        for name in granted {
            if sealed(&*self.store, name).await?.is_none() {
                notes.push(format!("secret `{name}` is not set yet; `host secrets set {name}` sets it"));
            }
        }
        Ok(notes)
    }

    fn vault(&self) -> AppResult<&Vault> {
        self.vault.as_deref().ok_or_else(|| AppError::invalid("this program was put together without secrets"))
    }
}
