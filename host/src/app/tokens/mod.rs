//! Tokens of the HTTP interface: made and revoked by operators, shown by whoever sends a request.
//!
//! They are kept like secrets, in a bucket of the host's own, so that every server on a store knows the same ones, and an export carries
//! them. What is kept is a hash. An import therefore brings back a token that was revoked after the export.

mod known;
mod record;
mod text;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::known::{KnownTokens, Owner};
use self::record::Token;
pub(crate) use self::text::{TokenHash, fresh_token, hash_of, random_hex, same_hash};
use super::error::candidates;
use super::reserved::all_keys;
use super::{App, AppError, AppResult};
use crate::clock::Clock as _;
use crate::model::kv::NO_VERSION;
use crate::model::{BucketName, KvEntry, KvWrite, KvWrites, Permissions, Timestamp, TokenName};
use crate::store::{GetKv, KvKeyRow, Page, StoreError, Unreadable, WriteKv};

/// How large all tokens of a store may be together, as they are stored: enough for about a thousand.
const ALL_BYTES_MAX: u64 = 512 * 1024;

/// What callers without one of these tokens are called, in the audit among other places.
const NAMES_TAKEN: [&str; 2] = ["local", "everybody"];

/// A token that is to be made.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// Its name, which no other token has.
    pub name: TokenName,
    /// What it lets its holder do.
    pub permissions: Permissions,
    /// How long it is good for; `None`: until it is revoked.
    pub lifetime: Option<Duration>,
}

/// A token, without its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenInfo {
    /// Its name.
    pub name: TokenName,
    /// What it lets its holder do.
    pub permissions: Permissions,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was shown last, a minute more or less.
    pub last_used_at: Option<Timestamp>,
}

impl TokenInfo {
    /// Whether it has ended by itself.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }
}

/// A token that was made.
pub struct CreatedToken {
    /// What its holder shows. It is told here, and never again.
    pub text: String,
    /// The token.
    pub info: TokenInfo,
}

impl fmt::Debug for CreatedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreatedToken").field("info", &self.info).finish_non_exhaustive()
    }
}

impl App {
    /// Makes a token.
    ///
    /// # Errors
    /// [`AppError::Invalid`] for a name that others have by nature, and for a token that is of no use; [`AppError::Refused`] where there is
    /// one of that name, or there are too many. Those of the store.
    pub async fn token_create(&self, new: NewToken) -> AppResult<CreatedToken> {
        let NewToken { name, permissions, lifetime } = new;
        if NAMES_TAKEN.contains(&name.as_str()) {
            let what = format!("`{name}` is what those are called who show no token of the store");
            return Err(AppError::invalid(what).with_hint("take another name"));
        }
        if permissions.is_empty() {
            return Err(AppError::invalid(format!("token `{name}` would have no permission")));
        }
        if lifetime.is_some_and(|lifetime| lifetime.is_zero()) {
            return Err(AppError::invalid(format!("token `{name}` would have expired already")));
        }
        if self.token_entry(&name).await?.is_some() {
            return Err(AppError::refused(format!("there is a token `{name}` already"))
                .with_hint(format!("take another name, or revoke it first: `host tokens revoke {name}`")));
        }
        let (text, now) = (fresh_token()?, self.now().await?);
        let expires_at = lifetime.map(|lifetime| now.saturating_add(lifetime));
        let info = TokenInfo { name, permissions, created_at: now, expires_at, last_used_at: None };
        let token = Token { hash: hash_of(text.as_bytes()), info };
        self.token_write(&token.info.name, Some(token.encoded()), Some(NO_VERSION)).await?;
        Ok(CreatedToken { text, info: token.info })
    }

    /// The tokens, by name; those that have expired are among them.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn token_list(&self) -> AppResult<Page<TokenInfo>> {
        let mut page = Page { rows: Vec::new(), unreadable: Vec::new(), next: None };
        for row in self.token_rows().await? {
            // Whatever else is there was not put there by a host.
            let Ok(name) = TokenName::new(row.key.as_str()) else { continue };
            // It may have been revoked meanwhile.
            let Some(entry) = self.token_entry(&name).await? else { continue };
            match Token::decoded(name, &entry.value) {
                Ok(token) => page.rows.push(token.info),
                Err(defect) => page.unreadable.push(Unreadable { id: row.key.to_string(), defect }),
            }
        }
        Ok(page)
    }

    /// Revokes a token. Servers refuse it, and end what was opened with it, within [`App::TOKENS_KEPT`].
    ///
    /// # Errors
    /// [`AppError::NotFound`] where there is none of that name. Those of the store.
    pub async fn token_revoke(&self, name: &TokenName) -> AppResult<()> {
        if self.token_entry(name).await?.is_none() {
            let rows = self.token_rows().await?;
            let hint = match rows.is_empty() {
                true => "there are no tokens: `host tokens create NAME --allow PERMISSIONS` makes one".to_owned(),
                false => format!("tokens: {}", candidates(name.as_str(), rows.iter().map(|row| row.key.as_str()))),
            };
            return Err(AppError::not_found("token", name).with_hint(hint));
        }
        Ok(self.token_write(name, None, None).await?)
    }

    /// What is stored of a token.
    async fn token_entry(&self, name: &TokenName) -> AppResult<Option<KvEntry>> {
        Ok(self.store.kv_get(GetKv { bucket: BucketName::of_tokens(), key: name.key() }).await?)
    }

    async fn token_rows(&self) -> AppResult<Vec<KvKeyRow>> {
        Ok(all_keys(&*self.store, BucketName::of_tokens()).await?)
    }

    async fn token_write(
        &self,
        name: &TokenName,
        value: Option<Vec<u8>>,
        expected: Option<u64>,
    ) -> Result<(), StoreError> {
        let write = KvWrite { bucket: BucketName::of_tokens(), key: name.key(), value: value.map(Arc::from), expected };
        let writes = KvWrites { writes: vec![write], bucket_bytes_max: ALL_BYTES_MAX };
        self.store.kv_write(WriteKv { now: self.time.now(), writes }).await
    }
}
