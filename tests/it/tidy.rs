//! The house rules that a compiler does not check: the floors of `host`, the homes of third-party crates, file sizes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Most lines of a source file, tests not counted. A file that is longer has a second subject in it.
const LINES_MAX: usize = 600;

/// Files that may be longer, with the reason.
const LONG_FILES: &[(&str, &str)] = &[];

/// Third-party crates and the only places that may name them (prefixes below `host/src/`).
const HOMES: &[(&str, &[&str])] = &[
    ("sqlx", &["store/sql/", "broker/sqlite.rs", "broker/postgres.rs"]),
    ("base64", &["store/archive/"]),
    ("wasmtime", &["executor/wasm/"]),
    ("wasmtime_wasi", &["executor/wasm/"]),
    ("wasmparser", &["executor/wasm/"]),
    ("cap_std", &["executor/wasm/"]),
    ("notify", &["broker/sqlite.rs"]),
    ("clap", &["cli/"]),
    ("clap_complete", &["cli/"]),
    ("comfy_table", &["cli/"]),
    ("toml", &["cli/"]),
    ("humantime", &["config/units.rs"]),
    ("tracing_subscriber", &["cli/"]),
    ("anyhow", &["cli/", "main.rs", "assemble.rs"]),
    ("chrono", &["model/time.rs", "trigger/"]),
    ("chrono_tz", &["trigger/"]),
];

/// Crates that the bottom floors must not know at all.
const ABSENT: &[(&str, &[&str])] = &[
    ("model/", &["tokio", "tokio_util", "tracing", "async_trait"]),
    ("trigger/", &["tokio", "tokio_util", "tracing", "async_trait"]),
];

/// Modules of one floor that may import each other, from and to.
const NEIGHBOURS: &[(&str, &str)] = &[
    // A finished attempt carries what the guest asked the store for.
    ("executor", "store"),
];

struct Source {
    /// Below `host/src/`.
    path: String,
    /// Code lines with their numbers, without comments and without the tests at the end.
    code: Vec<(usize, String)>,
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace").to_owned()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a source folder can be read") {
            let path = entry.expect("a folder entry can be read").path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// `path` counts from the root of what is looked at: a checkout may itself lie in a folder of that name.
fn is_test_file(path: &Path) -> bool {
    let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    name == "tests" || name.ends_with("_tests") || path.components().any(|part| part.as_os_str() == "tests")
}

/// The lines of a file that are code of the product: up to its `#[cfg(test)] mod`, and without comment lines.
fn product_lines(text: &str) -> Vec<(usize, String)> {
    let lines: Vec<&str> = text.lines().collect();
    let end = lines
        .iter()
        .enumerate()
        .position(|(index, line)| {
            *line == "#[cfg(test)]" && lines[index + 1..].iter().take(3).any(|next| next.starts_with("mod "))
        })
        .unwrap_or(lines.len());
    lines[..end]
        .iter()
        .enumerate()
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(index, line)| (index + 1, (*line).to_owned()))
        .collect()
}

fn host_sources() -> Vec<Source> {
    let root = workspace().join("host/src");
    let sources: Vec<Source> = rust_files(&root)
        .into_iter()
        .filter(|path| !is_test_file(path.strip_prefix(&root).expect("found below the root")))
        .map(|path| Source {
            code: product_lines(&fs::read_to_string(&path).expect("a source file is text")),
            path: path.strip_prefix(&root).expect("found below the root").to_string_lossy().into_owned(),
        })
        .collect();
    assert!(sources.len() > 20, "the sources of host were not found");
    sources
}

/// The floor of a file, and the module that it belongs to.
fn floor_of_file(path: &str) -> Option<(u8, &str)> {
    let module = path.split('/').next().unwrap_or_default().trim_end_matches(".rs");
    let is_port = matches!(
        path,
        "store/mod.rs"
            | "store/record.rs"
            | "store/request.rs"
            | "store/error.rs"
            | "broker/mod.rs"
            | "executor/mod.rs"
    );
    let floor = match module {
        "model" => 0,
        "trigger" | "clock" | "config" => 1,
        "store" | "broker" | "executor" if is_port => 2,
        "store" | "broker" | "executor" | "plugin" => 3,
        "scheduler" => 4,
        "app" => 5,
        "cli" | "api" => 6,
        "main" | "assemble" => 7,
        "lib" => return None,
        other => panic!(
            "host/src/{path}: the module `{other}` has no floor; give it one here and in the crate's documentation"
        ),
    };
    Some((floor, module))
}

/// The floor of something that is named as `crate::…`, and its module. Below a port's folder, a module of its own is an adapter.
fn floor_of_import(import: &str, adapters: &BTreeSet<String>) -> Option<(u8, String)> {
    let mut parts = import.split("::");
    let module = parts.next().unwrap_or_default().to_owned();
    let second = parts.next().unwrap_or_default();
    let floor = match module.as_str() {
        "model" => 0,
        "trigger" | "clock" | "config" => 1,
        "store" | "broker" | "executor" if adapters.contains(&format!("{module}::{second}")) => 3,
        "store" | "broker" | "executor" => 2,
        "plugin" => 3,
        "scheduler" => 4,
        "app" => 5,
        "cli" | "api" => 6,
        "assemble" => 7,
        _ => return None,
    };
    Some((floor, module))
}

