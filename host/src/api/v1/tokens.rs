//! Tokens of the interface itself.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::call::{Answered, Call, answer};
use super::super::problem::Problem;
use super::super::route::{Access, Route};
use super::given::{Word, said};
use super::list::{self, Page};
use crate::app::NewToken;
use crate::model::Permission::Admin;
use crate::model::{Permission, Permissions, TokenName};
use crate::wire::{self, CreatedTokenWire, TokenWire};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/v1/tokens", Access::Needs(Admin), "List tokens, without their texts", list)
            .answers::<Page<Vec<TokenWire>>>(&[200]),
        Route::post("/api/v1/tokens", Admin, "Make a token, and tell its text this once", create)
            .takes_json::<Created>()
            .answers::<CreatedTokenWire>(&[201]),
        Route::post("/api/v1/tokens/{name}/revoke", Admin, "Revoke a token", revoke).answers::<TokenRevoked>(&[200]),
    ]
}

#[derive(Serialize, JsonSchema)]
struct TokenRevoked {
    name: String,
    revoked: bool,
}

async fn list(call: Call) -> Answered {
    let page = call.app().token_list().await?;
    list::page(&page.rows.iter().map(wire::token).collect::<Vec<_>>(), None, &page.unreadable)
}

/// A token that is to be made.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "NewToken")]
#[serde(deny_unknown_fields)]
struct Created {
    name: String,
    permissions: Vec<String>,
    expires: Option<Word<Duration>>,
}

async fn create(call: Call) -> Answered {
    let given: Created = call.json()?;
    let name = given.name.parse::<TokenName>().map_err(|error| Problem::bad_request(error.to_string()))?;
    let permissions = given.permissions.iter().map(|text| text.parse::<Permission>());
    let permissions = permissions.collect::<Result<Permissions, _>>().map_err(Problem::bad_request)?;
    let created = call.app().token_create(NewToken { name, permissions, lifetime: said(given.expires) }).await?;
    Ok((StatusCode::CREATED, axum::Json(wire::created_token(&created))).into_response())
}

async fn revoke(call: Call) -> Answered {
    let name = call.path::<TokenName>("name")?;
    call.app().token_revoke(&name).await?;
    answer(&TokenRevoked { name: name.to_string(), revoked: true })
}
