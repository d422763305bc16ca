//! A request of a browser, and what must be true of it before anything is done.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::super::auth::AuditLine;
use super::super::caller::Caller;
use super::super::origin::is_same_origin;
use super::super::problem::Problem;
use super::super::query::decoded;
use super::super::route::Access;
use super::super::session::Session;
use super::super::state::Shared;
use super::failure::Failure;
use super::layout::Layout;
use super::text::encoded;
use crate::app::{App, hash_of, same_hash};

/// Longest form, in bytes: no field of one is long.
const FORM_BYTES_MAX: usize = 64 * 1024;

/// How long a form may take to come.
const FORM_TIME: Duration = Duration::from_secs(15);

/// A request that has passed all checks.
#[derive(Clone)]
pub(super) struct Visit {
    pub(super) shared: Arc<Shared>,
    /// There is one wherever somebody has to be known.
    pub(super) session: Option<Session>,
    query: Arc<[(String, String)]>,
    form: Arc<[(String, String)]>,
}

impl Visit {
    /// The operations.
    pub(super) fn app(&self) -> &App {
        &self.shared.app
    }

    /// The frame of the page that answers.
    pub(super) fn layout(&self, section: &'static str, title: impl Into<String>) -> Layout {
        Layout::new(&self.shared, self.session.clone(), section, title)
    }

    /// A parameter of the address. One that is empty is one that a form was sent without.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        field(&self.query, name)
    }

    /// A field of the form.
    pub(super) fn form(&self, name: &str) -> Option<&str> {
        field(&self.form, name)
    }

    /// A parameter of the address, read.
    pub(super) fn parsed<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>, Failure> {
        let Some(text) = self.query(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|error| {
            let detail = format!("`{text}` is not what `{name}` can be: {error}");
            Problem::bad_request(detail).with_hint("go back to the list, and leave this filter out").into()
        })
    }

    /// A parameter of the address that names what the page is about.
    pub(super) fn named<T: FromStr<Err: Display>>(&self, name: &str) -> Result<T, Failure> {
        let missing = || Problem::bad_request(format!("the address does not say which: it lacks `{name}`")).into();
        self.parsed(name)?.ok_or_else(missing)
    }

    /// The answer to an action: the page that shows what came of it.
    pub(super) fn see(&self, path: &str) -> Response {
        see_other(&self.shared, path)
    }
}

/// Sends the browser to a page. The path has been made by us.
pub(super) fn see_other(shared: &Shared, path: &str) -> Response {
    let base = &shared.options.base_path;
    let target = if path == "/" && !base.is_empty() { base.clone() } else { format!("{base}{path}") };
    match HeaderValue::try_from(target) {
        Ok(target) => (StatusCode::SEE_OTHER, [(header::LOCATION, target)]).into_response(),
        Err(_) => Problem::bad_request("the address has characters that no address has").into_response(),
    }
}

/// The headers in which a browser sends its cookies.
pub(super) fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes)
}

/// The session of a browser that sends such headers, unless its token has ended.
///
/// # Errors
/// Those of the store, which knows the tokens.
pub(super) async fn session_of(shared: &Shared, headers: &HeaderMap) -> Result<Option<Session>, Problem> {
    match shared.sessions.find(cookies(headers)) {
        Some(session) if session.caller.is_good(&shared.tokens).await? => Ok(Some(session)),
        Some(_) => {
            shared.sessions.close(cookies(headers));
            Ok(None)
        }
        None => Ok(None),
    }
}

