//! The arguments of a call, matched to the parameters of a function.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use crate::error::TaskError;
use crate::payload::{Encoding, Payload, from_cbor};

/// A parameter as the macro describes it.
#[derive(Debug)]
pub struct Parameter {
    /// Its name, which is the key in the object of arguments.
    pub name: &'static str,
    /// Its documentation, if there is any.
    pub description: &'static str,
    /// Whether a call must give it.
    pub required: bool,
    /// What it is when a call does not give it, if that can be said in JSON.
    pub default: Option<fn() -> serde_json::Value>,
    /// A value that would do.
    pub example: Option<fn() -> serde_json::Value>,
}

/// One decoded value. What has arrived as CBOR is not turned into JSON, which has no byte strings.
#[derive(Debug)]
enum Value {
    Json(serde_json::Value),
    Cbor(ciborium::Value),
}

/// The values of a call by the index of their parameter.
#[derive(Debug)]
pub struct Arguments {
    parameters: &'static [Parameter],
    values: Vec<Option<Value>>,
}

impl Arguments {
    /// Reads an object or an array, and assigns its values to the parameters.
    ///
    /// # Errors
    ///
    /// If it is neither, or has a name or a position too many.
    pub fn decode(payload: &Payload, parameters: &'static [Parameter]) -> Result<Self, TaskError> {
        let mut arguments = Arguments { parameters, values: Vec::new() };
        arguments.values.resize_with(parameters.len(), || None);
        match payload.encoding {
            Encoding::Json => match serde_json::from_slice(&payload.data) {
                Ok(serde_json::Value::Object(map)) => arguments.by_name(map.into_iter(), Value::Json)?,
                Ok(serde_json::Value::Array(list)) => arguments.by_position(list, Value::Json)?,
                Ok(other) => return Err(arguments.neither(json_type(&other))),
                Err(error) => return Err(TaskError::invalid_args(format!("the arguments are not JSON: {error}"))),
            },
            Encoding::Cbor => match from_cbor(&payload.data) {
                Ok(ciborium::Value::Map(map)) => {
                    let named = map.into_iter().map(|(key, value)| match key {
                        ciborium::Value::Text(name) => (name, value),
                        other => (format!("{other:?}"), value),
                    });
                    arguments.by_name(named, Value::Cbor)?;
                }
                Ok(ciborium::Value::Array(list)) => arguments.by_position(list, Value::Cbor)?,
                Ok(_) => return Err(arguments.neither("something else")),
                Err(error) => return Err(TaskError::invalid_args(format!("the arguments are not CBOR: {error}"))),
            },
        }
        Ok(arguments)
    }

    /// The argument at `index`, which a call must give.
    ///
    /// # Errors
    ///
    /// If it is missing, or not a `T`; the message names the path to the value that is wrong.
    pub fn required<T: TaskArgument>(&mut self, index: usize) -> Result<T, TaskError> {
        match self.values[index].take() {
            Some(value) => self.convert(index, value),
            None => {
                let path = format!("$.{}", self.parameters[index].name);
                Err(TaskError::invalid_args(format!("{path}: missing; {}", self.takes()))
                    .details(serde_json::json!({ "path": path })))
            }
        }
    }

    /// The argument at `index`, or the default if a call does not give it.
    ///
    /// # Errors
    ///
    /// If it is given and not a `T`.
    pub fn or_else<T: TaskArgument>(&mut self, index: usize, default: impl FnOnce() -> T) -> Result<T, TaskError> {
        match self.values[index].take() {
            Some(value) => self.convert(index, value),
            None => Ok(default()),
        }
    }

    fn by_name<V>(
        &mut self,
        named: impl Iterator<Item = (String, V)>,
        wrap: impl Fn(V) -> Value,
    ) -> Result<(), TaskError> {
        for (name, value) in named {
            let Some(index) = self.parameters.iter().position(|parameter| parameter.name == name) else {
                return Err(TaskError::invalid_args(format!("$.{name}: no such argument; {}", self.takes()))
                    .details(serde_json::json!({ "path": format!("$.{name}") })));
            };
            self.values[index] = Some(wrap(value));
        }
        Ok(())
    }

    fn by_position<V>(&mut self, list: Vec<V>, wrap: impl Fn(V) -> Value) -> Result<(), TaskError> {
        let (given, taken) = (list.len(), self.parameters.len());
        if given > taken {
            let fault = match taken {
                0 => "the task takes no arguments".to_owned(),
                _ => format!("an argument too many; {}", self.takes()),
            };
            let path = format!("$[{taken}]");
            return Err(
                TaskError::invalid_args(format!("{path}: {fault}")).details(serde_json::json!({ "path": path }))
            );
        }
        for (slot, value) in self.values.iter_mut().zip(list) {
            *slot = Some(wrap(value));
        }
        Ok(())
    }

