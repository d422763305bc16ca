//! The JSON form of triggers: what the command line takes, the stores keep and `--json` prints.
//!
//! ```json
//! {"type":"date","run_time":RFC3339}
//! {"type":"interval","weeks","days","hours","minutes":int,"seconds":number,"microseconds":int,"start_time","end_time":RFC3339}
//! {"type":"cron","year","month","day","week","day_of_week","hour","minute","second":expression,
//!  "start_time","end_time":RFC3339,"timezone":IANA,"dst_gap":"run_after"|"skip","dst_fold":"first"|"last"|"both",
//!  "dialect":"classic"|"extended"|"quartz","day_match":"and"|"or"}
//! {"type":"crontab","expression":"m h dom mon dow","timezone","start_time","end_time","dst_gap","dst_fold","dialect","day_match"}
//! {"type":"calendar_interval","years","months","weeks","days","hour","minute","second":int,
//!  "start_date","end_date":"YYYY-MM-DD","timezone","dst_gap","dst_fold"}
//! {"type":"and","triggers":[...],"threshold":seconds,"max_iterations":int}
//! {"type":"or","triggers":[...]}
//! ```
//!
//! A key with the value `null` counts as absent, an unknown key is refused. `start_time` defaults to the time of
//! creation, `timezone` to UTC, `start_date` to the first date of that zone whose time of day is not before the time of
//! creation.
//!
//! `dialect` and `day_match` are written only where they make a difference, so that hosts of versions that do not know them read what they can
//! read, and refuse the rest by the name of the key.

use serde_json::{Map, Number, Value};

use super::Trigger;
use super::calendar::{CalendarTrigger, PART_MAX, Step, TimeOfDay};
use super::civil::{DAY_SECONDS, Date};
use super::combine::{
    AndTrigger, DEPTH_MAX, ITERATIONS_DEFAULT, ITERATIONS_MAX, OrTrigger, THRESHOLD_DEFAULT, TRIGGERS_MAX,
};
use super::cron::{Bounds, CronTrigger, DayMatch, Dialect, Field, Reading, Source};
use super::error::{Invalid, TriggerError, nearest};
use super::fire::{Fire, MICROS};
use super::interval::{IntervalTrigger, Parts};
use super::state::parse_date;
use super::zone::{DstFold, DstGap, DstPolicy, Zone};
use crate::model::Timestamp;
use crate::model::json::{self, JsonFault, JsonProblem};

/// The longest trigger text that is read.
pub const TEXT_MAX: usize = 64 * 1024;

const TYPES: [&str; 7] = ["date", "interval", "cron", "crontab", "calendar_interval", "and", "or"];

impl Trigger {
    /// Reads the JSON form. `created_at` is the start of triggers that give none.
    ///
    /// A trigger that never fires is read all the same; see [`Trigger::first_fire`].
    ///
    /// # Errors
    /// [`TriggerError::Invalid`], with the field, the token, the position and what is allowed.
    pub fn from_json(text: &str, created_at: Timestamp) -> Result<Trigger, TriggerError> {
        if text.len() > TEXT_MAX {
            return Err(Invalid::new("", format!("trigger is longer than {TEXT_MAX} bytes")).into());
        }
        let value = json::read(text).map_err(unreadable)?;
        Trigger::from_value(&value, created_at)
    }

    /// Reads the JSON form from a value. See [`Trigger::from_json`].
    ///
    /// # Errors
    /// [`TriggerError::Invalid`], with the field, the token, the position and what is allowed.
    pub fn from_value(value: &Value, created_at: Timestamp) -> Result<Trigger, TriggerError> {
        let mut reader = Reader { created_at, triggers: 0 };
        Ok(reader.trigger(value, 1)?)
    }

    /// The JSON form, complete: reading it gives an equal trigger, whenever that is.
    pub fn to_value(&self) -> Value {
        match self {
            Trigger::Date(fire) => serde_json::json!({"type": "date", "run_time": fire.to_string()}),
            Trigger::Interval(interval) => write_interval(interval),
            Trigger::Cron(cron) => write_cron(cron),
            Trigger::Calendar(calendar) => write_calendar(calendar),
            Trigger::And(and) => serde_json::json!({
                "type": "and",
                "triggers": and.children.iter().map(Trigger::to_value).collect::<Vec<_>>(),
                "threshold": seconds(and.threshold),
                "max_iterations": and.max_iterations,
            }),
            Trigger::Or(or) => serde_json::json!({
                "type": "or",
                "triggers": or.children.iter().map(Trigger::to_value).collect::<Vec<_>>(),
            }),
        }
    }