/// Every `crate::a::b` in a line. Of `crate::a::{b, c}` only `crate::a` is seen, which is enough for all but ports.
fn crate_paths(line: &str) -> Vec<String> {
    line.match_indices("crate::")
        .filter(|(at, _)| *at == 0 || !line.as_bytes()[at - 1].is_ascii_alphanumeric())
        .map(|(at, _)| {
            line[at + "crate::".len()..]
                .chars()
                .take_while(|letter| letter.is_alphanumeric() || matches!(letter, '_' | ':'))
                .collect()
        })
        .collect()
}

#[test]
fn imports_go_down_the_floors_only() {
    let sources = host_sources();
    let adapters: BTreeSet<String> = sources
        .iter()
        .filter_map(|source| {
            let (floor, module) = floor_of_file(&source.path)?;
            let name = source.path.split('/').nth(1)?.trim_end_matches(".rs");
            (floor == 3).then(|| format!("{module}::{name}"))
        })
        .collect();
    let mut wrong = Vec::new();
    for source in &sources {
        let Some((floor, module)) = floor_of_file(&source.path) else { continue };
        for (number, line) in &source.code {
            for import in crate_paths(line) {
                let Some((other_floor, other)) = floor_of_import(&import, &adapters) else { continue };
                let is_inside = other == module;
                let is_neighbour = floor == other_floor && NEIGHBOURS.contains(&(module, other.as_str()));
                if other_floor > floor && !(is_inside && floor >= 2)
                    || (other_floor == floor && !is_inside && !is_neighbour)
                {
                    wrong.push(format!(
                        "host/src/{}:{number}: floor {floor} names crate::{import} of floor {other_floor}",
                        source.path
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "imports must go down:\n{}", wrong.join("\n"));
}

/// Whether a line of code names a crate: `name::` or `use name`.
fn names_crate(line: &str, name: &str) -> bool {
    let path = format!("{name}::");
    line.match_indices(&path).any(|(at, _)| {
        at == 0 || !line[..at].ends_with(|letter: char| letter.is_alphanumeric() || matches!(letter, '_' | ':'))
    }) || line
        .trim_start()
        .strip_prefix("use ")
        .is_some_and(|rest| rest.strip_prefix(name).is_some_and(|rest| rest.starts_with([';', ' '])))
}

#[test]
fn every_third_party_crate_stays_in_its_home() {
    let mut wrong = Vec::new();
    for source in host_sources() {
        for (number, line) in &source.code {
            for (name, homes) in HOMES {
                if names_crate(line, name) && !homes.iter().any(|home| source.path.starts_with(home)) {
                    wrong.push(format!("host/src/{}:{number}: {name} lives in {}", source.path, homes.join(", ")));
                }
            }
            for (folder, absent) in ABSENT {
                for name in *absent {
                    if source.path.starts_with(folder) && names_crate(line, name) {
                        wrong.push(format!("host/src/{}:{number}: {folder} knows nothing of {name}", source.path));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "crates left their homes:\n{}", wrong.join("\n"));
}

#[test]
fn no_source_file_has_room_for_a_second_subject() {
    let root = workspace();
    let mut wrong = Vec::new();
    for folder in ["host/src", "guest-sdk", "tests", "plugins"] {
        for path in rust_files(&root.join(folder)) {
            let name = path.strip_prefix(&root).expect("found below the root").to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).expect("a source file is text");
            let count = product_lines(&text).last().map_or(0, |(number, _)| *number);
            if count > LINES_MAX && !LONG_FILES.iter().any(|(long, _)| *long == name) {
                wrong.push(format!("{name}: {count} lines"));
            }
        }
    }
    assert!(wrong.is_empty(), "files of more than {LINES_MAX} lines without tests:\n{}", wrong.join("\n"));
}

#[test]
fn the_host_has_one_unsafe_block_and_the_guest_sdk_none_but_the_generated() {
    let root = workspace();
    let mut found = Vec::new();
    for folder in ["host/src", "guest-sdk"] {
        for path in rust_files(&root.join(folder)) {
            let name = path.strip_prefix(&root).expect("found below the root");
            if is_test_file(name) {
                continue;
            }
            let text = fs::read_to_string(&path).expect("a source file is text");
            let is_unsafe =
                |line: &str| ["unsafe {", "unsafe fn", "unsafe impl"].iter().any(|word| line.contains(word));
            let count = product_lines(&text).iter().filter(|(_, line)| is_unsafe(line)).count();
            found.extend(std::iter::repeat_n(name.to_string_lossy().into_owned(), count));
        }
    }
    let allowed = ["host/src/executor/wasm/code.rs"];
    let strangers: Vec<_> = found.iter().filter(|name| !allowed.contains(&name.as_str())).collect();
    assert!(strangers.is_empty(), "unsafe code outside its home: {strangers:?}");
}
