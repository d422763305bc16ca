//! Components that call the host as no language's library would.

use wasm_encoder::{BlockType, Function, ValType};

use super::modules::spinning;
use crate::generated::{DOCUMENT, HEAP, Import, Plugin, RESULT, constant};

const I32: ValType = ValType::I32;
const I64: ValType = ValType::I64;

const fn import(
    interface: &'static str,
    name: &'static str,
    params: &'static [ValType],
    results: &'static [ValType],
) -> Import {
    Import { interface, name, params, results }
}

const LOG: Import = import("jobs:plugin/log@0.1.0", "log", &[I32; 7], &[]);
const PROGRESS: Import = import("jobs:plugin/progress@0.1.0", "set", &[I64, I32, I64, I32, I32], &[]);
const CURRENT: Import = import("jobs:plugin/context@0.1.0", "current", &[I32], &[]);
const RANDOM: Import = import("wasi:random/random@0.2.12", "get-random-bytes", &[I64, I32], &[]);
const SUBSCRIBE: Import = import("wasi:clocks/monotonic-clock@0.2.12", "subscribe-duration", &[I64], &[I32]);
const BLOCK: Import = import("wasi:io/poll@0.2.12", "[method]pollable.block", &[I32], &[]);
const POLL: Import = import("wasi:io/poll@0.2.12", "poll", &[I32; 3], &[]);
const EXIT: Import = import("wasi:cli/exit@0.2.12", "exit", &[I32], &[]);
const STDOUT: Import = import("wasi:cli/stdout@0.2.12", "get-stdout", &[], &[I32]);
const WRITE_ZEROES: Import =
    import("wasi:io/streams@0.2.12", "[method]output-stream.write-zeroes", &[I32, I64, I32], &[]);

const FOLDERS: Import = import("wasi:filesystem/preopens@0.2.12", "get-directories", &[I32], &[]);
const OPEN: Import = import("wasi:filesystem/types@0.2.12", "[method]descriptor.open-at", &[I32; 7], &[]);
const WRITE: Import =
    import("wasi:filesystem/types@0.2.12", "[method]descriptor.write", &[I32, I32, I32, I64, I32], &[]);

