//! The side of the child: sets its limits, compiles one component, and ends.

use std::io::{self, BufReader, Read, Write};
use std::process::ExitCode;
use std::sync::atomic::Ordering;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::protocol::{self, Answer, Request};
use super::{CAN_SERVE, STACK_BYTES, compile_here, on_deep_stack};
use crate::executor::InspectError;
use crate::model::limits::COMPONENT_BYTES_MAX;
use crate::refusal::{Refusal as _, refused};
use crate::{cache, engine};

/// Compiles a component, if this process was started for that by a host that runs the same program. Call it first in `main`:
///
/// ```no_run
/// use std::process::ExitCode;
///
/// fn main() -> ExitCode {
///     if let Some(ended) = host_sandbox::serve_if_asked() {
///         return ended;
///     }
///     // What the program is for.
///     ExitCode::SUCCESS
/// }
/// ```
///
/// A program that does so compiles plugins in a process with limits: [`Compiler::of_this_program`](super::Compiler::of_this_program).
/// Answers `None` in a process that was started for anything else.
pub fn serve_if_asked() -> Option<ExitCode> {
    CAN_SERVE.store(true, Ordering::Relaxed);
    let mut arguments = std::env::args_os().skip(1);
    let is_asked =
        arguments.next().is_some_and(|argument| argument == protocol::ARGUMENT) && arguments.next().is_none();
    is_asked.then(|| match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The host reads standard error. Nobody is left to tell that telling failed.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    })
}

fn serve() -> io::Result<()> {
    let mut input = BufReader::new(io::stdin());
    let request: Request = protocol::read_line(&mut input)?;
    limit(&request)?;
    let component = protocol::read_bytes(&mut input, request.component_bytes, COMPONENT_BYTES_MAX as u64)?;
    end_with_the_host(input)?;
    match on_deep_stack(|| compile(&request, component)).flatten() {
        Ok(code) => {
            protocol::write_line(&mut io::stdout(), &Answer::Compiled { code_bytes: code.len() as u64 })?;
            io::stdout().write_all(&code)?;
        }
        Err(refusal) => protocol::write_line(&mut io::stdout(), &Answer::from(refusal))?,
    }
    io::stdout().flush()
}

fn compile(request: &Request, component: Vec<u8>) -> Result<Vec<u8>, InspectError> {
    let failed = |error: wasmtime::Error| refused("the compiler could not be set up").because_of(&error);
    let engine = engine::for_compiling().map_err(failed)?;
    if cache::compatibility_text(&engine) != request.compatibility {
        return Err(refused("the program that compiles is another one than the host, or of another version")
            .hint("restart the host"));
    }
    compile_here(&engine, component)
}

/// Limits this process, for good. What it is asked to compile has not been read yet.
fn limit(request: &Request) -> io::Result<()> {
    /// Address space that is reserved and never touched: by the allocator for each thread, by the system for libraries.
    const ADDRESS_SPACE_EXTRA: u64 = 1 << 30;
    /// Between the signal that tells of the limit on processor time and the one that cannot be survived.
    const PROCESSOR_SECONDS_EXTRA: u64 = 5;
    lower(Resource::Data, request.memory_bytes, 0)?;
    lower(Resource::As, request.memory_bytes.saturating_add(ADDRESS_SPACE_EXTRA), 0)?;
    lower(Resource::Stack, STACK_BYTES as u64, 0)?;
    lower(Resource::Cpu, request.processor_seconds, PROCESSOR_SECONDS_EXTRA)?;
    // No dump of its memory, and no file: it answers through a pipe.
    lower(Resource::Core, 0, 0)?;
    lower(Resource::Fsize, 0, 0)?;
    // Jobs come first; and where the machine has no memory left, this process is the one to go. Neither is needed for safety.
    let _unchanged = rustix::process::nice(10);
    let _unchanged = std::fs::write("/proc/self/oom_score_adj", "1000");
    Ok(())
}

/// Sets a limit, and one that is `extra` higher behind it. Where the system allows less anyway, that stays.
fn lower(resource: Resource, limit: u64, extra: u64) -> io::Result<()> {
    let allowed = getrlimit(resource).maximum.unwrap_or(u64::MAX);
    let limits = Rlimit { current: Some(limit.min(allowed)), maximum: Some(limit.saturating_add(extra).min(allowed)) };
    Ok(setrlimit(resource, limits)?)
}

/// Ends this process when the host is gone, which holds the other end of `input` as long as it waits for an answer.
fn end_with_the_host(mut input: impl Read + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name("host-watch".to_owned()).spawn(move || {
        let mut byte = [0];
        // Nothing more is ever sent, so this waits for the end of the pipe. A host that has its answer ends it too; by then nothing is
        // left to do.
        let _ = input.read(&mut byte);
        #[expect(
            clippy::disallowed_methods,
            reason = "the process is there for this host, and has nothing to tidy up"
        )]
        std::process::exit(1);
    })?;
    Ok(())
}
