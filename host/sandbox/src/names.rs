//! The names that a component gives its functions, made small before anything works on them.
//!
//! Names belong to the author, and backtraces show them. A million of them, one of megabytes, or a mangled one that stands for gigabytes
//! must not become work at the time of a trap. So they are bounded once, before compilation: what is too long is written out and cut, and
//! what is too much is left out. Frames without a name are shown by their index.
//!
//! A section of names keeps its length, and everything behind it its offset: the offsets in a backtrace are those of the author's file, for
//! tools that find the line of an offset.

use std::fmt::{self, Write as _};
use std::ops::Range;

use wasmparser::{BinaryReader, Name, NameSectionReader, Naming, Parser, Payload};

/// Longest name of a function or module that is handed to the compiler, in bytes. Names of generic functions reach it.
const NAME_BYTES_MAX: usize = 512;
/// What a longer one is cut to, in bytes. Less than the limit by more than the filler of a section needs.
const CUT_NAME_BYTES: usize = 480;
/// Most bytes of names in one component. The largest interpreters that are compiled to WebAssembly have a fifth of it.
const NAMES_BYTES_MAX: usize = 8 << 20;
/// What a name costs besides its bytes.
const NAME_BYTES_EXTRA: usize = 16;

/// Bounds the names of all functions in `component`, in place.
pub(super) fn bound(component: &mut [u8]) {
    let mut left = NAMES_BYTES_MAX;
    for (range, section) in sections(component, &mut left) {
        component[range].copy_from_slice(&section);
    }
}

/// The sections of names that must be replaced, and what by. Where a component is damaged, the rest is left to validation.
fn sections(component: &[u8], left: &mut usize) -> Vec<(Range<usize>, Vec<u8>)> {
    let mut replaced = Vec::new();
    for payload in Parser::new(0).parse_all(component) {
        let Ok(payload) = payload else { break };
        if let Payload::CustomSection(section) = payload
            && section.name() == "name"
            && let Some(bounded) = bounded_section(section.data(), left)
        {
            let start = section.data_offset();
            replaced.push((start..start + section.data().len(), bounded));
        }
    }
    replaced
}

/// A section of the same length with bounded names; `None` if the names in `data` are within bounds as they are.
fn bounded_section(data: &[u8], left: &mut usize) -> Option<Vec<u8>> {
    let mut names = Names::default();
    let is_readable = names.read(data, left).is_ok();
    if is_readable && names.is_whole {
        return None;
    }
    // A section that cannot be read is replaced as a whole: the compiler would take the names before the fault.
    let section = if is_readable { names.section() } else { Vec::new() };
    Some(filled(section, data.len()))
}

#[derive(Default)]
struct Names {
    module: Option<String>,
    functions: Vec<(u32, String)>,
    /// Whether every name is here as it was.
    is_whole: bool,
}

