//! Tokens of the HTTP interface.

use serde::Serialize;

use crate::app::{CreatedToken, TokenInfo};

/// A token, without its text.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "Token")]
pub(crate) struct TokenWire {
    name: String,
    permissions: Vec<&'static str>,
    created_at: String,
    expires_at: Option<String>,
    /// To the minute.
    last_used_at: Option<String>,
}

/// A token that was made just now.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "CreatedToken")]
pub(crate) struct CreatedTokenWire {
    #[serde(flatten)]
    info: TokenWire,
    /// Its text, which is told this once.
    token: String,
}

pub(crate) fn token(token: &TokenInfo) -> TokenWire {
    TokenWire {
        name: token.name.to_string(),
        permissions: token.permissions.iter().map(|permission| permission.as_str()).collect(),
        created_at: token.created_at.to_string(),
        expires_at: token.expires_at.map(|at| at.to_string()),
        last_used_at: token.last_used_at.map(|at| at.to_string()),
    }
}

pub(crate) fn created_token(created: &CreatedToken) -> CreatedTokenWire {
    CreatedTokenWire { info: token(&created.info), token: created.text.clone() }
}
