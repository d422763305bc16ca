//! A line of the table of what can be asked for, and who may ask.

use std::sync::Arc;

use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodFilter, MethodRouter, on};
use schemars::{JsonSchema, Schema, SchemaGenerator};

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

/// The schema of a type.
pub(super) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// What is answered where all goes well.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    /// The statuses that say so.
    pub(super) statuses: &'static [u16],
    pub(super) media_type: &'static str,
    /// What is in it, where it is JSON; `None`: anything.
    pub(super) schema: Option<SchemaOf>,
}

impl Answer {
    const ANYTHING: Answer = Answer { statuses: &[200], media_type: "application/json", schema: None };
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
    /// What is in a body of JSON.
    pub(super) body_schema: Option<SchemaOf>,
    pub(super) answer: Answer,
}

impl Spec {
    fn new(method: Method, path: &'static str, access: Access, about: &'static str) -> Spec {
        let (body, body_schema, answer) = (Body::None, None, Answer::ANYTHING);
        Spec { method, path, access, about, query: &[], body, body_schema, answer }
    }
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
        Route { spec: Spec::new(Method::GET, path, access, about), handler: on(MethodFilter::GET, handler) }
    }

    /// A request that may change something.
    pub(super) fn post<H, T>(path: &'static str, wanted: Permission, about: &'static str, handler: H) -> Route
    where
        H: Handler<T, Arc<Shared>>,
        T: 'static,
    {
        let spec = Spec::new(Method::POST, path, Access::Needs(wanted), about);
        Route { spec, handler: on(MethodFilter::POST, handler) }
    }

    /// A request that puts what it carries in the place of what is there.
    pub(super) fn put<H, T>(path: &'static str, wanted: Permission, about: &'static str, handler: H) -> Route
    where
        H: Handler<T, Arc<Shared>>,
        T: 'static,
    {
        let spec = Spec::new(Method::PUT, path, Access::Needs(wanted), about);
        Route { spec, handler: on(MethodFilter::PUT, handler) }
    }

    /// A request that changes a part of what is there.
    pub(super) fn patch<H, T>(path: &'static str, wanted: Permission, about: &'static str, handler: H) -> Route
    where
        H: Handler<T, Arc<Shared>>,
        T: 'static,
    {
        let spec = Spec::new(Method::PATCH, path, Access::Needs(wanted), about);
        Route { spec, handler: on(MethodFilter::PATCH, handler) }
    }

    /// A request that removes something.
    pub(super) fn delete<H, T>(path: &'static str, about: &'static str, handler: H) -> Route
    where
        H: Handler<T, Arc<Shared>>,
        T: 'static,
    {
        let spec = Spec::new(Method::DELETE, path, Access::Needs(Permission::Delete), about);
        Route { spec, handler: on(MethodFilter::DELETE, handler) }
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

    /// With a body of JSON that is read as `T`.
    #[must_use]
    pub(super) fn takes_json<T: JsonSchema>(mut self) -> Route {
        self.spec.body = Body::Json;
        self.spec.body_schema = Some(|generator| generator.subschema_for::<T>());
        self
    }

    /// Which answers `T` with one of these statuses.
    #[must_use]
    pub(super) fn answers<T: JsonSchema>(mut self, statuses: &'static [u16]) -> Route {
        let schema: SchemaOf = |generator| generator.subschema_for::<T>();
        self.spec.answer = Answer { statuses, schema: Some(schema), ..Answer::ANYTHING };
        self
    }

    /// Which answers something else than JSON.
    #[must_use]
    pub(super) fn answers_as(mut self, media_type: &'static str) -> Route {
        self.spec.answer = Answer { media_type, ..Answer::ANYTHING };
        self
    }
}
