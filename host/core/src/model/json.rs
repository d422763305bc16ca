//! JSON from outside, read strictly: what is taken is what was written.
//!
//! An ordinary reader changes some documents without a word: of a key that comes twice the last value wins, and an integer of more than 64
//! bits becomes the nearest floating-point number. Here both are refused, with their place, and so is what is nested deeper than
//! [`JSON_DEPTH_MAX`].

use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::limits::JSON_DEPTH_MAX;

/// Longest path, and longest part of a text, that a fault shows, in characters.
const SHOWN_MAX: usize = 100;

/// Reads one document.
///
/// # Errors
/// [`JsonFault`], with the place.
pub fn read(text: &str) -> Result<Value, JsonFault> {
    let mut reader = Reader { numbers: Numbers { rest: text }, path: Vec::new(), refusal: None };
    let mut parser = serde_json::Deserializer::from_str(text);
    let value = One(&mut reader).deserialize(&mut parser).map_err(|error| reader.fault(&error))?;
    parser.end().map_err(|error| JsonFault {
        path: String::new(),
        problem: JsonProblem::Syntax(format!("after its end: {error}")),
        line: error.line(),
        column: error.column(),
    })?;
    Ok(value)
}

/// Why a text was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonFault {
    /// The way to the value at fault, such as `people[1].name`; empty for the whole.
    pub path: String,
    /// What is wrong with it.
    pub problem: JsonProblem,
    /// The line where it was noticed, from 1.
    pub line: usize,
    /// The column where it was noticed, from 1.
    pub column: usize,
}

/// What is wrong with a JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JsonProblem {
    /// It is not JSON; in the words of the parser, with the place.
    Syntax(String),
    /// An object has a key twice.
    KeyTwice,
    /// A number that cannot be kept as it is written.
    NumberTooLarge(String),
    /// Nested too deep.
    TooDeep,
}

impl JsonFault {
    /// Whether the text is not JSON at all, rather than JSON that cannot be taken as it is.
    pub fn is_syntax(&self) -> bool {
        matches!(self.problem, JsonProblem::Syntax(_))
    }
}

/// What is wrong, without the path: `the key comes twice, at line 1 column 20`.
impl fmt::Display for JsonProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JsonProblem::Syntax(reason) => f.write_str(reason),
            JsonProblem::KeyTwice => f.write_str("the key comes twice"),
            JsonProblem::NumberTooLarge(number) if number.contains(['.', 'e', 'E']) => {
                write!(f, "the number {number} is too large")
            }
            JsonProblem::NumberTooLarge(number) => {
                write!(f, "the integer {number} has more than 64 bits; a text in quotes would keep it")
            }
            JsonProblem::TooDeep => write!(f, "nested deeper than {JSON_DEPTH_MAX} levels"),
        }
    }
}

/// ``at `people[1].name`: the key comes twice, at line 1 column 20``.
impl fmt::Display for JsonFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str("at the top: ")?,
            path => write!(f, "at `{path}`: ")?,
        }
        match &self.problem {
            JsonProblem::Syntax(reason) => f.write_str(reason),
            problem => write!(f, "{problem}, at line {} column {}", self.line, self.column),
        }
    }
}

impl std::error::Error for JsonFault {}

/// One step into a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathStep {
    /// Into an object.
    Key(String),
    /// Into an array.
    Index(usize),
}

/// A way into a document, as people write it: `people[1].name`. A long one is cut.
pub fn path_text(steps: &[PathStep]) -> String {
    let mut text = String::new();
    for step in steps {
        match step {
            PathStep::Key(key) if text.is_empty() => text.push_str(key),
            PathStep::Key(key) => text.push_str(&format!(".{key}")),
            PathStep::Index(index) => text.push_str(&format!("[{index}]")),
        }
    }
    shortened(&text)
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}…", &text[..at]),
    }
}

/// Where reading stands.
struct Reader<'t> {
    /// The numbers that are still to come.
    numbers: Numbers<'t>,
    /// The way to the value that is read, or at which reading failed.
    path: Vec<PathStep>,
    /// What was refused although it is JSON.
    refusal: Option<JsonProblem>,
}

impl Reader<'_> {
    fn refuse<E: serde::de::Error>(&mut self, problem: JsonProblem) -> E {
        self.refusal = Some(problem);
        E::custom("refused")
    }

    fn fault(mut self, error: &serde_json::Error) -> JsonFault {
        // Of a number that no floating-point number holds the parser itself says so, before the number was visited.
        let refusal = self.refusal.take().or_else(|| {
            let number = self.numbers.next()?;
            let is_too_large = error.is_syntax() && number.parse::<f64>().is_ok_and(f64::is_infinite);
            is_too_large.then(|| JsonProblem::NumberTooLarge(shortened(number)))
        });
        JsonFault {
            path: path_text(&self.path),
            problem: refusal.unwrap_or_else(|| JsonProblem::Syntax(error.to_string())),
            line: error.line(),
            column: error.column(),
        }
    }

    /// Enters an object or array.
    fn enter<E: serde::de::Error>(&mut self) -> Result<(), E> {
        if self.path.len() >= JSON_DEPTH_MAX { Err(self.refuse(JsonProblem::TooDeep)) } else { Ok(()) }
    }
}

