//! A web application that queues jobs and runs them itself. State is shared between its handlers and its tasks; other programs and `host`
//! commands may work on the same store.
//!
//! ```text
//! cargo run -p host --example web -- sqlite:///tmp/web.db
//! curl -X POST localhost:3000/reports -d '{"customer": "ada"}' -H 'content-type: application/json'
//! curl localhost:3000/reports/ID
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use host::Host;
use host::app::AppError;
use host::embed::{RunError, TaskContext};
use host::model::{JobId, JobState, LogLevel};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What handlers and tasks share.
#[derive(Debug, Default)]
pub struct Shop {
    reports: AtomicU64,
}

/// What a report is made of. A task's parameter and a request's body are the same type.
#[derive(Debug, Serialize, Deserialize)]
pub struct Order {
    customer: String,
}

/// The host with the application's tasks, at work.
pub async fn start(store: &str, shop: Arc<Shop>) -> Result<Host, AppError> {
    let host = Host::builder()
        .store(store)
        .task("report", move |context: TaskContext, order: Order| {
            let shop = Arc::clone(&shop);
            async move {
                context.log(LogLevel::Info, &format!("a report for {}", order.customer));
                let number = shop.reports.fetch_add(1, Ordering::Relaxed) + 1;
                anyhow::Ok(format!("report {number} for {}", order.customer))
            }
        })
        .start()
        .await?;
    Ok(host)
}

/// The routes. A host is a handle and serves as the state of a router.
pub fn routes(host: Host) -> Router {
    Router::new().route("/reports", post(order)).route("/reports/{id}", get(report)).with_state(host)
}

async fn order(State(host): State<Host>, Json(order): Json<Order>) -> Result<(StatusCode, Json<Value>), StatusCode> {
    let id = host.submit("report", order).await.map_err(|error| status(&error))?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "id": id.to_string() }))))
}

async fn report(State(host): State<Host>, Path(id): Path<String>) -> Result<(StatusCode, Json<Value>), StatusCode> {
    let id: JobId = id.parse().map_err(|_| StatusCode::NOT_FOUND)?;
    let waits = host.app().job_wait_within(id, Some(Duration::from_secs(1)));
    let job = waits.await.map_err(|error| status(&error.into()))?;
    if job.state != JobState::Finished {
        return Ok((StatusCode::ACCEPTED, Json(json!({ "state": job.state.as_str() }))));
    }
    let text: String = host.result(id).await.map_err(|error| status(&error))?;
    Ok((StatusCode::OK, Json(json!({ "report": text }))))
}

fn status(error: &RunError) -> StatusCode {
    match error {
        RunError::App(AppError::NotFound { .. }) => StatusCode::NOT_FOUND,
        RunError::App(AppError::Invalid { .. }) | RunError::Arguments { .. } => StatusCode::BAD_REQUEST,
        RunError::App(AppError::Refused { .. }) => StatusCode::CONFLICT,
        RunError::App(AppError::Unreachable { .. }) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = std::env::args().nth(1).unwrap_or_else(|| "memory".to_owned());
    let host = start(&store, Arc::default()).await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    let until_interrupted = async {
        let _heard = tokio::signal::ctrl_c().await;
    };
    axum::serve(listener, routes(host.clone())).with_graceful_shutdown(until_interrupted).await?;
    host.close().await;
    Ok(())
}
