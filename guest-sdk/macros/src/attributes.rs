//! What stands in the brackets of `#[task(…)]`.

use std::time::Duration;

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Expr, Ident, Lit, LitStr, Token};

use crate::values::{self, Errors, JsonValue, literal};

/// A wish that may be "without limit".
pub(crate) enum OrNone<T> {
    None,
    Some(T),
}

/// The waits between attempts. What is not given has a default.
#[derive(Default)]
pub(crate) struct Backoff {
    pub(crate) initial: Option<Duration>,
    pub(crate) max: Option<Duration>,
    pub(crate) factor_percent: Option<u32>,
    pub(crate) jitter_percent: Option<u8>,
}

/// The attributes, each checked.
#[derive(Default)]
pub(crate) struct Attributes {
    pub(crate) name: Option<LitStr>,
    pub(crate) max_running_jobs: Option<OrNone<u32>>,
    pub(crate) misfire_grace_time: Option<OrNone<Duration>>,
    pub(crate) executor: Option<String>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) fuel: Option<u64>,
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) max_attempts: Option<u32>,
    pub(crate) backoff: Option<Backoff>,
    pub(crate) priority: Option<i32>,
    pub(crate) result_ttl: Option<Duration>,
    pub(crate) metadata: Vec<(String, TokenStream)>,
}

const KNOWN: [&str; 12] = [
    "name",
    "max_running_jobs",
    "misfire_grace_time",
    "executor",
    "timeout",
    "fuel",
    "memory",
    "max_attempts",
    "backoff",
    "priority",
    "result_ttl",
    "metadata",
];

/// `name = value`, `name(…)` or, by mistake, a bare `name`.
struct Entry {
    name: Ident,
    value: Value,
}

enum Value {
    Is(Expr),
    List(TokenStream),
    Missing,
}

impl Parse for Entry {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let name: Ident = input.parse()?;
        let value = if input.peek(Token![=]) {
            input.parse::<Token![=]>()?;
            Value::Is(input.parse()?)
        } else if input.peek(syn::token::Paren) {
            let content;
            syn::parenthesized!(content in input);
            Value::List(content.parse()?)
        } else {
            Value::Missing
        };
        Ok(Entry { name, value })
    }
}

/// Reads the attributes.
///
/// # Errors
///
/// All that is wrong with them, each at its place.
pub(crate) fn parse(tokens: TokenStream) -> syn::Result<Attributes> {
    let entries = Punctuated::<Entry, Token![,]>::parse_terminated.parse2(tokens)?;
    let mut attributes = Attributes::default();
    let mut errors = Errors::default();
    let mut seen: Vec<String> = Vec::new();
    for entry in entries {
        let name = entry.name.to_string();
        if seen.contains(&name) {
            errors.add(syn::Error::new(entry.name.span(), format!("`{name}` is given twice")));
            continue;
        }
        errors.keep(attributes.set(&name, &entry));
        seen.push(name);
    }
    errors.finish(attributes)
}

impl Attributes {
    fn set(&mut self, name: &str, entry: &Entry) -> syn::Result<()> {
        match name {
            "name" => self.name = Some(task_name(entry)?),
            "max_running_jobs" => {
                self.max_running_jobs = Some(entry.or_none(|entry| entry.integer(1, u32::MAX.into()))?);
            }
            "misfire_grace_time" => self.misfire_grace_time = Some(entry.or_none(Entry::duration)?),
            "executor" => self.executor = Some(entry.text("the name of a job executor, such as \"wasm\"")?.value()),
            "timeout" => self.timeout = Some(entry.positive_duration()?),
            "fuel" => self.fuel = Some(entry.integer(1, i64::MAX.cast_unsigned().into())?),
            "memory" => self.memory_bytes = Some(entry.size()?),
            "max_attempts" => self.max_attempts = Some(entry.integer(1, 1_000)?),
            "backoff" => self.backoff = Some(backoff(entry)?),
            "priority" => self.priority = Some(entry.integer(i32::MIN.into(), i32::MAX.into())?),
            "result_ttl" => self.result_ttl = Some(entry.duration()?),
            "metadata" => self.metadata = metadata(entry)?,
            _ => return Err(values::unknown(entry.name.span(), "attribute", name, &KNOWN)),
        }
        Ok(())
    }
}

impl Entry {
    fn expr(&self, wanted: &str) -> syn::Result<&Expr> {
        match &self.value {
            Value::Is(expr) => Ok(expr),
            Value::List(_) | Value::Missing => {
                let name = &self.name;
                Err(syn::Error::new(name.span(), format!("`{name}` needs a value: `{name} = …`, where … is {wanted}")))
            }
        }
    }

    fn wrong(&self, expr: &Expr, wanted: &str) -> syn::Error {
        let found = expr.to_token_stream();
        syn::Error::new(expr.span(), format!("`{}` cannot be `{found}`: expected {wanted}", self.name))
    }

    fn text(&self, wanted: &str) -> syn::Result<LitStr> {
        let expr = self.expr(wanted)?;
        match literal(expr) {
            Some((false, Lit::Str(text))) => Ok(text.clone()),
            _ => Err(self.wrong(expr, wanted)),
        }
    }

    fn integer<T: TryFrom<i128>>(&self, min: i128, max: i128) -> syn::Result<T> {
        let wanted = format!("a whole number from {min} to {max}");
        let expr = self.expr(&wanted)?;
        let number = match literal(expr) {
            Some((negative, Lit::Int(number))) => {
                number.base10_parse::<i128>().ok().map(|number| if negative { -number } else { number })
            }
            _ => None,
        };
        let inside = number.filter(|number| (min..=max).contains(number));
        inside.and_then(|number| T::try_from(number).ok()).ok_or_else(|| self.wrong(expr, &wanted))
    }