    /// The text of [`Trigger::to_value`].
    pub fn to_json(&self) -> String {
        self.to_value().to_string()
    }
}

/// A text that is not JSON, or JSON that would not be kept as it is written.
fn unreadable(fault: JsonFault) -> Box<Invalid> {
    let JsonFault { path, problem, line, column } = fault;
    match problem {
        JsonProblem::Syntax(reason) => Invalid::new(path, format!("trigger is not valid JSON: {reason}")),
        problem => Invalid::new(path, format!("{problem}, at line {line} column {column}")),
    }
}

/// Reads one trigger with everything inside it.
struct Reader {
    created_at: Timestamp,
    triggers: usize,
}

impl Reader {
    fn trigger(&mut self, value: &Value, depth: usize) -> Result<Trigger, Box<Invalid>> {
        self.triggers += 1;
        if depth > DEPTH_MAX {
            return Err(Invalid::new("", format!("triggers are nested more than {DEPTH_MAX} deep")));
        }
        if self.triggers > TRIGGERS_MAX {
            return Err(Invalid::new("", format!("trigger is made of more than {TRIGGERS_MAX} triggers")));
        }
        let Value::Object(map) = value else {
            return Err(Invalid::new("", format!("trigger is {}, not an object", kind(value)))
                .allowed(r#"JSON such as {"type":"cron","hour":9}"#));
        };
        let object = Object { map };
        match object.text("type")?.ok_or_else(|| object.missing("type").allowed(TYPES.join(", ")))? {
            "date" => object.date(),
            "interval" => object.interval(self.created_at),
            "cron" => object.cron(self.created_at),
            "crontab" => object.crontab(self.created_at),
            "calendar_interval" => object.calendar(self.created_at),
            "and" => self.and(&object, depth),
            "or" => {
                object.only(&["triggers"])?;
                Ok(Trigger::Or(OrTrigger { children: self.children(&object, depth)? }))
            }
            other => Err(Invalid::new("type", "is not a type of trigger")
                .token(other)
                .allowed(TYPES.join(", "))
                .suggestion(nearest(other, TYPES))),
        }
    }

    fn and(&mut self, object: &Object<'_>, depth: usize) -> Result<Trigger, Box<Invalid>> {
        object.only(&["triggers", "threshold", "max_iterations"])?;
        let children = self.children(object, depth)?;
        let threshold = match object.number("threshold")? {
            None => THRESHOLD_DEFAULT,
            Some(seconds) => Parts { seconds, ..Parts::default() }
                .micros()
                .filter(|micros| *micros >= 0)
                .ok_or_else(|| object.wrong("threshold", "is not a time span").allowed("seconds, 0 or more"))?,
        };
        let limit = i64::from(ITERATIONS_MAX);
        let iterations = object.integer("max_iterations", 1, limit)?.unwrap_or_else(|| ITERATIONS_DEFAULT.into());
        let max_iterations = u32::try_from(iterations).unwrap_or(ITERATIONS_MAX);
        Ok(Trigger::And(AndTrigger { children, threshold, max_iterations }))
    }

    fn children(&mut self, object: &Object<'_>, depth: usize) -> Result<Vec<Trigger>, Box<Invalid>> {
        let list = match object.get("triggers") {
            None => return Err(object.missing("triggers")),
            Some(Value::Array(list)) if !list.is_empty() => list,
            Some(Value::Array(_)) => return Err(Invalid::new("triggers", "is empty").allowed("one trigger or more")),
            Some(_) => return Err(object.wrong("triggers", "is not a list").allowed("a list of triggers")),
        };
        let child = |(index, value)| {
            self.trigger(value, depth + 1).map_err(|invalid| invalid.within(&format!("triggers[{index}]")))
        };
        list.iter().enumerate().map(child).collect()
    }
}

/// A JSON object whose keys are read one by one.
struct Object<'a> {
    map: &'a Map<String, Value>,
}

/// The keys of both forms of cron rules.
const CRON: [&str; 7] = ["timezone", "start_time", "end_time", "dst_gap", "dst_fold", "dialect", "day_match"];

impl<'a> Object<'a> {
    fn date(&self) -> Result<Trigger, Box<Invalid>> {
        self.only(&["run_time"])?;
        self.instant("run_time")?.map(Trigger::Date).ok_or_else(|| self.missing("run_time").allowed("an RFC 3339 time"))
    }

