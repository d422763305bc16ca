//! Events.

use serde_json::Value;

use crate::broker::wire;
use crate::model::Event;

/// An event as an object: `at`, `type`, and what its type says. As between processes, but for the version, which is theirs.
pub(crate) fn event(event: &Event) -> Value {
    let mut object = wire::encode(event);
    if let Value::Object(fields) = &mut object {
        fields.remove("v");
    }
    object
}
