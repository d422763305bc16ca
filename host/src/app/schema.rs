//! Whether a value fits a JSON Schema: as much of the draft 2020-12 as tasks' schemas use.
//!
//! A value is refused only where the schema certainly refuses it. What this module does not understand (`pattern`, `if`, references to other
//! documents …) has no say: the task itself has the last word, and looks again. For the same reason `oneOf` asks for one schema that fits and
//! does not mind a second: two may look alike to somebody who reads half of them.

use std::collections::HashSet;
use std::fmt;

use serde_json::{Map, Number, Value};

use super::error::candidates;
use crate::model::json::{PathStep, path_text};
use crate::model::limits::JSON_DEPTH_MAX;

/// Most faults that are told.
const FAULTS_MAX: usize = 10;
/// Most schemas that are looked at for one value, and most of them inside each other: a schema may refer to itself.
const STEPS_MAX: usize = 100_000;
const NESTED_MAX: usize = 4 * JSON_DEPTH_MAX;
/// Longest value that a fault shows, in characters.
const VALUE_SHOWN_MAX: usize = 60;

/// Why a value does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SchemaFault {
    path: Vec<PathStep>,
    mismatch: Mismatch,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Mismatch {
    /// Something else is wanted: what, each in words, and what is there.
    Expected {
        wanted: Vec<String>,
        found: String,
    },
    Missing,
    /// There is no such property; the names there are.
    Unknown(String),
    /// Anything else, in words.
    Other(String),
}

/// `` `people[1].age`: expected a whole number, found "old" ``
impl fmt::Display for SchemaFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match path_text(&self.path).as_str() {
            "" => {}
            path => write!(f, "`{path}`: ")?,
        }
        match &self.mismatch {
            Mismatch::Expected { wanted, found } => write!(f, "expected {}, found {found}", wanted.join(" or ")),
            Mismatch::Missing => f.write_str("is missing"),
            Mismatch::Unknown(known) if known.is_empty() => f.write_str("there is no such name; none is taken"),
            Mismatch::Unknown(known) => write!(f, "there is no such name; there are: {known}"),
            Mismatch::Other(text) => f.write_str(text),
        }
    }
}

/// What is wrong with the arguments of a task, at most [`FAULTS_MAX`] faults; empty where nothing is.
///
/// A schema that wants an object is one of arguments by name, and says nothing about the order of their positions: of an array it is only
/// asked how long it may be.
pub(super) fn faults_of_arguments(schema: &Value, args: &Value) -> Vec<SchemaFault> {
    match args {
        Value::Array(list) if schema["type"] == "object" => {
            fault_of_positions(schema, list.len()).into_iter().collect()
        }
        _ => faults(schema, args),
    }
}

fn fault_of_positions(schema: &Value, given: usize) -> Option<SchemaFault> {
    let least = schema["required"].as_array().map_or(0, Vec::len);
    let most = match (&schema["additionalProperties"], &schema["properties"]) {
        (Value::Bool(false), Value::Object(properties)) => properties.len(),
        _ => usize::MAX,
    };
    let wanted = match (least, most) {
        (least, most) if (least..=most).contains(&given) => return None,
        (_, 0) => "no arguments".to_owned(),
        (least, most) if least == most => format!("{least} arguments"),
        (least, usize::MAX) => format!("{least} arguments or more"),
        (least, most) => format!("{least} to {most} arguments"),
    };
    Some(SchemaFault {
        path: Vec::new(),
        mismatch: Mismatch::Expected { wanted: vec![wanted], found: given.to_string() },
    })
}

/// What is wrong with a value, at most [`FAULTS_MAX`] faults; empty where nothing is.
pub(super) fn faults(schema: &Value, value: &Value) -> Vec<SchemaFault> {
    let mut check = Check { root: schema, path: Vec::new(), steps_left: STEPS_MAX, nested: 0 };
    let mut found = check.value(schema, value);
    found.truncate(FAULTS_MAX);
    found
}

struct Check<'s> {
    root: &'s Value,
    path: Vec<PathStep>,
    steps_left: usize,
    /// How many schemas inside each other are being looked at.
    nested: usize,
}