impl Names {
    fn read(&mut self, data: &[u8], left: &mut usize) -> wasmparser::Result<()> {
        self.is_whole = true;
        for part in NameSectionReader::new(BinaryReader::new(data, 0)) {
            match part? {
                Name::Module { name, .. } => self.module = Some(self.bounded(name).into_owned()),
                Name::Function(names) => {
                    for naming in names {
                        let Naming { index, name } = naming?;
                        let name = self.bounded(name);
                        let cost = name.len() + NAME_BYTES_EXTRA;
                        if cost > *left {
                            self.is_whole = false;
                            *left = 0;
                        } else {
                            *left -= cost;
                            self.functions.push((index, name.into_owned()));
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn bounded<'a>(&mut self, name: &'a str) -> std::borrow::Cow<'a, str> {
        if name.len() <= NAME_BYTES_MAX {
            return name.into();
        }
        self.is_whole = false;
        demangled(name, CUT_NAME_BYTES).into()
    }

    /// The contents of a section with the name of the module and those of the functions.
    fn section(&self) -> Vec<u8> {
        const MODULE: u8 = 0;
        const FUNCTIONS: u8 = 1;
        let mut section = Vec::new();
        if let Some(name) = &self.module {
            let mut content = Vec::new();
            push_bytes(&mut content, name.as_bytes());
            section.push(MODULE);
            push_bytes(&mut section, &content);
        }
        let mut content = Vec::new();
        push_number(&mut content, self.functions.len());
        for (index, name) in &self.functions {
            push_number(&mut content, *index as usize);
            push_bytes(&mut content, name.as_bytes());
        }
        section.push(FUNCTIONS);
        push_bytes(&mut section, &content);
        section
    }
}

/// `section` with a part behind it that means nothing, so that it has `length` bytes. Where there is no room for that, all of it is such a part.
fn filled(mut section: Vec<u8>, length: usize) -> Vec<u8> {
    /// A kind of part that no version of the format knows.
    const FILLER: u8 = 0x7f;
    /// The kind, and the longest form of a length.
    const HEAD_BYTES: usize = 6;
    if section.len() == length {
        return section;
    }
    if section.len() + HEAD_BYTES > length {
        section.clear();
    }
    let Some(rest) = length.checked_sub(section.len() + HEAD_BYTES) else {
        // Five bytes hold no name that is worth a word.
        return vec![0; length];
    };
    section.push(FILLER);
    // A number of 32 bits in five groups of seven, also where fewer would do.
    section.extend((0..5).map(|group| {
        let bits = low_bits(rest >> (7 * group));
        if group < 4 { bits | 0x80 } else { bits }
    }));
    section.resize(length, 0);
    section
}

fn push_number(to: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        to.push(low_bits(number) | 0x80);
        number >>= 7;
    }
    to.push(low_bits(number));
}

/// The lowest seven bits, which are what one byte of a number in LEB128 carries.
fn low_bits(number: usize) -> u8 {
    number.to_le_bytes()[0] & 0x7f
}

fn push_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    push_number(to, bytes.len());
    to.extend_from_slice(bytes);
}

/// A function's name for people: that of a Rust function written out, any other as it is, and no more than `bytes_max` of it.
///
/// A short mangled name can stand for a very long one. Writing it out ends where the room does.
pub(super) fn demangled(name: &str, bytes_max: usize) -> String {
    let mut text = Bounded::new(bytes_max);
    // An error says that there was no room for all of it.
    let _cut = match rustc_demangle::try_demangle(name) {
        Ok(name) => write!(text, "{name:#}"),
        Err(_no_rust_name) => text.write_str(name),
    };
    text.finish()
}

/// Text that takes no more than it has room for. Whoever writes more is told by an error, and the text ends with a mark.
pub(super) struct Bounded {
    text: String,
    bytes_max: usize,
    is_cut: bool,
}

impl Bounded {
    const MARK: char = '…';

    pub(super) fn new(bytes_max: usize) -> Bounded {
        Bounded { text: String::new(), bytes_max: bytes_max.saturating_sub(Bounded::MARK.len_utf8()), is_cut: false }
    }

    pub(super) fn finish(mut self) -> String {
        if self.is_cut {
            self.text.push(Bounded::MARK);
        }
        self.text
    }
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes_max.saturating_sub(self.text.len());
        if self.is_cut || text.len() > room {
            if !self.is_cut {
                self.text.push_str(&text[..text.floor_char_boundary(room)]);
            }
            self.is_cut = true;
            return Err(fmt::Error);
        }
        self.text.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contents of a section of names.
    fn section(names: &[(u32, &str)]) -> Vec<u8> {
        let functions = names.iter().map(|(index, name)| (*index, (*name).to_owned())).collect();
        Names { module: Some("m".to_owned()), functions, is_whole: true }.section()
    }

    fn read(section: &[u8]) -> Vec<(u32, String)> {
        let mut names = Names::default();
        names.read(section, &mut usize::MAX.clone()).expect("readable");
        names.functions
    }

    #[test]
    fn names_within_bounds_stay_as_they_are() {
        let longest = "x".repeat(NAME_BYTES_MAX);
        assert_eq!(bounded_section(&section(&[(0, "main"), (7, &longest)]), &mut NAMES_BYTES_MAX.clone()), None);
    }

    #[test]
    fn a_long_name_is_cut_and_the_section_keeps_its_length() {
        for bytes in [NAME_BYTES_MAX + 1, 20_000, 3_000_000] {
            let data = section(&[(0, "before"), (1, &"ü".repeat(bytes / 2 + 1)), (2, "after")]);
            let bounded = bounded_section(&data, &mut NAMES_BYTES_MAX.clone()).expect("too long");
            assert_eq!(bounded.len(), data.len());
            let names = read(&bounded);
            assert_eq!((names[0].1.as_str(), names[2].1.as_str()), ("before", "after"));
            assert!(names[1].1.len() <= CUT_NAME_BYTES && names[1].1.ends_with('…'));
        }
    }

    #[test]
    fn a_long_mangled_name_is_written_out_before_it_is_cut() {
        let mangled = format!("_ZN4core3ptr600{}17h0123456789abcdefE", "y".repeat(600));
        let data = section(&[(0, &mangled)]);
        let names = read(&bounded_section(&data, &mut NAMES_BYTES_MAX.clone()).expect("too long"));
        assert!(names[0].1.starts_with("core::ptr::yyy"), "{}", names[0].1);
    }

    #[test]
    fn what_is_over_the_sum_is_left_out() {
        let data = section(&[(0, "first"), (1, "second"), (2, "third")]);
        let mut left = 2 * NAME_BYTES_EXTRA + 11;
        let bounded = bounded_section(&data, &mut left).expect("too many");
        assert_eq!((bounded.len(), read(&bounded).len()), (data.len(), 2));
    }

    #[test]
    fn an_unreadable_section_names_nothing() {
        let mut data = section(&[(0, "first"), (1, "second")]);
        let end = data.len() - 3;
        data[end] = 0xff;
        let bounded = bounded_section(&data, &mut NAMES_BYTES_MAX.clone()).expect("damaged");
        assert_eq!((bounded.len(), read(&bounded).len()), (data.len(), 0));
    }

    #[test]
    fn a_name_that_stands_for_gigabytes_is_written_out_no_further_than_there_is_room() {
        // Tuples, each of the tuple before it twice, by references back into the name, which count from behind `_R`.
        let mut name = "_RIC1c".to_owned();
        let mut tuple = name.len();
        name.push_str("ThhE");
        for _ in 0..30 {
            let reference = back_reference(tuple - "_R".len());
            tuple = name.len();
            name.push_str(&format!("T{reference}{reference}E"));
        }
        name.push('E');
        let shown = demangled(&name, 300);
        assert!(
            shown.len() <= 300
                && shown.starts_with("c::<(u8, u8), ((u8, u8), (u8, u8)), (((u8")
                && shown.ends_with('…'),
            "{shown}"
        );
    }

    fn back_reference(at: usize) -> String {
        const DIGITS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        // The number less one in base 62; no digits at all stand for zero.
        let mut digits = Vec::new();
        let mut rest = at;
        while rest > 0 {
            let number = if digits.is_empty() { rest - 1 } else { rest };
            digits.push(DIGITS[number % 62]);
            rest = number / 62;
        }
        digits.reverse();
        format!("B{}_", String::from_utf8(digits).expect("ASCII"))
    }

    #[test]
    fn rust_names_are_shown_as_they_were_written_and_others_as_they_are() {
        assert_eq!(demangled("_ZN5hello3run17h0123456789abcdefE", 100), "hello::run");
        assert_eq!(demangled("_RNvC6_123foo3bar", 100), "123foo::bar");
        assert_eq!(demangled("_Z3fooi", 100), "_Z3fooi");
        assert_eq!(demangled("abcdefghij", 8), "abcde…");
    }
}
