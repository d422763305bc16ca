//! The table of what can be asked for. Whatever a client reaches is in it: the router is made from it, and the document too.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::header;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::Redirect;
use axum::routing::get;

use super::problem::Problem;
use super::route::{Access, Route, Spec};
use super::state::Shared;
use super::{auth, call, dashboard, health, metrics, openapi, origin, v1};

/// All routes, with that of the document that names them.
fn table(base_path: &str) -> Vec<Route> {
    let mut routes: Vec<Route> =
        [health::routes(), metrics::routes(), auth::routes(), v1::routes()].into_iter().flatten().collect();
    let own = |document: Bytes| {
        let answer = async move || ([(header::CONTENT_TYPE, "application/json")], document);
        Route::get("/openapi.json", Access::Public, "This document", answer)
    };
    // It names itself as well.
    let specs: Vec<Spec> = routes.iter().map(|route| &route.spec).chain([&own(Bytes::new()).spec]).cloned().collect();
    routes.push(own(openapi::document(&specs, base_path).to_string().into()));
    routes
}

/// The router over the table.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    let mut router = Router::new();
    for Route { spec, handler } in table(&shared.options.base_path) {
        let (path, spec) = (spec.path, Arc::new(spec));
        let guarded = handler
            .layer(from_fn_with_state(Arc::clone(&shared), call::within_time))
            .layer(from_fn_with_state((Arc::clone(&shared), spec), auth::guard));
        router = router.route(path, guarded);
    }
    let router = router
        .merge(dashboard::router(&shared))
        .method_not_allowed_fallback(async |request: Request| {
            Problem::no_method(request.method().as_str(), request.uri().path())
        })
        .fallback(dashboard::nothing_there);
    let router = match shared.options.base_path.as_str() {
        "" => router,
        base => {
            let home = base.to_owned();
            Router::new()
                .nest(base, router)
                .route(&format!("{base}/"), get(async move || Redirect::permanent(&home)))
                .fallback(async |request: Request| Problem::no_route(request.uri().path()))
        }
    };
    router
        .layer(from_fn_with_state(Arc::clone(&shared), origin::check))
        .layer(from_fn(call::with_headers))
        .with_state(shared)
}
