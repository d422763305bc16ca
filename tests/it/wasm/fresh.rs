//! Nothing that one attempt leaves behind is found by another, whichever way instances get their memory.

use std::process::Command;

use host::executor::Verdict;
use host::model::ErrorKind;
use serde_json::json;
use tests::logs::Logs;
use wasm_encoder::{BlockType, Function, MemArg, ValType};

use super::{Run, Sandbox};
use crate::generated::{HEAP, Plugin, RESULT};

/// Attempts that look for what others left.
const LOOKS: usize = 10_000;
/// Attempts at the same time.
const PARALLEL: usize = 8;
/// Every so many looks an attempt leaves something behind.
const LOOKS_FOR_EACH_SECRET: usize = 4;

/// Pages that the plugin has after it took more: several times what the host wipes by hand.
const PAGES: i32 = 24;
/// Where the arguments and the name of the task end, and nothing is to be found.
const EMPTY_FROM: i32 = HEAP + 4_096;
const TABLE: i32 = 2_000;

/// Set in the process that has no address space for a pool.
const WITHOUT_POOL: &str = "TEST_WITHOUT_POOL";

/// With arguments it fills its memory, its global, its table and some stack with secrets. Without, it traps if any of these is not as a new
/// instance has it; with `looks_at_its_own` it does both.
fn plugin(looks_at_its_own: bool) -> Plugin {
    const SECRET: i64 = 0x5ec2_e75e_c2e7_5ec2;
    let (args_length, address, found) = (4, 5, 6);
    let mut run = Function::new([(1, ValType::I32), (1, ValType::I64)]);
    let mut code = run.instructions();
    let word = MemArg { offset: 0, align: 3, memory_index: 0 };
    let end = PAGES << 16;
    code.memory_size(0).i32_const(PAGES).i32_ge_u().if_(BlockType::Empty).unreachable().end();
    code.i32_const(PAGES).memory_size(0).i32_sub().memory_grow(0).i32_const(-1).i32_eq();
    code.if_(BlockType::Empty).unreachable().end();
    code.i32_const(EMPTY_FROM).local_set(address);
    code.local_get(args_length).i32_const(2).i32_gt_u().if_(BlockType::Empty);
    {
        code.loop_(BlockType::Empty);
        code.local_get(address).i64_const(SECRET).i64_store(word);
        code.local_get(address).i32_const(8).i32_add().local_tee(address).i32_const(end).i32_lt_u().br_if(0).end();
        // All elements become the function that runs.
        code.i32_const(0).ref_func(1).i32_const(TABLE).table_fill(0);
        code.i32_const(-1).global_set(0);
    }
    if looks_at_its_own {
        code.end()
    } else {
        code.else_()
    };
    {
        code.i32_const(EMPTY_FROM).local_set(address);
        code.loop_(BlockType::Empty);
        code.local_get(found).local_get(address).i64_load(word).i64_or().local_set(found);
        code.local_get(address).i32_const(8).i32_add().local_tee(address).i32_const(end).i32_lt_u().br_if(0).end();
        code.local_get(found).i64_eqz().i32_eqz().if_(BlockType::Empty).unreachable().end();
        code.i32_const(0).local_set(address);
        code.loop_(BlockType::Empty);
        code.local_get(address).table_get(0).ref_is_null().i32_eqz().if_(BlockType::Empty).unreachable().end();
        code.local_get(address).i32_const(1).i32_add().local_tee(address).i32_const(TABLE);
        code.i32_lt_u().br_if(0).end();
        code.global_get(0).i32_const(EMPTY_FROM).i32_gt_u().if_(BlockType::Empty).unreachable().end();
    }
    if !looks_at_its_own {
        code.end();
    }
    code.i32_const(RESULT).end();
    Plugin { table: Some(TABLE.unsigned_abs().into()), ..Plugin::running(run) }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_an_attempt_leaves_is_found_by_ten_thousand_others() {
    let logs = Logs::of_this_thread();
    let sandbox = Sandbox::new();
    let has_pool = logs.warnings_about("no address space for the pool") == 0;
    assert_eq!(has_pool, std::env::var_os(WITHOUT_POOL).is_none(), "{logs}");
    let control = sandbox.learn(plugin(true).component()).await;
    let ended = sandbox.run(Run::new(control, "run", json!({"secret": "of its own"}))).await;
    assert_eq!(ended.error().kind, ErrorKind::Trap, "what is there is found");
    let digest = sandbox.learn(plugin(false).component()).await;
    let attempts = (0..PARALLEL).map(|_| async {
        for look in 0..LOOKS / PARALLEL {
            if look % LOOKS_FOR_EACH_SECRET == 0 {
                let ended = sandbox.run(Run::new(digest, "run", json!({"secret": "of somebody"}))).await;
                assert!(matches!(ended.finished.verdict, Verdict::Success(_)), "{:?}", ended.finished);
            }
            let ended = sandbox.run(Run::new(digest, "run", json!({}))).await;
            assert!(matches!(ended.finished.verdict, Verdict::Success(_)), "{:?}", ended.finished);
        }
    });
    futures_util::future::join_all(attempts).await;
}

#[test]
fn nor_where_every_instance_has_memory_of_its_own() {
    const TEST: &str = "wasm::fresh::nothing_that_an_attempt_leaves_is_found_by_ten_thousand_others";
    let program = std::env::current_exe().expect("this program");
    // Room for everything but a pool, in KiB.
    let limited = format!("ulimit -v {} && exec \"$0\" \"$@\"", 32 << 20);
    let mut command = Command::new("sh");
    command.arg("-c").arg(limited).arg(program).args(["--exact", TEST]).env(WITHOUT_POOL, "1");
    let output = command.output().expect("a shell");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
