//! Where answers go: tables for people, JSON for programs, and nothing that a guest wrote reaches a terminal unchecked.

use std::borrow::Cow;
use std::io::{self, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::store::Unreadable;
pub(super) use crate::words::{plural, short, shortened, time, time_or_dash};

/// The two places a command writes to: the answer, and everything else.
pub(super) struct Output {
    out: Box<dyn Write + Send>,
    notes: Box<dyn Write + Send>,
    /// Whether the answer is to be JSON.
    pub(super) json: bool,
    quiet: bool,
}

impl Output {
    pub(super) fn new(json: bool, quiet: bool) -> Output {
        Output { out: Box::new(io::stdout()), notes: Box::new(io::stderr()), json, quiet }
    }

    /// A line of the answer.
    pub(super) fn line(&mut self, line: &str) -> io::Result<()> {
        self.own_text(&printable(line))
    }

    /// Text that is this program's own and no one else's, as it is: a script, a statement of several lines.
    pub(super) fn own_text(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    /// The answer as JSON, on one line.
    pub(super) fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_string(value).map_err(io::Error::other)?;
        self.own_text(&escape_invisible(&text))
    }

    /// The answer as a table; its head is left out with nothing below it.
    pub(super) fn table(&mut self, head: &[&str], rows: Vec<Vec<String>>) -> io::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(head.to_vec());
        for row in rows {
            table.add_row(row.iter().map(|cell| printable(cell).into_owned()).collect::<Vec<_>>());
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        for line in table.lines() {
            writeln!(self.out, "{}", line.trim_end())?;
        }
        self.out.flush()
    }

    /// The answer as names and values, one pair a line; further lines of a value are indented.
    pub(super) fn pairs(&mut self, pairs: &[(&str, String)]) -> io::Result<()> {
        let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 2;
        for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
            for (at, line) in value.lines().enumerate() {
                let name = if at == 0 { format!("{name}:") } else { String::new() };
                writeln!(self.out, "{name:width$}{}", printable(line))?;
            }
        }
        self.out.flush()
    }

    /// A warning for each of these that cannot be read.
    pub(super) fn unreadable(&mut self, kind: &str, rows: &[Unreadable]) -> io::Result<()> {
        rows.iter()
            .try_for_each(|row| self.note(&format!("warning: {kind} `{}` is unreadable: {}", row.id, row.defect)))
    }

    /// A question to whoever sits at the terminal, without a line end.
    pub(super) fn question(&mut self, question: &str) -> io::Result<()> {
        write!(self.notes, "{}", printable(question))?;
        self.notes.flush()
    }

    /// A word beside the answer, unless the user wants silence.
    pub(super) fn note(&mut self, note: &str) -> io::Result<()> {
        if self.quiet { Ok(()) } else { writeln!(self.notes, "{}", printable(note)) }
    }
}

/// `text` without what a terminal would obey instead of show: control characters (C0, C1, DEL), and the characters that turn the direction
/// of writing. Line breaks and tabs become blanks, so that one value stays on one line.
///
/// Everything that people read passes through here: what a guest says, what is named by others, and the host's own words around it.
///
/// Nothing else is taken away, but for colours and the like, which are removed as a whole. A sequence that goes on until it is closed (a
/// title, a link) loses the character that opens it, and its text is shown: whoever took out what is between opening and closing would,
/// where one text opens and another closes, take out the host's words as well.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' if chars.as_str().starts_with('[') => skip_sequence(&mut chars, 1),
            // The one-character form of the same.
            '\u{9b}' => skip_sequence(&mut chars, 0),
            '\n' | '\t' | '\u{2028}' | '\u{2029}' => clean.push(' '),
            c if is_obeyed(c) => {}
            c => clean.push(c),
        }
    }
    Cow::Owned(clean)
}

fn is_obeyed(c: char) -> bool {
    c.is_control() || is_bidi(c) || is_line_separator(c)
}

fn is_bidi(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn is_line_separator(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

/// Skips the rest of a control sequence that is whole: so many characters, parameters, and a letter that ends it. Nothing of one that is not,
/// or has parameters that could be words.
fn skip_sequence(chars: &mut std::str::Chars<'_>, introducer: usize) {
    /// Longest parameters. A colour has twenty characters.
    const PARAMETERS_MAX: usize = 32;
    let sequence = &chars.as_str()[introducer..];
    let parameters = sequence.bytes().take_while(|byte| byte.is_ascii_digit() || b";?".contains(byte)).count();
    let is_whole = sequence.as_bytes().get(parameters).is_some_and(u8::is_ascii_alphabetic);
    if is_whole && parameters <= PARAMETERS_MAX {
        // All of them are ASCII, so characters are bytes.
        chars.nth(introducer + parameters);
    }
}

/// JSON text in which DEL, C1 and direction-turning characters are escaped. They can stand only inside of strings, where an escape means the same.
fn escape_invisible(json: &str) -> Cow<'_, str> {
    if !json.chars().any(is_obeyed) {
        return Cow::Borrowed(json);
    }
    let mut escaped = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_obeyed(c) {
            escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_would_obey_passes() {
        for (raw, shown) in [
            ("plain ü 漢", "plain ü 漢"),
            ("\u{1b}[31mred\u{1b}[0m \u{1b}[38;5;196m\u{1b}[1;4mbold\u{1b}[m", "red bold"),
            ("\u{1b}[?25lhidden\u{9b}2Jcleared", "hiddencleared"),
            ("\u{1b}]0;owned\u{7}title", "]0;ownedtitle"),
            ("\u{1b}]8;;http://evil\u{1b}\\link", "]8;;http://evil\\link"),
            ("\u{1b}(Bset", "(Bset"),
            ("a\u{8}\u{0}\u{7f}\u{85}b", "ab"),
            ("user\u{202e}txt.exe\u{2066}", "usertxt.exe"),
            ("two\nlines\tand a tab\r, three\u{2028}", "two lines and a tab, three "),
            ("\u{1b}", ""),
            ("\u{1b}[", "["),
            ("\u{9b}ü", "ü"),
        ] {
            assert_eq!(printable(raw), shown, "{raw:?}");
        }
    }

    #[test]
    fn a_sequence_that_is_left_open_swallows_nothing_of_what_comes_after_it() {
        for open in [
            "\u{1b}]0;",
            "\u{1b}P",
            "\u{1b}_",
            "\u{1b}^",
            "\u{1b}X",
            "\u{9d}0;",
            "\u{90}",
            "\u{1b}[",
            "\u{1b}[31",
            "\u{9b}1;",
        ] {
            // As a log line is put together: one guest's word opens, the host's come, another of the guest's closes.
            let shown = printable(&format!("INFO {open}: a message name=value\u{7}")).into_owned();
            assert!(shown.starts_with("INFO ") && shown.ends_with(": a message name=value"), "{open:?}: {shown}");
        }
    }

    #[test]
    fn json_for_a_terminal_is_the_same_json() {
        let value = serde_json::json!({"text": "a\u{9b}b\u{202e}c\u{7f}"});
        let text = value.to_string();
        let escaped = escape_invisible(&text);
        assert!(!escaped.chars().any(is_obeyed), "{escaped:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).expect("still JSON"), value);
    }
}
