//! Who sends a request, and whether that one may.
//!
//! Being on the same machine is no proof: it has other users, and browsers that run anybody's pages. Who asks shows a token.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::Serialize;

use super::caller::Caller;
use super::listen::Peer;
use super::problem::Problem;
use super::route::{Access, Route, Spec};
use super::state::Shared;
use crate::app::{Owner, hash_of, same_hash};
use crate::model::Permission;

pub(super) fn routes() -> Vec<Route> {
    let about = "The name of the token that is sent, and its permissions";
    vec![Route::get("/api/v1/whoami", Access::Known, about, whoami).answers::<WhoAmI>(&[200])]
}

#[derive(Serialize, JsonSchema)]
struct WhoAmI {
    name: String,
    permissions: Vec<&'static str>,
}

async fn whoami(Extension(caller): Extension<Caller>) -> Json<WhoAmI> {
    let permissions = caller.permissions.iter().map(Permission::as_str).collect();
    Json(WhoAmI { name: caller.name.to_string(), permissions })
}

/// Lets a request pass to its handler if whoever sends it may do that, and leaves a line for the audit of what changes something.
pub(super) async fn guard(
    State((shared, spec)): State<(Arc<Shared>, Arc<Spec>)>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let caller = match admitted(&shared, &spec, &parts).await {
        Ok(caller) => caller,
        Err(problem) => return problem.into_response(),
    };
    let mut trace = AuditLine::of(&parts, &caller);
    parts.extensions.insert(caller);
    parts.extensions.insert(spec);
    let response = next.run(Request::from_parts(parts, body)).await;
    if let Some(line) = &mut trace {
        line.status = Some(response.status().as_u16());
    }
    response
}

/// Who asks, if that one may.
async fn admitted(shared: &Shared, spec: &Spec, parts: &Parts) -> Result<Caller, Problem> {
    let wanted = match spec.access {
        Access::Public => return Ok(Caller::nobody()),
        Access::Known => None,
        Access::Needs(permission) => Some(permission),
    };
    let caller = identified(shared, parts).await?;
    match wanted {
        Some(wanted) if !caller.permissions.allow(wanted) => {
            let detail = format!("the token `{}` has not the permission `{wanted}`", caller.name);
            Err(Problem::forbidden(detail).with_hint("ask with a token that has it"))
        }
        _ => Ok(caller),
    }
}

/// Who asks. Sessions of browsers are good for the dashboard alone: what any page could make a browser send is no proof here.
async fn identified(shared: &Shared, parts: &Parts) -> Result<Caller, Problem> {
    let Some(local) = &shared.local_token else { return Ok(Caller::everybody()) };
    let known = match bearer(parts) {
        Ok(token) => owner(shared, token).await?,
        Err(fault) => Err(fault.to_owned()),
    };
    known.map_err(|fault| {
        let file = local.path.display();
        let hint = format!(
            "send `Authorization: Bearer` and a token: one of `host tokens create`, or that of this machine, in {file}"
        );
        Problem::unauthorized(fault).with_hint(hint)
    })
}

/// Whose token that is, or why it is nobody's.
///
/// # Errors
/// Those of the store, which knows the tokens; that of this machine is good without it.
pub(super) async fn owner(shared: &Shared, token: &[u8]) -> Result<Result<Caller, String>, Problem> {
    let is_local = |hash| same_hash(&hash_of(token), hash);
    if shared.local_token.as_ref().is_some_and(|local| is_local(&local.hash)) {
        return Ok(Ok(Caller::local()));
    }
    Ok(match shared.tokens.owner(token).await? {
        Owner::Known(info, hash) => {
            Ok(Caller { name: info.name.as_str().into(), permissions: info.permissions, token: Some(hash) })
        }
        Owner::Expired(info) => {
            let at = info.expires_at.map_or_else(String::new, |at| format!(" at {at}"));
            Err(format!("the token `{}` has expired{at}", info.name))
        }
        Owner::Unknown => Err("the token is not known: it is wrong, or was revoked".to_owned()),
    })
}

/// The token in the header, or why there is none.
fn bearer(parts: &Parts) -> Result<&[u8], &'static str> {
    let mut headers = parts.headers.get_all(header::AUTHORIZATION).iter();
    let value = headers.next().ok_or("the request has no token")?.as_bytes();
    let token = value.split_at_checked(7).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "));
    match (token, headers.next()) {
        (Some((_, token)), None) => Ok(token.trim_ascii()),
        _ => Err("the header `Authorization` is not one `Bearer` and a token"),
    }
}

/// What is told of a request that may change something, once it has ended. Its client may go away before.
pub(super) struct AuditLine {
    who: Arc<str>,
    from: String,
    method: Method,
    path: String,
    pub(super) status: Option<u16>,
}

impl AuditLine {
    /// A line for a request by a method that may change something.
    pub(super) fn of(parts: &Parts, caller: &Caller) -> Option<AuditLine> {
        if matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS) {
            return None;
        }
        Some(AuditLine {
            who: Arc::clone(&caller.name),
            from: parts.extensions.get::<Peer>().map(ToString::to_string).unwrap_or_default(),
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            status: None,
        })
    }
}

impl Drop for AuditLine {
    fn drop(&mut self) {
        // Without a status the client was gone before the answer, and what it asked for may have been done.
        tracing::info!(
            target: "audit",
            who = &*self.who,
            from = self.from,
            method = self.method.as_str(),
            path = self.path,
            status = self.status,
            "a request that may change something"
        );
    }
}
