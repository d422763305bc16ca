//! The house rules that a compiler does not check: the floors inside its crates, the homes of third-party crates, file sizes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Most lines of a source file, tests not counted. A file that is longer has a second subject in it.
const LINES_MAX: usize = 600;

/// Files that may be longer, with the reason.
const LONG_FILES: &[(&str, &str)] = &[];

/// The crates of the host, with their modules floor by floor, the lowest first. What one crate knows of another is in its manifest, and
/// the compiler holds that.
const FLOORS: &[(&str, &[&[&str]])] = &[
    ("host/core/src/", &[&["model"], &["trigger", "clock", "config", "files"], &["executor"]]),
    (
        "host/src/",
        &[
            &["broker", "executor"],
            &["scheduler"],
            &["app"],
            &["assemble", "wire"],
            &["words"],
            // The command line starts the HTTP interface.
            &["api"],
            &["cli", "embed"],
            &["main"],
        ],
    ),
];

/// Where the files of each crate lie that must not import each other in a circle.
const CRATE_ROOTS: &[&str] = &["host/core/src", "host/store/src", "host/sandbox/src", "host/src", "guest-sdk/src"];

/// Circles of imports that there are, with the reason.
const KNOWN_CIRCLES: &[(&[&str], &str)] = &[(
    &["guest-sdk/src/bindings.rs", "guest-sdk/src/exports.rs"],
    "the generated exports name the type that implements them, which implements a generated trait",
)];

/// Third-party crates and the only places that may name them (prefixes below `host/`).
const HOMES: &[(&str, &[&str])] = &[
    ("sqlx", &["store/src/sql/", "src/broker/sqlite.rs", "src/broker/postgres.rs"]),
    ("rustls", &["store/src/sql/drivers/tls.rs", "sandbox/src/http/tls.rs", "src/api/tls.rs", "src/broker/tls.rs"]),
    ("rustls_native_certs", &["sandbox/src/http/tls.rs", "src/broker/tls.rs"]),
    ("tokio_rustls", &["sandbox/src/http/tls.rs", "src/api/tls.rs"]),
    ("hyper", &["sandbox/src/http/", "src/api/places.rs", "src/api/server.rs"]),
    ("hyper_util", &["src/api/server.rs"]),
    ("getrandom", &["src/app/tokens/text.rs"]),
    ("http_body", &["sandbox/src/http/"]),
    ("http_body_util", &["sandbox/src/http/"]),
    ("redis", &["src/broker/redis.rs"]),
    ("rumqttc", &["src/broker/mqtt.rs"]),
    ("async_nats", &["src/broker/nats.rs"]),
    (
        "rustix",
        &[
            "core/src/clock.rs",
            "core/src/files/",
            "sandbox/src/cache.rs",
            "sandbox/src/compiler/",
            "sandbox/src/streams.rs",
        ],
    ),
    ("url", &["core/src/config/", "core/src/model/http/"]),
    ("base64", &["store/src/archive/"]),
    ("wasmtime", &["sandbox/src/"]),
    ("wasmtime_wasi", &["sandbox/src/"]),
    ("wasmtime_wasi_http", &["sandbox/src/http/"]),
    ("wasmtime_wasi_io", &["sandbox/src/poll.rs"]),
    ("wasmparser", &["sandbox/src/"]),
    ("cap_primitives", &["sandbox/src/"]),
    ("cap_fs_ext", &["sandbox/src/"]),
    ("rustc_demangle", &["sandbox/src/"]),
    ("prometheus_client", &["src/api/metrics.rs"]),
    ("notify", &["src/broker/sqlite.rs"]),
    ("clap", &["src/cli/"]),
    ("clap_complete", &["src/cli/"]),
    ("comfy_table", &["src/cli/"]),
    ("toml", &["src/cli/"]),
    ("humantime", &["core/src/config/units.rs"]),
    ("tracing_subscriber", &["src/cli/"]),
    ("anyhow", &["src/cli/", "src/main.rs", "src/assemble/", "examples/"]),
    ("axum", &["src/api/", "examples/"]),
    ("askama", &["src/api/dashboard/"]),
    ("chrono", &["core/src/model/time.rs", "core/src/trigger/"]),
    ("chrono_tz", &["core/src/trigger/"]),
];

