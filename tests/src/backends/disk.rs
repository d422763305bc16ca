//! A small disk, to be filled: a file system in memory with a size, which only root may mount.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// A mounted disk. Dropped, it is gone with everything on it.
#[derive(Debug)]
pub struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// Mounts a disk of `mebibytes` at an existing folder. It belongs to `nobody`, as whom database servers run here: they want their
    /// folder for themselves.
    pub fn mount(path: &Path, mebibytes: u32) -> Result<SmallDisk> {
        let options = format!("size={mebibytes}m,mode=0700,uid=65534,gid=65534");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "job-runtime-test"]).arg(path))?;
        Ok(SmallDisk { path: path.to_owned() })
    }

    /// Why no disk can be mounted here; `None` where one can.
    pub fn refusal() -> Option<String> {
        let tried =
            tempfile::tempdir().map_err(anyhow::Error::from).and_then(|folder| SmallDisk::mount(folder.path(), 1));
        // Of what `mount` says the first line; the rest is where to read on.
        tried.err().map(|error| format!("{error:#}").lines().next().unwrap_or_default().to_owned())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes all room but `kibibytes`.
    pub fn fill(&self, kibibytes: u64) -> Result<()> {
        let mut df = Command::new("df");
        let text = run(df.args(["--output=avail", "-k"]).arg(&self.path))?;
        let free: u64 = text.lines().last().unwrap_or_default().trim().parse().context("df tells no number")?;
        let length = free.checked_sub(kibibytes).context("less is free than is to be left")? * 1024;
        // Written, not only made longer: holes take no room.
        std::io::copy(&mut std::io::Read::take(std::io::repeat(0), length), &mut File::create(self.ballast())?)?;
        Ok(())
    }

    /// Gives back what [`SmallDisk::fill`] took.
    pub fn make_room(&self) -> Result<()> {
        Ok(fs::remove_file(self.ballast())?)
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, as a process that was killed may still be letting go of its files.
        let _gone = run(Command::new("umount").arg("--lazy").arg(&self.path));
    }
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?} does not run"))?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
