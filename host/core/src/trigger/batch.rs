//! Many triggers at once, a JSON line each: the pure part of `host trigger next --batch`.

use serde_json::{Value, json};

use super::{Trigger, TriggerError};
use crate::model::Timestamp;
use crate::model::json::read;

/// The most fire times that one line may ask for.
pub const COUNT_MAX: u64 = 100_000;
/// How many fire times a line asks for that does not say.
pub const COUNT_DEFAULT: u64 = 10;

/// Answers a line `{"id","trigger","count"}` with a line.
///
/// That is `{"id","expect":[time…],"exhausted":bool}`, with `"error":"max_iterations"` beside it where an `and` trigger gave
/// up on the way, or `{"id","error"}` where the line or its trigger cannot be read. `exhausted` says that there are no more fire
/// times than those, and that more were asked for. Other keys of the line are ignored.
pub fn answer(line: &str, now: Timestamp) -> String {
    let request = match read(line) {
        Ok(request) => request,
        Err(fault) if fault.is_syntax() => {
            return json!({"id": null, "error": format!("line is not valid JSON: {fault}")}).to_string();
        }
        Err(fault) => return json!({"id": null, "error": fault.to_string()}).to_string(),
    };
    let id = request.get("id").cloned().unwrap_or_default();
    match fire_times(&request, now) {
        Ok(mut answer) => {
            answer["id"] = id;
            answer.to_string()
        }
        Err(error) => json!({"id": id, "error": error}).to_string(),
    }
}

fn fire_times(request: &Value, now: Timestamp) -> Result<Value, String> {
    if !request.is_object() {
        return Err("line is not an object with the keys id, trigger and count".to_owned());
    }
    let trigger = request.get("trigger").ok_or("trigger: is missing")?;
    let count = match request.get("count") {
        None | Some(Value::Null) => COUNT_DEFAULT,
        Some(count) => count
            .as_u64()
            .filter(|count| *count <= COUNT_MAX)
            .ok_or_else(|| format!("count: `{count}` is not a whole number from 0 to {COUNT_MAX}"))?,
    };
    let trigger = Trigger::from_value(trigger, now).map_err(|error| error.to_string())?;
    let mut state = trigger.initial_state();
    let mut expect = Vec::new();
    for _ in 0..count {
        match trigger.next(&mut state) {
            Ok(Some(fire)) => expect.push(fire.to_string()),
            Ok(None) => return Ok(json!({"expect": expect, "exhausted": true})),
            Err(TriggerError::MaxIterations { .. }) => {
                return Ok(json!({"expect": expect, "exhausted": false, "error": "max_iterations"}));
            }
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(json!({"expect": expect, "exhausted": false}))
}
