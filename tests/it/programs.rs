//! The table of external programs, compared with the sources.

use std::fs;
use std::path::{Path, PathBuf};

use xtask::programs::Program;

/// What stands before the name of a program that is called.
const CALLS: [&str; 4] = ["Command::new(\"", "programs::command(\"", "programs::path(\"", "as_root(&[\""];

/// The programs that a text calls by name.
fn called(text: &str) -> Vec<&str> {
    let after = CALLS.iter().flat_map(|call| text.match_indices(call).map(|(at, found)| &text[at + found.len()..]));
    after.filter_map(|rest| rest.split('"').next()).collect()
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a source folder can be read") {
        let path = entry.expect("a folder entry can be read").path();
        if path.is_dir() && path.file_name().is_none_or(|name| name != "target") {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_program_that_tests_and_tools_call_is_in_the_table_that_set_up_installs_from() {
    let (mut files, mut count) = (Vec::new(), 0);
    for folder in ["tests", "guest-sdk", "plugins"] {
        rust_files(&xtask::workspace().join(folder), &mut files);
    }
    let mut wrong = Vec::new();
    for file in files.iter().filter(|file| !file.ends_with("it/programs.rs")) {
        let text = fs::read_to_string(file).expect("a source file is text");
        for name in called(&text) {
            count += 1;
            wrong.extend(Program::named(name).err().map(|error| format!("{}: {error}", file.display())));
        }
    }
    assert!(count > 10, "the calls were not found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_call_is_found_however_it_is_written() {
    let text = r#"Command::new("df"); programs::command("id")?; as_root(&["rm", "-r"]); programs::path("psql")"#;
    assert_eq!(called(text), ["df", "id", "psql", "rm"]);
}
