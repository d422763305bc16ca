//! What stands to the right of an equals sign, and help for what is wrong there.

use std::time::Duration;

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::{Expr, ExprLit, ExprUnary, Lit, UnOp};

/// Collects errors, so that all of them are reported at once.
#[derive(Default)]
pub(crate) struct Errors(Option<syn::Error>);

impl Errors {
    pub(crate) fn add(&mut self, error: syn::Error) {
        match &mut self.0 {
            Some(errors) => errors.combine(error),
            None => self.0 = Some(error),
        }
    }

    /// The value, or what went wrong with it, which is kept.
    pub(crate) fn keep<T>(&mut self, result: syn::Result<T>) -> Option<T> {
        result.map_err(|error| self.add(error)).ok()
    }

    pub(crate) fn finish<T>(self, value: T) -> syn::Result<T> {
        self.0.map_or(Ok(value), Err)
    }
}

/// A duration such as `500ms`, `30s`, `1h30m`, `2d`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let unit_end = rest[digits..].find(|c: char| !c.is_ascii_alphabetic()).map_or(rest.len(), |end| digits + end);
        let unit_ms = match &rest[digits..unit_end] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total = total.checked_add(Duration::from_millis(number.checked_mul(unit_ms)?))?;
        rest = rest[unit_end..].trim_start();
    }
    Some(total)
}

/// A size in bytes such as `64KiB`, `64 MiB`, `1GiB`, `4096`.
pub(crate) fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit: u64 = match text[digits..].trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// A literal, perhaps with a minus sign.
pub(crate) fn literal(expr: &Expr) -> Option<(bool, &Lit)> {
    match expr {
        Expr::Lit(ExprLit { lit, .. }) => Some((false, lit)),
        Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr, .. }) => match expr.as_ref() {
            Expr::Lit(ExprLit { lit: lit @ (Lit::Int(_) | Lit::Float(_)), .. }) => Some((true, lit)),
            _ => None,
        },
        _ => None,
    }
}

/// A value written as in JSON: `"x"`, `-1.5`, `true`, `null`, `[1, 2]`, `{"a": 1}`. The elements are checked by
/// `serde_json::json!`, which the expansion hands them to.
pub(crate) struct JsonValue {
    pub(crate) tokens: TokenStream,
}

impl Parse for JsonValue {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if input.peek(syn::token::Brace) || input.peek(syn::token::Bracket) {
            let group: proc_macro2::TokenTree = input.parse()?;
            return Ok(JsonValue { tokens: quote!(#group) });
        }
        let expr: Expr = input.parse()?;
        let null = matches!(&expr, Expr::Path(path) if path.path.is_ident("null"));
        if null || literal(&expr).is_some() {
            return Ok(JsonValue { tokens: quote!(#expr) });
        }
        Err(syn::Error::new_spanned(
            expr,
            r#"expected a value as in JSON: "text", 1, -1.5, true, null, [...] or {...}"#,
        ))
    }
}

/// An error for an unknown name: the ones there are, and the nearest of them if one is near.
pub(crate) fn unknown(span: Span, what: &str, name: &str, known: &[&str]) -> syn::Error {
    let mut message = format!("unknown {what} `{name}`");
    if let Some(near) = nearest(name, known) {
        message.push_str(&format!(", did you mean `{near}`?"));
    }
    let list: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
    message.push_str(&format!("\n  there are: {}", list.join(", ")));
    syn::Error::new(span, message)
}

/// The known name that needs the fewest edits, if it needs no more than a third of its length.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let best = known.iter().map(|&one| (distance(name, one), one)).min()?;
    (best.0 <= best.1.len().div_ceil(3)).then_some(best.1)
}

/// Insertions, deletions and replacements that lead from one text to the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(left != *right);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_add_up_their_parts() {
        for (text, ms) in
            [("500ms", 500), ("30s", 30_000), ("1h30m", 5_400_000), ("2d", 172_800_000), ("1m 1s", 61_000)]
        {
            assert_eq!(duration(text), Some(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "5", "s", "1x", "-1s", "1.5s", "99999999999999999999s", "18446744073709551615d"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_count_in_powers_of_two() {
        for (text, bytes) in [("4096", 4096), ("64KiB", 65_536), ("64 MiB", 67_108_864), ("1GiB", 1_073_741_824)] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in ["", "MiB", "1MB", "-1", "1.5MiB", "99999999999GiB"] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    #[test]
    fn a_near_name_is_suggested_and_a_far_one_is_not() {
        let known = ["timeout", "fuel", "max_attempts"];
        assert_eq!(nearest("time_out", &known), Some("timeout"));
        assert_eq!(nearest("max_attempt", &known), Some("max_attempts"));
        assert_eq!(nearest("colour", &known), None);
    }
}
