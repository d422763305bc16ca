//! `H` in a cron expression: a value that is taken from a name, so that schedules written alike do not all fire at once.

use super::super::error::Invalid;
use super::dialect::Dialect;
use super::field::Field;

/// Writes values in the place of every `H` of one field: `H`, `H/15`, `H(0-29)`, `H(0-29)/10`.
///
/// The values depend on the key and the field alone, now and in later versions: whoever writes a schedule anew under its old ID gets its
/// old times. `None` if there is no `H` in the text. `at` is where the text begins in what the user wrote.
pub(super) fn resolve(
    field: Field,
    dialect: Dialect,
    text: &str,
    at: usize,
    key: Option<&str>,
) -> Result<Option<String>, Box<Invalid>> {
    if !text.split(',').any(is_hashed) {
        return Ok(None);
    }
    let mut resolved = Vec::new();
    let mut place = at;
    for item in text.split(',') {
        let fault = |problem: &str| Invalid::new(field.name(), problem).token(item).position(place + 1);
        if is_hashed(item) {
            let value = value(field, dialect, item, key.map_or(0, |key| hash(key, field)));
            let value = value.map_err(|refused| match refused {
                Refused::NotHere => fault("has no place in this field"),
                Refused::Shape => fault("is not understood").allowed("`H`, `H/15`, `H(0-29)` and `H(0-29)/10`"),
                Refused::Range(low, high) => {
                    fault("is outside the range that it may lie in").allowed(format!("{low} to {high}"))
                }
            })?;
            if key.is_none() {
                return Err(fault("takes its value from the ID of a schedule, and there is none here"));
            }
            resolved.push(value);
        } else {
            resolved.push(item.to_owned());
        }
        place += item.chars().count() + 1;
    }
    Ok(Some(resolved.join(",")))
}

enum Refused {
    NotHere,
    Shape,
    Range(u64, u64),
}

fn is_hashed(item: &str) -> bool {
    let mut letters = item.chars();
    matches!(letters.next(), Some('H' | 'h')) && matches!(letters.next(), None | Some('/' | '('))
}

fn value(field: Field, dialect: Dialect, item: &str, hash: u64) -> Result<String, Refused> {
    let (low, high) = match field {
        Field::Second | Field::Minute => (0, 59),
        Field::Hour => (0, 23),
        // Days that every month has.
        Field::Day => (1, 28),
        Field::Month => (1, 12),
        Field::DayOfWeek if dialect == Dialect::Quartz => (1, 7),
        Field::DayOfWeek => (0, 6),
        Field::Year | Field::Week => return Err(Refused::NotHere),
    };
    let number = |text: &str| {
        let digits = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        Some(text).filter(|_| digits).and_then(|text| text.parse::<u64>().ok())
    };
    let (range, step) = match item[1..].split_once('/') {
        None => (&item[1..], None),
        Some((range, step)) => (range, Some(number(step).filter(|step| *step > 0).ok_or(Refused::Shape)?)),
    };
    let (first, last) = if range.is_empty() {
        (low, high)
    } else {
        let inner = range.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).ok_or(Refused::Shape)?;
        let (first, last) = inner.split_once('-').ok_or(Refused::Shape)?;
        let (first, last) = (number(first).ok_or(Refused::Shape)?, number(last).ok_or(Refused::Shape)?);
        if first > last || first < low || last > high {
            return Err(Refused::Range(low, high));
        }
        (first, last)
    };
    let span = last - first + 1;
    let Some(step) = step else { return Ok((first + hash % span).to_string()) };
    let start = first + hash % step.min(span);
    Ok(if start + step > last { start.to_string() } else { format!("{start}-{last}/{step}") })
}

/// FNV-1a over the key and the field's name, stirred so that its low bits, which a remainder shows, depend on all of them.
fn hash(key: &str, field: Field) -> u64 {
    let bytes = key.bytes().chain([0xff]).chain(field.name().bytes());
    let mut hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ hash >> 33
}
