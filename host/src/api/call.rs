//! A request as handlers see it, and the limits of its body, its time and its answer's headers.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Bytes, to_bytes};
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::problem::Problem;
use super::query;
use super::route::{Body, Spec};
use super::state::Shared;
use crate::app::App;
use crate::config::units::format_size;

/// How long a request may take until its answer begins. Waiting for a job and compiling a plugin are well within it.
const REQUEST_TIME: Duration = Duration::from_secs(300);

/// How long the body of a request may take to come.
const BODY_TIME: Duration = Duration::from_secs(60);

/// A request that has passed all limits.
pub(super) struct Call {
    pub(super) shared: Arc<Shared>,
}

impl Call {
    /// The operations.
    pub(super) fn app(&self) -> &App {
        &self.shared.app
    }
}

impl FromRequest<Arc<Shared>> for Call {
    type Rejection = Problem;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Call, Problem> {
        let spec = request.extensions().get::<Arc<Spec>>().cloned();
        let spec = spec.ok_or_else(|| Problem::no_route(request.uri().path()))?;
        query::check(request.uri().query().unwrap_or_default(), &spec)?;
        let _body = body(request, &spec, shared).await?;
        Ok(Call { shared: Arc::clone(shared) })
    }
}

/// The body, whole.
async fn body(request: Request, spec: &Spec, shared: &Shared) -> Result<Bytes, Problem> {
    let bytes_max = match spec.body {
        Body::None => 0,
    };
    let too_large = || {
        let detail = match bytes_max {
            0 => "this takes no body".to_owned(),
            _ => format!("the body has more than {}", format_size(bytes_max as u64)),
        };
        Problem::too_large(detail)
    };
    // Refused before it is sent, where the client waits for that.
    let said =
        request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if said.is_some_and(|said| said > bytes_max as u64) {
        return Err(too_large());
    }
    tokio::select! {
        // The connection may break off as well, and then nobody reads the answer.
        read = to_bytes(request.into_body(), bytes_max) => read.map_err(|_| too_large()),
        () = shared.clock.sleep(BODY_TIME) => {
            Err(Problem::too_slow(format!("the body did not come within {} s", BODY_TIME.as_secs())))
        }
    }
}

/// Ends a request that takes too long. What it has asked for may be done nevertheless: the operations hold where nobody waits for them.
pub(super) async fn within_time(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    tokio::select! {
        response = next.run(request) => response,
        () = shared.clock.sleep(REQUEST_TIME) => {
            let seconds = REQUEST_TIME.as_secs();
            Problem::unavailable(format!("the request took more than {seconds} s, and may still take effect")).into_response()
        }
    }
}

/// What every answer says to browsers: it is of the type that it says, is in no frame, and is not kept.
pub(super) async fn with_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.entry(header::REFERRER_POLICY).or_insert(HeaderValue::from_static("no-referrer"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    let policy = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(policy);
    response
}
