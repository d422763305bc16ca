//! Functions and closures of the program as tasks.
//!
//! # Arguments
//!
//! A job's arguments are a JSON object or array. An array is read by position: one value for each parameter. An object is read by name
//! where the task [names its parameters](Task::parameters). Where it does not, an object is the one parameter of a task that has one, as
//! suits a struct. A parameter that is not given is `null`, which an `Option` takes.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::host::{Host, WeakHost};
use crate::executor::Retry;
use crate::executor::inline::{NativeContext, NativeError};
use crate::model::{Job, LogLevel, Settings};

/// What [`Handler`]s may fail with: any error, `anyhow::Error`, or a text. A [`NativeError`] says whether another attempt may help;
/// after any other error, the attempts that the job has left are made.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// What a task may know of its job and of the host that runs it, and say while it runs: the first parameter of a function that wants it.
#[derive(Clone)]
pub struct TaskContext {
    native: NativeContext,
    host: WeakHost,
}

impl TaskContext {
    /// The job.
    pub fn job(&self) -> &Job {
        self.native.job()
    }

    /// The host that runs the job, to schedule and submit from inside of it, or to stop it; `None` while it is dropped.
    pub fn host(&self) -> Option<Host> {
        self.host.upgrade()
    }

    /// Fires when the attempt is asked to stop.
    pub fn cancelled(&self) -> &CancellationToken {
        self.native.cancelled()
    }

    /// The time until the attempt is stopped.
    pub fn remaining(&self) -> Duration {
        self.native.remaining()
    }

    /// Writes a line to the job's log. What is over its limits, or finds no room, is counted and dropped.
    pub fn log(&self, level: LogLevel, message: &str) {
        self.native.log(level, message);
    }

    /// Says how far the task has come.
    pub fn progress(&self, done: u64, total: Option<u64>, note: &str) {
        self.native.progress(done, total, note);
    }
}

impl fmt::Debug for TaskContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskContext").field("job", &self.job().spec.id).finish_non_exhaustive()
    }
}

/// The arguments of one call.
#[derive(Debug)]
pub struct CallArguments {
    given: Value,
    /// The names of the parameters, where the task says them.
    names: Arc<[String]>,
}

/// What a call comes to.
pub type CallResult = BoxFuture<'static, Result<Value, NativeError>>;

/// A function or closure that can be a task: of up to four parameters that can be deserialized, after a [`TaskContext`] if it wants one,
/// that returns a future of `Result<T, E>`, where `T` can be serialized and `E` is any error. [`blocking`] makes one of a function that
/// blocks its thread.
///
/// `P` only tells the implementations apart.
pub trait Handler<P>: Send + Sync + 'static {
    /// How many parameters it has, without the context.
    const PARAMETERS: usize;

    /// Calls it. Arguments that do not fit are an error of the job, for which no attempt is made again.
    fn call(&self, context: TaskContext, arguments: CallArguments) -> CallResult;
}

/// A function that blocks its thread. See [`blocking`].
#[derive(Debug, Clone, Copy)]
pub struct Blocking<F>(F);

/// Makes a task of a function that blocks its thread, by computing or by waiting: it runs on a thread that may be blocked.
///
/// Nobody can interrupt such a function. An attempt that reaches its time limit, or is stopped, ends as any other, while the thread goes
/// on to the end of the function; a function that takes long asks [`TaskContext::cancelled`] now and then.
pub fn blocking<F>(function: F) -> Blocking<F> {
    Blocking(function)
}

#[doc(hidden)]
#[derive(Debug)]
pub struct Plain;
#[doc(hidden)]
#[derive(Debug)]
pub struct WithContext;

