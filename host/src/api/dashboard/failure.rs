//! Errors as pages, in the words of the command line.

use std::sync::Arc;

use askama::Template;
use axum::response::{IntoResponse, Response};

use super::super::problem::Problem;
use super::super::session::Session;
use super::super::state::Shared;
use super::layout::{Layout, respond};
use crate::app::AppError;

/// What went wrong with a request. It becomes a page in `visit`, which knows who asked.
#[derive(Debug, Clone)]
pub(super) struct Failure(Arc<Problem>);

#[derive(Template)]
#[template(path = "failure.html")]
struct FailurePage<'a> {
    layout: Layout,
    detail: &'a str,
    causes: &'a [String],
    hint: Option<&'a str>,
}

impl Failure {
    pub(super) fn page(&self, shared: &Shared, session: Option<Session>) -> Response {
        self.0.log();
        let problem = self.0.fields();
        let layout = Layout::new(shared, session, "", problem.title);
        let (detail, causes, hint) = (problem.detail.as_str(), problem.causes.as_slice(), problem.hint.as_deref());
        respond(problem.status, &FailurePage { layout, detail, causes, hint })
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Failure {
        Failure(Arc::new(problem))
    }
}

impl From<AppError> for Failure {
    fn from(error: AppError) -> Failure {
        Problem::from(error).into()
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.0.fields().status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}
