//! The OpenAPI document, made from the table of routes.

use serde_json::{Value, json};

use super::route::{Access, Body, Spec};

/// The document about those routes.
pub(super) fn document(specs: &[Spec], base_path: &str) -> Value {
    let mut paths = json!({});
    for spec in specs {
        paths[spec.path][spec.method.as_str().to_lowercase()] = operation(spec);
    }
    json!({
        "openapi": "3.1.0",
        "info": {"title": "host", "version": env!("CARGO_PKG_VERSION")},
        "servers": [{"url": if base_path.is_empty() { "/" } else { base_path }}],
        "paths": paths,
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    })
}

fn operation(spec: &Spec) -> Value {
    let in_path = spec.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path =
        in_path.map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}));
    let in_query = spec
        .query
        .iter()
        .map(|(name, about)| json!({"name": name, "in": "query", "description": about, "schema": {"type": "string"}}));
    let mut operation = json!({
        "summary": spec.about,
        "parameters": in_path.chain(in_query).collect::<Vec<_>>(),
        "responses": {"200": {"description": "done"}, "default": {"description": "a problem"}},
    });
    let body = match spec.body {
        Body::None => None,
        Body::Json => Some("application/json"),
        Body::Component => Some("application/wasm"),
        Body::Value => Some("application/octet-stream"),
    };
    if let Some(kind) = body {
        operation["requestBody"] = json!({"required": true, "content": {kind: {}}});
    }
    match spec.access {
        Access::Public => {}
        Access::Known => operation["security"] = json!([{"token": []}]),
        Access::Needs(permission) => {
            operation["security"] = json!([{"token": [permission.as_str()]}]);
            operation["x-permission"] = permission.as_str().into();
        }
    }
    operation
}
