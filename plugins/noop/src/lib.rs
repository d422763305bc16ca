//! Does nothing, so that what is measured is the cost of a job itself.
//!
//! It stands on `guest-sdk` as every plugin does: what the SDK adds to each job is part of the cost.

use guest_sdk::task;

/// Does nothing.
#[task(max_running_jobs = none)]
pub fn noop() {}

#[cfg(test)]
mod tests {
    use guest_sdk::testing::Host;

    #[test]
    fn it_succeeds_with_null() {
        assert_eq!(Host::new().run("noop", serde_json::json!({})).returned.unwrap(), serde_json::Value::Null);
    }
}