/// A plugin whose task does this with these functions of the host, and traps where it ends. The memory that the host asks for is always the
/// same.
fn calling(imports: &[Import], write: impl FnOnce(&mut wasm_encoder::InstructionSink<'_>)) -> Plugin {
    let mut run = Function::new([(1, I32)]);
    let mut code = run.instructions();
    write(&mut code);
    code.unreachable().end();
    Plugin { imports: imports.to_vec(), reallocates: constant(HEAP), ..Plugin::running(run) }
}

/// As [`calling`], again and again.
fn calling_forever(imports: &[Import], write: impl FnOnce(&mut wasm_encoder::InstructionSink<'_>)) -> Plugin {
    calling(imports, |code| {
        code.loop_(BlockType::Empty);
        write(code);
        code.br(0).end();
    })
}

/// The first local behind the task's parameters.
const LOCAL: u32 = 5;

pub(super) fn random_without_bound() -> Vec<u8> {
    calling(&[RANDOM], |code| {
        code.i64_const(-1).i32_const(RESULT).call(0);
    })
    .component()
}

pub(super) fn random_forever() -> Vec<u8> {
    calling_forever(&[RANDOM], |code| {
        code.i64_const(65_536).i32_const(RESULT).call(0);
    })
    .component()
}

/// A plugin that takes so many random bytes and returns `null`.
pub(crate) fn random(bytes: i64) -> Vec<u8> {
    let mut run = Function::new([]);
    run.instructions().i64_const(bytes).i32_const(HEAP - 8).call(0).i32_const(RESULT).end();
    Plugin { imports: vec![RANDOM], reallocates: constant(HEAP), ..Plugin::running(run) }.component()
}

/// A plugin with 16 MiB of memory that writes so many bytes of it in one call into the file `out` in the first granted folder. It returns 0 if
/// they were written, and 1 if not.
pub(crate) fn writing(bytes: i32) -> Vec<u8> {
    const ANSWER: i32 = 1_024;
    const PATH: i32 = 1_040;
    let byte = wasm_encoder::MemArg { offset: 0, align: 0, memory_index: 0 };
    let word = |offset| wasm_encoder::MemArg { offset, align: 2, memory_index: 0 };
    let mut run = Function::new([]);
    let mut code = run.instructions();
    // The list of folders lies at HEAP: a handle, and address and length of a name for each.
    code.i32_const(ANSWER).call(0);
    for (at, letter) in (PATH..).zip(b"out") {
        code.i32_const(at).i32_const(i32::from(*letter)).i32_store8(byte);
    }
    let (create, read_and_write) = (1, 3);
    code.i32_const(HEAP).i32_load(word(0)).i32_const(0).i32_const(PATH).i32_const(3);
    code.i32_const(create).i32_const(read_and_write).i32_const(ANSWER).call(1);
    // The file behind the first byte, which says whether it was opened.
    code.i32_const(ANSWER).i32_load(word(4)).i32_const(1 << 20).i32_const(bytes).i64_const(0).i32_const(ANSWER).call(2);
    code.i32_const(DOCUMENT).i32_const(ANSWER).i32_load8_u(byte).i32_const(i32::from(b'0')).i32_add().i32_store8(byte);
    code.i32_const(RESULT).end();
    let returning = Plugin::returning(crate::generated::Encoding::Json, b"0");
    Plugin { imports: vec![FOLDERS, OPEN, WRITE], run, pages: 256, reallocates: grounded(), ..returning }.component()
}

/// Gives memory at [`HEAP`] for lists, and behind it for the names in them.
fn grounded() -> Function {
    let (alignment, behind) = (2, 4_096);
    let mut function = Function::new([]);
    let mut code = function.instructions();
    // Lists of folders are aligned to words, names are not.
    code.i32_const(HEAP).i32_const(HEAP + behind).local_get(alignment).i32_const(1).i32_gt_u().select().end();
    function
}

pub(super) fn timers_without_end() -> Vec<u8> {
    calling_forever(&[SUBSCRIBE], |code| {
        code.i64_const(1).call(0).drop();
    })
    .component()
}

pub(super) fn endless_timer() -> Vec<u8> {
    calling(&[SUBSCRIBE, BLOCK], |code| {
        code.i64_const(-1).call(0).call(1);
    })
    .component()
}

/// Polls one timer as many times as the list has elements.
fn polling(elements: i32, forever: bool) -> Vec<u8> {
    let address = 65_536;
    let word = wasm_encoder::MemArg { offset: 0, align: 2, memory_index: 0 };
    let imports = [SUBSCRIBE, POLL];
    let poll = |code: &mut wasm_encoder::InstructionSink<'_>| {
        code.i32_const(address).i32_const(elements).i32_const(RESULT).call(1);
    };
    let plugin = calling(&imports, |code| {
        // The list has the timer in each of its places.
        code.loop_(BlockType::Empty);
        code.local_get(LOCAL).i32_const(address).i32_add().i32_const(1).i32_store(word);
        code.local_get(LOCAL).i32_const(4).i32_add().local_tee(LOCAL);
        code.i32_const(elements * 4).i32_lt_u().br_if(0).end();
        // The first handle of an instance is 1.
        code.i64_const(0).call(0).drop();
        if forever {
            code.loop_(BlockType::Empty);
            poll(code);
            code.br(0).end();
        } else {
            poll(code);
        }
    });
    Plugin { pages: 256, reallocates: constant(8 << 20), ..plugin }.component()
}

pub(super) fn polling_a_million() -> Vec<u8> {
    polling(1_000_000, false)
}

pub(super) fn polling_ten_thousand() -> Vec<u8> {
    polling(10_000, false)
}

pub(super) fn polling_forever() -> Vec<u8> {
    polling(500, true)
}

pub(super) fn zeroes_without_bound() -> Vec<u8> {
    calling(&[STDOUT, WRITE_ZEROES], |code| {
        code.call(0).i64_const(-1).i32_const(RESULT).call(1);
    })
    .component()
}

pub(super) fn success_by_exit() -> Vec<u8> {
    calling(&[EXIT], |code| {
        code.i32_const(0).call(0);
    })
    .component()
}

/// Lines with so many fields, all of them empty.
pub(super) fn fields_forever() -> Vec<u8> {
    let plugin = calling_forever(&[LOG], |code| {
        code.i32_const(2).i32_const(0).i32_const(0).i32_const(0).i32_const(0).i32_const(65_536).i32_const(150_000);
        code.call(0);
    });
    Plugin { pages: 64, ..plugin }.component()
}

pub(super) fn too_long_a_line() -> Vec<u8> {
    let plugin = calling(&[LOG], |code| {
        code.i32_const(2).i32_const(0).i32_const(0).i32_const(65_536).i32_const(9 << 20).i32_const(0).i32_const(0);
        code.call(0);
    });
    Plugin { pages: 256, ..plugin }.component()
}

/// A line that lies outside memory.
pub(super) fn line_outside() -> Vec<u8> {
    calling(&[LOG], |code| {
        code.i32_const(2).i32_const(0).i32_const(0).i32_const(-16).i32_const(8).i32_const(0).i32_const(0).call(0);
    })
    .component()
}

/// A level of the log that does not exist.
pub(super) fn level_outside() -> Vec<u8> {
    calling(&[LOG], |code| {
        code.i32_const(77).i32_const(0).i32_const(0).i32_const(0).i32_const(0).i32_const(0).i32_const(0).call(0);
    })
    .component()
}

pub(super) fn progress_forever() -> Vec<u8> {
    calling_forever(&[PROGRESS], |code| {
        code.i64_const(-1).i32_const(1).i64_const(0).i32_const(65_536).i32_const(1_000).call(0);
    })
    .component()
}

/// A handle that was never given.
pub(super) fn forged_handle() -> Vec<u8> {
    calling(&[SUBSCRIBE, BLOCK], |code| {
        code.i32_const(7).call(1);
    })
    .component()
}

/// Asks for its job while it lists its tasks, when there is none.
pub(super) fn context_while_listing() -> Vec<u8> {
    let mut lists = Function::new([]);
    lists.instructions().i32_const(RESULT).call(0).i32_const(RESULT).end();
    Plugin { imports: vec![CURRENT], lists, ..Plugin::trapping() }.component()
}

/// What the host calls to have memory for the arguments calls the host.
pub(super) fn host_called_by_allocation() -> Vec<u8> {
    let mut reallocates = Function::new([]);
    reallocates.instructions().i64_const(0).call(0).drop().i32_const(HEAP).end();
    Plugin { imports: vec![SUBSCRIBE], reallocates, ..Plugin::trapping() }.component()
}

pub(super) fn endless_allocation() -> Vec<u8> {
    super::modules::reallocating(spinning())
}
