//! `host import`.

use std::fs::File;
use std::io::{self, Read, Seek, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;

use super::context::Context;
use super::exit::{Failure, Outcomes};
use super::export::in_words;
use super::flags::ConflictArg;
use super::output::time;
use crate::app::{AppError, Import};
use crate::wire::CountsWire;

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// The file that `host export` has written; `-` for standard input
    file: PathBuf,
    /// What to do where the store has something else in the same place
    #[arg(long, value_name = "P", value_enum, default_value_t)]
    conflict: ConflictArg,
    /// Check the file, and say what would be done
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(context: &mut Context, args: ImportArgs) -> Outcomes {
    let path = args.file.clone();
    let opening = tokio::task::spawn_blocking(move || open(&path));
    let file = opening.await.map_err(|error| Failure::App(AppError::unexpected("the file was not read", error)))??;
    let import = Import { archive: Box::new(file), conflict: args.conflict.into(), dry_run: args.dry_run };
    let imported = context.app().await?.import(import).await?;
    let restored = imported.restored;
    if context.out.json {
        return Ok(context.out.json(&serde_json::json!({
            "exported_at": imported.exported_at.to_string(),
            "dry_run": args.dry_run,
            "added": CountsWire::from(restored.added),
            "replaced": CountsWire::from(restored.replaced),
            "unchanged": CountsWire::from(restored.unchanged),
            "kept": CountsWire::from(restored.kept),
        }))?);
    }
    let of = time(imported.exported_at);
    let would = if args.dry_run { "would be " } else { "" };
    context.out.line(&format!("export of {of}: {would}added {}", in_words(restored.added)))?;
    for (what, counts) in [
        (format!("{would}replaced"), restored.replaced),
        ("there already".to_owned(), restored.unchanged),
        (format!("{would}left out, as the store has others in their place"), restored.kept),
    ] {
        if counts.total() > 0 {
            context.out.line(&format!("{what}: {}", in_words(counts)))?;
        }
    }
    Ok(())
}

/// The archive as something that can be read more than once: what comes through a pipe is put into a file first.
fn open(path: &Path) -> Outcomes<File> {
    if path.as_os_str() == "-" {
        return spool(&mut io::stdin().lock());
    }
    let shown = path.display();
    let cannot = |error: io::Error| {
        Failure::App(if error.kind() == io::ErrorKind::NotFound {
            AppError::not_found("file", &shown)
        } else {
            AppError::Invalid { what: format!("`{shown}` cannot be read"), causes: vec![error.to_string()], hint: None }
        })
    };
    let mut file = File::open(path).map_err(cannot)?;
    let about = file.metadata().map_err(cannot)?;
    if about.is_dir() {
        return Err(Failure::usage(format!("`{shown}` is a folder"), "name the file that `host export` has written"));
    }
    if about.is_file() { Ok(file) } else { spool(&mut file) }
}

/// Copies everything into a file that has no name, and so goes with this process however that ends.
fn spool(from: &mut impl Read) -> Outcomes<File> {
    let path = std::env::temp_dir().join(format!("host-import-{:016x}", fastrand::u64(..)));
    let mut options = File::options();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let spooled = options.open(&path).and_then(|mut file| {
        std::fs::remove_file(&path)?;
        io::copy(from, &mut file)?;
        file.flush()?;
        file.rewind()?;
        Ok(file)
    });
    spooled.map_err(|error| {
        Failure::App(AppError::Invalid {
            what: "the input cannot be kept in a temporary file".to_owned(),
            causes: vec![error.to_string()],
            hint: Some("name a folder with enough room in TMPDIR, or import from a file".to_owned()),
        })
    })
}