/// Lets a request pass to its handler if whoever sends it may do that, and makes errors pages.
pub(super) async fn guard(
    State((shared, access)): State<(Arc<Shared>, Access)>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let session = match session_of(&shared, &parts.headers).await {
        Ok(session) => session,
        // What everybody may see is seen without a session as well.
        Err(_) if access == Access::Public => None,
        Err(problem) => return Failure::from(problem).page(&shared, None),
    };
    let checked = match checked(&shared, access, session.as_ref(), &parts, body).await {
        Ok(Some(checked)) => checked,
        Ok(None) => return to_login(&shared, &parts),
        Err(problem) => return Failure::from(problem).page(&shared, session),
    };
    let Checked { query, form } = checked;
    let caller = session.as_ref().map_or_else(Caller::nobody, |session| session.caller.clone());
    let mut trace = AuditLine::of(&parts, &caller);
    let visit = Visit { shared: Arc::clone(&shared), session: session.clone(), query: query.into(), form: form.into() };
    parts.extensions.insert(visit);
    let mut response = next.run(Request::from_parts(parts, Body::empty())).await;
    if let Some(line) = &mut trace {
        line.status = Some(response.status().as_u16());
    }
    match response.extensions_mut().remove::<Failure>() {
        Some(failure) => failure.page(&shared, session),
        None => response,
    }
}

struct Checked {
    query: Vec<(String, String)>,
    form: Vec<(String, String)>,
}

/// What the request says, if it may be asked. `None`: whoever asks has to log in first.
async fn checked(
    shared: &Shared,
    access: Access,
    session: Option<&Session>,
    parts: &Parts,
    body: Body,
) -> Result<Option<Checked>, Problem> {
    let is_action = parts.method == Method::POST;
    if is_action {
        check_origin(&parts.headers)?;
    }
    let query = pairs(parts.uri.query().unwrap_or_default())?;
    let form = if is_action { form(shared, body).await? } else { Vec::new() };
    if access == Access::Public {
        return Ok(Some(Checked { query, form }));
    }
    let Some(session) = session else { return Ok(None) };
    if is_action {
        let sent = field(&form, "csrf").unwrap_or_default();
        if !same_hash(&hash_of(sent.as_bytes()), &hash_of(session.csrf.as_bytes())) {
            return Err(Problem::forbidden("the form is not one of this session")
                .with_hint("go back, load the page again, and try once more"));
        }
    }
    if let Access::Needs(wanted) = access
        && !session.caller.permissions.allow(wanted)
    {
        let detail = format!("the token `{}` has not the permission `{wanted}`", session.caller.name);
        return Err(Problem::forbidden(detail).with_hint("log in with a token that has it"));
    }
    Ok(Some(Checked { query, form }))
}

/// A form is taken only from a page of this server. Browsers say where a form comes from; one that does not say it is refused.
fn check_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match (text(header::ORIGIN), text(header::HOST)) {
        (Some(origin), Some(host)) if is_same_origin(origin, host) => Ok(()),
        _ => Err(Problem::forbidden("the form does not come from a page of this server")
            .with_hint("programs use /api/v1 with a token; a proxy has to pass the header `Host` on as it is")),
    }
}

async fn form(shared: &Shared, body: Body) -> Result<Vec<(String, String)>, Problem> {
    tokio::select! {
        read = to_bytes(body, FORM_BYTES_MAX) => {
            let read = read.map_err(|_| Problem::too_large("no form is that long"))?;
            pairs(std::str::from_utf8(&read).map_err(|_| Problem::bad_request("the form is not text"))?)
        }
        () = shared.clock.sleep(FORM_TIME) => {
            Err(Problem::too_slow(format!("the form did not come within {} s", FORM_TIME.as_secs())))
        }
    }
}

/// Names and values as forms have them.
fn pairs(text: &str) -> Result<Vec<(String, String)>, Problem> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(name)?, decoded(value)?))
        })
        .collect()
}

fn field<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
}

/// Sends whoever is not known to the log-in, and a page that was asked for along.
fn to_login(shared: &Shared, parts: &Parts) -> Response {
    let wanted = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    match parts.method {
        Method::GET if wanted != "/" => see_other(shared, &format!("/login?next={}", encoded(wanted))),
        _ => see_other(shared, "/login"),
    }
}
