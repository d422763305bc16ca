//! The HTTP interface, asked by clients of every kind.

mod access;
mod attacks;
mod generated;
mod metrics;
mod nouns;
mod serving;
mod streams;
mod tls;
mod tokens;

/// What an ID or a name is in a path.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