macro_rules! handlers {
    ($count:literal: $($type:ident $value:ident),*) => {
        impl<F, R, T, E, $($type),*> Handler<(Plain, $($type,)*)> for F
        where
            F: Fn($($type),*) -> R + Send + Sync + 'static,
            R: Future<Output = Result<T, E>> + Send + 'static,
            T: Serialize + 'static,
            E: Into<BoxError> + 'static,
            $($type: DeserializeOwned,)*
        {
            const PARAMETERS: usize = $count;

            fn call(&self, _context: TaskContext, arguments: CallArguments) -> CallResult {
                match read::<($($type,)*)>(arguments) {
                    Ok(($($value,)*)) => finish(self($($value),*)),
                    Err(error) => std::future::ready(Err(error)).boxed(),
                }
            }
        }

        impl<F, R, T, E, $($type),*> Handler<(WithContext, $($type,)*)> for F
        where
            F: Fn(TaskContext, $($type),*) -> R + Send + Sync + 'static,
            R: Future<Output = Result<T, E>> + Send + 'static,
            T: Serialize + 'static,
            E: Into<BoxError> + 'static,
            $($type: DeserializeOwned,)*
        {
            const PARAMETERS: usize = $count;

            fn call(&self, context: TaskContext, arguments: CallArguments) -> CallResult {
                match read::<($($type,)*)>(arguments) {
                    Ok(($($value,)*)) => finish(self(context, $($value),*)),
                    Err(error) => std::future::ready(Err(error)).boxed(),
                }
            }
        }

        impl<F, T, E, $($type),*> Handler<(Plain, $($type,)*)> for Blocking<F>
        where
            F: Fn($($type),*) -> Result<T, E> + Clone + Send + Sync + 'static,
            T: Serialize + 'static,
            E: Into<BoxError> + 'static,
            $($type: DeserializeOwned + Send + 'static,)*
        {
            const PARAMETERS: usize = $count;

            fn call(&self, _context: TaskContext, arguments: CallArguments) -> CallResult {
                let function = self.0.clone();
                on_a_thread(move || {
                    let ($($value,)*) = read::<($($type,)*)>(arguments)?;
                    ended(function($($value),*))
                })
            }
        }

        impl<F, T, E, $($type),*> Handler<(WithContext, $($type,)*)> for Blocking<F>
        where
            F: Fn(TaskContext, $($type),*) -> Result<T, E> + Clone + Send + Sync + 'static,
            T: Serialize + 'static,
            E: Into<BoxError> + 'static,
            $($type: DeserializeOwned + Send + 'static,)*
        {
            const PARAMETERS: usize = $count;

            fn call(&self, context: TaskContext, arguments: CallArguments) -> CallResult {
                let function = self.0.clone();
                on_a_thread(move || {
                    let ($($value,)*) = read::<($($type,)*)>(arguments)?;
                    ended(function(context, $($value),*))
                })
            }
        }
    };
}

handlers!(0:);
handlers!(1: A a);
handlers!(2: A a, B b);
handlers!(3: A a, B b, C c);
handlers!(4: A a, B b, C c, D d);

/// The parameters of a function.
trait Parameters: Sized {
    const COUNT: usize;

    fn read(values: &mut Values) -> Result<Self, NativeError>;
}

impl Parameters for () {
    const COUNT: usize = 0;

    fn read(_values: &mut Values) -> Result<(), NativeError> {
        Ok(())
    }
}

macro_rules! parameters {
    ($count:literal: $($type:ident),*) => {
        impl<$($type: DeserializeOwned),*> Parameters for ($($type,)*) {
            const COUNT: usize = $count;

            fn read(values: &mut Values) -> Result<Self, NativeError> {
                Ok(($(values.next::<$type>()?,)*))
            }
        }
    };
}

parameters!(1: A);
parameters!(2: A, B);
parameters!(3: A, B, C);
parameters!(4: A, B, C, D);

fn read<P: Parameters>(arguments: CallArguments) -> Result<P, NativeError> {
    P::read(&mut Values::of(arguments, P::COUNT)?)
}

/// Values in the order of the parameters; `None` where none was given.
struct Values {
    values: std::vec::IntoIter<Option<Value>>,
    names: Arc<[String]>,
    at: usize,
}

impl Values {
    fn of(arguments: CallArguments, count: usize) -> Result<Values, NativeError> {
        let CallArguments { given, names } = arguments;
        let mut values: Vec<Option<Value>> = match given {
            Value::Array(list) if list.len() > count => {
                let (given, takes) = (list.len(), takes(count, &names));
                return Err(NativeError::permanent(format!("{given} arguments were given, and {takes}")));
            }
            Value::Array(list) => list.into_iter().map(Some).collect(),
            Value::Object(mut fields) if !names.is_empty() => {
                let values = names.iter().map(|name| fields.remove(name)).collect();
                if let Some(unknown) = fields.keys().next() {
                    let takes = takes(count, &names);
                    return Err(NativeError::permanent(format!("there is no argument `{unknown}`: {takes}")));
                }
                values
            }
            Value::Object(fields) if fields.is_empty() && count != 1 => Vec::new(),
            whole if count == 1 => vec![Some(whole)],
            _ => {
                let takes = takes(count, &names);
                return Err(NativeError::permanent(format!("the arguments are named, and {takes}")));
            }
        };
        values.resize(count, None);
        Ok(Values { values: values.into_iter(), names, at: 0 })
    }

    fn next<T: DeserializeOwned>(&mut self) -> Result<T, NativeError> {
        let value = self.values.next().flatten();
        let at = self.at;
        self.at += 1;
        let is_missing = value.is_none();
        serde_json::from_value(value.unwrap_or(Value::Null)).map_err(|error| {
            let which = self.names.get(at).map_or_else(|| (at + 1).to_string(), |name| format!("`{name}`"));
            NativeError::permanent(match is_missing {
                true => format!("argument {which} is missing"),
                false => format!("argument {which} cannot be read: {error}"),
            })
        })
    }
}

fn takes(count: usize, names: &[String]) -> String {
    match (count, names) {
        (0, _) => "the task takes none".to_owned(),
        (1, []) => "the task takes 1, by position".to_owned(),
        (count, []) => format!("the task takes {count}, by position"),
        (_, names) => format!("the task takes {}", names.join(", ")),
    }
}

fn finish<T: Serialize + 'static, E: Into<BoxError> + 'static>(
    running: impl Future<Output = Result<T, E>> + Send + 'static,
) -> CallResult {
    running.map(ended).boxed()
}

fn on_a_thread(call: impl FnOnce() -> Result<Value, NativeError> + Send + 'static) -> CallResult {
    async move {
        match tokio::task::spawn_blocking(call).await {
            Ok(result) => result,
            // The executor catches it where the function was called, as it does with one that does not block.
            Err(failed) => match failed.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(NativeError::retryable("the program is ending, and runs nothing any more")),
            },
        }
    }
    .boxed()
}

fn ended<T: Serialize, E: Into<BoxError>>(result: Result<T, E>) -> Result<Value, NativeError> {
    match result {
        Ok(value) => serde_json::to_value(value)
            .map_err(|error| NativeError::permanent(format!("what the task returned cannot be serialized: {error}"))),
        Err(error) => Err(native(error.into())),
    }
}

fn native(error: BoxError) -> NativeError {
    let error = match error.downcast::<NativeError>() {
        Ok(error) => return *error,
        Err(error) => error,
    };
    let mut context = Vec::new();
    let mut cause = error.source();
    while let Some(source) = cause {
        if let Some(inner) = source.downcast_ref::<NativeError>() {
            let NativeError { message, context: causes, retry } = inner.clone();
            context.push(message);
            context.extend(causes);
            return NativeError { message: error.to_string(), context, retry };
        }
        context.push(source.to_string());
        cause = source.source();
    }
    NativeError { message: error.to_string(), context, retry: Retry::Backoff }
}

type Call = dyn Fn(TaskContext, Value) -> CallResult + Send + Sync;

/// A function with a name and settings.
pub struct Task {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) args_schema: Option<Value>,
    pub(super) settings: Settings,
    names: Arc<[String]>,
    count: usize,
    call: Arc<dyn Fn(TaskContext, CallArguments) -> CallResult + Send + Sync>,
}

