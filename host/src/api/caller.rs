//! Who sends a request.

use std::sync::Arc;

use crate::app::{AppResult, KnownTokens, Owner, TokenHash};
use crate::model::{Permission, Permissions};

/// Who sends a request. Handlers find it among the extensions of their request.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// The name of the token.
    pub(super) name: Arc<str>,
    pub(super) permissions: Permissions,
    /// That of a token which can be revoked.
    pub(super) token: Option<TokenHash>,
}

impl Caller {
    fn admin(name: &str) -> Caller {
        Caller { name: name.into(), permissions: [Permission::Admin].into_iter().collect(), token: None }
    }

    /// Whoever has the token of this machine.
    pub(super) fn local() -> Caller {
        Caller::admin("local")
    }

    /// Anyone, where no token is asked for.
    pub(super) fn everybody() -> Caller {
        Caller::admin("everybody")
    }

    /// Whoever shows nothing.
    pub(super) fn nobody() -> Caller {
        Caller { name: "-".into(), permissions: Permissions::default(), token: None }
    }

    /// Whether the token is still good. That of this machine is as long as the process lives.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn is_good(&self, tokens: &KnownTokens) -> AppResult<bool> {
        let Some(token) = &self.token else { return Ok(true) };
        Ok(matches!(tokens.holder(token).await?, Owner::Known(..)))
    }
}
