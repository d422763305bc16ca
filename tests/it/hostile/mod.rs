//! Components that are attacks: on the compiler, on backtraces, on whoever reads what they say. Each is run by the program, which must
//! refuse it or see it trap, and needs little memory and time for that.
//!
//! What each attack runs into stands in `host/THREATS.md`, in a table that these tests print and compare.

pub(crate) mod calls;
mod components;
#[cfg(unix)]
mod guests;
#[cfg(unix)]
mod kv;
mod modules;
#[cfg(unix)]
mod secrets;
#[cfg(unix)]
mod web;
mod words;

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use tests::cli::{Said, User, host_binary};

use crate::generated::{Encoding, Plugin};

/// Memory that the host itself may take while it deals with an attack, in KiB. It has room for a few guests, with which it takes little.
const HOST_MEMORY_KIB: u64 = 640 << 10;
/// How long it may take before the test gives up on it. The compiler's own limit is below that.
const PATIENCE: Duration = Duration::from_secs(1_000);

/// A compiler's time is longer than usual, so that a slow machine does not change what an attack runs into. Its memory is the usual one.
const SETTINGS: &str = "[serve]\nmax_concurrent_jobs = 2\n[compiler]\ntimeout = \"15m\"\n[caps]\nmemory = \"1GiB\"\n";