impl Task {
    /// A task of that name, which is its ID as well: see [`TaskName`](crate::model::TaskName).
    pub fn new<P, H: Handler<P>>(name: impl Into<String>, handler: H) -> Task {
        Task {
            name: name.into(),
            description: String::new(),
            args_schema: None,
            settings: Settings::default(),
            names: Arc::from([]),
            count: H::PARAMETERS,
            call: Arc::new(move |context, arguments| handler.call(context, arguments)),
        }
    }

    /// What it does, for people.
    #[must_use]
    pub fn description(self, text: impl Into<String>) -> Task {
        Task { description: text.into(), ..self }
    }

    /// The names of its parameters, in their order, so that they can be given by name.
    #[must_use]
    pub fn parameters<N: Into<String>>(self, names: impl IntoIterator<Item = N>) -> Task {
        Task { names: names.into_iter().map(Into::into).collect(), ..self }
    }

    /// JSON Schema of its arguments, which are compared with it before a job is queued.
    #[must_use]
    pub fn args_schema(self, schema: Value) -> Task {
        Task { args_schema: Some(schema), ..self }
    }

    /// Settings of its jobs, over the defaults of the host. What an operator configures for the task goes before them.
    #[must_use]
    pub fn settings(self, settings: Settings) -> Task {
        Task { settings, ..self }
    }

