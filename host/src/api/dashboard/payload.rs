//! Arguments and results as people read them.

use crate::model::{Encoding, Payload};
use crate::wire::payload_value;

/// Most bytes of a payload, or of an error, that a page shows.
pub(super) const SHOWN_BYTES_MAX: usize = 64 * 1024;

/// A text for a page, and whether it is whole.
pub(super) struct Shown {
    pub(super) text: String,
    pub(super) is_cut: bool,
}

impl Shown {
    pub(super) fn of(mut text: String) -> Shown {
        let is_cut = text.len() > SHOWN_BYTES_MAX;
        if is_cut {
            text.truncate(text.floor_char_boundary(SHOWN_BYTES_MAX));
        }
        Shown { text, is_cut }
    }

    /// A payload as JSON with line breaks. Numbers are shown as they were written, however many digits they have.
    pub(super) fn payload(payload: &Payload) -> Shown {
        let text = match (payload_value(payload), payload.encoding) {
            (Err(fault), _) => fault,
            (Ok(_), Encoding::Json) => String::from_utf8_lossy(&payload.data).into_owned(),
            (Ok(value), Encoding::Cbor) => value.to_string(),
        };
        Shown::json(&text)
    }

    /// JSON with line breaks.
    pub(super) fn json(text: &str) -> Shown {
        Shown::of(indented(text))
    }
}

/// JSON with a line for each value. What stands between quotes, and every number, is left as it is.
fn indented(json: &str) -> String {
    let mut text = String::with_capacity(json.len() * 2);
    let (mut depth, mut is_quoted, mut is_escaped) = (0_usize, false, false);
    let mut chars = json.chars().filter(|c| *c != '\r').peekable();
    while let Some(c) = chars.next() {
        if is_quoted {
            text.push(c);
            is_quoted = is_escaped || c != '"';
            is_escaped = !is_escaped && c == '\\';
            continue;
        }
        match c {
            '"' => {
                is_quoted = true;
                text.push(c);
            }
            '{' | '[' => {
                text.push(c);
                while chars.next_if(|next| next.is_ascii_whitespace()).is_some() {}
                match chars.next_if(|next| matches!(next, '}' | ']')) {
                    Some(end) => text.push(end),
                    None => {
                        depth += 1;
                        break_line(&mut text, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                break_line(&mut text, depth);
                text.push(c);
            }
            ',' => {
                text.push(c);
                break_line(&mut text, depth);
            }
            ':' => text.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => text.push(c),
        }
    }
    text
}

/// No deeper than somebody reads: a text of brackets alone would otherwise grow with the square of its length.
fn break_line(text: &mut String, depth: usize) {
    const DEPTH_SHOWN_MAX: usize = 20;
    text.push('\n');
    (0..depth.min(DEPTH_SHOWN_MAX)).for_each(|_| text.push_str("  "));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_gets_lines_and_keeps_every_digit_and_every_text() {
        let json = r#"{"n":123456789012345678901234567890.10, "s":"a,{\"b\":[\\", "e":[ ],"l":[1,{}]}"#;
        let lines = [
            "{",
            "  \"n\": 123456789012345678901234567890.10,",
            r#"  "s": "a,{\"b\":[\\","#,
            "  \"e\": [],",
            "  \"l\": [",
            "    1,",
            "    {}",
            "  ]",
            "}",
        ];
        assert_eq!(indented(json), lines.join("\n"));
    }

    #[test]
    fn brackets_do_not_grow_with_the_square_of_their_number() {
        assert!(indented(&"[".repeat(10_000)).len() < 10_000 * 50);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let shown = Shown::of("\u{fc}".repeat(SHOWN_BYTES_MAX));
        assert!(shown.is_cut && shown.text.len() <= SHOWN_BYTES_MAX && shown.text.ends_with('\u{fc}'));
    }
}
