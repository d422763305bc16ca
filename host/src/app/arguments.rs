//! The arguments of a job, as a person or a program gives them.

use serde_json::{Map, Value};

use super::{AppError, AppResult, check_args};
use crate::config::Caps;
use crate::model::Payload;

/// Arguments that are not serialised yet.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Arguments {
    /// None were given.
    #[default]
    Absent,
    /// A JSON object (named) or array (positional).
    Json(Value),
    /// Names with values as they were typed. A value is read as JSON where it is JSON, and else as a text; where the task's schema says that a
    /// text is wanted it is taken as it is, so that a name such as `true` or `42` needs no quotes.
    Typed(Vec<(String, String)>),
}

impl From<Value> for Arguments {
    fn from(value: Value) -> Arguments {
        Arguments::Json(value)
    }
}

impl Arguments {
    /// The payload that a task with this schema of arguments gets.
    ///
    /// # Errors
    /// [`AppError::Invalid`] where a name comes twice, and as [`check_args`].
    pub(super) fn payload(&self, schema: Option<&str>, caps: &Caps) -> AppResult<Payload> {
        match self {
            Arguments::Absent => Ok(Payload::no_args()),
            Arguments::Json(value) => check_args(value, caps),
            Arguments::Typed(pairs) => {
                // Registration has checked that the schema is JSON; without one nothing is known of the types.
                let schema: Value = schema.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
                let mut fields = Map::new();
                for (name, typed) in pairs {
                    if fields.insert(name.clone(), typed_value(typed, &schema["properties"][name])).is_some() {
                        return Err(AppError::invalid(format!("the argument `{name}` is given twice")));
                    }
                }
                check_args(&Value::Object(fields), caps)
            }
        }
    }
}

fn typed_value(typed: &str, schema: &Value) -> Value {
    let wants_text = match &schema["type"] {
        Value::String(name) => name == "string",
        // `Option<String>`: a text, unless it is the word for nothing.
        Value::Array(names) => typed != "null" && names.iter().all(|name| name == "string" || name == "null"),
        _ => false,
    };
    if wants_text {
        return typed.into();
    }
    serde_json::from_str(typed).unwrap_or_else(|_| typed.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn typed(pairs: &[(&str, &str)], schema: Option<&str>) -> AppResult<Value> {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let payload = Arguments::Typed(pairs).payload(schema, &Caps::default())?;
        Ok(serde_json::from_slice(&payload.data).expect("JSON"))
    }

    #[test]
    fn typed_values_are_json_where_they_are_json_and_else_texts() {
        let args = typed(&[("n", "5"), ("who", "Ada"), ("list", "[1, 2]"), ("yes", "true")], None);
        assert_eq!(args.expect("valid"), json!({"n": 5, "who": "Ada", "list": [1, 2], "yes": true}));
    }

    #[test]
    fn a_text_that_the_schema_wants_is_not_read_as_a_number() {
        let schema =
            r#"{"properties":{"zip":{"type":"string"},"note":{"type":["string","null"]},"n":{"type":"integer"}}}"#;
        let args = typed(&[("zip", "01234"), ("note", "42"), ("n", "7")], Some(schema));
        assert_eq!(args.expect("valid"), json!({"zip": "01234", "note": "42", "n": 7}));
        assert_eq!(typed(&[("note", "null")], Some(schema)).expect("valid"), json!({"note": null}));
    }

    #[test]
    fn a_name_that_comes_twice_is_refused() {
        assert!(typed(&[("n", "1"), ("n", "2")], None).is_err());
    }
}
