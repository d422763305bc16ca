//! Settings in the form in which people write them, for flags, the settings file and clients of the HTTP interface.

use std::num::NonZeroU32;

use super::units::parse_duration;
use crate::model::{Backoff, GraceTime, Parallelism, PauseAfter};

/// A number with `_` between its digits where that helps to read it.
///
/// # Errors
/// A sentence about what it should be.
pub fn parse_count(text: &str) -> Result<u64, String> {
    text.replace('_', "").parse().map_err(|_| "it is a whole number, such as 50_000_000_000".to_owned())
}

/// `none`, or a span.
///
/// # Errors
/// A sentence about what it should be.
pub fn parse_grace_time(text: &str) -> Result<GraceTime, String> {
    match text {
        "none" => Ok(GraceTime::Unlimited),
        _ => parse_duration(text).map(GraceTime::Within).map_err(|error| format!("{error}; or `none`")),
    }
}

/// `none`, or a number from 1.
///
/// # Errors
/// A sentence about what it should be.
pub fn parse_parallelism(text: &str) -> Result<Parallelism, String> {
    match text {
        "none" => Ok(Parallelism::Unlimited),
        _ => text
            .parse::<NonZeroU32>()
            .map(Parallelism::AtMost)
            .map_err(|_| "it is a number from 1, or `none` for no limit".to_owned()),
    }
}

/// `none`, or a number from 1.
///
/// # Errors
/// A sentence about what it should be.
pub fn parse_pause_after(text: &str) -> Result<PauseAfter, String> {
    match text {
        "none" => Ok(PauseAfter::Never),
        _ => text
            .parse::<NonZeroU32>()
            .map(PauseAfter::Failures)
            .map_err(|_| "it is a number from 1, or `none` for never".to_owned()),
    }
}

/// A number from 1.
///
/// # Errors
/// A sentence about what it should be.
pub fn parse_max_fires(text: &str) -> Result<NonZeroU32, String> {
    text.parse().map_err(|_| "it is a number from 1".to_owned())
}

/// One pause for all attempts, or the parts that differ from the default by name.
///
/// # Errors
/// A sentence about what it should be.
pub fn parse_backoff(text: &str) -> Result<Backoff, String> {
    let form = || "write it like 5s, or initial=1s,max=10m,factor=2,jitter=10%".to_owned();
    let span = |text: &str| parse_duration(text).map_err(|error| error.to_string());
    if !text.contains('=') {
        let pause = span(text)?;
        return Ok(Backoff { initial: pause, max: pause, factor_percent: 100, jitter_percent: 0 });
    }
    let mut backoff = Backoff::default();
    let mut given = Vec::new();
    for part in text.split(',') {
        let (name, value) = part.split_once('=').ok_or_else(form)?;
        let name = name.trim();
        if given.contains(&name) {
            return Err(format!("`{name}` is given twice"));
        }
        given.push(name);
        match name {
            "initial" => backoff.initial = span(value)?,
            "max" => backoff.max = span(value)?,
            "factor" => backoff.factor_percent = parse_percent(value).ok_or_else(form)?,
            "jitter" => backoff.jitter_percent = value.trim_end_matches('%').parse().map_err(|_| form())?,
            _ => return Err(form()),
        }
    }
    Ok(backoff)
}

/// A factor such as `2` or `1.25` in percent; `None` where it has more digits than a percentage keeps.
fn parse_percent(factor: &str) -> Option<u32> {
    let (whole, hundredths) = factor.split_once('.').unwrap_or((factor, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let hundredths = hundredths.trim_end_matches('0');
    if !digits(whole) || !digits(&format!("{hundredths}0")) || hundredths.len() > 2 {
        return None;
    }
    let hundredths: u32 = format!("{hundredths:0<2}").parse().ok()?;
    whole.parse::<u32>().ok()?.checked_mul(100)?.checked_add(hundredths)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_backoff_is_one_pause_or_its_parts_by_name() {
        let pause = parse_backoff("5s").expect("a pause");
        assert_eq!((pause.delay(1, 0.5), pause.delay(9, 0.9)), (Duration::from_secs(5), Duration::from_secs(5)));
        let parts = parse_backoff("initial=2s,factor=1.5,jitter=0%").expect("parts");
        assert_eq!(parts.delay(2, 0.1), Duration::from_secs(3));
        for bad in ["", "soon", "initial=2", "pace=3s", "factor=fast", "factor=1.005", "factor=-1", "factor=."] {
            assert!(parse_backoff(bad).is_err(), "{bad}");
        }
        for (text, percent) in
            [("2", 200), ("1.5", 150), ("1.25", 125), ("1.250", 125), ("2.", 200), ("100.00", 10_000)]
        {
            assert_eq!(parse_backoff(&format!("factor={text}")).expect(text).factor_percent, percent, "{text}");
        }
    }

    #[test]
    fn a_part_of_a_backoff_that_comes_twice_is_refused() {
        assert_eq!(parse_backoff("initial=1s,max=5s,initial=2s"), Err("`initial` is given twice".to_owned()));
    }
}
