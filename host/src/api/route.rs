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
    /// A JSON object.
    Json,
    /// A component, as `application/wasm`.
    Component,
    /// The bytes of a value, of any type.
    Value,
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
    /// A request that only reads.
    pub(super) fn get<H, T>(path: &'static str, access: Access, about: &'static str, handler: H) -> Route
    where
        H: Handler<T, Arc<Shared>>,
        T: 'static,
    {
        let handler = on(MethodFilter::GET, handler);
        Route { spec: Spec { method: Method::GET, path, access, about, query: &[], body: Body::None }, handler }
    }

    /// A request that may change something.
    pub(super) fn post<H, T>(path: &'static str, wanted: Permission, about: &'static str, handler: H) -> Route
    where
        H: Handler<T, Arc<Shared>>,
        T: 'static,
    {
        let (access, handler) = (Access::Needs(wanted), on(MethodFilter::POST, handler));
        Route { spec: Spec { method: Method::POST, path, access, about, query: &[], body: Body::None }, handler }
    }

    /// A request that puts what it carries in the place of what is there.
    pub(super) fn put<H, T>(path: &'static str, wanted: Permission, about: &'static str, handler: H) -> Route
    where
        H: Handler<T, Arc<Shared>>,
        T: 'static,
    {
        let (access, handler) = (Access::Needs(wanted), on(MethodFilter::PUT, handler));
        Route { spec: Spec { method: Method::PUT, path, access, about, query: &[], body: Body::None }, handler }
    }

    /// A request that changes a part of what is there.
    pub(super) fn patch<H, T>(path: &'static str, wanted: Permission, about: &'static str, handler: H) -> Route
    where
        H: Handler<T, Arc<Shared>>,
        T: 'static,
    {
        let (access, handler) = (Access::Needs(wanted), on(MethodFilter::PATCH, handler));
        Route { spec: Spec { method: Method::PATCH, path, access, about, query: &[], body: Body::Json }, handler }
    }

    /// A request that removes something.
    pub(super) fn delete<H, T>(path: &'static str, about: &'static str, handler: H) -> Route
    where
        H: Handler<T, Arc<Shared>>,
        T: 'static,
    {
        let (access, handler) = (Access::Needs(Permission::Delete), on(MethodFilter::DELETE, handler));
        Route { spec: Spec { method: Method::DELETE, path, access, about, query: &[], body: Body::None }, handler }
    }

    /// With these parameters.
    #[must_use]
    pub(super) fn query(mut self, query: &'static [(&'static str, &'static str)]) -> Route {
        self.spec.query = query;
        self
    }

    /// With that body.
    #[must_use]
    pub(super) fn takes(mut self, body: Body) -> Route {
        self.spec.body = body;
        self
    }
}
