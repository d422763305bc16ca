//! Looks into a plugin before it is registered: asks it for its tasks, under limits much smaller than a job's, and holds
//! every word of the answer against the maxima of the model.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::abi::v0_1::{self, TaskDescriptor};
use super::budget::Share;
use super::fault::{self, Ending, Phase};
use super::grants::OpenGrants;
use super::http::{HttpLimits, HttpService};
use super::kv::{Kv, KvService};
use super::load::Prepared;
use super::output::{Output, OutputOptions};
use super::processors::TimeSlice;
use super::refusal::{Refusal as _, refused};
use super::secrets::{SecretService, Secrets};
use super::state::{Control, Guest, GuestOptions};
use crate::clock::{Clock, Stopwatch};
use crate::executor::{AttemptClock, InspectError, Limits, Verdict};
use crate::model::limits::{DESCRIPTION_BYTES_MAX, SCHEMA_BYTES_MAX, TASKS_PER_PLUGIN_MAX};
use crate::model::{TaskDeclaration, json};

/// Time in which a plugin must list its tasks.
const LIST_TIMEOUT: Duration = Duration::from_secs(2);
/// Fuel for that.
const LIST_FUEL: u64 = 1_000_000_000;
/// Memory for that; a plugin that begins with more gets that and [`LIST_MEMORY_EXTRA_BYTES`], within the operator's cap.
const LIST_MEMORY_BYTES: u64 = 64 << 20;
const LIST_MEMORY_EXTRA_BYTES: u64 = 32 << 20;
/// Output kept of it: enough to explain a panic.
const LIST_LOG_BYTES: usize = 64 << 10;

/// What a plugin answered.
pub(super) struct Listing {
    pub(super) tasks: Vec<TaskDeclaration>,
    /// Memory that its instance had at the start, in bytes.
    pub(super) initial_memory_bytes: u64,
    /// Fuel that the answer cost.
    pub(super) fuel: u64,
}

/// Asks a plugin for its tasks.
///
/// # Errors
/// It cannot answer within the limits, or answers with something that cannot be registered.
pub(super) async fn list_tasks(
    prepared: &Prepared,
    memory_bytes_max: u64,
    http: Arc<HttpService>,
    clock: Arc<dyn Clock>,
) -> Result<Listing, InspectError> {
    let initial = prepared.largest_memory_bytes();
    let memory_bytes = LIST_MEMORY_BYTES.max(initial.saturating_add(LIST_MEMORY_EXTRA_BYTES)).min(memory_bytes_max);
    let limits = Limits {
        timeout: LIST_TIMEOUT,
        fuel: LIST_FUEL,
        memory_bytes,
        result_bytes: super::state::HOSTCALL_BYTES_MAX,
        log_bytes: LIST_LOG_BYTES,
        log_lines: LIST_LOG_BYTES,
        open_files: 0,
        http_connections: 0,
        http_body_bytes: 0,
        kv_bucket_bytes: 0,
    };
    let started_at = clock.now();
    let clock = AttemptClock::begin(clock, started_at);
    let output = Output::new(OutputOptions {
        attempt: 0,
        bytes_max: limits.log_bytes,
        lines_max: limits.log_lines,
        reports: None,
        clock: clock.clone(),
    });
    let control = Control {
        cancel: CancellationToken::new(),
        kill: CancellationToken::new(),
        timeout: limits.timeout,
        deadline: started_at.saturating_add(limits.timeout),
        elapsed: Stopwatch::start(),
    };
    let options = GuestOptions {
        grants: Arc::new(OpenGrants::default()),
        memory_bytes,
        // Two at a time, so that what they may have together is bounded.
        share: Share::unlimited(),
        open_files: limits.open_files,
        file_places: Arc::new(Semaphore::new(0)),
        http,
        http_limits: HttpLimits { connections: limits.http_connections, body_bytes: limits.http_body_bytes },
        kv: Kv::new(KvService::new(None), limits.kv_bucket_bytes),
        secrets: Secrets::new(SecretService::new(None)),
        fuel: limits.fuel,
        result_bytes: limits.result_bytes,
        output: output.clone(),
        clock,
        job: None,
        slice: TimeSlice::new(),
        control,
    };
    let mut store = Guest::store(prepared.plugin.engine(), options)
        .map_err(|error| refused("the host could not prepare the plugin's sandbox").because_of(&error))?;
    let mut answer = None;
    let mut initial_memory_bytes = 0;
    let call = async {
        let plugin = match prepared.plugin.instantiate_async(&mut store).await {
            Ok(plugin) => plugin,
            Err(error) => return Ending::Broke(Phase::Instantiation, error),
        };
        initial_memory_bytes = store.data().memory.used();
        match plugin.jobs_plugin_tasks().call_list_tasks(&mut store).await {
            Ok(tasks) => answer = Some(tasks),
            Err(error) => return Ending::Broke(Phase::Call, error),
        }
        Ending::Killed
    };
    let ending = super::invoke::bounded(call, LIST_TIMEOUT, std::future::pending()).await;
    let Some(descriptors) = answer else {
        output.finish();
        return Err(no_answer(fault::verdict(ending, store.data(), &limits)));
    };
    let fuel = LIST_FUEL.saturating_sub(store.get_fuel().unwrap_or(0));
    Ok(Listing { tasks: declarations(descriptors)?, initial_memory_bytes, fuel })
}

