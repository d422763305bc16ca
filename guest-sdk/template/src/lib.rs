//! A plugin for the job host. Every function with `#[task]` is something that can be scheduled.

use guest_sdk::{Context, TaskError, log, task};
use schemars::JsonSchema;
use serde::Serialize;

/// What [`mytask`] returns. Any type will do that can be serialised and described.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Greeting {
    /// The greeting.
    pub text: String,
    /// How many letters the name has.
    pub letters: usize,
}

/// Greets somebody. Replace it with what your plugin does.
#[task(timeout = "30s", max_attempts = 3)]
pub fn mytask(
    ctx: &Context,
    /// Whom to greet.
    #[arg(default = "world", example = "Ada")]
    name: String,
) -> Result<Greeting, TaskError> {
    if name.is_empty() {
        return Err(TaskError::invalid_args("`name` is empty"));
    }
    log::info!(attempt = ctx.attempt(), "greeting {name}");
    Ok(Greeting { text: format!("Hello, {name}!"), letters: name.chars().count() })
}

#[cfg(test)]
mod tests {
    use guest_sdk::testing::Host;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_function_can_be_called_as_it_is() {
        let attempt = Host::new().enter(|ctx| mytask(ctx, "Ada".into()));
        assert_eq!(attempt.returned.unwrap(), Greeting { text: "Hello, Ada!".into(), letters: 3 });
        assert_eq!(attempt.logs[0].message, "greeting Ada");
    }

    #[test]
    fn the_task_takes_its_arguments_as_json() {
        let greeting = Host::new().run("mytask", json!({})).returned.unwrap();
        assert_eq!(greeting, json!({"text": "Hello, world!", "letters": 5}));
        let error = Host::new().run("mytask", json!({"name": 5})).returned.unwrap_err();
        assert_eq!(error.message(), "$.name: invalid type: integer `5`, expected a string");
    }
}
