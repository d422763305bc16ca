//! Log in, log out.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;

use super::super::auth::owner;
use super::super::caller::Caller;
use super::super::listen::Peer;
use super::super::problem::Problem;
use super::super::session::SESSION_TIME;
use super::failure::Failure;
use super::layout::{Layout, respond};
use super::visit::{Visit, cookies};
use crate::model::{Permission, Permissions};

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    layout: Layout,
    /// Where to go then.
    next: String,
    /// Why the last try failed.
    fault: Option<String>,
    token_file: String,
}

/// The form; or, with a code that is good, the way in.
pub(super) async fn show(
    Extension(visit): Extension<Visit>,
    Extension(peer): Extension<Peer>,
) -> Result<Response, Failure> {
    let Some(code) = visit.query("code") else { return Ok(form(&visit, StatusCode::OK, None)) };
    if !visit.shared.sessions.redeem(code) {
        let fault = "That address was used before, or is older than ten minutes.";
        return Ok(form(&visit, StatusCode::FORBIDDEN, Some(fault.to_owned())));
    }
    welcome(&visit, peer, Caller::local(), "/", false)
}

/// Opens a session for whoever knows a token.
pub(super) async fn log_in(
    Extension(visit): Extension<Visit>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let token = visit.form("token").unwrap_or_default().trim();
    let mut caller = match owner(&visit.shared, token.as_bytes()).await? {
        Ok(caller) => caller,
        Err(fault) => {
            tracing::warn!(from = %peer, fault, "a log-in was refused");
            return Ok(form(&visit, StatusCode::FORBIDDEN, Some(fault)));
        }
    };
    if visit.form("rights") == Some("read") {
        let read: Permissions = [Permission::Read].into_iter().collect();
        caller.permissions = if caller.permissions.allow(Permission::Read) { read } else { Permissions::default() };
    }
    // Only a browser that came over TLS says so, where a proxy ends that before us.
    let is_secure = headers.get(header::ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"));
    welcome(&visit, peer, caller, wanted(&visit, visit.form("next")), is_secure)
}

/// Ends the session.
pub(super) async fn log_out(Extension(visit): Extension<Visit>, headers: HeaderMap) -> Result<Response, Failure> {
    let ended = visit.shared.sessions.close(cookies(&headers));
    with_cookie(visit.see("/login"), &format!("{ended}; Max-Age=0; {}", attributes(&visit)))
}

fn form(visit: &Visit, status: StatusCode, fault: Option<String>) -> Response {
    let next = wanted(visit, visit.query("next").or_else(|| visit.form("next"))).to_owned();
    let token_file = visit.shared.local_token.as_ref().map(|token| token.path.display().to_string());
    let layout = Layout::new(&visit.shared, visit.session.clone(), "", "Log in");
    respond(status, &LoginPage { layout, next, fault, token_file: token_file.unwrap_or_default() })
}

/// A page of ours: an address could lead somebody who logs in anywhere else.
fn wanted<'a>(visit: &Visit, next: Option<&'a str>) -> &'a str {
    let is_ours = |next: &&str| {
        let is_path = next.starts_with('/') && !next[1..].starts_with(['/', '\\']);
        let is_page = !next.starts_with("/login") && !visit.shared.options.without_auth;
        is_path && is_page && next.bytes().all(|byte| byte.is_ascii_graphic())
    };
    next.filter(is_ours).unwrap_or("/")
}

fn welcome(visit: &Visit, peer: Peer, caller: Caller, next: &str, is_secure: bool) -> Result<Response, Failure> {
    let (name, permissions) = (Arc::clone(&caller.name), caller.permissions);
    let cookie = visit.shared.sessions.open(caller)?;
    tracing::info!(target: "audit", who = &*name, from = %peer, ?permissions, "a browser was logged in");
    let secure = if is_secure || visit.shared.options.tls.is_some() { "; Secure" } else { "" };
    let age = SESSION_TIME.as_secs();
    with_cookie(visit.see(next), &format!("{cookie}; Max-Age={age}; {}{secure}", attributes(visit)))
}

fn attributes(visit: &Visit) -> String {
    let base = visit.shared.options.base_path.as_str();
    format!("Path={}; HttpOnly; SameSite=Strict", if base.is_empty() { "/" } else { base })
}

fn with_cookie(mut response: Response, cookie: &str) -> Result<Response, Failure> {
    let cookie = HeaderValue::from_str(cookie).map_err(|_| Problem::bad_request("the cookie cannot be sent"))?;
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}
