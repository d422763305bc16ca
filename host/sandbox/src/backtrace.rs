//! The guest's stack at its end, in words: so many frames, so many bytes, and nothing that is worked out from debug information.
//!
//! Debug information would give file and line. It belongs to the author and is as long and as deep as the author likes, and reading it
//! is work that nobody has bounded. It is not read. Each frame has its offset in the component instead, which names the line to whoever
//! has the author's build.

use std::fmt::Write as _;

use wasmtime::{FrameInfo, Trap, WasmBacktrace};

use super::engine::BACKTRACE_FRAMES_MAX;
use super::names::{Bounded, demangled};

/// Longest backtrace, in bytes.
const BACKTRACE_BYTES_MAX: usize = 8 * 1024;
/// Longest name of a function in it, in bytes.
const FUNCTION_BYTES_MAX: usize = 320;

/// The stack on which `error` ended the guest, a frame a line; `None` where no guest code was running.
pub(super) fn of(error: &wasmtime::Error) -> Option<String> {
    let stack = error.downcast_ref::<WasmBacktrace>()?;
    let mut text = Bounded::new(BACKTRACE_BYTES_MAX);
    for (at, frame) in stack.frames().iter().enumerate() {
        let line_end = if at == 0 { "" } else { "\n" };
        if write!(text, "{line_end}{at:>5}: {}", line(frame)).is_err() {
            break;
        }
    }
    Some(text.finish())
}

fn line(frame: &FrameInfo) -> String {
    let offset = frame.module_offset().map_or_else(String::new, |offset| format!("{offset:#8x} - "));
    let module = frame.module().name().unwrap_or("<unknown>");
    match frame.func_name() {
        Some(name) => format!("{offset}{module}!{}", demangled(name, FUNCTION_BYTES_MAX)),
        None => format!("{offset}{module}!<function {}>", frame.func_index()),
    }
}

/// Whether a guest's own stack ran out of its memory: Rust and C keep one there, at the low end, so that a recursion without
/// end leaves the memory instead of hitting the sandbox's limit. Its stack shows one function over and over.
pub(super) fn is_recursion(trap: Trap, error: &wasmtime::Error) -> bool {
    let Some(stack) = error.downcast_ref::<WasmBacktrace>() else { return false };
    let frames = stack.frames();
    trap == Trap::MemoryOutOfBounds
        && frames.len() == BACKTRACE_FRAMES_MAX.get()
        && frames.iter().any(|frame| {
            let same = frames.iter().filter(|other| other.func_index() == frame.func_index()).count();
            same >= BACKTRACE_FRAMES_MAX.get() / 4
        })
}