    fn duration(&self) -> syn::Result<Duration> {
        let wanted = r#"a duration, such as "500ms", "30s", "1h30m" or "2d""#;
        let text = self.text(wanted)?;
        values::duration(&text.value()).ok_or_else(|| {
            syn::Error::new(text.span(), format!("`{}` cannot be {:?}: expected {wanted}", self.name, text.value()))
        })
    }

    fn positive_duration(&self) -> syn::Result<Duration> {
        let duration = self.duration()?;
        if duration.is_zero() {
            return Err(syn::Error::new(self.name.span(), format!("`{}` cannot be zero", self.name)));
        }
        Ok(duration)
    }

    fn size(&self) -> syn::Result<u64> {
        let wanted = r#"a size, such as "64KiB", "64MiB" or "1GiB", or a number of bytes"#;
        let expr = self.expr(wanted)?;
        let size = match literal(expr) {
            Some((false, Lit::Str(text))) => values::size(&text.value()),
            Some((false, Lit::Int(number))) => number.base10_parse().ok(),
            _ => None,
        };
        size.filter(|size| *size > 0).ok_or_else(|| self.wrong(expr, wanted))
    }

    fn or_none<T>(&self, some: impl FnOnce(&Self) -> syn::Result<T>) -> syn::Result<OrNone<T>> {
        match &self.value {
            Value::Is(Expr::Path(path)) if path.path.is_ident("none") => Ok(OrNone::None),
            _ => match some(self) {
                Ok(value) => Ok(OrNone::Some(value)),
                Err(error) => Err(syn::Error::new(error.span(), format!("{error}, or `none` for no limit"))),
            },
        }
    }

    fn list(&self, example: &str) -> syn::Result<Punctuated<Entry, Token![,]>> {
        match &self.value {
            Value::List(tokens) => Punctuated::parse_terminated.parse2(tokens.clone()),
            Value::Is(_) | Value::Missing => {
                Err(syn::Error::new(self.name.span(), format!("`{}` takes a list: `{example}`", self.name)))
            }
        }
    }
}

fn task_name(entry: &Entry) -> syn::Result<LitStr> {
    let name = entry.text("the task's name, such as \"copy-files\"")?;
    check_name(&name.value()).map_err(|fault| syn::Error::new(name.span(), fault))?;
    Ok(name)
}

/// The rule for task names, which the host has too.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let good = (1..=64).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(allowed);
    if good {
        return Ok(());
    }
    Err(format!(
        "{name:?} cannot be the name of a task: use 1 to 64 of A-Z, a-z, 0-9, `.`, `_` and `-`, beginning with a letter or a digit"
    ))
}

fn backoff(entry: &Entry) -> syn::Result<Backoff> {
    if matches!(entry.value, Value::Is(_)) {
        return Ok(Backoff { initial: Some(entry.duration()?), ..Backoff::default() });
    }
    let mut backoff = Backoff::default();
    let mut errors = Errors::default();
    for part in entry.list(r#"backoff(initial = "1s", max = "10m", factor = 2.0, jitter = 0.1)"#)? {
        match part.name.to_string().as_str() {
            "initial" => backoff.initial = errors.keep(part.duration()),
            "max" => backoff.max = errors.keep(part.duration()),
            "factor" => backoff.factor_percent = errors.keep(percent(&part, 1.0, 100.0)),
            "jitter" => {
                backoff.jitter_percent = errors.keep(percent(&part, 0.0, 1.0)).and_then(|one| u8::try_from(one).ok());
            }
            other => {
                let known = ["initial", "max", "factor", "jitter"];
                errors.add(values::unknown(part.name.span(), "part of `backoff`", other, &known));
            }
        }
    }
    errors.finish(backoff)
}

/// A factor such as 1.5 as whole percents.
fn percent(entry: &Entry, min: f64, max: f64) -> syn::Result<u32> {
    let wanted = format!("a number from {min:.1} to {max:.1}");
    let expr = entry.expr(&wanted)?;
    let number: Option<f64> = match literal(expr) {
        Some((false, Lit::Float(number))) => number.base10_parse().ok(),
        Some((false, Lit::Int(number))) => number.base10_parse().ok(),
        _ => None,
    };
    let inside = number.filter(|number| (min..=max).contains(number)).ok_or_else(|| entry.wrong(expr, &wanted))?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it lies between 0 and 10,000")]
    Ok((inside * 100.0).round() as u32)
}

fn metadata(entry: &Entry) -> syn::Result<Vec<(String, TokenStream)>> {
    let example = r#"metadata(owner = "ops", tier = 2)"#;
    let Value::List(tokens) = &entry.value else {
        return Err(syn::Error::new(entry.name.span(), format!("`metadata` takes a list: `{example}`")));
    };
    let pairs = Punctuated::<Pair, Token![,]>::parse_terminated.parse2(tokens.clone())?;
    let mut list: Vec<(String, TokenStream)> = Vec::new();
    for pair in pairs {
        let (key, span) = pair.key;
        if list.iter().any(|(other, _)| *other == key) {
            return Err(syn::Error::new(span, format!("`{key}` is given twice")));
        }
        list.push((key, pair.value.tokens));
    }
    Ok(list)
}

/// One of the metadata: `key = value`, where a key that is no identifier stands in quotes.
struct Pair {
    key: (String, proc_macro2::Span),
    value: JsonValue,
}

impl Parse for Pair {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let key = if input.peek(LitStr) {
            let key: LitStr = input.parse()?;
            (key.value(), key.span())
        } else {
            let key: Ident = input.parse()?;
            (key.to_string(), key.span())
        };
        input.parse::<Token![=]>()?;
        Ok(Pair { key, value: input.parse()? })
    }
}