/// Why a plugin could not list its tasks, out of the words that are meant for jobs.
fn no_answer(verdict: Verdict) -> InspectError {
    let refusal = refused("the plugin could not list its tasks");
    let Verdict::Failure { error, .. } = verdict else { return refusal };
    // The flags that the message names move a job's limits; listing has its own, which do not move.
    let message = error.message.split("; `--").next().unwrap_or_default().to_owned();
    let refusal = error.context.into_iter().fold(refusal.because(message), InspectError::because);
    match error.backtrace {
        Some(stack) => refusal.because(format!("at\n{stack}")),
        None => refusal,
    }
    .hint("listing must need no rights, no job, and less than 2 seconds, 1 billion units of fuel and 64 MiB")
}

/// The tasks, if each of them and all of them together keep the laws.
fn declarations(descriptors: Vec<TaskDescriptor>) -> Result<Vec<TaskDeclaration>, InspectError> {
    if descriptors.is_empty() {
        return Err(refused("the plugin has no tasks").hint(
            "put #[task] on a function; a crate that only depends on the crate with the tasks must also `use` it",
        ));
    }
    if descriptors.len() > TASKS_PER_PLUGIN_MAX {
        return Err(refused(&format!(
            "the plugin has {} tasks; it may have {TASKS_PER_PLUGIN_MAX}",
            descriptors.len()
        )));
    }
    let mut names = BTreeSet::new();
    let mut tasks = Vec::with_capacity(descriptors.len());
    for descriptor in descriptors {
        let task = declaration(descriptor).map_err(|reason| refused("a task cannot be registered").because(reason))?;
        if !names.insert(task.name.clone()) {
            return Err(refused(&format!("two tasks of the plugin are called `{}`", task.name))
                .hint("give one of them another name: #[task(name = \"…\")]"));
        }
        tasks.push(task);
    }
    Ok(tasks)
}

fn declaration(descriptor: TaskDescriptor) -> Result<TaskDeclaration, String> {
    let task = v0_1::declaration(descriptor)?;
    let at = |reason: String| format!("task `{}`: {reason}", task.name);
    bounded_text("description", &task.description, DESCRIPTION_BYTES_MAX).map_err(at)?;
    let documents = [
        ("schema of the arguments", &task.args_schema),
        ("schema of the result", &task.result_schema),
        ("example arguments", &task.example_args),
    ];
    for (name, text) in documents {
        let Some(text) = text else { continue };
        bounded_text(name, text, SCHEMA_BYTES_MAX).map_err(at)?;
        let value = json::read(text).map_err(|fault| at(format!("{name}: {fault}")))?;
        let fits = match name {
            "example arguments" => value.is_object() || value.is_array(),
            _ => value.is_object() || value.is_boolean(),
        };
        if !fits {
            return Err(at(format!("{name}: this is a JSON document of the wrong kind")));
        }
    }
    Ok(task)
}

fn bounded_text(name: &str, text: &str, bytes_max: usize) -> Result<(), String> {
    if text.len() > bytes_max {
        return Err(format!("{name} has {} bytes, and may have {bytes_max}", text.len()));
    }
    if text.contains('\0') {
        return Err(format!("{name} contains a NUL character"));
    }
    Ok(())
}
