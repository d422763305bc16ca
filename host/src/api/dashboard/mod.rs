//! The dashboard: pages for people, made by the server, that work without JavaScript.
//!
//! A page is a template in `host/templates` and a handler beside those of its noun, which fills it from one or two operations of
//! [`crate::app`]. The table of pages and actions is here; each line says who may ask, and `visit` sees to it before the handler runs: that the
//! browser has a session, which permissions that has, and, of everything that changes something, that it comes from one of our pages.
//! What a session may not do it sees no button for.
//!
//! # What is shown as it is
//!
//! Names, log lines, errors, arguments and results come from others. The templates escape what HTML obeys, and `layout` what a reader would
//! not see: control characters, and those that turn the direction of writing. Scripts and styles are files of their own, and the policy that
//! goes with each page allows no others.
//!
//! # To add a page
//!
//! Template → handler → line in [`table`] → line in `tests/it/dashboard`, which walks all pages by their links.

mod assets;
mod catalog;
mod failure;
mod job;
mod jobs;
mod layout;
mod login;
mod operate;
mod overview;
mod payload;
mod schedule;
mod schedules;
mod text;
mod visit;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::http::header;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodFilter, MethodRouter, on};

use super::call;
use super::problem::Problem;
use super::route::Access::{self, Known, Needs, Public};
use super::state::Shared;
use crate::model::Permission::{Admin, Cancel, Delete, Read, Retry, Schedules, Submit};

/// A page, or an action of one.
struct Entry {
    path: &'static str,
    access: Access,
    handler: MethodRouter<Arc<Shared>>,
}

fn page<H: Handler<T, Arc<Shared>>, T: 'static>(path: &'static str, access: Access, handler: H) -> Entry {
    Entry { path, access, handler: on(MethodFilter::GET, handler) }
}

fn action<H: Handler<T, Arc<Shared>>, T: 'static>(path: &'static str, access: Access, handler: H) -> Entry {
    Entry { path, access, handler: on(MethodFilter::POST, handler) }
}

fn table() -> Vec<Entry> {
    vec![
        page("/assets/{name}", Public, assets::asset),
        page("/login", Public, login::show),
        action("/login", Public, login::log_in),
        action("/logout", Known, login::log_out),
        page("/", Needs(Read), overview::show),
        page("/jobs", Needs(Read), jobs::show),
        page("/job", Needs(Read), job::show),
        action("/job/cancel", Needs(Cancel), job::cancel),
        action("/job/retry", Needs(Retry), job::retry),
        action("/job/again", Needs(Submit), job::run_again),
        page("/schedules", Needs(Read), schedules::show),
        page("/schedule", Needs(Read), schedule::show),
        action("/schedule/pause", Needs(Schedules), schedule::pause),
        action("/schedule/unpause", Needs(Schedules), schedule::unpause),
        action("/schedule/run", Needs(Schedules), schedule::run),
        page("/schedule/remove", Needs(Delete), schedule::confirm_removal),
        action("/schedule/remove", Needs(Delete), schedule::remove),
        page("/tasks", Needs(Read), catalog::tasks),
        page("/task", Needs(Read), catalog::task),
        page("/plugins", Needs(Read), catalog::plugins),
        page("/plugin", Needs(Read), catalog::plugin),
        page("/queues", Needs(Read), operate::queues),
        action("/queue/pause", Needs(Admin), operate::pause_queue),
        action("/queue/resume", Needs(Admin), operate::resume_queue),
        page("/schedulers", Needs(Read), operate::schedulers),
    ]
}

/// The router over the table.
pub(super) fn router(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    table().into_iter().fold(Router::new(), |router, Entry { path, access, handler }| {
        let guarded = handler
            .layer(from_fn_with_state((Arc::clone(shared), access), visit::guard))
            .layer(from_fn_with_state(Arc::clone(shared), call::within_time));
        router.route(path, guarded)
    })
}

/// What is answered where nothing is: a page for a browser, and a problem for any other client.
pub(super) async fn nothing_there(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let problem = Problem::no_route(request.uri().path());
    let accepts = request.headers().get(header::ACCEPT).and_then(|accepts| accepts.to_str().ok());
    if !accepts.is_some_and(|accepts| accepts.contains("text/html")) {
        return problem.into_response();
    }
    // Where the store does not answer, this page does nevertheless.
    let session = visit::session_of(&shared, request.headers()).await.unwrap_or_default();
    failure::Failure::from(problem).page(&shared, session)
}
