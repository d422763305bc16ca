//! What commands read from files and from standard input.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::exit::{Failure, Outcomes};
use crate::app::AppError;

/// The text of a file, or of standard input where it is called `-`: all of it, up to so many bytes.
pub(super) async fn read_text(path: &Path, bytes_max: u64) -> Outcomes<String> {
    let path = path.to_owned();
    let reading = tokio::task::spawn_blocking(move || text_of(&path, bytes_max));
    reading.await.map_err(|error| Failure::App(AppError::unexpected("the file was not read", error)))?
}

fn text_of(path: &Path, bytes_max: u64) -> Outcomes<String> {
    let is_input = path.as_os_str() == "-";
    let shown = if is_input { STANDARD_INPUT.to_owned() } else { shown(path) };
    let mut text = String::new();
    let read = if is_input {
        io::stdin().lock().take(bytes_max + 1).read_to_string(&mut text)
    } else {
        File::open(path).and_then(|file| file.take(bytes_max + 1).read_to_string(&mut text))
    };
    let read = read.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failure::App(AppError::not_found("file", path.display())),
        _ => unreadable(&shown, &error),
    });
    if read? as u64 > bytes_max {
        return Err(Failure::usage(format!("{shown} is longer than {bytes_max} bytes"), "split it"));
    }
    Ok(text)
}

/// The first bytes of a file, or of standard input where none is named; whoever takes them looks whether there are too many.
pub(super) fn read_bytes(file: Option<PathBuf>, limit: u64) -> Outcomes<Vec<u8>> {
    let mut bytes = Vec::new();
    let (from, read) = match file {
        Some(file) => (shown(&file), File::open(&file).and_then(|file| file.take(limit).read_to_end(&mut bytes))),
        None => (STANDARD_INPUT.to_owned(), io::stdin().take(limit).read_to_end(&mut bytes)),
    };
    read.map(|_| bytes).map_err(|error| unreadable(&from, &error))
}

const STANDARD_INPUT: &str = "standard input";

fn shown(file: &Path) -> String {
    format!("`{}`", file.display())
}

fn unreadable(from: &str, error: &io::Error) -> Failure {
    Failure::App(AppError::Invalid {
        what: format!("{from} cannot be read"),
        causes: vec![error.to_string()],
        hint: None,
    })
}
