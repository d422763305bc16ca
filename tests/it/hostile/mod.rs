//! Components that are attacks: on the compiler, on backtraces, on whoever reads what they say. Each is run by the program, which must
//! refuse it or see it trap, and needs little memory and time for that.
//!
//! What each attack runs into stands in `host/THREATS.md`, in a table that these tests print and compare.

mod components;
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
const SETTINGS: &str = "[serve]\nmax_concurrent_jobs = 2\n[compiler]\ntimeout = \"15m\"\n";

/// How an attack ends.
enum Ends {
    /// The component is refused, in words with these.
    Refused(&'static str),
    /// The task traps, as any other does, and its backtrace has these words.
    Traps(&'static str),
    /// The job ends as the task's error, with these words.
    Fails(&'static str),
    /// The job ends as `result_too_large` in words with these in them.
    TooLarge(&'static str),
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
    the_hardest_function_that_is_let_through_is_compiled:
        "a function just below every cap", "the compiler's memory and time",
        Ends::Traps("!run"), components::hardest_function();
    a_result_that_is_no_utf_8_is_an_error:
        "a result that is no UTF-8", "results are read before they are kept",
        Ends::Fails("invalid unicode code point at line 1 column 2"), Plugin::returning(Encoding::Json, b"\"\xff\"").component();
    a_result_nested_100000_deep_is_an_error:
        "a result nested 200 deep", "64 levels",
        Ends::TooLarge("nested deeper than 64 levels"), Plugin::returning(Encoding::Cbor, &[0x81; 200]).component();
}

/// Lets the program run the task of a component, within the memory and time that an attack may take.
#[track_caller]
fn check(component: &[u8], ends: &Ends) {
    let user = User::new();
    let file = user.file("attack.wasm", component);
    let said = invoke(&user, &file);
    // An error is for people to read.
    assert!(said.err.len() < 40_000, "{} bytes of words", said.err.len());
    let (code, words) = match ends {
        Ends::Refused(words) => (2, words),
        Ends::Traps(words) | Ends::Fails(words) | Ends::TooLarge(words) => (7, words),
    };
    assert_eq!(said.code, Some(code), "{said:?}");
    assert!(said.err.contains(words), "`{words}` is not in: {said:?}");
    match ends {
        Ends::Traps(_) => assert!(said.err.contains("the job failed: trap: "), "{said:?}"),
        Ends::Fails(_) => assert!(said.err.contains("the job failed: guest_error: "), "{said:?}"),
        Ends::TooLarge(_) => assert!(said.err.contains("the job failed: result_too_large: "), "{said:?}"),
        Ends::Refused(_) => {}
    }
}

fn invoke(user: &User, file: &std::path::Path) -> Said {
    let limited = format!("ulimit -Sd {HOST_MEMORY_KIB} && exec \"$0\" \"$@\"");
    let settings = user.file("host.toml", SETTINGS);
    let program =
        user.command(["invoke".as_ref(), file.as_os_str(), "run".as_ref(), "--timeout".as_ref(), "5s".as_ref()]);
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
            Ends::Fails(words) => format!("`guest_error`: “… {words} …”"),
            Ends::TooLarge(words) => format!("`result_too_large`: “… {words} …”"),
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