    fn convert<T: TaskArgument>(&self, index: usize, value: Value) -> Result<T, TaskError> {
        let converted = match value {
            Value::Json(value) => Traced::deserialize(value).map_err(|error| error.to_string()),
            Value::Cbor(value) => value.deserialized::<Traced<T>>().map_err(|error| error.to_string()),
        };
        let (inner, fault) = match converted {
            Ok(Traced(Ok(value))) => return Ok(value),
            Ok(Traced(Err((path, fault)))) => (path, fault),
            Err(fault) => (".".to_owned(), fault),
        };
        // The path inside the argument is `.` for the argument itself, and begins with `[` in a list.
        let name = self.parameters[index].name;
        let path = match inner.as_str() {
            "." => format!("$.{name}"),
            list if list.starts_with('[') => format!("$.{name}{list}"),
            field => format!("$.{name}.{field}"),
        };
        Err(TaskError::invalid_args(format!("{path}: {fault}"))
            .details(serde_json::json!({ "path": path, "fault": fault })))
    }

    fn neither(&self, found: &str) -> TaskError {
        let wanted = "expected an object (arguments by name) or an array (by position)";
        TaskError::invalid_args(format!("$: {wanted}, found {found}; {}", self.takes()))
            .details(serde_json::json!({ "path": "$" }))
    }

    /// The parameters, for people: the optional ones with a question mark.
    fn takes(&self) -> String {
        if self.parameters.is_empty() {
            return "the task takes no arguments".to_owned();
        }
        let names: Vec<_> = (self.parameters.iter())
            .map(|parameter| format!("{}{}", parameter.name, if parameter.required { "" } else { "?" }))
            .collect();
        format!("the task takes ({})", names.join(", "))
    }
}

/// Either the value, or the path to what is wrong with it and what that is.
struct Traced<T>(Result<T, (String, String)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Traced<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let result = serde_path_to_error::deserialize(deserializer);
        Ok(Traced(result.map_err(|error| (error.path().to_string(), error.into_inner().to_string()))))
    }
}

fn json_type(value: &serde_json::Value) -> &'static str {
    match value {
        serde_json::Value::Null => "null",
        serde_json::Value::Bool(_) => "a boolean",
        serde_json::Value::Number(_) => "a number",
        serde_json::Value::String(_) => "a string",
        serde_json::Value::Array(_) => "an array",
        serde_json::Value::Object(_) => "an object",
    }
}

/// What can be an argument of a task.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a task",
    label = "must own its data and implement `serde::Deserialize` and `schemars::JsonSchema`",
    note = "derive both: `#[derive(serde::Deserialize, schemars::JsonSchema)]`"
)]
pub trait TaskArgument: DeserializeOwned + schemars::JsonSchema {}

impl<T: DeserializeOwned + schemars::JsonSchema> TaskArgument for T {}

#[cfg(test)]
mod tests {
    use super::*;

    const fn parameter(name: &'static str, required: bool) -> Parameter {
        Parameter { name, description: "", required, default: None, example: None }
    }
    static TWO: [Parameter; 2] = [parameter("name", true), parameter("counts", false)];

    fn read(payload: &Payload) -> Result<(String, Vec<u8>), TaskError> {
        let mut arguments = Arguments::decode(payload, &TWO)?;
        Ok((arguments.required(0)?, arguments.or_else(1, || vec![7])?))
    }

    fn json(text: &str) -> Payload {
        Payload { encoding: Encoding::Json, data: text.as_bytes().to_vec() }
    }

    #[test]
    fn names_and_positions_mean_the_same() {
        let expected = ("Ada".to_owned(), vec![1, 2]);
        assert_eq!(read(&json(r#"{"counts":[1,2],"name":"Ada"}"#)).unwrap(), expected);
        assert_eq!(read(&json(r#"["Ada",[1,2]]"#)).unwrap(), expected);
        let cbor = Payload::encode(Encoding::Cbor, &("Ada", [1, 2])).unwrap();
        assert_eq!(read(&cbor).unwrap(), expected);
    }

    #[test]
    fn what_is_not_given_takes_its_default() {
        assert_eq!(read(&json(r#"["Ada"]"#)).unwrap().1, [7]);
        assert_eq!(read(&json(r#"{"name":"Ada"}"#)).unwrap().1, [7]);
    }

    #[test]
    fn an_error_names_the_path_and_what_was_expected() {
        let cases = [
            (r#"{"name":"Ada","counts":[1,"x"]}"#, r#"$.counts[1]: invalid type: string "x", expected u8"#),
            (r#"["Ada",[300]]"#, "$.counts[0]: invalid value: integer `300`, expected u8"),
            (r#"{"name":5}"#, "$.name: invalid type: integer `5`, expected a string"),
            ("{}", "$.name: missing; the task takes (name, counts?)"),
            (r#"{"nmae":""}"#, "$.nmae: no such argument; the task takes (name, counts?)"),
            (r#"["Ada",[],3]"#, "$[2]: an argument too many; the task takes (name, counts?)"),
            (
                "5",
                "$: expected an object (arguments by name) or an array (by position), found a number; the task takes (name, counts?)",
            ),
            ("{", "the arguments are not JSON: EOF while parsing an object at line 1 column 1"),
        ];
        for (text, expected) in cases {
            let error = read(&json(text)).unwrap_err();
            assert!(error.is_invalid_args(), "{text}");
            assert_eq!(error.message(), expected, "{text}");
        }
    }

    #[test]
    fn cbor_errors_have_a_path_too() {
        let payload = Payload::encode(Encoding::Cbor, &("Ada", ["x"])).unwrap();
        let error = read(&payload).unwrap_err();
        assert!(error.message().starts_with("$.counts[0]: "), "{error}");
    }
}
