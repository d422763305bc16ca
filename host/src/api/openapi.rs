//! The OpenAPI document, made from the table of routes.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::route::{Access, Body, Spec};

/// What makes the schemas: those of answers say what is written, those of bodies what is read.
struct Schemas {
    of_answers: SchemaGenerator,
    of_bodies: SchemaGenerator,
}

impl Schemas {
    fn new() -> Schemas {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = "/components/schemas".into();
                settings.meta_schema = None;
            })
        };
        Schemas {
            of_answers: settings().for_serialize().into_generator(),
            of_bodies: settings().for_deserialize().into_generator(),
        }
    }

    /// Those that were named, with that of problems.
    fn named(mut self) -> Value {
        let mut named = self.of_answers.take_definitions(true);
        named.append(&mut self.of_bodies.take_definitions(true));
        named.insert("Problem".to_owned(), problem());
        Value::Object(named)
    }
}

/// As RFC 9457 has it; some problems say more.
fn problem() -> Value {
    json!({
        "type": "object",
        "required": ["type", "title", "status", "detail", "causes", "hint"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "causes": {"type": "array", "items": {"type": "string"}},
            "hint": {"type": ["string", "null"]},
        },
        "additionalProperties": true,
    })
}

/// The document about those routes.
pub(super) fn document(specs: &[Spec], base_path: &str) -> Value {
    let (mut paths, mut schemas) = (json!({}), Schemas::new());
    for spec in specs {
        paths[spec.path][spec.method.as_str().to_lowercase()] = operation(spec, &mut schemas);
    }
    json!({
        "openapi": "3.1.0",
        "info": {"title": "host", "version": env!("CARGO_PKG_VERSION")},
        "servers": [{"url": if base_path.is_empty() { "/" } else { base_path }}],
        "paths": paths,
        "components": {
            "schemas": schemas.named(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    })
}

fn operation(spec: &Spec, schemas: &mut Schemas) -> Value {
    let in_path = spec.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path =
        in_path.map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}));
    let in_query = spec
        .query
        .iter()
        .map(|(name, about)| json!({"name": name, "in": "query", "description": about, "schema": {"type": "string"}}));
    let problem = json!({"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}});
    let mut responses = json!({"default": {"description": "a problem", "content": problem}});
    let mut content = json!({});
    content[spec.answer.media_type] = match spec.answer.schema {
        Some(schema) => json!({"schema": schema(&mut schemas.of_answers)}),
        None => json!({}),
    };
    for status in spec.answer.statuses {
        responses[status.to_string()] = json!({"description": "done", "content": content});
    }
    let mut operation = json!({
        "summary": spec.about,
        "parameters": in_path.chain(in_query).collect::<Vec<_>>(),
        "responses": responses,
    });
    let body = match spec.body {
        Body::None => None,
        Body::Json => Some("application/json"),
        Body::Component => Some("application/wasm"),
        Body::Value => Some("application/octet-stream"),
    };
    if let Some(kind) = body {
        let schema = spec.body_schema.map(|schema| schema(&mut schemas.of_bodies));
        let content = schema.map_or_else(|| json!({}), |schema| json!({"schema": schema}));
        operation["requestBody"] = json!({"required": true, "content": {kind: content}});
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