impl<'s> Check<'s> {
    fn fault(&self, mismatch: Mismatch) -> SchemaFault {
        SchemaFault { path: self.path.clone(), mismatch }
    }

    fn expected(&self, wanted: impl Into<String>, value: &Value) -> SchemaFault {
        self.fault(Mismatch::Expected { wanted: vec![wanted.into()], found: shown(value) })
    }

    /// What `schema` finds wrong with the value at the current path.
    fn value(&mut self, schema: &'s Value, value: &Value) -> Vec<SchemaFault> {
        let schema = match schema {
            Value::Bool(false) => return vec![self.expected("nothing", value)],
            Value::Object(schema) => schema,
            _ => return Vec::new(),
        };
        if self.steps_left == 0 || self.nested >= NESTED_MAX {
            return Vec::new();
        }
        self.steps_left -= 1;
        self.nested += 1;
        let found = self.by_keywords(schema, value);
        self.nested -= 1;
        found
    }

    fn by_keywords(&mut self, schema: &'s Map<String, Value>, value: &Value) -> Vec<SchemaFault> {
        // A value of another type is told once; what else the schema says of it would only repeat that.
        if let Some(fault) = self.wrong_type(schema, value) {
            return vec![fault];
        }
        let mut found = Vec::new();
        if let Some(referred) = schema.get("$ref").and_then(Value::as_str).and_then(|name| self.referred(name)) {
            found.extend(self.value(referred, value));
        }
        found.extend(self.wrong_choice(schema, value));
        for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            found.extend(self.value(part, value));
        }
        for key in ["anyOf", "oneOf"] {
            if let Some(choices) = schema.get(key).and_then(Value::as_array) {
                found.extend(self.any(choices, value));
            }
        }
        if schema.get("not").is_some_and(|not| *not == Value::Bool(true) || *not == Value::Object(Map::new())) {
            found.push(self.expected("nothing", value));
        }
        match value {
            Value::Number(number) => found.extend(self.number(schema, number, value)),
            Value::String(text) => found.extend(self.text(schema, text, value)),
            Value::Array(items) => found.extend(self.items(schema, items)),
            Value::Object(fields) => found.extend(self.fields(schema, fields)),
            Value::Null | Value::Bool(_) => {}
        }
        found
    }

    /// The schema of a reference into this document, such as `#/$defs/Tone`.
    fn referred(&self, name: &str) -> Option<&'s Value> {
        let pointer = name.strip_prefix('#')?;
        self.root.pointer(pointer)
    }

    fn wrong_type(&self, schema: &Map<String, Value>, value: &Value) -> Option<SchemaFault> {
        let names: Vec<&str> = match schema.get("type")? {
            Value::String(name) => vec![name],
            Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
            _ => return None,
        };
        if names.is_empty() || names.iter().any(|name| is_of_type(value, name)) {
            return None;
        }
        let wanted = names.into_iter().map(|name| type_name(name).to_owned()).collect();
        Some(self.fault(Mismatch::Expected { wanted, found: shown(value) }))
    }

    /// `enum` and `const`.
    fn wrong_choice(&self, schema: &Map<String, Value>, value: &Value) -> Option<SchemaFault> {
        let choices = match (schema.get("enum"), schema.get("const")) {
            (Some(Value::Array(choices)), _) => &choices[..],
            (_, Some(only)) => std::slice::from_ref(only),
            _ => return None,
        };
        if choices.iter().any(|choice| is_equal(choice, value)) {
            return None;
        }
        let wanted = choices.iter().take(FAULTS_MAX).map(shown).collect();
        Some(self.fault(Mismatch::Expected { wanted, found: shown(value) }))
    }

    /// One of several schemas must fit. Where none does, the one that came furthest says why; those that fail right here are told together.
    fn any(&mut self, choices: &'s [Value], value: &Value) -> Vec<SchemaFault> {
        let mut attempts = Vec::with_capacity(choices.len());
        for choice in choices {
            let found = self.value(choice, value);
            if found.is_empty() {
                return Vec::new();
            }
            attempts.push(found);
        }
        let depth = |found: &Vec<SchemaFault>| found.iter().map(|fault| fault.path.len()).max().unwrap_or(0);
        let mut wanted_here = Vec::new();
        for fault in attempts.iter().flatten().filter(|fault| fault.path == self.path) {
            if let Mismatch::Expected { wanted, .. } = &fault.mismatch {
                wanted_here.extend(wanted.iter().filter(|one| *one != "nothing").cloned());
            }
        }
        let came_furthest = attempts.into_iter().max_by_key(|found| (depth(found), std::cmp::Reverse(found.len())));
        match came_furthest {
            Some(found) if depth(&found) > self.path.len() => found,
            _ if !wanted_here.is_empty() => {
                wanted_here.dedup();
                wanted_here.truncate(FAULTS_MAX);
                vec![self.fault(Mismatch::Expected { wanted: wanted_here, found: shown(value) })]
            }
            found => found.unwrap_or_default(),
        }
    }

    fn number(&self, schema: &Map<String, Value>, number: &Number, value: &Value) -> Option<SchemaFault> {
        let bounds = [
            ("minimum", "at least", std::cmp::Ordering::is_ge as fn(std::cmp::Ordering) -> bool),
            ("maximum", "at most", std::cmp::Ordering::is_le),
            ("exclusiveMinimum", "more than", std::cmp::Ordering::is_gt),
            ("exclusiveMaximum", "less than", std::cmp::Ordering::is_lt),
        ];
        bounds.into_iter().find_map(|(key, words, holds)| {
            let bound = schema.get(key)?.as_number()?;
            let fits = compare(number, bound).is_none_or(holds);
            (!fits).then(|| self.expected(format!("a number of {words} {bound}"), value))
        })
    }

    fn text(&self, schema: &Map<String, Value>, text: &str, value: &Value) -> Option<SchemaFault> {
        let length = text.chars().count();
        let unit = "characters";
        self.length(schema, ["minLength", "maxLength"], length, unit).map(|wanted| self.expected(wanted, value))
    }

    /// What length is wanted, where it is another one.
    fn length(&self, schema: &Map<String, Value>, keys: [&str; 2], length: usize, unit: &str) -> Option<String> {
        let bound = |key| schema.get(key).and_then(Value::as_u64).and_then(|bound| usize::try_from(bound).ok());
        match (bound(keys[0]), bound(keys[1])) {
            (Some(least), _) if length < least => Some(format!("at least {least} {unit}")),
            (_, Some(most)) if length > most => Some(format!("at most {most} {unit}")),
            _ => None,
        }
    }

    fn items(&mut self, schema: &'s Map<String, Value>, items: &[Value]) -> Vec<SchemaFault> {
        let mut found = Vec::new();
        if let Some(wanted) = self.length(schema, ["minItems", "maxItems"], items.len(), "items") {
            found.push(self.fault(Mismatch::Expected { wanted: vec![wanted], found: items.len().to_string() }));
        }
        if schema.get("uniqueItems") == Some(&Value::Bool(true)) {
            let mut seen = HashSet::new();
            if let Some(twice) = items.iter().find(|item| !seen.insert(item.to_string())) {
                found.push(self.fault(Mismatch::Other(format!("{} comes twice", shown(twice)))));
            }
        }
        let prefix = schema.get("prefixItems").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let rest = schema.get("items");
        for (index, item) in items.iter().enumerate() {
            let Some(of_this) = prefix.get(index).or(rest) else { break };
            if found.len() >= FAULTS_MAX {
                break;
            }
            self.path.push(PathStep::Index(index));
            found.extend(self.value(of_this, item));
            self.path.pop();
        }
        found
    }

    fn fields(&mut self, schema: &'s Map<String, Value>, fields: &Map<String, Value>) -> Vec<SchemaFault> {
        let mut found = Vec::new();
        if let Some(wanted) = self.length(schema, ["minProperties", "maxProperties"], fields.len(), "names") {
            found.push(self.fault(Mismatch::Expected { wanted: vec![wanted], found: fields.len().to_string() }));
        }
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        for name in required.filter_map(Value::as_str).filter(|name| !fields.contains_key(*name)) {
            found.push(self.at(name, Mismatch::Missing));
        }
        let known = schema.get("properties").and_then(Value::as_object);
        // Names that fit a pattern are none of these; which do is not known here.
        let others = schema.get("additionalProperties").filter(|_| !schema.contains_key("patternProperties"));
        for (name, field) in fields {
            if found.len() >= FAULTS_MAX {
                break;
            }
            match (known.and_then(|known| known.get(name)), others) {
                (Some(of_this), _) => found.extend(self.inside(name, of_this, field)),
                (None, Some(Value::Bool(false))) => {
                    let names = known.into_iter().flat_map(|known| known.keys().map(String::as_str));
                    found.push(self.at(name, Mismatch::Unknown(candidates(name, names))));
                }
                (None, Some(others)) => found.extend(self.inside(name, others, field)),
                (None, None) => {}
            }
        }
        found
    }

    fn at(&mut self, name: &str, mismatch: Mismatch) -> SchemaFault {
        self.path.push(PathStep::Key(name.to_owned()));
        let fault = self.fault(mismatch);
        self.path.pop();
        fault
    }

    fn inside(&mut self, name: &str, schema: &'s Value, value: &Value) -> Vec<SchemaFault> {
        self.path.push(PathStep::Key(name.to_owned()));
        let found = self.value(schema, value);
        self.path.pop();
        found
    }
}

