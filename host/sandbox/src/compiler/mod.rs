//! The compiler: from the bytes of a component to compiled code, in a process of its own.
//!
//! Validating and compiling is the hardest work that a component gives, and all of it happens before any of its code runs: fuel,
//! interruption and the account of memory do not hold it. So it is done by a child process with limits on memory, processor time and stack.
//! When the child runs into one, it dies alone, and the component is refused.
//!
//! ```text
//!   host                                        child: the same program, run with an argument of its own
//!   ────                                        ─────
//!   Compiler ── request, component ──► stdin    sets its limits
//!            ◄── answer, code ──────── stdout   counts (complexity), bounds names, validates, compiles
//!   clock: kills it                             ends when the host does
//! ```
//!
//! The child is no wall against a fault of the compiler that lets a component write the child's memory: what the child answers is run.
//! It is the same compiler as in one process, and keeps apart what it may use.

mod child;
mod protocol;
mod serve;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

pub use self::serve::serve_if_asked;

use wasmtime::Engine;

use super::code::CompiledCode;
use super::refusal::{Refusal as _, refused};
use super::{complexity, names};
use crate::config::CompilerLimits;
use crate::executor::InspectError;

/// Stack of the thread that validates and compiles. What is read by recursion is bounded to a part of it.
const STACK_BYTES: usize = 32 << 20;
/// Largest compiled code, in bytes: a few times as much as the largest component.
pub(super) const CODE_BYTES_MAX: u64 = 512 << 20;

/// Where components are compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compiler {
    /// In this process. What is refused for its complexity is refused here too, but whatever gets past that takes memory and time of this
    /// process, and a fault of the compiler is one of this process. For programs that run components they have built themselves.
    InProcess,
    /// In a child process with limits.
    Child(ChildCompiler),
}

/// A program that compiles components as a child of this process, and what it may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildCompiler {
    /// The program: one whose `main` begins with [`serve_if_asked`], built with the same version of this crate.
    pub program: PathBuf,
    /// What it may use for one component.
    pub limits: CompilerLimits,
}

impl ChildCompiler {
    /// `program` with the usual limits.
    pub fn new(program: impl Into<PathBuf>) -> ChildCompiler {
        ChildCompiler { program: program.into(), limits: CompilerLimits::default() }
    }
}

/// Whether the `main` of this program begins with [`serve_if_asked`].
static CAN_SERVE: AtomicBool = AtomicBool::new(false);

impl Compiler {
    /// A child that runs this very program, if its `main` begins with [`serve_if_asked`]; else in this process.
    pub fn of_this_program(limits: CompilerLimits) -> Compiler {
        if !CAN_SERVE.load(Ordering::Relaxed) {
            return Compiler::InProcess;
        }
        match this_program() {
            Some(program) => Compiler::Child(ChildCompiler { program, limits }),
            None => {
                tracing::warn!(
                    "this program cannot find its own file: plugins are compiled without limits on memory and time"
                );
                Compiler::InProcess
            }
        }
    }

    /// The compiled code of `component`. Blocks until it is there.
    ///
    /// # Errors
    /// The component is too complex, not valid, or more than the compiler may spend on it.
    pub(super) fn compile(&self, engine: &Engine, component: Vec<u8>) -> Result<CompiledCode, InspectError> {
        match self {
            Compiler::InProcess => on_deep_stack(|| compile_here(engine, component))?,
            Compiler::Child(child) => child.compile(engine, &component),
        }
        .map(CompiledCode::from_compiler)
    }
}

/// The file of this program. The first is the very file that was started, also where an upgrade has put another one in its place.
fn this_program() -> Option<PathBuf> {
    let started = PathBuf::from("/proc/self/exe");
    if started.exists() { Some(started) } else { std::env::current_exe().ok() }
}

/// Compiles in the process and on the thread of the caller.
fn compile_here(engine: &Engine, mut component: Vec<u8>) -> Result<Vec<u8>, InspectError> {
    complexity::check(&component)?;
    names::bound(&mut component);
    engine.precompile_component(&component).map_err(|error| {
        if error.is::<wasmtime::OutOfMemory>() {
            return out_of_memory();
        }
        refused("the component is not valid, or needs more than the sandbox has").because_of(&error)
    })
}

fn out_of_memory() -> InspectError {
    refused("the compiler ran out of memory on this component")
}

/// Runs `work` on a thread with the stack that it may need.
fn on_deep_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, InspectError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("compiler".to_owned()).stack_size(STACK_BYTES);
        let running = thread
            .spawn_scoped(scope, work)
            .map_err(|error| refused("the compiler could not be started").because(error.to_string()))?;
        running.join().map_err(|_panic| refused("the compiler panicked on this component"))
    })
}
