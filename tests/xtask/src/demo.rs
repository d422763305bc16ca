//! The main job, end to end, from nothing but a checkout: build, register, schedule, serve, look at what ran.
//!
//! It types the commands that a user would type, shows them, and checks what came of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

use crate::plugins::Plugins;
use crate::shell::{run as run_command, say, typed};
use crate::{host, plugins, setup, workspace};

/// What the command takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// For how many seconds to serve.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(3..=3600))]
    seconds: u64,
}

/// Runs the demonstration in a temporary data directory, and prints the jobs that have finished.
///
/// # Errors
///
/// If anything that a user would be promised does not happen.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    setup::run(&setup::Arguments::PLUGINS_ONLY)?;
    let (host, plugins) = build()?;
    let folder = TemporaryFolder::new()?;
    let demo = Demo { host, folder: &folder.0 };

    fs::create_dir(demo.folder.join("in"))?;
    fs::create_dir(demo.folder.join("out"))?;
    fs::copy(workspace().join("Cargo.lock"), demo.folder.join("in/Cargo.lock"))?;
    demo.host(&["register", text(&plugins.path("hello")?)?])?;
    let (input, output) = (demo.grant("in::/in:ro")?, demo.grant("out::/out:rw")?);
    demo.host(&["register", text(&plugins.path("report")?)?, "--allow-dir", &input, "--allow-dir", &output])?;
    demo.host(&["schedule", "--interval", "1s", "hello:greet", "--arg", "name=Ada"])?;
    demo.host(&["schedule", "--cron", "*/3 * * * * *", "report:dependencies"])?;
    demo.serve(Duration::from_secs(arguments.seconds))?;
    demo.host(&["schedules"])?;
    demo.host(&["jobs", "--state", "finished"])?;
    demo.check(arguments.seconds)
}

/// The host and the plugins of the demonstration, built at the same time: the end of each is work for one processor.
fn build() -> anyhow::Result<(PathBuf, Plugins)> {
    thread::scope(|scope| {
        let host = scope.spawn(host::build);
        let plugins = plugins::build_some(&["hello", "report"]);
        let host = host.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok((host?, plugins?))
    })
}

struct Demo<'a> {
    host: PathBuf,
    folder: &'a Path,
}

impl Demo<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.host);
        command.args(arguments).env("HOST_DATA_DIR", self.folder.join("data"));
        command
    }

    /// Runs `host` with its output on this program's own stdout: it is what the demonstration is for.
    fn host(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let mut command = self.command(arguments);
        let typed = typed(&command);
        say(format_args!("$ {typed}"));
        let status = command.stdin(Stdio::null()).status().with_context(|| format!("cannot start `{typed}`"))?;
        ensure!(status.success(), "`{typed}` failed: {status}");
        Ok(())
    }

    fn grant(&self, rest: &str) -> anyhow::Result<String> {
        Ok(format!("{}/{rest}", text(self.folder)?))
    }

    /// Serves for a while and stops in good order, as a service manager would do it.
    fn serve(&self, time: Duration) -> anyhow::Result<()> {
        let mut command = self.command(&["serve"]);
        say(format_args!("$ {} (for {} seconds)", typed(&command), time.as_secs()));
        let mut server = command.stdin(Stdio::null()).spawn().context("cannot start `host serve`")?;
        thread::sleep(time);
        if let Some(status) = server.try_wait()? {
            bail!("`host serve` ended by itself: {status}");
        }
        run_command(Command::new("kill").args(["-TERM", &server.id().to_string()]))?;
        let status = server.wait()?;
        ensure!(status.success(), "`host serve` did not stop in good order: {status}");
        Ok(())
    }

    /// Whether both tasks ran, about as often as they should have, and did what they are for.
    fn check(&self, seconds: u64) -> anyhow::Result<()> {
        for (task, least) in [("hello:greet", seconds / 2), ("report:dependencies", seconds / 6)] {
            let listed = self
                .command(&["jobs", "--task", task, "--state", "finished", "--json"])
                .output()
                .context("cannot start `host jobs`")?;
            let jobs: serde_json::Value =
                serde_json::from_slice(&listed.stdout).context("`host jobs --json` is no JSON")?;
            let jobs = jobs.as_array().context("`host jobs --json` is no list")?;
            let succeeded = jobs.iter().filter(|job| job["outcome"] == "success").count() as u64;
            ensure!(succeeded >= least.max(1), "{task} succeeded {succeeded} times in {seconds} seconds");
            say(format_args!("{task}: {succeeded} jobs succeeded"));
        }
        let summary = self.folder.join("out/dependencies.md");
        ensure!(summary.is_file(), "the report was not written");
        say("done: both schedules fired, their jobs ran in fresh sandboxes, and the report was written");
        Ok(())
    }
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

/// A folder that goes when it is done with.
struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    fn new() -> anyhow::Result<TemporaryFolder> {
        let path = std::env::temp_dir().join(format!("host-demo-{}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(TemporaryFolder(path))
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // What cannot be removed is left to the system's own clean-up of temporary files.
        let _removed = fs::remove_dir_all(&self.0);
    }
}