fn is_of_type(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        // As the standard has it, 1.0 is an integer.
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0),
        // A type of a later draft: not for us to judge.
        _ => true,
    }
}

fn type_name(name: &str) -> &str {
    match name {
        "boolean" => "true or false",
        "string" => "a text",
        "array" => "a list",
        "object" => "an object",
        "number" => "a number",
        "integer" => "a whole number",
        other => other,
    }
}

/// Equality of JSON values, for which 1 and 1.0 are the same number.
fn is_equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => compare(a, b).is_some_and(std::cmp::Ordering::is_eq),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| is_equal(a, b)))
        }
        (a, b) => a == b,
    }
}

/// Integers are compared as such: floating-point numbers would take large neighbours for one another.
fn compare(a: &Number, b: &Number) -> Option<std::cmp::Ordering> {
    match (a.as_i128(), b.as_i128()) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
    }
}

/// A value for people, cut where it is long.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(VALUE_SHOWN_MAX) {
        None => text,
        Some((at, _)) => format!("{}…", &text[..at]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What the SDK makes of `fn greet(name: String, tone: Option<Tone>, times: u8, who: Vec<Person>)`.
    fn greet() -> Value {
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "name": {"type": "string", "description": "Whom to greet.", "examples": ["Ada"]},
                "times": {"type": "integer", "format": "uint8", "minimum": 0, "maximum": 255, "default": 1},
                "tone": {"anyOf": [{"$ref": "#/$defs/Tone"}, {"type": "null"}]},
                "who": {"type": "array", "items": {"$ref": "#/$defs/Person"}},
            },
            "additionalProperties": false,
            "required": ["name"],
            "$defs": {
                "Tone": {"oneOf": [
                    {"type": "string", "const": "friendly", "description": "As among friends."},
                    {"type": "string", "enum": ["formal", "stern"]},
                    {"type": "object", "properties": {"other": {"type": "string"}}, "required": ["other"], "additionalProperties": false},
                ]},
                "Person": {
                    "type": "object",
                    "properties": {
                        "age": {"type": ["integer", "null"], "minimum": 0},
                        "friends": {"type": "array", "items": {"$ref": "#/$defs/Person"}, "maxItems": 2, "uniqueItems": true},
                    },
                },
            },
        })
    }

    fn said(schema: &Value, value: Value) -> Vec<String> {
        faults_of_arguments(schema, &value).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_fits_has_no_faults() {
        for args in [
            json!({"name": "Ada"}),
            json!({"name": "", "times": 255, "tone": null}),
            json!({"name": "Ada", "times": 3.0, "tone": "stern"}),
            json!({"name": "Ada", "tone": {"other": "loud"}}),
            json!({"name": "Ada", "who": [{"age": null, "shoe": 42, "friends": [{}, {"age": 7}]}]}),
            json!(["Ada"]),
            json!(["Ada", "friendly", 1, []]),
        ] {
            assert_eq!(said(&greet(), args.clone()), [""; 0], "{args}");
        }
    }

    #[test]
    fn each_fault_is_reported_with_its_path() {
        for (args, expected) in [
            (json!({}), "`name`: is missing"),
            (json!({"name": 7}), "`name`: expected a text, found 7"),
            (json!({"name": "A", "times": "3"}), "`times`: expected a whole number, found \"3\""),
            (json!({"name": "A", "times": 1.5}), "`times`: expected a whole number, found 1.5"),
            (json!({"name": "A", "times": 256}), "`times`: expected a number of at most 255, found 256"),
            (json!({"name": "A", "times": -1}), "`times`: expected a number of at least 0, found -1"),
            (json!({"name": "A", "nmae": 1}), "`nmae`: there is no such name; there are: name, times, tone, who"),
            (
                json!({"name": "A", "tone": "rude"}),
                "`tone`: expected \"friendly\" or \"formal\" or \"stern\" or an object or null, found \"rude\"",
            ),
            (json!({"name": "A", "tone": {"other": 1}}), "`tone.other`: expected a text, found 1"),
            (
                json!({"name": "A", "who": [{}, {"friends": [{"age": "old"}]}]}),
                "`who[1].friends[0].age`: expected a whole number or null, found \"old\"",
            ),
            (json!({"name": "A", "who": [{"friends": [{}, {}]}]}), "`who[0].friends`: {} comes twice"),
            (
                json!({"name": "A", "who": [{"friends": [1, 2, 3]}]}),
                "`who[0].friends`: expected at most 2 items, found 3",
            ),
            (json!([]), "expected 1 to 4 arguments, found 0"),
            (json!([1, 2, 3, 4, 5]), "expected 1 to 4 arguments, found 5"),
        ] {
            assert_eq!(said(&greet(), args.clone()).first().map(String::as_str), Some(expected), "{args}");
        }
    }

    #[test]
    fn what_is_not_understood_refuses_nothing() {
        let schema = json!({
            "type": "object",
            "properties": {
                "a": {"pattern": "^b", "if": {"const": "x"}, "then": false, "format": "date-time"},
                "b": {"$ref": "https://example.org/other.json"},
                "c": {"$ref": "#/$defs/nowhere"},
                "d": {"not": {"type": "string"}},
                "e": {"oneOf": [{"minimum": 0}, {"minimum": 1}]},
                "f": {"type": "decimal"},
            },
            "patternProperties": {"^x-": {}},
            "additionalProperties": false,
        });
        let args = json!({"a": "x", "b": 1, "c": 2, "d": "text", "e": 5, "f": 1, "x-g": 1});
        assert_eq!(said(&schema, args), [""; 0]);
        assert_eq!(said(&json!(true), json!({"a": 1})), [""; 0]);
        assert_eq!(said(&json!({"type": "object", "properties": {"a": false}}), json!({"a": 1})).len(), 1);
    }

    #[test]
    fn a_schema_that_goes_round_in_circles_ends() {
        let circle = json!({"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#"}]}}});
        assert_eq!(said(&circle, json!({})), [""; 0]);
    }

    #[test]
    fn many_faults_are_not_all_told() {
        let schema = json!({"type": "object", "additionalProperties": {"type": "string"}});
        let args: Map<String, Value> = (0..1_000).map(|n| (format!("n{n}"), n.into())).collect();
        assert_eq!(said(&schema, Value::Object(args)).len(), FAULTS_MAX);
    }

    #[test]
    fn large_integers_are_told_apart() {
        let schema = json!({"type": "array", "items": {"maximum": 9_007_199_254_740_992_u64}});
        assert_eq!(said(&schema, json!([9_007_199_254_740_992_u64])), [""; 0]);
        assert_eq!(said(&schema, json!([9_007_199_254_740_993_u64])).len(), 1);
    }
}