    fn interval(&self, created_at: Timestamp) -> Result<Trigger, Box<Invalid>> {
        self.only(&["weeks", "days", "hours", "minutes", "seconds", "microseconds", "start_time", "end_time"])?;
        let whole = |key| self.integer(key, i64::MIN, i64::MAX).map(Option::unwrap_or_default);
        let parts = Parts {
            weeks: whole("weeks")?,
            days: whole("days")?,
            hours: whole("hours")?,
            minutes: whole("minutes")?,
            seconds: self.number("seconds")?.unwrap_or_default(),
            microseconds: whole("microseconds")?,
        };
        let start = self.instant("start_time")?.unwrap_or_else(|| Fire::utc(created_at));
        IntervalTrigger::new(parts, start, self.instant("end_time")?).map(Trigger::Interval)
    }

    fn cron(&self, created_at: Timestamp) -> Result<Trigger, Box<Invalid>> {
        let fields = Field::ALL.map(Field::name);
        let keys: Vec<_> = fields.into_iter().chain(CRON).collect();
        self.only(&keys)?;
        let mut given = Vec::with_capacity(8);
        for field in Field::ALL {
            match self.get(field.name()) {
                None => {}
                Some(Value::String(text)) => given.push((field, text.clone())),
                Some(Value::Number(number)) if !number.is_f64() => given.push((field, number.to_string())),
                Some(_) => {
                    let wrong = self.wrong(field.name(), "is not a cron expression");
                    return Err(wrong.allowed("a text such as \"*/5\", or a whole number"));
                }
            }
        }
        let cron = CronTrigger::from_fields(given, self.reading()?, self.bounds(created_at)?)?;
        Ok(Trigger::Cron(Box::new(cron)))
    }

    fn crontab(&self, created_at: Timestamp) -> Result<Trigger, Box<Invalid>> {
        let keys: Vec<_> = ["expression"].into_iter().chain(CRON).collect();
        self.only(&keys)?;
        let expression = self.text("expression")?.ok_or_else(|| self.missing("expression"))?;
        let bounds = self.bounds(created_at)?;
        let cron = CronTrigger::from_expression("expression", expression, self.reading()?, None, bounds)?;
        Ok(Trigger::Cron(Box::new(cron)))
    }

    fn reading(&self) -> Result<Reading, Box<Invalid>> {
        Ok(Reading {
            dialect: self.choice("dialect", &Dialect::NAMES)?.unwrap_or_default(),
            day_match: self.choice("day_match", &DayMatch::NAMES)?.unwrap_or_default(),
        })
    }

    fn bounds(&self, created_at: Timestamp) -> Result<Bounds, Box<Invalid>> {
        Ok(Bounds {
            zone: self.zone()?,
            start: self.instant("start_time")?.unwrap_or_else(|| Fire::utc(created_at)),
            end: self.instant("end_time")?,
            policy: self.policy()?,
        })
    }

    fn calendar(&self, created_at: Timestamp) -> Result<Trigger, Box<Invalid>> {
        self.only(&[
            "years",
            "months",
            "weeks",
            "days",
            "hour",
            "minute",
            "second",
            "start_date",
            "end_date",
            "timezone",
            "dst_gap",
            "dst_fold",
        ])?;
        let part = |key| {
            let count = self.integer(key, 0, PART_MAX.into());
            count.map(|count| u32::try_from(count.unwrap_or_default()).unwrap_or(PART_MAX))
        };
        let clock = |key, last| {
            let number = self.integer(key, 0, last);
            number.map(|number| u8::try_from(number.unwrap_or_default()).unwrap_or_default())
        };
        let zone = self.zone()?;
        let time = TimeOfDay { hour: clock("hour", 23)?, minute: clock("minute", 59)?, second: clock("second", 59)? };
        let calendar = CalendarTrigger {
            step: Step { years: part("years")?, months: part("months")?, weeks: part("weeks")?, days: part("days")? },
            time,
            zone,
            start: self.day("start_date")?.unwrap_or_else(|| first_date(zone, time, created_at)),
            end: self.day("end_date")?,
            policy: self.policy()?,
        };
        calendar.checked().map(|calendar| Trigger::Calendar(Box::new(calendar)))
    }

