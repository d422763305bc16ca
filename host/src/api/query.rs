//! The parameters of a request.

use super::problem::Problem;
use super::route::Spec;

/// Looks at what stands after the question mark. Parameters that the route does not know are refused: a filter with a slip of the pen in its
/// name would otherwise pass everything.
pub(super) fn check(text: &str, spec: &Spec) -> Result<(), Problem> {
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decoded(name)?;
        decoded(value)?;
        if !spec.query.iter().any(|(known, _)| *known == name) {
            let known: Vec<_> = spec.query.iter().map(|(known, _)| format!("`{known}`")).collect();
            let hint = match known.is_empty() {
                true => "this takes none".to_owned(),
                false => format!("this takes {}", known.join(", ")),
            };
            return Err(Problem::bad_request(format!("there is no parameter `{name}`")).with_hint(hint));
        }
    }
    Ok(())
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
    use axum::http::Method;

    use super::super::route::{Access, Body};
    use super::*;

    #[test]
    fn values_are_decoded_and_unknown_names_refused() {
        let query = &[("state", ""), ("limit", "")];
        let (method, access) = (Method::GET, Access::Public);
        let spec = Spec { method, path: "/", access, about: "", query, body: Body::None };
        assert!(check("state=a%2Fb+c%C3%A9&limit=10", &spec).is_ok());
        for text in ["stat=1", "state=%", "state=%4", "state=%zz", "state=%ff", "=1"] {
            assert!(check(text, &spec).is_err(), "{text}");
        }
        assert_eq!(decoded("a%2Fb+c%C3%A9").ok().as_deref(), Some("a/b c\u{e9}"));
    }
}
