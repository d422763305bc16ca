//! Lists, page by page.

use std::fmt::Display;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Serialize;

use super::super::call::{Answered, answer};
use super::super::problem::Problem;
use super::super::query::Query;
use crate::model::limits::PAGE_ROWS_MAX;
use crate::store::Unreadable;

/// The parameters of every list.
pub(super) const LIMIT: (&str, &str) = ("limit", "at most this many, 1 to 1000 [default: 100]");
pub(super) const CURSOR: (&str, &str) = ("cursor", "go on where the page that told this ended");

/// How many rows a page has where nothing is said.
const ROWS: usize = 100;

/// How many rows were asked for.
pub(super) fn limit(query: &Query) -> Result<usize, Problem> {
    let read = |text: &str| match text.parse() {
        Ok(count @ 1..=PAGE_ROWS_MAX) => Ok(count),
        _ => Err(format!("it is a number from 1 to {PAGE_ROWS_MAX}")),
    };
    Ok(query.read_with("limit", read)?.unwrap_or(ROWS))
}

/// The place after which the list goes on. Clients are told nothing about what is in a cursor, so that it may become something else.
pub(super) fn cursor<T: FromStr<Err: Display>>(query: &Query) -> Result<Option<T>, Problem> {
    let Some(text) = query.one("cursor")? else { return Ok(None) };
    let bytes = text.as_bytes().chunks(2).map(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
    let place = bytes.collect::<Option<Vec<u8>>>().and_then(|bytes| String::from_utf8(bytes).ok());
    let place = place.and_then(|place| place.parse().ok());
    place.map(Some).ok_or_else(|| {
        Problem::bad_request(format!("`{text}` is no cursor of this list"))
            .with_hint("take the `next` of an answer, or leave `cursor` out to begin at the beginning")
    })
}

/// A page as it is answered.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PageOf{T}")]
pub(super) struct Page<T> {
    items: T,
    /// The cursor of the next page; `null` at the end.
    next: Option<String>,
    /// What is stored and cannot be read.
    unreadable: Vec<UnreadableRow>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Unreadable")]
struct UnreadableRow {
    id: String,
    reason: String,
}

/// Answers a page.
pub(super) fn page(items: &impl Serialize, next: Option<&str>, unreadable: &[Unreadable]) -> Answered {
    let row = |row: &Unreadable| UnreadableRow { id: row.id.clone(), reason: row.defect.to_string() };
    answer(&Page {
        items,
        next: next.map(|place| place.bytes().map(|byte| format!("{byte:02x}")).collect()),
        unreadable: unreadable.iter().map(row).collect(),
    })
}
