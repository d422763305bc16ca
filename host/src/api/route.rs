//! A line of the table of what can be asked for, and who may ask.

use std::sync::Arc;

use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodFilter, MethodRouter, on};

use super::state::Shared;
use crate::model::Permission;

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Everybody.
    Public,
    /// Everybody with a token.
    Known,
    /// Whoever has that permission.
    Needs(Permission),
}

/// What a request may carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    None,
}

/// What can be asked for.
#[derive(Debug, Clone)]
pub(super) struct Spec {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) access: Access,
    /// What it does, for people.
    pub(super) about: &'static str,
    /// The parameters that the query may have, with what they say.
    pub(super) query: &'static [(&'static str, &'static str)],
    pub(super) body: Body,
}

/// A line of the table.
pub(super) struct Route {
    pub(super) spec: Spec,
    pub(super) handler: MethodRouter<Arc<Shared>>,
}

impl Route {
    /// A request without a body that only reads.
    pub(super) fn get<H, T>(path: &'static str, access: Access, about: &'static str, handler: H) -> Route
    where
        H: Handler<T, Arc<Shared>>,
        T: 'static,
    {
        let spec = Spec { method: Method::GET, path, access, about, query: &[], body: Body::None };
        Route { spec, handler: on(MethodFilter::GET, handler) }
    }
}