    /// What is wrong with it as a declaration.
    pub(super) fn fault(&self) -> Option<String> {
        let (names, count) = (self.names.len(), self.count);
        let doubled = (1..names).find(|&at| self.names[..at].contains(&self.names[at]));
        match doubled {
            Some(at) => Some(format!("two parameters of the task `{}` are named `{}`", self.name, self.names[at])),
            None if names != 0 && names != count => {
                Some(format!("the task `{}` has {count} parameters, and names {names} of them", self.name))
            }
            None => None,
        }
    }

    /// What calls it with the arguments of a job.
    pub(super) fn into_call(self) -> Box<Call> {
        Box::new(move |context, given| (self.call)(context, CallArguments { given, names: Arc::clone(&self.names) }))
    }
}

impl TaskContext {
    pub(super) fn new(native: NativeContext, host: WeakHost) -> TaskContext {
        TaskContext { native, host }
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("name", &self.name).field("parameters", &self.count).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("around")]
    struct Around(#[source] NativeError);

    fn read_as<P: Parameters>(given: Value, names: &[&str]) -> Result<P, String> {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        read(CallArguments { given, names }).map_err(|error| error.message)
    }

    #[test]
    fn arguments_are_read_by_position_and_by_the_names_that_the_task_says() {
        assert_eq!(read_as::<(i64, i64)>(json!([20, 22]), &[]), Ok((20, 22)));
        assert_eq!(read_as::<(i64, i64)>(json!({"b": 22, "a": 20}), &["a", "b"]), Ok((20, 22)));
        assert_eq!(read_as::<(i64, Option<i64>)>(json!([20]), &[]), Ok((20, None)));
        assert_eq!(read_as::<()>(json!({}), &[]), Ok(()));
        assert_eq!(
            read_as::<(std::collections::BTreeMap<String, i64>,)>(json!({"a": 1}), &[]).map(|it| it.0.len()),
            Ok(1)
        );
    }

    #[test]
    fn arguments_that_do_not_fit_are_named() {
        let fault = |given, names: &[&str]| read_as::<(i64, i64)>(given, names).expect_err("it does not fit");
        assert_eq!(fault(json!([1, 2, 3]), &[]), "3 arguments were given, and the task takes 2, by position");
        assert_eq!(fault(json!({"a": 1}), &[]), "the arguments are named, and the task takes 2, by position");
        assert_eq!(fault(json!({"a": 1}), &["a", "b"]), "argument `b` is missing");
        assert_eq!(fault(json!({"a": 1, "c": 1}), &["a", "b"]), "there is no argument `c`: the task takes a, b");
        assert!(fault(json!([1, "x"]), &[]).starts_with("argument 2 cannot be read: invalid type: string \"x\""));
        assert_eq!(read_as::<()>(json!([1]), &[]), Err("1 arguments were given, and the task takes none".to_owned()));
    }

    #[test]
    fn an_error_keeps_its_causes_and_says_whether_another_attempt_may_help() {
        let retry = |error: BoxError| native(error).retry;
        assert_eq!(retry("anything".into()), Retry::Backoff);
        assert_eq!(retry(NativeError::permanent("no such order").into()), Retry::Never);
        let inner = NativeError::permanent("no such order");
        let outer = native(Box::new(Around(inner)));
        assert_eq!(
            (&*outer.message, &*outer.context, outer.retry),
            ("around", &["no such order".to_owned()][..], Retry::Never)
        );
    }
}
