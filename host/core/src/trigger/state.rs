//! Where a trigger stands: what it takes to go on exactly where it stopped.

use serde_json::{Map, Value, json};

use super::civil::Date;
use super::error::TriggerError;
use crate::model::Timestamp;

/// The version that is written. Every version ever written can be read.
const VERSION: u64 = 1;
/// The longest stored text that is read.
const TEXT_MAX: usize = 64 * 1024;

/// Where a trigger stands: everything up to here has fired.
///
/// The text form is a small versioned JSON object, and belongs to the trigger that made it:
/// `{"v":1,"after":"2026-03-29T01:00:00.000000Z"}` for triggers that need to know the last instant only, with a `date`
/// for calendar intervals, and with `children` for `and` and `or`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TriggerState(pub(super) Position);

/// The place of one trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// Date, interval and cron: fires up to this instant are over. `None` before the first.
    After(Option<Timestamp>),
    /// Calendar interval: also the date that the walk stands at.
    Walk { date: Option<Date>, after: Option<Timestamp> },
    /// `and`, `or`: the place of each child.
    Children(Vec<Position>),
}

impl TriggerState {
    /// The text to be stored.
    pub fn to_json(&self) -> String {
        let mut object = write(&self.0);
        object.insert("v".to_owned(), VERSION.into());
        Value::Object(object).to_string()
    }

    /// Reads what [`TriggerState::to_json`] wrote, now or in any earlier version.
    ///
    /// # Errors
    /// [`TriggerError::State`] if the text is something else. Whether it belongs to a certain trigger shows when it is
    /// used.
    pub fn from_json(text: &str) -> Result<TriggerState, TriggerError> {
        if text.len() > TEXT_MAX {
            return Err(unreadable(format!("it is longer than {TEXT_MAX} bytes")));
        }
        let value: Value =
            serde_json::from_str(text).map_err(|error| unreadable(format!("it is not JSON ({error})")))?;
        match value.get("v").and_then(Value::as_u64) {
            Some(VERSION) => read(&value, true).map(TriggerState),
            Some(other) => Err(unreadable(format!("its version is {other}, and this program knows up to {VERSION}"))),
            None => Err(unreadable("it has no version")),
        }
    }
}

impl serde::Serialize for TriggerState {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_json())
    }
}

impl<'de> serde::Deserialize<'de> for TriggerState {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(deserializer)?;
        TriggerState::from_json(&text).map_err(serde::de::Error::custom)
    }
}

fn unreadable(reason: impl Into<String>) -> TriggerError {
    TriggerError::State { reason: reason.into() }
}

fn write(position: &Position) -> Map<String, Value> {
    let mut object = Map::new();
    let after = |object: &mut Map<String, Value>, after: &Option<Timestamp>| {
        if let Some(after) = after {
            object.insert("after".to_owned(), after.to_string().into());
        }
    };
    match position {
        Position::After(instant) => after(&mut object, instant),
        Position::Walk { date, after: instant } => {
            object.insert("date".to_owned(), json!(date.map(|date| date.to_string())));
            after(&mut object, instant);
        }
        Position::Children(children) => {
            let children = children.iter().map(|child| Value::Object(write(child))).collect();
            object.insert("children".to_owned(), Value::Array(children));
        }
    }
    object
}

fn read(value: &Value, top: bool) -> Result<Position, TriggerError> {
    let object = value.as_object().ok_or_else(|| unreadable("a position is not an object"))?;
    let known = |key: &&String| matches!(key.as_str(), "after" | "date" | "children") || top && *key == "v";
    if let Some(key) = object.keys().find(|key| !known(key)) {
        return Err(unreadable(format!("it has an unknown key `{key}`")));
    }
    let after = match object.get("after") {
        None => None,
        Some(Value::String(text)) => Some(text.parse().map_err(|error| unreadable(format!("after: {error}")))?),
        Some(_) => return Err(unreadable("after: is not a text")),
    };
    if let Some(children) = object.get("children") {
        let children = children.as_array().ok_or_else(|| unreadable("children: is not a list"))?;
        return children.iter().map(|child| read(child, false)).collect::<Result<_, _>>().map(Position::Children);
    }
    match object.get("date") {
        None => Ok(Position::After(after)),
        Some(Value::Null) => Ok(Position::Walk { date: None, after }),
        Some(value) => {
            let date = value.as_str().and_then(parse_date).ok_or_else(|| unreadable("date: is not a date"))?;
            Ok(Position::Walk { date: Some(date), after })
        }
    }
}

/// Reads `YYYY-MM-DD`.
pub(super) fn parse_date(text: &str) -> Option<Date> {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let number = |from: usize, to: usize| {
        let digits = &bytes[from..to];
        digits.iter().try_fold(0_i32, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i32::from(digit - b'0')))
    };
    Date::new(number(0, 4)?, u8::try_from(number(5, 7)?).ok()?, u8::try_from(number(8, 10)?).ok()?)
}
