//! The tokens as a server knows them, which looks into the store again and again.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::Mutex;

use super::TokenInfo;
use super::record::Token;
use super::text::{TokenHash, hash_of, is_token, same_hash};
use crate::app::{App, AppResult};
use crate::clock::Instant;
use crate::model::{KvKey, Timestamp, TokenName};

/// How long it is not looked again for tokens that were shown before. Within this time a token that was revoked is refused.
const KEPT: Duration = Duration::from_secs(2);

/// How long it is not looked again for tokens that are not known: whoever guesses makes no more work than this.
const MISS_PAUSE: Duration = Duration::from_millis(250);

/// How often it is stored at most that a token was used.
const USE_NOTED: Duration = Duration::from_secs(60);

/// Whose a token is.
pub(crate) enum Owner {
    /// That of a token which is good.
    Known(TokenInfo, TokenHash),
    /// That of a token which has ended by itself.
    Expired(TokenInfo),
    /// Nobody's: it was never made, or was revoked.
    Unknown,
}

/// The tokens of a store.
///
/// They are few, and all of them are held, so that a guess costs no look into the store of its own.
pub(crate) struct KnownTokens {
    app: App,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// When the last look began.
    looked_at: Option<Instant>,
    tokens: BTreeMap<KvKey, Kept>,
}

/// What is stored under a key.
struct Kept {
    version: u64,
    /// `None`: nothing that can be read.
    token: Option<Token>,
}

impl App {
    /// Within what time every server of the store refuses a token that was revoked.
    pub const TOKENS_KEPT: Duration = KEPT;
}

impl KnownTokens {
    pub(crate) fn new(app: App) -> KnownTokens {
        KnownTokens { app, known: Mutex::default() }
    }

    /// Whose that token is, and notes that it was used.
    ///
    /// # Errors
    /// Those of the store: where it does not answer, nobody is known.
    pub(crate) async fn owner(&self, text: &[u8]) -> AppResult<Owner> {
        if !is_token(text) {
            return Ok(Owner::Unknown);
        }
        let (hash, clock) = (hash_of(text), self.app.clock());
        let asked_at = clock.monotonic();
        match self.holder(&hash).await? {
            Owner::Unknown => {}
            owner => return Ok(owner),
        }
        // It may have been made since the last look.
        loop {
            let pause = {
                let mut known = self.known.lock().await;
                let now = clock.monotonic();
                match known.looked_at {
                    Some(at) if at >= asked_at => break,
                    Some(at) if now.saturating_since(at) < MISS_PAUSE => MISS_PAUSE - now.saturating_since(at),
                    _ => {
                        self.look(&mut known).await?;
                        break;
                    }
                }
            };
            clock.sleep(pause).await;
        }
        self.holder(&hash).await
    }

    /// Whose the token of that hash is, and notes that it was used.
    ///
    /// # Errors
    /// As [`KnownTokens::owner`].
    pub(crate) async fn holder(&self, hash: &TokenHash) -> AppResult<Owner> {
        let now = self.app.now().await?;
        let (version, token) = {
            // Whoever comes meanwhile waits for the same answer.
            let mut known = self.known.lock().await;
            let monotonic = self.app.clock().monotonic();
            if known.looked_at.is_none_or(|at| monotonic.saturating_since(at) >= KEPT) {
                self.look(&mut known).await?;
            }
            // All of them are compared, so that the time tells nothing.
            let mut found = None;
            for kept in known.tokens.values_mut() {
                let version = kept.version;
                if let Some(token) = &mut kept.token
                    && same_hash(&token.hash, hash)
                {
                    found = Some((version, token));
                }
            }
            let Some((version, token)) = found else { return Ok(Owner::Unknown) };
            if token.info.has_expired(now) {
                return Ok(Owner::Expired(token.info.clone()));
            }
            if token.info.last_used_at.is_some_and(|at| now.saturating_since(at) < USE_NOTED) {
                return Ok(Owner::Known(token.info.clone(), token.hash));
            }
            token.info.last_used_at = Some(now);
            (version, token.clone())
        };
        self.note_use(version, &token, now).await;
        Ok(Owner::Known(token.info, token.hash))
    }

    /// Stores that a token was used. A token that was revoked meanwhile stays so, as another version is stored then, or none.
    async fn note_use(&self, version: u64, token: &Token, now: Timestamp) {
        let written = self.app.token_write(&token.info.name, Some(token.encoded()), Some(version)).await;
        if let Err(error) = written {
            // Another server was faster, or the store does not answer, which others tell.
            tracing::debug!(token = %token.info.name, %now, %error, "the use of a token was not noted");
        }
    }

    /// Looks into the store, and reads what has changed.
    async fn look(&self, known: &mut Known) -> AppResult<()> {
        let looked_at = self.app.clock().monotonic();
        let mut tokens = BTreeMap::new();
        for row in self.app.token_rows().await? {
            let kept = match known.tokens.get(&row.key) {
                Some(kept) if kept.version == row.version => Kept { version: row.version, token: kept.token.clone() },
                _ => {
                    // Whatever else is there was not put there by a host.
                    let Ok(name) = TokenName::new(row.key.as_str()) else { continue };
                    let Some(entry) = self.app.token_entry(&name).await? else { continue };
                    let token = Token::decoded(name, &entry.value);
                    if let Err(defect) = &token {
                        tracing::warn!(token = %row.key, %defect, "what is stored of a token cannot be read, and is good for nothing");
                    }
                    Kept { version: entry.version, token: token.ok() }
                }
            };
            tokens.insert(row.key, kept);
        }
        *known = Known { looked_at: Some(looked_at), tokens };
        Ok(())
    }
}