/// Crates that the bottom floors must not know at all.
const ABSENT: &[(&str, &[&str])] = &[
    ("core/src/model/", &["tokio", "tokio_util", "tracing", "async_trait"]),
    ("core/src/trigger/", &["tokio", "tokio_util", "tracing", "async_trait"]),
];

struct Source {
    /// Below `host/`.
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
    let root = workspace().join("host");
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

/// Every module that a line names as `crate::module`.
fn crate_modules(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("crate::").filter(|(at, _)| *at == 0 || !line.as_bytes()[at - 1].is_ascii_alphanumeric()).map(
        |(at, word)| {
            let rest = &line[at + word.len()..];
            let end = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(rest.len());
            &rest[..end]
        },
    )
}

#[test]
fn imports_inside_a_crate_go_down_its_floors_only() {
    let mut wrong = Vec::new();
    for source in host_sources() {
        let path = format!("host/{}", source.path);
        let Some((root, floors)) = FLOORS.iter().find(|(root, _)| path.starts_with(root)) else { continue };
        let floor_of = |module: &str| floors.iter().position(|modules| modules.contains(&module));
        let module = path[root.len()..].split('/').next().unwrap_or_default().trim_end_matches(".rs");
        if module == "lib" {
            continue;
        }
        let floor = floor_of(module).unwrap_or_else(|| {
            panic!("{path}: the module `{module}` has no floor; give it one here and in the crate's documentation")
        });
        for (number, line) in &source.code {
            // What is no module of this crate is one of a crate below.
            let named = crate_modules(line).filter(|other| *other != module);
            for (other, other_floor) in named.filter_map(|other| Some((other, floor_of(other)?))) {
                if other_floor >= floor {
                    wrong.push(format!("{path}:{number}: floor {floor} names `{other}` of floor {other_floor}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "imports must go down:\n{}", wrong.join("\n"));
}

/// The words, path separators and signs of a piece of code.
fn tokens(code: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
        let length = match rest.find(|letter| !is_word(letter)) {
            Some(0) if rest.starts_with("::") => 2,
            Some(0) => first.len_utf8(),
            Some(end) => end,
            None => rest.len(),
        };
        found.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    found
}

/// The paths in a piece of code that begin with `crate`, `super` or `self`, with each name of a group in braces in a path of its own.
fn local_paths(code: &str) -> Vec<Vec<&str>> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let is_first = at == 0 || tokens[at - 1] != "::";
        let is_local = is_first && matches!(tokens[at], "crate" | "super" | "self");
        at = if is_local && tokens.get(at + 1) == Some(&"::") { path_at(&tokens, at, &[], &mut found) } else { at + 1 };
    }
    found
}

/// Reads one path, or a group of them, and answers where the next token is.
fn path_at<'a>(tokens: &[&'a str], mut at: usize, before: &[&'a str], found: &mut Vec<Vec<&'a str>>) -> usize {
    let mut path = before.to_vec();
    loop {
        match tokens.get(at) {
            Some(&"{") => {
                at += 1;
                while tokens.get(at).is_some_and(|token| *token != "}") {
                    at = path_at(tokens, at, &path, found);
                    while tokens.get(at).is_some_and(|token| !matches!(*token, "," | "}")) {
                        at += 1;
                    }
                    at += usize::from(tokens.get(at) == Some(&","));
                }
                return at + 1;
            }
            Some(word) if word.starts_with(|letter: char| letter.is_alphanumeric() || letter == '_') => {
                path.push(word);
                at += 1;
                if tokens.get(at) != Some(&"::") {
                    found.push(path);
                    return at;
                }
                at += 1;
            }
            _ => {
                found.push(path);
                return at + 1;
            }
        }
    }
}

/// The modules of a crate and its files: the module's path below the crate's root, and the file's text.
fn modules(root: &Path) -> BTreeMap<Vec<String>, String> {
    let files = rust_files(root).into_iter().filter_map(|path| {
        let inside = path.strip_prefix(root).expect("found below the root");
        if is_test_file(inside) {
            return None;
        }
        let mut module: Vec<String> =
            inside.with_extension("").iter().map(|part| part.to_string_lossy().into()).collect();
        if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
            module.pop();
        }
        let text = fs::read_to_string(&path).expect("a source file is text");
        let lines = product_lines(&text);
        Some((module, lines.into_iter().map(|(_, line)| line + "\n").collect()))
    });
    files.collect()
}

/// The modules that a module imports from: for each path the deepest module on it. A module and one inside it are one subject, so that
/// what they take from each other is left out.
fn imports(modules: &BTreeMap<Vec<String>, String>, of: &[String]) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    for path in local_paths(&modules[of]) {
        let mut module = of.to_vec();
        let mut names = path.iter().peekable();
        while let Some(name) = names.next_if(|name| matches!(**name, "crate" | "super" | "self")) {
            match *name {
                "crate" => module.clear(),
                "super" => drop(module.pop()),
                _ => {}
            }
        }
        for name in names {
            module.push((*name).to_owned());
            if !modules.contains_key(&module) {
                module.pop();
                break;
            }
        }
        if modules.contains_key(&module) && !module.starts_with(of) && !of.starts_with(&module) {
            found.insert(module);
        }
    }
    found
}

/// What can be reached from a module, itself only if a circle leads back.
fn reachable<'a>(
    imports: &'a BTreeMap<Vec<String>, BTreeSet<Vec<String>>>,
    from: &[String],
) -> BTreeSet<&'a Vec<String>> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&Vec<String>> = imports[from].iter().collect();
    while let Some(module) = open.pop() {
        if found.insert(module) {
            open.extend(&imports[module]);
        }
    }
    found
}

