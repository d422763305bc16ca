//! Texts in pages and in addresses.

use std::fmt;

use askama::filters::HtmlSafe;

use crate::model::{Timestamp, unseen_character};
use crate::words;

/// A part of an address: everything but letters, digits, `-` and `_` is percent-encoded.
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// HTML in which every character shows: one that does not, or that changes how others do, gives way to its number.
///
/// It looks at the page as a whole, so that no place can be forgotten. Line breaks and tabs stay, which HTML takes for blanks.
pub(super) fn visible(html: String) -> String {
    if html.chars().all(is_plain) {
        return html;
    }
    let mut shown = String::with_capacity(html.len() + 64);
    for c in html.chars() {
        if is_plain(c) {
            shown.push(c);
        } else {
            shown.push_str(&format!("\u{27e8}U+{:04X}\u{27e9}", u32::from(c)));
        }
    }
    shown
}

fn is_plain(c: char) -> bool {
    matches!(c, '\n' | '\t' | ' '..='~') || unseen_character(c.encode_utf8(&mut [0; 4])).is_none()
}

/// A time, for a template: in UTC, and as a script needs it to show the reader's own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment(pub(super) Option<Timestamp>);

impl From<Timestamp> for Moment {
    fn from(at: Timestamp) -> Moment {
        Moment(Some(at))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(at) => write!(f, "<time datetime=\"{at}\">{}</time>", words::time(at)),
            None => f.write_str("\u{2013}"),
        }
    }
}

/// A time has no characters that HTML obeys.
impl HtmlSafe for Moment {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_an_address_has_nothing_that_an_address_obeys() {
        assert_eq!(encoded("a-b_9"), "a-b_9");
        assert_eq!(encoded("../a b?c#d&e=%f\u{e9}"), "%2E%2E%2Fa%20b%3Fc%23d%26e%3D%25f%C3%A9");
    }

    #[test]
    fn what_does_not_show_is_shown_by_its_number() {
        assert_eq!(
            visible("a\u{202e}b\u{1b}[0m\n\tc".to_owned()),
            "a\u{27e8}U+202E\u{27e9}b\u{27e8}U+001B\u{27e9}[0m\n\tc"
        );
        assert_eq!(visible("plain \u{fc} \u{6f22}".to_owned()), "plain \u{fc} \u{6f22}");
    }
}
