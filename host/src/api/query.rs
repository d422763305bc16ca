//! The parameters of a request.

use std::fmt::Display;
use std::str::FromStr;

use super::problem::Problem;
use super::route::Spec;

/// The parameters of a request, each of them one that its route knows.
#[derive(Debug, Default)]
pub(super) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// What stands after the question mark. Parameters that the route does not know are refused: a filter with a slip of the pen in its name
    /// would otherwise pass everything.
    pub(super) fn read(text: &str, spec: &Spec) -> Result<Query, Problem> {
        let mut pairs = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name)?, decoded(value)?);
            if !spec.query.iter().any(|(known, _)| *known == name) {
                let known: Vec<_> = spec.query.iter().map(|(known, _)| format!("`{known}`")).collect();
                let hint = match known.is_empty() {
                    true => "this takes none".to_owned(),
                    false => format!("this takes {}", known.join(", ")),
                };
                return Err(Problem::bad_request(format!("there is no parameter `{name}`")).with_hint(hint));
            }
            pairs.push((name, value));
        }
        Ok(Query { pairs })
    }

    /// All values of a parameter, in order.
    pub(super) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter that is there once at most.
    pub(super) fn one(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values = self.all(name);
        let first = values.next();
        match values.next() {
            None => Ok(first),
            Some(_) => Err(Problem::bad_request(format!("the parameter `{name}` is there twice"))),
        }
    }

    /// The same, read.
    pub(super) fn parsed<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>, Problem> {
        self.read_with(name, |text| text.parse().map_err(|error: T::Err| error.to_string()))
    }

    /// The same, read in that way.
    pub(super) fn read_with<T, E: Display>(
        &self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, Problem> {
        self.one(name)?.map(|text| read(text).map_err(|error| fault(name, text, &error))).transpose()
    }

    /// Whether a parameter is there and is not `false`.
    pub(super) fn is_set(&self, name: &str) -> Result<bool, Problem> {
        let read = |text: &str| match text {
            "" | "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("it is `true` or `false`"),
        };
        Ok(self.read_with(name, read)?.unwrap_or(false))
    }
}

/// A parameter's value that is not taken.
fn fault(name: &str, text: &str, error: &dyn Display) -> Problem {
    Problem::bad_request(format!("the parameter `{name}` cannot be `{text}`: {error}"))
}

/// Percent-decoded, with `+` for a blank, as forms have it.
pub(super) fn decoded(text: &str) -> Result<String, Problem> {
    let refused = || Problem::bad_request(format!("`{text}` is not percent-encoded UTF-8"));
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
                let value = digit().zip(digit()).map(|(high, low)| high * 16 + low);
                value.and_then(|value| u8::try_from(value).ok()).ok_or_else(refused)?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| refused())
}

#[cfg(test)]
mod tests {
    use super::super::route::{Access, Route};
    use super::*;

    fn read(text: &str) -> Result<Query, Problem> {
        let query = &[("state", ""), ("limit", ""), ("wait", "")];
        let handler = async || ();
        Query::read(text, &Route::get("/", Access::Public, "", handler).query(query).spec)
    }

    #[test]
    fn values_are_decoded_and_unknown_names_refused() {
        let query = read("state=a%2Fb+c%C3%A9&limit=10&wait").expect("valid");
        assert_eq!(query.one("state").expect("once"), Some("a/b c\u{e9}"));
        assert_eq!(query.parsed::<usize>("limit").expect("a number"), Some(10));
        assert!(query.is_set("wait").expect("a flag"));
        for text in ["stat=1", "state=%", "state=%4", "state=%zz", "state=%ff", "=1"] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(read("state=a&state=b").expect("valid").one("state").is_err());
        assert!(read("limit=ten").expect("valid").parsed::<usize>("limit").is_err());
    }
}
