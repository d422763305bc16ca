//! What all pages have in common.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use askama::Template;

use super::super::problem::Problem;
use super::super::session::Session;
use super::super::state::Shared;
use super::assets;
use super::text::visible;
use crate::model::Permission;

/// Scripts, styles and pictures are those of this server, forms lead to it, and nobody shows a page in a frame.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The frame of a page.
pub(super) struct Layout {
    pub(super) title: String,
    /// What stands before every path.
    pub(super) base: String,
    /// The path of the overview.
    pub(super) home: String,
    /// The section of the menu that the page is in.
    pub(super) section: &'static str,
    pub(super) style: String,
    pub(super) script: String,
    pub(super) icon: String,
    pub(super) session: Option<Session>,
    /// Whether everybody may do everything.
    pub(super) is_open: bool,
}

/// The menu: section and words.
pub(super) const SECTIONS: [(&str, &str); 6] = [
    ("jobs", "Jobs"),
    ("schedules", "Schedules"),
    ("tasks", "Tasks"),
    ("queues", "Queues"),
    ("plugins", "Plugins"),
    ("schedulers", "Schedulers"),
];

impl Layout {
    pub(super) fn new(
        shared: &Shared,
        session: Option<Session>,
        section: &'static str,
        title: impl Into<String>,
    ) -> Layout {
        let base = shared.options.base_path.clone();
        let home = if base.is_empty() { "/".to_owned() } else { base.clone() };
        let is_open = shared.options.without_auth;
        let [style, script, icon] = assets::paths();
        Layout { title: title.into(), base, home, section, style, script, icon, session, is_open }
    }

    /// What forms carry to prove that they are ours.
    pub(super) fn csrf(&self) -> &str {
        self.session.as_ref().map_or("", |session| &session.csrf)
    }

    /// Whether whoever sees the page may do that.
    pub(super) fn may(&self, wanted: Permission) -> bool {
        self.session.as_ref().is_some_and(|session| session.caller.permissions.allow(wanted))
    }
}

/// The answer that shows a page.
pub(super) fn respond(status: StatusCode, page: &impl Template) -> Response {
    let html = match page.render() {
        Ok(html) => visible(html),
        Err(error) => {
            tracing::error!(%error, "a page was not made");
            return Problem::from(crate::app::AppError::Unexpected {
                what: "the page was not made".into(),
                source: None,
            })
            .into_response();
        }
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        // A form of a page that sends no referrer names no origin either, and is refused for that.
        (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    ];
    (status, headers, html).into_response()
}
