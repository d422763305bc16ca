//! `host export`.

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::context::Context;
use super::exit::{Failure, Outcomes};
use super::output::{Output, plural};
use crate::app::{AppError, Export};
use crate::store::archive::Counts;
use crate::wire::CountsWire;

/// After how many more records a line says how far the export has come.
const NOTED_EVERY: u64 = 100_000;

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The file [default: standard output]
    file: Option<PathBuf>,
    /// Overwrite the file
    #[arg(long)]
    force: bool,
    /// Leave out what cannot be read, in place of exporting nothing
    #[arg(long)]
    skip_unreadable: bool,
}

pub(super) async fn run(context: &mut Context, args: ExportArgs) -> Outcomes {
    let file = args.file.filter(|file| file.as_os_str() != "-");
    if let Some(file) = &file {
        check_place(file, args.force)?;
    }
    let mut export = context.app().await?.export(args.skip_unreadable).await?;
    match &file {
        Some(file) => to_file(&mut export, file, args.force, &mut context.out).await?,
        None => write(&mut export, &mut tokio::io::stdout(), &mut context.out).await?,
    }
    let left_out = export.unreadable();
    if left_out.count > 0 {
        let rows = plural(usize::try_from(left_out.count).unwrap_or(usize::MAX), "row");
        context.out.note(&format!("warning: {rows} could not be read and were left out:"))?;
        for line in left_out.lines() {
            context.out.note(&format!("  {line}"))?;
        }
    }
    if let Some(file) = file.filter(|_| context.out.json) {
        let counts = CountsWire::from(export.counts());
        let answer =
            serde_json::json!({"file": file.display().to_string(), "exported": counts, "left_out": left_out.count});
        return Ok(context.out.json(&answer)?);
    }
    Ok(context.out.note(&format!("exported {}", in_words(export.counts())))?)
}

/// `2 plugin versions, 5 tasks, 1 job, no log lines, 3 schedules, 1 bucket, 4 keys`.
pub(super) fn in_words(counts: Counts) -> String {
    let Counts { plugins, tasks, jobs, log_lines, schedules, kv_buckets, kv_entries } = counts;
    let count = |count: u64, noun: &str| match count {
        0 => format!("no {noun}s"),
        count => plural(usize::try_from(count).unwrap_or(usize::MAX), noun),
    };
    let kinds = [
        (plugins, "plugin version"),
        (tasks, "task"),
        (jobs, "job"),
        (log_lines, "log line"),
        (schedules, "schedule"),
        (kv_buckets, "bucket"),
        (kv_entries, "key"),
    ];
    kinds.map(|(number, noun)| count(number, noun)).join(", ")
}

fn check_place(file: &Path, force: bool) -> Outcomes {
    let shown = file.display();
    if file.is_dir() {
        return Err(Failure::usage(format!("`{shown}` is a folder"), "name a file in it"));
    }
    if !force && file.symlink_metadata().is_ok() {
        let refused = AppError::refused(format!("`{shown}` exists already"));
        return Err(Failure::App(refused.with_hint("--force overwrites it")));
    }
    Ok(())
}

/// A file that goes unless it is kept.
struct HalfDone(Option<PathBuf>);

impl Drop for HalfDone {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            // What is left of it is of no use; that it cannot be removed either changes nothing about the error.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Writes the archive beside its place and moves it there once it is whole and on the disk. It is readable for its owner alone: it holds
/// arguments, results and grants.
async fn to_file(export: &mut Export, file: &Path, force: bool, out: &mut Output) -> Outcomes {
    let unwritable = |error: io::Error| {
        Failure::App(AppError::Invalid {
            what: format!("`{}` cannot be written", file.display()),
            causes: vec![error.to_string()],
            hint: Some("nothing was changed; name a place with enough room that can be written".to_owned()),
        })
    };
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let beside = file.with_file_name(format!(".{name}-{:08x}", fastrand::u32(..)));
    let mut options = tokio::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    options.mode(0o600);
    let mut writer = options.open(&beside).await.map_err(unwritable)?;
    let mut half_done = HalfDone(Some(beside.clone()));
    // The umask may have taken rights from the owner too.
    #[cfg(unix)]
    writer.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600)).await.map_err(unwritable)?;
    write(export, &mut writer, out).await.map_err(|failure| match failure {
        Failure::Output(error) => unwritable(error),
        other => other,
    })?;
    writer.sync_all().await.map_err(unwritable)?;
    check_place(file, force)?;
    tokio::fs::rename(&beside, file).await.map_err(unwritable)?;
    half_done.0 = None;
    Ok(())
}

/// Writes the archive.
async fn write(export: &mut Export, to: &mut (impl AsyncWrite + Unpin), out: &mut Output) -> Outcomes {
    let mut noted = 0;
    while let Some(piece) = export.next().await? {
        to.write_all(&piece).await?;
        let total = export.counts().total();
        if total / NOTED_EVERY > noted {
            noted = total / NOTED_EVERY;
            out.note(&format!("{total} records so far"))?;
        }
    }
    Ok(to.flush().await?)
}
