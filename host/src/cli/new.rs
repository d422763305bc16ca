//! `host new`.

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::context::Context;
use super::exit::{Failure, Outcomes};
use crate::app::AppError;
use crate::model::limits::PLUGIN_NAME_BYTES_MAX;

#[derive(Debug, Args)]
pub(super) struct NewArgs {
    /// The folder to make; its last part is the crate's name
    #[arg(value_name = "NAME")]
    path: PathBuf,
    /// Where the guest SDK lies [default: in the checkout that this program was built from]
    #[arg(long, value_name = "PATH")]
    sdk: Option<PathBuf>,
}

/// The files of a new plugin: their place, and their text with `{{name}}`, `{{file}}` and `{{sdk}}` to be filled in.
const FILES: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("../../../guest-sdk/template/Cargo.toml.in")),
    ("README.md", include_str!("../../../guest-sdk/template/README.md")),
    (".gitignore", include_str!("../../../guest-sdk/template/.gitignore")),
    (".cargo/config.toml", include_str!("../../../guest-sdk/template/.cargo/config.toml")),
    ("src/lib.rs", include_str!("../../../guest-sdk/template/src/lib.rs")),
];

pub(super) fn run(context: &mut Context, args: &NewArgs) -> Outcomes {
    let name = crate_name(&args.path)?;
    let sdk = sdk(args.sdk.as_deref())?;
    write(&args.path, &name, &sdk)?;
    let shown = args.path.display().to_string();
    if context.out.json {
        return Ok(context.out.json(&json!({"name": name, "path": shown, "sdk": sdk.display().to_string()}))?);
    }
    context.out.line(&shown)?;
    let component = format!("target/wasm32-wasip2/release/{}.wasm", name.replace('-', "_"));
    for line in [
        format!("cd {shown}"),
        "cargo test".to_owned(),
        "cargo build --release --target wasm32-wasip2".to_owned(),
        format!("host invoke {component} mytask"),
        format!("host register {component}"),
        "host run mytask --arg name=Ada".to_owned(),
    ] {
        context.out.note(&format!("  {line}"))?;
    }
    Ok(())
}

/// Words that cargo refuses as names, because Rust or its test harness uses them.
const RESERVED: &[&str] = &[
    "abstract",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "build",
    "const",
    "continue",
    "core",
    "crate",
    "deps",
    "do",
    "dyn",
    "else",
    "enum",
    "examples",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "incremental",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc_macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];

/// A name that is good for a crate and for the plugin that comes out of it.
fn crate_name(path: &Path) -> Outcomes<String> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_good = (1..=PLUGIN_NAME_BYTES_MAX).contains(&name.len())
        && name.as_bytes()[0].is_ascii_lowercase()
        && name.bytes().all(|byte| word(byte) || b"_-".contains(&byte))
        && !RESERVED.contains(&name);
    if is_good {
        return Ok(name.to_owned());
    }
    let rule = "use 1 to 64 of a-z, 0-9, `_` and `-`, beginning with a letter, and no word that Rust or cargo reserves";
    Err(Failure::usage(format!("`{name}` cannot be the name of a plugin crate"), rule))
}

/// The folder of the SDK, made absolute: the new crate may lie anywhere.
fn sdk(given: Option<&Path>) -> Outcomes<PathBuf> {
    let usual = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../guest-sdk"));
    let path = given.unwrap_or(usual);
    let found = path.canonicalize().ok().filter(|path| path.join("Cargo.toml").is_file());
    found.ok_or_else(|| {
        let what = format!("the guest SDK is not at `{}`", path.display());
        Failure::usage(what, "name its folder with --sdk; it is `guest-sdk` in the checkout of the host's sources")
    })
}

/// Writes the crate beside its place and moves it there, so that a crate is there as a whole or not at all.
fn write(path: &Path, name: &str, sdk: &Path) -> Outcomes {
    if path.symlink_metadata().is_ok() {
        return Err(Failure::App(AppError::refused(format!("`{}` exists already", path.display()))));
    }
    let unwritable = |error: io::Error| {
        Failure::App(AppError::Invalid {
            what: format!("`{}` cannot be written", path.display()),
            causes: vec![error.to_string()],
            hint: None,
        })
    };
    let half_done = path.with_file_name(format!(".{name}-{:08x}", fastrand::u32(..)));
    let written = write_files(&half_done, name, sdk).and_then(|()| std::fs::rename(&half_done, path));
    if written.is_err() {
        // What is left of it is of no use; that it cannot be removed either changes nothing about the error.
        let _ = std::fs::remove_dir_all(&half_done);
    }
    written.map_err(unwritable)
}

fn write_files(folder: &Path, name: &str, sdk: &Path) -> io::Result<()> {
    // Inside the quotes of a TOML text, two characters mean something.
    let sdk = sdk.display().to_string().replace('\\', "\\\\").replace('"', "\\\"");
    for (place, text) in FILES {
        let path = folder.join(place);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let text = text.replace("{{name}}", name).replace("{{file}}", &name.replace('-', "_")).replace("{{sdk}}", &sdk);
        std::fs::write(path, text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_good_for_a_crate_and_for_a_plugin() {
        for good in ["my-plugin", "some/folder/etl_2", "a"] {
            assert!(crate_name(Path::new(good)).is_ok(), "{good}");
        }
        for bad in ["", "..", "My-Plugin", "2fast", "test", "fn", "a b", "über", &"x".repeat(65)] {
            assert!(crate_name(Path::new(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_placeholder_is_left_in_a_new_crate() {
        for (place, text) in FILES {
            let filled = text.replace("{{name}}", "").replace("{{file}}", "").replace("{{sdk}}", "");
            assert!(!filled.contains("{{name") && !filled.contains("{{file") && !filled.contains("{{sdk"), "{place}");
        }
    }
}
