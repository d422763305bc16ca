//! The `host` program, built and run as a user runs it.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::time::Duration;

use tempfile::TempDir;

/// The program. The first call builds it where it is missing or out of date.
///
/// # Panics
///
/// If it cannot be built: a test that needs it must not pass without it.
pub fn host_binary() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        xtask::host::build().unwrap_or_else(|error| panic!("the host program cannot be built: {error:#}"))
    })
}

/// A user with an empty home and a data folder of their own. Compiled plugins are shared with other tests, and with later runs: compiling is
/// not what these tests are about, and takes a second.
pub struct User {
    folder: TempDir,
    env: Vec<(String, String)>,
}

/// What a command said and how it ended.
#[derive(Debug)]
pub struct Said {
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
    /// The exit code; `None` where a signal ended it.
    pub code: Option<i32>,
}

impl User {
    /// A new user.
    ///
    /// # Panics
    ///
    /// If no temporary folder can be made.
    pub fn new() -> User {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let cache = xtask::target_folder().join("cli-tests-cache");
        // As the program makes it: a link is followed only to a folder that others cannot enter.
        std::fs::create_dir_all(&cache).expect("the target folder can be written");
        #[cfg(unix)]
        std::fs::set_permissions(&cache, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("it is our own");
        let user = User { folder, env: Vec::new() };
        std::fs::create_dir(user.home()).expect("the temporary folder can be written");
        std::fs::create_dir(user.data()).expect("the temporary folder can be written");
        #[cfg(unix)]
        std::os::unix::fs::symlink(cache, user.data().join("cache")).expect("the temporary folder can be written");
        user
    }

    /// This user with an environment variable.
    #[must_use]
    pub fn with_env(mut self, name: &str, value: &str) -> User {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The user's home, where commands are run.
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// The user's data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Writes a file into the home and answers its path.
    ///
    /// # Panics
    ///
    /// If it cannot be written.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.home().join(name);
        std::fs::write(&path, content).expect("the home can be written");
        path
    }

    /// The command, ready to be run.
    pub fn command<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(host_binary());
        command.args(args).current_dir(self.home()).stdin(Stdio::null()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.home()).env("HOST_DATA_DIR", self.data());
        // Servers of many tests run at once, and few of the tests are about the HTTP interface.
        command.env("HOST_LISTEN", "none");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command to its end.
    ///
    /// # Panics
    ///
    /// If the program cannot be started.
    pub fn host<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Said {
        let output = self.command(args).output().expect("the program can be started");
        Said {
            out: String::from_utf8(output.stdout).expect("answers are UTF-8"),
            err: String::from_utf8(output.stderr).expect("notes are UTF-8"),
            code: output.status.code(),
        }
    }

    /// Runs a command that must succeed, and answers what it printed, without the line end.
    ///
    /// # Panics
    ///
    /// If it ends with another code than 0.
    #[track_caller]
    pub fn ok<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> String {
        let said = self.host(args);
        assert_eq!(said.code, Some(0), "it failed: {said:?}");
        said.out.trim_end().to_owned()
    }

    /// As [`User::ok`], with `--json`, read.
    ///
    /// # Panics
    ///
    /// If it fails, or prints something else than JSON.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> serde_json::Value {
        let text = self.ok(args.iter().copied().chain(["--json"]));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("not JSON ({error}): {text}"))
    }

    /// Starts a command that goes on, and waits until it has said `word` on standard error.
    ///
    /// # Panics
    ///
    /// If it ends, or a minute passes, before it has said so.
    #[track_caller]
    pub fn start<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>, word: &str) -> Running {
        let mut child = self
            .command(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program can be started");
        let heard = std::sync::Arc::new(Mutex::new(String::new()));
        let (lines, listening) = mpsc::channel::<String>();
        let notes = BufReader::new(child.stderr.take().expect("it is piped"));
        let collected = std::sync::Arc::clone(&heard);
        std::thread::spawn(move || {
            for line in notes.lines().map_while(Result::ok) {
                collected.lock().unwrap_or_else(PoisonError::into_inner).push_str(&format!("{line}\n"));
                // Nobody listens any more once the word was said.
                let _ = lines.send(line);
            }
        });
        let running = Running { child, heard };
        loop {
            match listening.recv_timeout(Duration::from_secs(60)) {
                Ok(line) if line.contains(word) => return running,
                Ok(_) => {}
                Err(error) => panic!("it never said `{word}` ({error}), but: {}", running.heard()),
            }
        }
    }
}

impl Default for User {
    fn default() -> User {
        User::new()
    }
}

/// A command that goes on. Dropped, it is killed.
pub struct Running {
    child: Child,
    heard: std::sync::Arc<Mutex<String>>,
}

impl Running {
    /// What it has said on standard error so far.
    pub fn heard(&self) -> String {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it has said `word` on standard error, up to a minute.
    ///
    /// # Panics
    ///
    /// If it never does.
    #[track_caller]
    pub fn wait_until_heard(&self, word: &str) {
        for _ in 0..600 {
            if self.heard().contains(word) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("it never said `{word}`, but: {}", self.heard());
    }

    /// Sends it a signal by name, such as `TERM`.
    ///
    /// # Panics
    ///
    /// If the signal cannot be sent.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(sent.expect("kill can be started").success(), "the signal {name} was not sent");
    }

    /// Waits for its end, up to a minute.
    ///
    /// # Panics
    ///
    /// If it does not end.
    pub fn end(mut self) -> Said {
        for _ in 0..600 {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                let mut out = String::new();
                let answers = self.child.stdout.take().map(|mut pipe| pipe.read_to_string(&mut out));
                answers.transpose().expect("answers are UTF-8");
                return Said { out, err: self.heard(), code: status.code() };
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("it did not end: {}", self.heard());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