    /// The value of a key; `null` is no value.
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// Refuses every key that is neither `type` nor one of `keys`.
    fn only(&self, keys: &[&str]) -> Result<(), Box<Invalid>> {
        match self.map.keys().find(|key| *key != "type" && !keys.contains(&key.as_str())) {
            None => Ok(()),
            Some(unknown) => {
                let name = self.map.get("type").and_then(Value::as_str).unwrap_or_default();
                Err(Invalid::new("", format!("is not a key of a trigger of type {name}"))
                    .token(unknown.chars().take(40).collect::<String>())
                    .allowed(keys.join(", "))
                    .suggestion(nearest(unknown, keys.iter().copied())))
            }
        }
    }

    fn missing(&self, key: &str) -> Box<Invalid> {
        Invalid::new(key, "is missing")
    }

    fn wrong(&self, key: &str, problem: &str) -> Box<Invalid> {
        let token = self.map.get(key).map(ToString::to_string).unwrap_or_default();
        Invalid::new(key, problem).token(token.chars().take(40).collect::<String>())
    }

    fn text(&self, key: &str) -> Result<Option<&'a str>, Box<Invalid>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(key, "is not a text")),
        }
    }

    fn integer(&self, key: &str, first: i64, last: i64) -> Result<Option<i64>, Box<Invalid>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let allowed = || match (first, last) {
            (i64::MIN, _) => "a whole number".to_owned(),
            _ => format!("a whole number from {first} to {last}"),
        };
        match value.as_i64() {
            Some(number) if (first..=last).contains(&number) => Ok(Some(number)),
            Some(_) => Err(self.wrong(key, "is out of range").allowed(allowed())),
            None => Err(self.wrong(key, "is not a whole number").allowed(allowed())),
        }
    }

    fn number(&self, key: &str) -> Result<Option<f64>, Box<Invalid>> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => value
                .as_f64()
                .map(Some)
                .ok_or_else(|| self.wrong(key, "is not a number").allowed("seconds, as a number")),
        }
    }

    fn instant(&self, key: &str) -> Result<Option<Fire>, Box<Invalid>> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        Fire::parse(text).map(Some).map_err(|problem| Invalid::new(key, problem).token(text))
    }

    fn day(&self, key: &str) -> Result<Option<Date>, Box<Invalid>> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        let wrong = || Invalid::new(key, "is not a date").token(text).allowed("an existing day, written as 2026-03-29");
        parse_date(text).map(Some).ok_or_else(wrong)
    }

    fn zone(&self) -> Result<Zone, Box<Invalid>> {
        self.text("timezone")?.map_or_else(|| Ok(Zone::utc()), |name| Zone::parse("timezone", name))
    }

    fn policy(&self) -> Result<DstPolicy, Box<Invalid>> {
        Ok(DstPolicy {
            gap: self.choice("dst_gap", &DstGap::NAMES)?.unwrap_or_default(),
            fold: self.choice("dst_fold", &DstFold::NAMES)?.unwrap_or_default(),
        })
    }

    fn choice<T: Copy>(&self, key: &str, choices: &[(&'static str, T)]) -> Result<Option<T>, Box<Invalid>> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        let names = || choices.iter().map(|(name, _)| *name);
        match choices.iter().find(|(name, _)| *name == text) {
            Some((_, value)) => Ok(Some(*value)),
            None => Err(Invalid::new(key, "is not one of its values")
                .token(text)
                .allowed(names().collect::<Vec<_>>().join(", "))
                .suggestion(nearest(text, names()))),
        }
    }
}

/// What a JSON value is, in words.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The first date of a zone whose time of day is not before `created_at`, so that a new trigger does not begin with a
/// fire that is already over.
pub(super) fn first_date(zone: Zone, time: TimeOfDay, created_at: Timestamp) -> Date {
    let seconds = created_at.as_micros().div_euclid(MICROS);
    let local = seconds + i64::from(zone.offset_at(seconds));
    let today = i32::try_from(local.div_euclid(DAY_SECONDS)).unwrap_or_default();
    let over = local.rem_euclid(DAY_SECONDS) > time.seconds()
        || local.rem_euclid(DAY_SECONDS) == time.seconds() && created_at.as_micros().rem_euclid(MICROS) > 0;
    let today = Date::from_day_number(today);
    let tomorrow = Date::from_day_number(today.day_number() + 1);
    // On the last evening of the year 9999 there is no other day.
    if over { tomorrow.in_range().unwrap_or(today) } else { today }
}

fn write_interval(interval: &IntervalTrigger) -> Value {
    let parts = interval.parts();
    let mut map = Map::new();
    map.insert("type".to_owned(), "interval".into());
    for (key, count) in [
        ("weeks", parts.weeks),
        ("days", parts.days),
        ("hours", parts.hours),
        ("minutes", parts.minutes),
        ("microseconds", parts.microseconds),
    ] {
        if count != 0 {
            map.insert(key.to_owned(), count.into());
        }
    }
    if parts.seconds != 0.0 {
        map.insert("seconds".to_owned(), number(parts.seconds));
    }
    map.insert("start_time".to_owned(), interval.start().to_string().into());
    put_end(&mut map, interval.end());
    Value::Object(map)
}

fn write_cron(cron: &CronTrigger) -> Value {
    let mut map = Map::new();
    match cron.source() {
        Source::Fields(fields) => {
            map.insert("type".to_owned(), "cron".into());
            for (field, text) in fields {
                map.insert(field.name().to_owned(), text.clone().into());
            }
        }
        Source::Expression(expression) => {
            map.insert("type".to_owned(), "crontab".into());
            map.insert("expression".to_owned(), expression.clone().into());
        }
    }
    let bounds = cron.bounds();
    map.insert("start_time".to_owned(), bounds.start.to_string().into());
    put_end(&mut map, bounds.end);
    put_zone(&mut map, bounds.zone, bounds.policy);
    let Reading { dialect, day_match } = cron.reading();
    if dialect != Dialect::default() {
        map.insert("dialect".to_owned(), dialect.name().into());
    }
    if day_match != DayMatch::default() {
        map.insert("day_match".to_owned(), day_match.name().into());
    }
    Value::Object(map)
}

fn write_calendar(calendar: &CalendarTrigger) -> Value {
    let mut map = Map::new();
    map.insert("type".to_owned(), "calendar_interval".into());
    let CalendarTrigger { step, time, .. } = calendar;
    for (key, count) in [("years", step.years), ("months", step.months), ("weeks", step.weeks), ("days", step.days)] {
        if count != 0 {
            map.insert(key.to_owned(), count.into());
        }
    }
    for (key, value) in [("hour", time.hour), ("minute", time.minute), ("second", time.second)] {
        map.insert(key.to_owned(), value.into());
    }
    map.insert("start_date".to_owned(), calendar.start.to_string().into());
    if let Some(end) = calendar.end {
        map.insert("end_date".to_owned(), end.to_string().into());
    }
    put_zone(&mut map, calendar.zone, calendar.policy);
    Value::Object(map)
}

fn put_end(map: &mut Map<String, Value>, end: Option<Fire>) {
    if let Some(end) = end {
        map.insert("end_time".to_owned(), end.to_string().into());
    }
}

fn put_zone(map: &mut Map<String, Value>, zone: Zone, policy: DstPolicy) {
    map.insert("timezone".to_owned(), zone.name().into());
    map.insert("dst_gap".to_owned(), policy.gap.name().into());
    map.insert("dst_fold".to_owned(), policy.fold.name().into());
}

/// A number without a needless fraction.
#[expect(clippy::cast_possible_truncation, reason = "only whole numbers that an i64 holds are converted")]
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        return (value as i64).into();
    }
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

/// Microseconds as a number of seconds.
#[expect(
    clippy::cast_precision_loss,
    reason = "the shortest text of the nearest number reads back as the same microseconds"
)]
fn seconds(micros: i64) -> Value {
    if micros % MICROS == 0 { (micros / MICROS).into() } else { number(micros as f64 / 1e6) }
}
