//! A request as handlers see it, and the limits of its body, its time and its answer's headers.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Bytes, to_bytes};
use axum::extract::{FromRequest, FromRequestParts as _, RawPathParams, Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::caller::Caller;
use super::problem::Problem;
use super::query::Query;
use super::route::{Body, Spec};
use super::state::Shared;
use crate::app::App;
use crate::config::units::format_size;
use crate::model::json;
use crate::model::limits::{COMPONENT_BYTES_MAX, KV_VALUE_BYTES_MAX};

/// How long a request may take until its answer begins. Waiting for a job and compiling a plugin are well within it.
const REQUEST_TIME: Duration = Duration::from_secs(300);

/// How long the body of a request may take to come; one that is small, and one that is a component.
const BODY_TIME: Duration = Duration::from_secs(15);
const COMPONENT_TIME: Duration = Duration::from_secs(60);

/// What handlers answer.
pub(super) type Answered = Result<Response, Problem>;

/// An answer in JSON.
pub(super) fn answer(value: &impl Serialize) -> Answered {
    Ok(Json(value).into_response())
}

/// Largest JSON beside the arguments of a job: settings, metadata, a trigger.
const JSON_BYTES_BESIDE_ARGS: usize = 256 * 1024;

/// A request that has passed all limits.
pub(super) struct Call {
    shared: Arc<Shared>,
    pub(super) caller: Caller,
    pub(super) query: Query,
    /// The parts of the path that have a name, percent-decoded.
    path: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Call {
    /// The operations.
    pub(super) fn app(&self) -> &App {
        &self.shared.app
    }

    /// What handlers share.
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// A part of the path.
    pub(super) fn path<T: FromStr<Err: Display>>(&self, name: &str) -> Result<T, Problem> {
        let text = self.path.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value.as_str());
        text.parse()
            .map_err(|error| Problem::bad_request(format!("`{text}` cannot be the {name} in the path: {error}")))
    }

    /// The body, read. Keys that nobody knows are refused, with their place.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let text = std::str::from_utf8(&self.body).map_err(|_| Problem::bad_request("the body is not UTF-8"))?;
        // Strictly: a number of more than 64 bits is refused, and not rounded.
        let value = json::read(text).map_err(|fault| {
            let detail =
                if fault.is_syntax() { "the body is not valid JSON" } else { "the body cannot be taken as it is" };
            Problem::bad_request(format!("{detail} {fault}"))
        })?;
        serde_path_to_error::deserialize(value).map_err(|error| {
            let place = match error.path().to_string().as_str() {
                "." => "at the top".to_owned(),
                path => format!("at `{path}`"),
            };
            Problem::bad_request(format!("the body cannot be taken as it is {place}: {}", error.inner()))
        })
    }
}

impl FromRequest<Arc<Shared>> for Call {
    type Rejection = Problem;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Call, Problem> {
        let (mut parts, body) = request.into_parts();
        let spec = parts.extensions.get::<Arc<Spec>>().cloned();
        let spec = spec.ok_or_else(|| Problem::no_route(parts.uri.path()))?;
        let caller = parts.extensions.get::<Caller>().cloned().unwrap_or_else(Caller::nobody);
        let query = Query::read(parts.uri.query().unwrap_or_default(), &spec)?;
        let path = RawPathParams::from_request_parts(&mut parts, shared).await;
        let path = path.map_err(|_| Problem::bad_request("the path is not percent-encoded UTF-8"))?;
        let path = path.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        check_type(&parts.headers, spec.body)?;
        let headers = parts.headers.clone();
        let body = whole(Request::from_parts(parts, body), &spec, shared).await?;
        Ok(Call { shared: Arc::clone(shared), caller, query, path, headers, body })
    }
}

/// Refuses bodies of other types. A page of anybody can send forms, and no JSON without asking first.
fn check_type(headers: &HeaderMap, body: Body) -> Result<(), Problem> {
    let wanted = match body {
        Body::None | Body::Value => return Ok(()),
        Body::Json => "application/json",
        Body::Component => "application/wasm",
    };
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let given = given.split(';').next().unwrap_or_default().trim();
    match given.eq_ignore_ascii_case(wanted) {
        true => Ok(()),
        false => Err(Problem::media_type(format!("the body is of the type `{given}`, and `{wanted}` is taken"))),
    }
}

/// The body, whole.
async fn whole(request: Request, spec: &Spec, shared: &Shared) -> Result<Bytes, Problem> {
    let bytes_max = match spec.body {
        Body::None => 0,
        Body::Json => shared.app.caps().args_bytes.saturating_add(JSON_BYTES_BESIDE_ARGS),
        Body::Component => COMPONENT_BYTES_MAX,
        Body::Value => KV_VALUE_BYTES_MAX,
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
    let time = if spec.body == Body::Component { COMPONENT_TIME } else { BODY_TIME };
    tokio::select! {
        // The connection may break off as well, and then nobody reads the answer.
        read = to_bytes(request.into_body(), bytes_max) => read.map_err(|_| too_large()),
        () = shared.clock.sleep(time) => {
            Err(Problem::too_slow(format!("the body did not come within {} s", time.as_secs())))
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