/// How an attack ends.
enum Ends {
    /// The component is refused, in words with these.
    Refused(&'static str),
    /// The task traps, as any other does, and its backtrace has these words.
    Traps(&'static str),
    /// The job ends as an error of this kind, with these words.
    Fails(&'static str, &'static str),
}

struct Attack {
    attack: &'static str,
    limit: &'static str,
    ends: Ends,
}

macro_rules! attacks {
    ($($test:ident: $attack:literal, $limit:literal, $ends:expr, $component:expr;)+) => {
        $(
            #[test]
            fn $test() {
                check(&$component, &$ends);
            }
        )+

        const ATTACKS: &[Attack] = &[$(Attack { attack: $attack, limit: $limit, ends: $ends }),+];
    };
}

attacks! {
    calls_inlined_8000_deep_in_debug_information_are_not_read:
        "debug information with calls inlined 8,000 deep, and a trap", "debug information is not kept",
        Ends::Traps("!run"), components::deep_inlining();
    a_line_table_of_20_mb_is_not_read:
        "a line table of 20 MB, and a trap", "debug information is not kept",
        Ends::Traps("!run"), components::long_line_table();
    a_c_plus_plus_name_that_stands_for_gigabytes_is_shown_as_it_is:
        "a mangled C++ name of 300 bytes that stands for gigabytes, and a trap", "C++ names are shown as they are",
        Ends::Traps("_Z1f"), components::exponential_cpp_name();
    a_rust_name_that_stands_for_gigabytes_is_cut:
        "a mangled Rust name that stands for gigabytes, and a trap", "320 bytes a name, 32 frames, 8 KiB a backtrace",
        Ends::Traps("attack!c::<(u8, u8), ((u8, u8)"), components::exponential_rust_name();
    a_million_names_are_left_out:
        "a million names of functions, 54 MB, and a trap", "512 bytes a name, 8 MiB of names",
        Ends::Traps("<function 1>"), components::million_names();
    a_name_of_40_mb_is_cut:
        "a name of 40 MB, and a trap", "512 bytes a name, 8 MiB of names",
        Ends::Traps("!nnnn"), components::long_name();
    loops_nested_9000_deep_are_refused:
        "loops nested 9,000 deep", "100 levels of loops",
        Ends::Refused("levels of loops"), components::nested_loops();
    loops_over_many_locals_are_refused:
        "4,500 loops over 40,000 locals", "loops times locals: 250,000",
        Ends::Refused("loops times locals"), components::loops_over_many_locals();
    many_calls_are_refused:
        "600,000 calls in one function", "200,000 calls a function",
        Ends::Refused("calls, and may have"), components::many_calls();
    blocks_over_many_locals_are_refused:
        "2,000 blocks over 40,000 locals", "blocks times locals: 10,000,000",
        Ends::Refused("blocks times locals"), components::blocks_over_locals();
    seven_megabytes_of_blocks_are_refused:
        "a function of 7 MB of blocks", "2 MiB and 100,000 blocks a function",
        Ends::Refused("and may have 2097152"), components::blocks(7 << 20);
    two_megabytes_of_blocks_are_refused:
        "a function of 2 MB of blocks", "2 MiB and 100,000 blocks a function",
        Ends::Refused("blocks and branches"), components::blocks(2 << 20);
    blocks_nested_30000_deep_are_refused:
        "blocks nested 30,000 deep", "10,000 levels",
        Ends::Refused("levels of blocks"), components::nested_blocks();
    a_million_functions_are_refused:
        "a million functions", "200,000 functions",
        Ends::Refused("functions, and may have"), components::million_functions();
    components_nested_20000_deep_are_refused:
        "components nested 20,000 deep", "32 levels",
        Ends::Refused("levels of components in components"), components::nested_components();
    twenty_thousand_components_beside_each_other_are_refused:
        "20,000 components beside each other", "500 components and modules",
        Ends::Refused("components and modules, and may have"), components::many_components();
    twenty_thousand_types_are_refused:
        "20,000 types", "10,000 types",
        Ends::Refused("types, and may have"), components::many_types();
    twenty_thousand_component_types_are_refused:
        "20,000 types of components", "10,000 types",
        Ends::Refused("types, and may have"), components::many_component_types();
    a_type_nested_100000_deep_is_refused:
        "a type nested 100,000 deep", "10,000 levels",
        Ends::Refused("nested types"), components::nested_types();
    a_module_with_several_memories_is_refused:
        "a module with several memories", "one memory a module",
        Ends::Refused("memories in one module"), Plugin { more_memories: 3, ..Plugin::trapping() }.component();
    instances_doubled_thirty_times_end_with_the_compiler:
        "a component made of two of another, thirty times over", "the compiler's memory and time",
        Ends::Refused("the compiler ran out of"), components::doubled_instances();
    an_import_with_a_name_of_90_kb_is_cut:
        "an import with a name of 90 kB", "256 bytes of a name",
        Ends::Refused("url=<https://evil.example/aaaa"), components::long_import();
    a_thousand_and_one_imports_are_refused:
        "5,000 imports", "1,000 imports",
        Ends::Refused("more than 1000 imports"), components::many_imports();
    a_function_near_the_caps_is_compiled_within_the_limits:
        "a function with as many loops, and half as many blocks and calls, as are let through", "the compiler's memory",
        Ends::Traps("!run"), components::hard_function();
    a_result_that_is_no_utf_8_is_an_error:
        "a result that is no UTF-8", "results are read before they are kept",
        Ends::Fails("guest_error", "invalid unicode code point at line 1 column 2"), Plugin::returning(Encoding::Json, b"\"\xff\"").component();
    a_result_nested_100000_deep_is_an_error:
        "a result nested 200 deep", "64 levels",
        Ends::Fails("result_too_large", "nested deeper than 64 levels"), Plugin::returning(Encoding::Cbor, &[0x81; 200]).component();
    loops_that_never_end_end:
        "a loop without end", "`--fuel`",
        Ends::Fails("out_of_fuel", "used up its fuel"), modules::endless_computation();
    a_start_function_that_never_ends_is_refused:
        "a start function that loops for ever", "2 seconds and a billion units of fuel to list tasks",
        Ends::Refused("could not list its tasks"), modules::endless_start();
    a_start_function_that_traps_is_refused:
        "a start function that traps", "it must list its tasks",
        Ends::Refused("could not list its tasks"), modules::trapping_start();
    a_list_of_tasks_that_asks_for_its_job_is_refused:
        "a list of tasks that asks for its job", "there is no job yet",
        Ends::Refused("can be used only while a task runs"), calls::context_while_listing();
    a_list_of_tasks_outside_memory_is_refused:
        "a list of tasks at an address outside memory", "the canonical ABI",
        Ends::Refused("could not list its tasks"), modules::list_outside();
    two_tasks_of_one_name_are_refused:
        "two tasks of one name", "names of tasks are unique",
        Ends::Refused("twin"), example("list_twins");
    two_hundred_and_eighty_nine_tasks_are_refused:
        "289 tasks", "256 tasks",
        Ends::Refused("289 tasks"), example("list_many");
    a_list_of_tasks_that_never_ends_is_refused:
        "a list of tasks that never ends", "2 seconds and a billion units of fuel to list tasks",
        Ends::Refused("could not list its tasks"), example("list_spins");
    a_list_of_tasks_that_hoards_memory_is_refused:
        "a list of tasks that takes all memory", "64 MiB to list tasks",
        Ends::Refused("could not list its tasks"), example("list_hoards");
    memory_grows_no_further_than_its_limit:
        "memory that grows a page at a time", "`--memory`",
        Ends::Fails("out_of_memory", "`--memory` gives it more"), modules::growing_memory();
    a_table_grows_no_further_than_its_limit:
        "a table that grows", "100,000 elements of a table",
        Ends::Fails("out_of_memory", "it had"), modules::growing_table();
    a_table_of_four_billion_elements_is_refused:
        "a table of four billion elements", "100,000 elements of a table",
        Ends::Refused("table"), modules::large_table();
    a_memory_of_4_gib_is_refused:
        "a memory that begins with 4 GiB", "the operator's cap on memory",
        Ends::Refused("bytes of memory to begin with"), modules::large_memory();
    memory_that_is_filled_again_and_again_is_bounded:
        "64 MiB that are filled in one instruction, again and again", "`--fuel`, by the byte",
        Ends::Fails("out_of_fuel", "used up its fuel"), modules::filling_memory();
    memory_that_is_copied_again_and_again_is_bounded:
        "32 MiB that are copied in one instruction, again and again", "`--fuel`, by the byte",
        Ends::Fails("out_of_fuel", "used up its fuel"), modules::copying_memory();
    recursion_ends:
        "recursion without end", "512 KiB of stack",
        Ends::Traps("recursed too deeply"), modules::recursion();
    recursion_with_large_frames_ends:
        "recursion with 2,000 numbers in each call", "512 KiB of stack",
        Ends::Traps("recursed too deeply"), modules::recursion_with_large_frames();
    a_call_through_an_empty_entry_traps:
        "a call through an empty entry of a table", "checked code",
        Ends::Traps("empty table entry"), modules::empty_table_entry();
    a_call_through_an_index_outside_traps:
        "a call through an index outside a table", "checked code",
        Ends::Traps("index that does not exist"), modules::table_index_outside();
    an_address_outside_memory_traps:
        "an address 8 GiB above memory", "checked code",
        Ends::Traps("outside its memory"), modules::address_outside();
    a_division_by_zero_traps:
        "a division by zero", "checked code",
        Ends::Traps("divided an integer by zero"), modules::division_by_zero();
    an_integer_of_nan_traps:
        "the integer part of NaN", "checked code",
        Ends::Traps("no integer"), modules::integer_of_nan();
    exceptions_are_refused:
        "an exception that nobody catches", "no exceptions",
        Ends::Refused("exceptions"), modules::exceptions();
    memory_shared_between_threads_is_refused:
        "memory shared between threads, to wait in for ever", "no threads",
        Ends::Refused("shared"), modules::shared_memory();
    memory_of_64_bits_is_refused:
        "a memory with addresses of 64 bits", "addresses of 32 bits",
        Ends::Refused("memory64"), modules::memory_of_64_bits();
    types_of_a_garbage_collector_are_refused:
        "arrays of a garbage collector", "no garbage collector",
        Ends::Refused("gc"), modules::garbage_collected_types();
    an_allocation_outside_memory_is_a_trap:
        "memory for the arguments at an address where there is none", "the canonical ABI",
        Ends::Fails("trap", "canonical ABI"), modules::allocation_outside();
    an_allocation_that_never_ends_ends:
        "an allocation for the arguments that loops for ever", "`--fuel`",
        Ends::Fails("out_of_fuel", "used up its fuel"), calls::endless_allocation();
    an_allocation_that_calls_the_host_traps:
        "an allocation for the arguments that calls the host", "the canonical ABI",
        Ends::Traps("from where that is not allowed"), calls::host_called_by_allocation();
    a_post_return_that_never_ends_ends:
        "a clean-up after the result that loops for ever", "`--fuel`",
        Ends::Fails("out_of_fuel", "used up its fuel"), modules::endless_post_return();
    a_custom_section_of_40_mb_is_not_read:
        "a custom section of 40 MB", "custom sections are not read",
        Ends::Traps("it aborted"), modules::large_custom_section();
    damaged_sections_of_names_are_left_out:
        "20,000 damaged sections of names", "names are read under limits",
        Ends::Traps("it aborted"), modules::many_custom_sections();
    fifteen_hundred_exports_are_refused:
        "1,500 exports", "1,000 exports",
        Ends::Refused("more than 1000 imports or exports"), components::many_exports();
    many_aliases_are_refused:
        "250,000 aliases", "200,000 imports, exports, instances and aliases",
        Ends::Refused("imports, exports, instances and aliases"), components::many_aliases();
    two_hundred_instances_of_modules_are_refused:
        "200 instances of a module", "32 instances of modules",
        Ends::Refused("instances"), components::many_module_instances();
    lists_nested_9000_deep_are_refused:
        "a type of lists nested 9,000 deep", "100 levels of types of values",
        Ends::Refused("too deep"), components::deep_lists();
    tuples_doubled_thirty_times_are_refused:
        "a tuple of the tuple before it twice, thirty times over", "a million parts of a type",
        Ends::Refused("type size"), components::doubled_tuples();
    a_record_of_100000_fields_is_refused:
        "a record of 100,000 fields", "10,000 fields",
        Ends::Refused("record field size is out of bounds"), components::wide_record();
    an_import_that_is_no_utf_8_is_refused:
        "an import whose name is no UTF-8", "names are text",
        Ends::Refused("the component is damaged"), components::import_that_is_no_text();
    random_bytes_without_bound_are_refused:
        "2^64 random bytes", "1 MiB of random bytes a call",
        Ends::Traps("the host had to refuse"), calls::random_without_bound();
    random_bytes_cost_fuel:
        "random bytes without end", "random bytes cost fuel",
        Ends::Fails("out_of_fuel", "used up its fuel"), calls::random_forever();
    timers_that_are_never_given_back_have_an_end:
        "timers without end, none of them given back", "1,000 handles",
        Ends::Traps("the host had to refuse"), calls::timers_without_end();
    a_timer_of_500_years_is_waited_for_until_the_time_limit:
        "waiting for 500 years", "`--timeout`",
        Ends::Fails("timed_out", "time limit"), calls::endless_timer();
    a_million_timers_are_too_many_for_one_call:
        "waiting for a million timers in one call", "8 MiB a call",
        Ends::Traps("handed more than 8 MiB"), calls::polling_a_million();
    ten_thousand_timers_are_too_many_handles:
        "waiting for 10,000 timers in one call", "1,000 handles",
        Ends::Traps("handle limit exceeded"), calls::polling_ten_thousand();
    waiting_costs_fuel:
        "waiting for 500 timers, again and again", "waiting costs fuel",
        Ends::Fails("out_of_fuel", "used up its fuel"), calls::polling_forever();
    zeroes_without_bound_are_refused:
        "2^64 zeroes to stdout", "64 KiB a write",
        Ends::Traps("more zeroes than"), calls::zeroes_without_bound();
    an_exit_with_success_is_no_success:
        "an exit with code 0", "a task returns",
        Ends::Fails("exited", "exit code 0"), calls::success_by_exit();
    empty_fields_cost_fuel:
        "lines with 150,000 empty fields, without end", "fields cost fuel",
        Ends::Fails("out_of_fuel", "used up its fuel"), calls::fields_forever();
    a_line_of_9_mib_is_refused:
        "a line of 9 MiB", "8 MiB a call",
        Ends::Traps("handed more than 8 MiB"), calls::too_long_a_line();
    a_line_outside_memory_traps:
        "a line at an address outside memory", "the canonical ABI",
        Ends::Traps("the host had to refuse"), calls::line_outside();
    a_level_that_does_not_exist_traps:
        "a level of the log that does not exist", "the canonical ABI",
        Ends::Traps("the host had to refuse"), calls::level_outside();
    progress_costs_fuel:
        "progress without end", "progress costs fuel",
        Ends::Fails("out_of_fuel", "used up its fuel"), calls::progress_forever();
    a_handle_that_was_never_given_traps:
        "a handle that was never given", "handles of an instance are its own",
        Ends::Traps("the host had to refuse"), calls::forged_handle();
}

/// The component of an example of the plugin `faults`.
fn example(name: &str) -> Vec<u8> {
    std::fs::read(tests::artifacts::plugin(name)).expect("a built plugin can be read")
}

/// Lets the program run the task of a component, within the memory and time that an attack may take.
#[track_caller]
fn check(component: &[u8], ends: &Ends) {
    let user = User::new();
    let file = user.file("attack.wasm", component);
    let said = invoke(&user, &file, ends);
    // An error is for people to read.
    assert!(said.err.len() < 40_000, "{} bytes of words", said.err.len());
    let (code, words) = match ends {
        Ends::Refused(words) => (2, words),
        Ends::Traps(words) | Ends::Fails(_, words) => (7, words),
    };
    assert_eq!(said.code, Some(code), "{said:?}");
    assert!(said.err.contains(words), "`{words}` is not in: {said:?}");
    match ends {
        Ends::Traps(_) => assert!(said.err.contains("the job failed: trap: "), "{said:?}"),
        Ends::Fails(kind, _) => assert!(said.err.contains(&format!("the job failed: {kind}: ")), "{said:?}"),
        Ends::Refused(_) => {}
    }
}

fn invoke(user: &User, file: &std::path::Path, ends: &Ends) -> Said {
    let limited = format!("ulimit -Sd {HOST_MEMORY_KIB} && exec \"$0\" \"$@\"");
    let settings = user.file("host.toml", SETTINGS);
    // Only an attack that is to run into the time limit has a short one: a busy machine must not change what the others run into.
    let timeout = if matches!(ends, Ends::Fails("timed_out", _)) { "5s" } else { "15m" };
    let limits = ["--fuel", "100_000_000", "--timeout", timeout].map(std::ffi::OsStr::new);
    let program = user.command(["invoke".as_ref(), file.as_os_str(), "run".as_ref()].into_iter().chain(limits));
    let mut command = Command::new("bash");
    command
        .arg("-c")
        .arg(limited)
        .arg(host_binary())
        .args(program.get_args())
        .arg("--config")
        .arg(settings)
        .env_clear();
    command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(user.home());
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    let (mut out, mut err) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
    std::thread::scope(|scope| {
        let out = scope.spawn(move || {
            let mut text = String::new();
            out.read_to_string(&mut text).map(|_| text)
        });
        let err = scope.spawn(move || {
            let mut text = String::new();
            err.read_to_string(&mut text).map(|_| text)
        });
        const STEP: Duration = Duration::from_millis(50);
        let mut left = PATIENCE;
        let status = loop {
            if let Some(status) = child.try_wait().expect("a child can be waited for") {
                break Some(status);
            }
            if left.is_zero() {
                child.kill().expect("a child can be killed");
                break None;
            }
            std::thread::sleep(STEP);
            left = left.saturating_sub(STEP);
        };
        let read = |text: std::thread::ScopedJoinHandle<'_, std::io::Result<String>>| {
            text.join().expect("the reader does not panic").expect("it prints UTF-8")
        };
        let (out, err) = (read(out), read(err));
        let status = status.unwrap_or_else(|| panic!("it did not end in {PATIENCE:?}: {err}"));
        Said { out, err, code: status.code() }
    })
}

/// The table of attacks, as it stands in `host/THREATS.md`.
fn table() -> String {
    let mut table = "| attack | limit | outcome |\n|---|---|---|\n".to_owned();
    for Attack { attack, limit, ends } in ATTACKS {
        let outcome = match ends {
            Ends::Refused(words) => format!("refused: “… {words} …”"),
            Ends::Traps(_) => "`trap`, with a backtrace".to_owned(),
            Ends::Fails(kind, words) => format!("`{kind}`: “… {words} …”"),
        };
        table.push_str(&format!("| {attack} | {limit} | {outcome} |\n"));
    }
    table
}

#[test]
fn the_table_of_threats_says_what_these_tests_show() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/THREATS.md");
    let text = std::fs::read_to_string(&file).expect("host/THREATS.md can be read");
    let table = table();
    assert!(text.contains(&table), "host/THREATS.md must have this table:\n\n{table}");
}

/// The processes that compile for the process `host`.
#[cfg(target_os = "linux")]
fn compilers_of(host: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").expect("the system tells its processes");
    let ids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    ids.filter(|id: &u32| {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let command = std::fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
        status.contains(&format!("PPid:\t{host}\n")) && command.contains("__compile-component")
    })
    .collect()
}

/// Whether a process does anything yet; one that is dead and was not asked about by its parent does not.
#[cfg(target_os = "linux")]
fn is_alive(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    status.contains("State:") && !status.contains("State:\tZ")
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_compiler_ends_with_the_host_that_it_works_for() {
    let user = User::new();
    let file = user.file("slow.wasm", components::doubled_instances());
    let mut host = user
        .command(["invoke".as_ref(), file.as_os_str(), "run".as_ref()])
        .stderr(Stdio::null())
        .spawn()
        .expect("the program can be started");
    let id = host.id();
    let compiler = tests::wait::wait_for("a compiler", || async { compilers_of(id).first().copied() }).await;
    // It cannot tell anybody any more.
    host.kill().expect("a child can be killed");
    host.wait().expect("a child can be waited for");
    tests::wait::wait_for("the compiler to end", || async { (!is_alive(compiler)).then_some(()) }).await;
}