/// Reads one value.
struct One<'r, 't>(&'r mut Reader<'t>);

impl<'de> DeserializeSeed<'de> for One<'_, '_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for One<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        self.0.numbers.next();
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        self.0.numbers.next();
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        match self.0.numbers.next() {
            // To the parser, this one is a floating-point number.
            Some("-0") => Ok(0.into()),
            Some(number) if !number.contains(['.', 'e', 'E']) => {
                Err(self.0.refuse(JsonProblem::NumberTooLarge(shortened(number))))
            }
            _ => Ok(value.into()),
        }
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let reader = self.0;
        reader.enter()?;
        let mut list = Vec::new();
        loop {
            reader.path.push(PathStep::Index(list.len()));
            match items.next_element_seed(One(reader))? {
                Some(item) => list.push(item),
                None => break,
            }
            reader.path.pop();
        }
        reader.path.pop();
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let reader = self.0;
        reader.enter()?;
        let mut object = Map::new();
        while let Some(key) = fields.next_key::<String>()? {
            reader.path.push(PathStep::Key(key.clone()));
            if object.contains_key(&key) {
                return Err(reader.refuse(JsonProblem::KeyTwice));
            }
            let value = fields.next_value_seed(One(reader))?;
            reader.path.pop();
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

/// The numbers of a JSON text as they are written, in their order. In a text that is no JSON it answers anything.
struct Numbers<'t> {
    rest: &'t str,
}

impl<'t> Iterator for Numbers<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        let bytes = self.rest.as_bytes();
        let mut at = 0;
        let mut in_string = false;
        while let Some(&byte) = bytes.get(at) {
            match byte {
                b'\\' if in_string => at += 1,
                b'"' => in_string = !in_string,
                b'-' | b'0'..=b'9' if !in_string => {
                    let number = &self.rest[at..];
                    let is_part = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E');
                    let length = number.find(|c| !is_part(c)).unwrap_or(number.len());
                    self.rest = &number[length..];
                    return Some(&number[..length]);
                }
                _ => {}
            }
            at += 1;
        }
        self.rest = "";
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fault(text: &str) -> String {
        read(text).expect_err(text).to_string()
    }

    #[test]
    fn what_is_plain_json_is_read_as_everybody_reads_it() {
        for text in [
            "null",
            " [1, -2, 2.5, 1e3, \"a\\\"9\\\\\", {\"a\": {\"b\": [true, false, null]}}] ",
            "18446744073709551615",
            "-9223372036854775808",
            "{\"12\": 12, \"\\u0061\": \"-5\"}",
            "0.1",
            "-0.0",
            "[]",
            "{}",
        ] {
            assert_eq!(read(text).expect(text), serde_json::from_str::<Value>(text).expect(text), "{text}");
        }
        assert_eq!(read("-0").expect("a number"), json!(0), "and not -0.0, which no integer is");
    }

    #[test]
    fn a_key_that_comes_twice_is_refused_with_its_place() {
        assert_eq!(fault(r#"{"name":"a","name":"b"}"#), "at `name`: the key comes twice, at line 1 column 18");
        assert_eq!(
            fault("{\"people\": [{}, {\"n\": 1,\n \"\\u006e\": 2}]}"),
            "at `people[1].n`: the key comes twice, at line 2 column 9"
        );
        assert!(read(r#"{"a": {"x": 1}, "b": {"x": 1}}"#).is_ok());
    }

    #[test]
    fn a_number_that_would_be_changed_is_refused_with_its_place() {
        for text in ["18446744073709551616", "-9223372036854775809", "123456789012345678901234567890"] {
            let inside = format!(r#"{{"a": [1, 2.5, "7", {text}, 3]}}"#);
            let said = fault(&inside);
            assert!(said.starts_with(&format!("at `a[3]`: the integer {text} has more than 64 bits")), "{said}");
        }
        assert!(fault("[0.5, 1e400]").starts_with("at `[1]`: the number 1e400 is too large"));
        assert!(fault(&"9".repeat(400)).contains("…"));
    }

    #[test]
    fn what_is_no_json_says_where() {
        let fault = read(r#"{"people": [{"name": "Ada"}, {"name": Bob}]}"#).expect_err("it is not JSON");
        assert!(fault.is_syntax());
        assert_eq!(fault.to_string(), "at `people[1].name`: expected value at line 1 column 39");
        assert!(read("{} {}").expect_err("two").to_string().contains("after its end"));
        assert!(read("").expect_err("nothing").is_syntax());
        assert!(read("[1, 2").expect_err("cut").is_syntax());
    }

    #[test]
    fn nesting_has_a_bound() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(read(&nested(JSON_DEPTH_MAX)).is_ok());
        for depth in [JSON_DEPTH_MAX + 1, 127, 128, 129, 100_000] {
            assert!(fault(&nested(depth)).contains("nested deeper than 64 levels"), "{depth}");
        }
    }
}
