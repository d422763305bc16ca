//! A plugin that never ends listing its tasks: the schema of an argument is computed for ever.

use std::borrow::Cow;

use guest_sdk::task;
use schemars::{JsonSchema, Schema, SchemaGenerator};

#[derive(serde::Deserialize)]
struct Endless;

impl JsonSchema for Endless {
    fn schema_name() -> Cow<'static, str> {
        "Endless".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        loop {
            std::hint::black_box(());
        }
    }
}

#[task]
fn never_listed(argument: Endless) {
    let Endless = argument;
}