#[test]
fn paths_are_read_from_imports_and_from_code() {
    let code = "use super::a::{self, b::{C, D as E}, f};\nuse crate::{g, h::*};\nlet x = crate::i::k::<T>(self.l, super::m::n());";
    let read: Vec<String> = local_paths(code).iter().map(|path| path.join("::")).collect();
    let paths =
        ["super::a::self", "super::a::b::C", "super::a::b::D", "super::a::f", "crate::g", "crate::h", "crate::i::k"];
    assert_eq!(read[..7], paths);
    assert_eq!(read[7..], ["super::m::n"]);
}

#[test]
fn files_of_a_crate_do_not_import_each_other_in_a_circle() {
    let mut circles = BTreeSet::new();
    for root in CRATE_ROOTS {
        let modules = modules(&workspace().join(root));
        assert!(modules.len() > 10, "the sources of {root} were not found");
        let imports: BTreeMap<_, _> =
            modules.keys().map(|module| (module.clone(), imports(&modules, module))).collect();
        let reachable: BTreeMap<_, _> = modules.keys().map(|module| (module, reachable(&imports, module))).collect();
        for (module, others) in &reachable {
            if others.contains(module) {
                let is_in_it = |other: &&&Vec<String>| reachable[**other].contains(module);
                let names = others.iter().filter(is_in_it).map(|other| format!("{root}/{}.rs", other.join("/")));
                circles.insert(names.collect::<BTreeSet<String>>());
            }
        }
    }
    let known = KNOWN_CIRCLES.iter().map(|(files, _)| files.iter().map(|file| (*file).to_owned()).collect()).collect();
    assert_eq!(circles, known, "left: the circles that there are; right: those that are known");
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
                    wrong.push(format!("host/{}:{number}: {name} lives in {}", source.path, homes.join(", ")));
                }
            }
            for (folder, absent) in ABSENT {
                for name in *absent {
                    if source.path.starts_with(folder) && names_crate(line, name) {
                        wrong.push(format!("host/{}:{number}: {folder} knows nothing of {name}", source.path));
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
    for folder in ["host", "guest-sdk", "tests", "plugins"] {
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
    for folder in ["host", "guest-sdk"] {
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
    let allowed = ["host/sandbox/src/code.rs"];
    let strangers: Vec<_> = found.iter().filter(|name| !allowed.contains(&name.as_str())).collect();
    assert!(strangers.is_empty(), "unsafe code outside its home: {strangers:?}");
}
