//! Version 1 of the interface: the nouns of the command line under `/api/v1`.

use axum::Json;
use serde_json::Value;

use super::call::Call;
use super::problem::Problem;
use super::route::{Access, Route};
use crate::model::Permission::Read;
use crate::wire;

pub(super) fn routes() -> Vec<Route> {
    vec![Route::get("/api/v1/status", Access::Needs(Read), "How things stand: jobs, schedules, schedulers", status)]
}

async fn status(call: Call) -> Result<Json<Value>, Problem> {
    Ok(Json(wire::status(&call.app().status().await?)))
}
