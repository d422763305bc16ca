//! What the component exports. Only in components.

use std::panic::PanicHookInfo;

use crate::bindings::exports::jobs::plugin::tasks::{Guest, Payload, TaskDescriptor, TaskError};
use crate::host;
use crate::log::Level;
use crate::registry;

/// The target that tells the host of a panic; part of the contract, see `tasks.run` in the WIT package.
const PANIC_TARGET: &str = "jobs:panic";

pub(crate) struct Plugin;

impl Guest for Plugin {
    fn list_tasks() -> Vec<TaskDescriptor> {
        report_panics();
        match registry::descriptions() {
            Ok(tasks) => tasks.into_iter().map(Into::into).collect(),
            Err(fault) => panic!("{fault}"),
        }
    }

    fn run(task: String, args: Payload) -> Result<Payload, TaskError> {
        report_panics();
        registry::run(&task, &args.into()).map(Into::into).map_err(Into::into)
    }
}

/// A panic in a component ends in a trap that says nothing of its message, so the message goes out before it.
fn report_panics() {
    std::panic::set_hook(Box::new(|panic: &PanicHookInfo<'_>| {
        let message = panic.payload_as_str().unwrap_or("(the panic's value is no text)");
        let place = panic.location();
        let fields = place.map(|place| {
            [
                ("file", place.file().to_owned()),
                ("line", place.line().to_string()),
                ("column", place.column().to_string()),
            ]
        });
        host::log(Level::Error, PANIC_TARGET, message, fields.as_ref().map_or(&[], |fields| fields.as_slice()));
        match place {
            Some(place) => eprintln!("panicked at {place}: {message}"),
            None => eprintln!("panicked: {message}"),
        }
    }));
}
