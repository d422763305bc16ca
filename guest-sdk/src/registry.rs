//! The tasks of a plugin: found, described and called by name.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use schemars::generate::{Contract, SchemaSettings};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::arguments::Parameter;
use crate::error::TaskError;
use crate::payload::Payload;
use crate::settings::Settings;

/// One `#[task]`, as the macro registers it.
#[derive(Debug)]
pub struct TaskEntry {
    /// Its name.
    pub name: &'static str,
    /// Its documentation.
    pub description: &'static str,
    /// Where it stands.
    pub place: (&'static str, u32),
    /// What it takes.
    pub parameters: &'static [Parameter],
    /// Calls the function.
    pub run: fn(&Payload) -> Result<Payload, TaskError>,
    /// Tells the types to a describer.
    pub describe: fn(&mut Describer),
    /// What its attributes ask for.
    pub settings: fn() -> Settings,
}

inventory::collect!(TaskEntry);

/// A task as the host and the tests see it.
#[cfg_attr(target_family = "wasm", expect(unreachable_pub, reason = "public through `testing`, which components lack"))]
#[derive(Debug, Clone, PartialEq)]
pub struct TaskDescription {
    /// Its name, unique in the plugin.
    pub name: String,
    /// Its documentation.
    pub description: String,
    /// The names of its parameters in order.
    pub parameters: Vec<String>,
    /// The JSON Schema of its arguments as an object.
    pub args_schema: Value,
    /// The JSON Schema of its result.
    pub result_schema: Value,
    /// Arguments that would do: there if every parameter that a call must give has an example.
    pub example_args: Option<Value>,
    /// What its attributes ask for.
    pub settings: Settings,
}

/// Describes every task, sorted by name.
///
/// # Errors
///
/// If two have one name: the text names both places.
pub(crate) fn descriptions() -> Result<Vec<TaskDescription>, String> {
    describe_all(inventory::iter::<TaskEntry>.into_iter())
}

fn describe_all<'a>(entries: impl Iterator<Item = &'a TaskEntry>) -> Result<Vec<TaskDescription>, String> {
    let mut by_name: BTreeMap<&str, &TaskEntry> = BTreeMap::new();
    for entry in entries {
        if let Some(other) = by_name.insert(entry.name, entry) {
            let mut places = [entry.place, other.place].map(|(file, line)| format!("{file}:{line}"));
            places.sort();
            let name = entry.name;
            return Err(format!("two tasks are named `{name}`: at {} and at {}", places[0], places[1]));
        }
    }
    Ok(by_name.into_values().map(TaskEntry::description).collect())
}

/// Runs a task by name.
///
/// # Errors
///
/// What the task fails with, cut to what the host keeps; and if there is no such task, a permanent error that lists those there are.
pub(crate) fn run(task: &str, args: &Payload) -> Result<Payload, TaskError> {
    match inventory::iter::<TaskEntry>.into_iter().find(|entry| entry.name == task) {
        Some(entry) => (entry.run)(args).map_err(TaskError::within_bounds),
        None => {
            let mut names: Vec<_> = inventory::iter::<TaskEntry>.into_iter().map(|entry| entry.name).collect();
            names.sort_unstable();
            let message = format!("no task is named `{task}`; there are: {}", names.join(", "));
            Err(TaskError::permanent(message).code("unknown-task"))
        }
    }
}

impl TaskEntry {
    fn description(&self) -> TaskDescription {
        let mut describer = Describer::default();
        (self.describe)(&mut describer);
        let example = self.parameters.iter().filter_map(|parameter| {
            let value = parameter.example.or(parameter.default)?;
            Some((parameter.name.to_owned(), value()))
        });
        let example: Map<String, Value> = example.collect();
        let complete = self.parameters.iter().all(|one| !one.required || example.contains_key(one.name));
        TaskDescription {
            name: self.name.to_owned(),
            description: self.description.to_owned(),
            parameters: self.parameters.iter().map(|parameter| parameter.name.to_owned()).collect(),
            args_schema: describer.args_schema(),
            result_schema: describer.result,
            example_args: complete.then_some(Value::Object(example)),
            settings: (self.settings)(),
        }
    }
}

/// Collects the types of a task and makes schemas of them.
#[derive(Debug)]
pub struct Describer {
    generator: SchemaGenerator,
    properties: Map<String, Value>,
    required: Vec<&'static str>,
    result: Value,
}

impl Default for Describer {
    fn default() -> Self {
        let (generator, properties) = (schema_generator(Contract::Deserialize), Map::new());
        Describer { generator, properties, required: Vec::new(), result: Value::Bool(true) }
    }
}

impl Describer {
    /// Tells the type of a parameter.
    pub fn argument<T: JsonSchema>(&mut self, parameter: &Parameter) {
        let mut schema = self.generator.subschema_for::<T>();
        if !parameter.description.is_empty() {
            schema.insert("description".to_owned(), parameter.description.into());
        }
        if let Some(default) = parameter.default {
            schema.insert("default".to_owned(), default());
        }
        if let Some(example) = parameter.example {
            schema.insert("examples".to_owned(), json!([example()]));
        }
        if parameter.required {
            self.required.push(parameter.name);
        }
        self.properties.insert(parameter.name.to_owned(), schema.to_value());
    }

    /// Tells the type of the result.
    pub fn result<T: JsonSchema>(&mut self, _: PhantomData<fn() -> T>) {
        self.result = schema_generator(Contract::Serialize).into_root_schema_for::<T>().to_value();
    }

    fn args_schema(&mut self) -> Value {
        let mut schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": std::mem::take(&mut self.properties),
            "additionalProperties": false,
        });
        if !self.required.is_empty() {
            schema["required"] = json!(self.required);
        }
        let definitions = self.generator.take_definitions(true);
        if !definitions.is_empty() {
            schema["$defs"] = Value::Object(definitions);
        }
        schema
    }
}

fn schema_generator(contract: Contract) -> SchemaGenerator {
    let mut settings = SchemaSettings::draft2020_12();
    settings.contract = contract;
    settings.into_generator()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn entry(name: &'static str, line: u32) -> TaskEntry {
        TaskEntry {
            name,
            description: "",
            place: ("src/lib.rs", line),
            parameters: &[],
            run: |_| Err(TaskError::cancelled()),
            describe: |_| {},
            settings: Settings::default,
        }
    }

    #[test]
    fn two_tasks_of_one_name_are_reported_with_both_places() {
        let entries = [entry("copy", 30), entry("list", 20), entry("copy", 10)];
        let error = describe_all(entries.iter()).unwrap_err();
        assert_eq!(error, "two tasks are named `copy`: at src/lib.rs:10 and at src/lib.rs:30");
    }

    #[test]
    fn tasks_are_listed_by_name() {
        let names: Vec<_> = describe_all([entry("b", 1), entry("a", 2)].iter()).unwrap();
        assert_eq!(names.iter().map(|task| task.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    }
}
