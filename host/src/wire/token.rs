//! Tokens of the HTTP interface.

use serde_json::{Value, json};

use crate::app::{CreatedToken, TokenInfo};

/// A token, without its text.
pub(crate) fn token(token: &TokenInfo) -> Value {
    json!({
        "name": token.name.as_str(),
        "permissions": token.permissions.iter().map(|permission| permission.as_str()).collect::<Vec<_>>(),
        "created_at": token.created_at.to_string(),
        "expires_at": token.expires_at.map(|at| at.to_string()),
        "last_used_at": token.last_used_at.map(|at| at.to_string()),
    })
}

/// A token that was made just now, with its text.
pub(crate) fn created_token(created: &CreatedToken) -> Value {
    let mut value = token(&created.info);
    value["token"] = created.text.as_str().into();
    value
}
