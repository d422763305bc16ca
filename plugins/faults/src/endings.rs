//! Ends that are no ends: panics, exits, traps.

use std::hint::black_box;

use guest_sdk::task;

/// Panics with this message.
#[task]
fn panics(#[arg(default = "on purpose")] message: String) {
    panic!("{message}");
}

/// Panics after it has filled the log, so that the panic's own line finds it full.
#[task]
fn panics_after_logging() {
    crate::output::fill_log(2 << 20);
    panic!("after 2 MiB of log");
}

/// Leaves the process with this exit code. 0 is no success either: a task returns.
#[task]
#[expect(clippy::disallowed_methods, reason = "this is the fault")]
fn exits(code: i32) {
    std::process::exit(code);
}

/// Aborts, which is a trap without a word.
#[task]
fn aborts() {
    std::process::abort();
}

/// Divides by zero in a way that the compiler does not guard: a trap.
#[task]
fn traps() -> u32 {
    core_trap()
}

#[cfg(target_family = "wasm")]
fn core_trap() -> u32 {
    std::arch::wasm32::unreachable()
}

#[cfg(not(target_family = "wasm"))]
fn core_trap() -> u32 {
    unimplemented_natively()
}

#[cfg(not(target_family = "wasm"))]
fn unimplemented_natively() -> u32 {
    panic!("there is no such trap outside a component")
}

/// Recurses until the stack ends.
#[task]
fn recurses() -> u64 {
    #[expect(unconditional_recursion, reason = "this is the fault")]
    fn down(depth: u64) -> u64 {
        let here = black_box([depth; 16]);
        down(black_box(depth + 1)) + here[3]
    }
    down(0)
}
