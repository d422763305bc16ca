//! Errors as clients read them: `application/problem+json` (RFC 9457), in the words of the command line.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::app::AppError;

/// What went wrong with a request. On the heap: it is in the result of every handler.
#[derive(Debug)]
pub(crate) struct Problem(Box<Fields>);

/// What is told of it.
#[derive(Debug)]
pub(super) struct Fields {
    pub(super) status: StatusCode,
    name: &'static str,
    pub(super) title: &'static str,
    pub(super) detail: String,
    pub(super) causes: Vec<String>,
    pub(super) hint: Option<String>,
    headers: Vec<(header::HeaderName, HeaderValue)>,
}

#[derive(Serialize)]
struct ProblemWire<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    causes: &'a [String],
    hint: Option<&'a str>,
}

impl Problem {
    fn new(status: StatusCode, name: &'static str, title: &'static str, detail: impl Into<String>) -> Problem {
        let (detail, causes) = (detail.into(), Vec::new());
        Problem(Box::new(Fields { status, name, title, detail, causes, hint: None, headers: Vec::new() }))
    }

    /// The request itself is not well formed.
    pub(super) fn bad_request(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "invalid", "the input must be changed", detail)
    }

    /// There is nothing at that path.
    pub(super) fn no_route(path: &str) -> Problem {
        Problem::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "there is no such thing",
            format!("there is nothing at {path}"),
        )
    }

    /// The path is there, but not for that method.
    pub(super) fn no_method(method: &str, path: &str) -> Problem {
        let detail = format!("{path} does not take {method}");
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", "the method is not allowed", detail)
    }

    /// Nobody knows who asks.
    pub(super) fn unauthorized(detail: impl Into<String>) -> Problem {
        let problem = Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "a token is needed", detail);
        problem.with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// Whoever asks may not do that.
    pub(super) fn forbidden(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::FORBIDDEN, "forbidden", "the permission is missing", detail)
    }

    /// The request was sent to, or from, a place that is not this one.
    pub(super) fn misdirected(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::MISDIRECTED_REQUEST, "misdirected", "the request is not for this server", detail)
    }

    /// The body is larger than it may be.
    pub(super) fn too_large(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "the body is too large", detail).closing()
    }

    /// The request did not come in time.
    pub(super) fn too_slow(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::REQUEST_TIMEOUT, "too-slow", "the request did not come in time", detail).closing()
    }

    /// It cannot be done now, and may be later.
    pub(super) fn unavailable(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unreachable", "something is out of reach", detail)
    }

    pub(super) fn fields(&self) -> &Fields {
        &self.0
    }

    /// Leaves a line in the log about what should not happen.
    pub(super) fn log(&self) {
        let Fields { status, detail, causes, .. } = &*self.0;
        if status.is_server_error() {
            tracing::warn!(status = status.as_u16(), detail, ?causes, "a request failed");
        }
    }

    #[must_use]
    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> Problem {
        self.0.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub(super) fn with_header(mut self, name: header::HeaderName, value: HeaderValue) -> Problem {
        self.0.headers.push((name, value));
        self
    }

    /// The rest of the request is not read, so that nothing else can come over the connection.
    fn closing(self) -> Problem {
        self.with_header(header::CONNECTION, HeaderValue::from_static("close"))
    }
}

/// Beside the exit codes of the command line, which are of the same kinds: `Invalid` is 2, `NotFound` 4, `Refused` 6, `Unreachable` 5,
/// `Unexpected` 1.
impl From<AppError> for Problem {
    fn from(error: AppError) -> Problem {
        let (status, name, title) = match &error {
            AppError::Invalid { .. } => (StatusCode::BAD_REQUEST, "invalid", "the input must be changed"),
            AppError::NotFound { .. } => (StatusCode::NOT_FOUND, "not-found", "there is no such thing"),
            AppError::Refused { .. } => (StatusCode::CONFLICT, "refused", "what is there stands against it"),
            AppError::Unreachable { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "unreachable", "something is out of reach")
            }
            AppError::Unexpected { .. } => {
                (StatusCode::INTERNAL_SERVER_ERROR, "unexpected", "something happened that should not")
            }
        };
        let mut problem = Problem::new(status, name, title, error.to_string());
        problem.0.causes = error.causes();
        problem.0.hint = error.hint().map(str::to_owned);
        problem
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.log();
        let Problem(problem) = self;
        let wire = ProblemWire {
            kind: format!("urn:host:problem:{}", problem.name),
            title: problem.title,
            status: problem.status.as_u16(),
            detail: &problem.detail,
            causes: &problem.causes,
            hint: problem.hint.as_deref(),
        };
        // Texts and numbers: they cannot fail to be written.
        let body = serde_json::to_vec(&wire).unwrap_or_default();
        let mut response = (problem.status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        response.headers_mut().extend(problem.headers.into_iter().map(|(name, value)| (Some(name), value)));
        response
    }
}
