//! A plugin that takes all memory there is to list its tasks.

use std::borrow::Cow;

use guest_sdk::task;
use schemars::{JsonSchema, Schema, SchemaGenerator};

#[derive(serde::Deserialize)]
struct Hoard;

impl JsonSchema for Hoard {
    fn schema_name() -> Cow<'static, str> {
        "Hoard".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut hoard: Vec<Vec<u8>> = Vec::new();
        loop {
            hoard.push(std::hint::black_box(vec![1; 1 << 20]));
        }
    }
}

#[task]
fn never_listed(argument: Hoard) {
    let Hoard = argument;
}
