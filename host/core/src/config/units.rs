//! Spans of time and sizes in the form in which people write them.

use std::time::Duration;

use crate::model::limits::SPAN_MAX;

/// A text that is no span of time, or no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {kind}: {reason}")]
pub struct UnitError {
    text: String,
    kind: &'static str,
    reason: String,
}

/// Reads a span such as `500ms`, `30s`, `1h30m` or `2d`.
///
/// # Errors
/// [`UnitError`] where the text has another form, or the span is longer than [`SPAN_MAX`].
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let fault = |reason: String| UnitError { text: text.to_owned(), kind: "duration", reason };
    if is_negative(text) {
        return Err(fault("it is negative".to_owned()));
    }
    let span = humantime::parse_duration(text.trim()).map_err(|error| {
        let unit_missing = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let example = if unit_missing { format!("{text}s or {text}ms") } else { "500ms, 30s, 1h30m or 2d".to_owned() };
        fault(format!("{error}; write it like {example}"))
    })?;
    if span > SPAN_MAX { Err(fault("spans are at most ten years long".to_owned())) } else { Ok(span) }
}

/// Whether the text is a minus with a number behind it.
fn is_negative(text: &str) -> bool {
    text.trim().strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// The units of spans, largest first, in nanoseconds.
const SPAN_UNITS: [(&str, u128); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Writes a span so that [`parse_duration`] reads it back: `1h30m`.
pub fn format_duration(span: Duration) -> String {
    let mut left = span.as_nanos();
    let mut text = String::new();
    for (unit, nanos) in SPAN_UNITS {
        if left >= nanos {
            text.push_str(&format!("{}{unit}", left / nanos));
            left %= nanos;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// The units of sizes, largest first within each family. `K` without `i` is a thousand, as in SI.
const SIZE_UNITS: [(&str, u64); 10] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("kB", 1_000),
    ("B", 1),
];

/// Reads a size such as `256MiB`, `64MB` or a plain number of bytes.
///
/// # Errors
/// [`UnitError`] where the text has another form, or the size does not fit into 64 bits.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let fault = |reason: &str| UnitError { text: text.to_owned(), kind: "size", reason: reason.to_owned() };
    let form = "write it like 256MiB, 64MB or 1048576";
    if is_negative(text) {
        return Err(fault("it is negative"));
    }
    let trimmed = text.trim();
    let digits_end = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
    let (digits, unit) = trimmed.split_at(digits_end);
    let unit = unit.trim_start();
    let factor = match SIZE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)) {
        Some((_, factor)) => *factor,
        None if unit.is_empty() => 1,
        None => return Err(fault(form)),
    };
    if digits.is_empty() {
        return Err(fault(form));
    }
    digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or_else(|| fault("it is too large"))
}

/// Writes a size in the largest binary unit that leaves it a number of at least one, with one decimal where it is not whole.
pub fn format_size(bytes: u64) -> String {
    let unit = SIZE_UNITS.iter().filter(|(name, _)| name.len() == 3).find(|(_, factor)| bytes >= *factor);
    match unit {
        None => format!("{bytes} B"),
        Some((name, factor)) if bytes.is_multiple_of(*factor) => format!("{} {name}", bytes / factor),
        Some((name, factor)) => {
            // In tenths, rounded down: a limit must not look larger than it is.
            let tenths = u128::from(bytes) * 10 / u128::from(*factor);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them_and_written_as_they_are_read() {
        for (text, millis) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("1h30m", 5_400_000),
            ("2d", 172_800_000),
            ("0s", 0),
            ("1h 30m", 5_400_000),
        ] {
            let span = parse_duration(text).expect(text);
            assert_eq!(span, Duration::from_millis(millis), "{text}");
            assert_eq!(parse_duration(&format_duration(span)), Ok(span), "{text}");
        }
        assert_eq!(format_duration(Duration::from_secs(5_400)), "1h30m");
        assert_eq!(format_duration(Duration::from_secs(86_400)), "1d");
    }

    #[test]
    fn a_duration_without_a_unit_or_beyond_ten_years_is_refused() {
        let plain = parse_duration("30").expect_err("no unit").to_string();
        assert!(plain.contains("30s or 30ms"), "{plain}");
        for bad in ["", "soon", "-5s", "11y", "1.5.5s"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
        let negative = parse_duration("-5s").expect_err("negative").to_string();
        assert!(negative.starts_with("`-5s` is not a duration: it is negative"), "{negative}");
    }

    #[test]
    fn sizes_are_read_in_binary_and_decimal_units_and_in_plain_bytes() {
        for (text, bytes) in [("256MiB", 268_435_456), ("64MB", 64_000_000), ("17", 17), ("1 GiB", 1 << 30), ("5b", 5)]
        {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "MiB", "1.5GiB", "-1", "10 apples", "99999999999TiB"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
        let negative = parse_size("-5").expect_err("negative").to_string();
        assert_eq!(negative, "`-5` is not a size: it is negative");
    }

    #[test]
    fn sizes_are_never_written_larger_than_they_are() {
        assert_eq!(format_size(268_435_456), "256 MiB");
        assert_eq!(format_size(268_435_455), "255.9 MiB");
        assert_eq!(format_size(1_023), "1023 B");
        assert_eq!(format_size(1_114_112), "1.0 MiB");
    }
}
