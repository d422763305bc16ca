//! The arguments of a job, as a person or a program gives them.

use serde_json::{Map, Value};

use super::{AppError, AppResult, check_args, schema};
use crate::config::Caps;
use crate::model::{Encoding, Payload, Task, json};

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

/// The task that arguments are for, as far as they must know it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Callee<'a> {
    /// Its name, for people.
    pub(super) name: &'a str,
    /// Whether it is registered, so that commands can show it.
    pub(super) is_stored: bool,
    /// JSON Schema of its arguments, as JSON text.
    pub(super) schema: Option<&'a str>,
    /// Do not compare the arguments with the schema.
    pub(super) unchecked: bool,
}

impl<'a> Callee<'a> {
    /// What arguments must know of `task`.
    pub(super) fn of(task: &'a Task, unchecked: bool) -> Callee<'a> {
        Callee { name: task.id.as_str(), is_stored: true, schema: task.args_schema.as_deref(), unchecked }
    }
}

impl Arguments {
    /// These over others: values by name take the place of those of the same name, everything else takes the place of the whole.
    ///
    /// # Errors
    /// As [`Arguments::payload`]; [`AppError::Invalid`] where the others have no names.
    pub(super) fn payload_over(&self, old: &Payload, callee: Callee<'_>, caps: &Caps) -> AppResult<Payload> {
        let Arguments::Typed(_) = self else { return self.payload(callee, caps) };
        let Some(Value::Object(mut fields)) = known(old) else {
            let what = "the arguments that are there are no JSON object, so none of them can be changed by its name";
            return Err(AppError::invalid(what).with_hint("give all of them with --args"));
        };
        let unchecked = Callee { unchecked: true, ..callee };
        if let Some(Value::Object(new)) = known(&self.payload(unchecked, caps)?) {
            fields.extend(new);
        }
        Arguments::Json(Value::Object(fields)).payload(callee, caps)
    }

    /// The payload that the task gets.
    ///
    /// # Errors
    /// [`AppError::Invalid`] where a name comes twice, where a value cannot be kept as it was typed, where the arguments do not fit the
    /// task's schema (with the path of each fault), and as [`check_args`].
    pub(super) fn payload(&self, callee: Callee<'_>, caps: &Caps) -> AppResult<Payload> {
        // Registration has checked that the schema is JSON; without one nothing is known of the types.
        let schema: Option<Value> = callee.schema.and_then(|text| serde_json::from_str(text).ok());
        let value = match self {
            Arguments::Absent => Value::Object(Map::new()),
            Arguments::Json(value) => value.clone(),
            Arguments::Typed(pairs) => {
                let mut fields = Map::new();
                for (name, typed) in pairs {
                    let of_this = schema.as_ref().map_or(&Value::Null, |schema| &schema["properties"][name]);
                    if fields.insert(name.clone(), typed_value(name, typed, of_this)?).is_some() {
                        return Err(AppError::invalid(format!("the argument `{name}` is given twice")));
                    }
                }
                Value::Object(fields)
            }
        };
        let payload = check_args(&value, caps)?;
        match &schema {
            Some(schema) if !callee.unchecked => check_schema(callee, schema, &value)?,
            _ => {}
        }
        Ok(payload)
    }
}

/// The arguments as JSON; `None` where they are in another encoding, or unreadable.
pub(super) fn known(payload: &Payload) -> Option<Value> {
    match payload.encoding {
        Encoding::Json => serde_json::from_slice(&payload.data).ok(),
        Encoding::Cbor => None,
    }
}

fn check_schema(callee: Callee<'_>, schema: &Value, args: &Value) -> AppResult<()> {
    let faults = schema::faults_of_arguments(schema, args);
    if faults.is_empty() {
        return Ok(());
    }
    let task = callee.name;
    let shows =
        if callee.is_stored { format!("`host tasks show {task}` shows what it takes; ") } else { String::new() };
    Err(AppError::Invalid {
        what: format!("the arguments do not fit the task `{task}`"),
        causes: faults.iter().map(ToString::to_string).collect(),
        hint: Some(format!("{shows}--unchecked hands it the arguments as they are")),
    })
}

fn typed_value(name: &str, typed: &str, schema: &Value) -> AppResult<Value> {
    let wants_text = match &schema["type"] {
        Value::String(name) => name == "string",
        // `Option<String>`: a text, unless it is the word for nothing.
        Value::Array(names) => typed != "null" && names.iter().all(|name| name == "string" || name == "null"),
        _ => false,
    };
    if wants_text {
        return Ok(typed.into());
    }
    match json::read(typed) {
        Ok(value) => Ok(value),
        Err(fault) if fault.is_syntax() => Ok(typed.into()),
        Err(fault) => Err(AppError::invalid(format!("the argument `{name}` cannot be taken as it is {fault}"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PLAIN: Callee<'_> = Callee { name: "p:t", is_stored: true, schema: None, unchecked: false };

    fn read(payload: &Payload) -> Value {
        serde_json::from_slice(&payload.data).expect("JSON")
    }

    fn typed(pairs: &[(&str, &str)], schema: Option<&str>) -> AppResult<Value> {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let payload = Arguments::Typed(pairs).payload(Callee { schema, ..PLAIN }, &Caps::default())?;
        Ok(read(&payload))
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
        let zip = "123456789012345678901234567890";
        assert_eq!(typed(&[("zip", zip)], Some(schema)).expect("a text of digits"), json!({"zip": zip}));
    }

    #[test]
    fn a_name_that_comes_twice_and_a_number_that_would_be_changed_are_refused() {
        assert!(typed(&[("n", "1"), ("n", "2")], None).is_err());
        let refused = typed(&[("n", "18446744073709551616")], None).expect_err("it has more than 64 bits");
        assert!(refused.to_string().starts_with("the argument `n` cannot be taken as it is at the top"), "{refused}");
        assert!(typed(&[("n", r#"{"a": 1, "a": 2}"#)], None).is_err());
    }

    #[test]
    fn arguments_that_do_not_fit_the_schema_are_refused_with_the_path_unless_nobody_is_to_look() {
        let schema = Some(r#"{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}"#);
        let args = Arguments::Json(json!({"n": "seven"}));
        let refused = args.payload(Callee { schema, ..PLAIN }, &Caps::default()).expect_err("a text is no number");
        let AppError::Invalid { what, causes, hint } = refused else {
            panic!("the input must be changed: {refused:?}")
        };
        assert_eq!(what, "the arguments do not fit the task `p:t`");
        assert_eq!(causes, ["`n`: expected a whole number, found \"seven\""]);
        let hint = hint.expect("the way out");
        assert!(hint.starts_with("`host tasks show p:t` shows") && hint.contains("--unchecked"), "{hint}");
        let of_a_file = Callee { schema, is_stored: false, ..PLAIN };
        let refused = args.payload(of_a_file, &Caps::default()).expect_err("a text is no number");
        assert!(refused.hint().is_some_and(|hint| hint.starts_with("--unchecked")), "{refused:?}");
        let unchecked = args.payload(Callee { schema, unchecked: true, ..PLAIN }, &Caps::default());
        assert_eq!(read(&unchecked.expect("nobody looked")), json!({"n": "seven"}));
        assert!(Arguments::Absent.payload(Callee { schema, ..PLAIN }, &Caps::default()).is_err(), "`n` is missing");
    }
}
