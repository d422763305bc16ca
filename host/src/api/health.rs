//! Whether the process lives, and whether it can do its work.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use schemars::JsonSchema;
use serde::Serialize;

use super::route::{Access, Route};
use super::state::Shared;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/healthz", Access::Public, "Whether the process lives", healthz).answers::<Health>(&[200]),
        Route::get("/readyz", Access::Public, "Whether it can do its work, with the reasons where it cannot", readyz)
            .answers::<Readiness>(&[200, 503]),
    ]
}

#[derive(Serialize, JsonSchema)]
struct Health {
    status: &'static str,
}

#[derive(Serialize, JsonSchema)]
struct Readiness {
    ready: bool,
    /// Why it is not.
    reasons: Vec<String>,
}

async fn healthz() -> Response {
    Json(Health { status: "ok" }).into_response()
}

async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    let mut reasons = Vec::new();
    if shared.stopping.is_cancelled() {
        reasons.push("the process is about to stop".to_owned());
    }
    if let Err(error) = shared.app.store_answers().await {
        // Everybody may ask, so that the causes, which may name servers, are left to the log.
        tracing::warn!(error = %error, causes = ?error.causes(), "the data store does not answer");
        reasons.push(error.to_string());
    }
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready: reasons.is_empty(), reasons })).into_response()
}
