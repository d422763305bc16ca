//! What `host serve` says to whoever looks after the process: a service manager that speaks systemd's notification protocol, and, by a file
//! that is there while it works, any other.
//!
//! The protocol is that of `sd_notify(3)`: datagrams of lines `NAME=value` to the socket in `NOTIFY_SOCKET`. `READY=1` comes once the
//! scheduler works, `STOPPING=1` when it begins to stop, and `WATCHDOG=1` twice in each span of `WATCHDOG_USEC`, where that is asked of this
//! process, from the runtime that everything else runs on: one that hangs is restarted.

use std::convert::Infallible;
use std::future;
use std::io;
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::exit::{Failure, Outcomes};
use crate::app::AppError;
use crate::clock::{Clock, SystemClock};

/// Whoever looks after the process.
pub(super) struct Supervisor {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// How often it wants to be told that the process lives.
    watchdog: Option<Duration>,
    ready_file: Option<PathBuf>,
}

impl Supervisor {
    /// As the environment says. A file of an earlier process, which would say that this one is ready, is removed.
    pub(super) fn find(ready_file: Option<PathBuf>) -> Outcomes<Supervisor> {
        if let Some(path) = &ready_file {
            remove(path).map_err(|error| unusable(path, &error))?;
        }
        let socket = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty());
        let socket = socket.and_then(|name| match connect(name.as_bytes()) {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::warn!(%error, "the service manager cannot be told anything: NOTIFY_SOCKET cannot be used");
                None
            }
        });
        let pid = std::env::var("WATCHDOG_PID").ok();
        let is_meant = pid.is_none_or(|pid| pid == std::process::id().to_string());
        let span = std::env::var("WATCHDOG_USEC").ok().and_then(|text| text.parse().ok()).filter(|&span| span > 0);
        let watchdog = span.filter(|_| is_meant && socket.is_some()).map(|span| Duration::from_micros(span) / 2);
        Ok(Supervisor { socket, watchdog, ready_file })
    }

    /// The scheduler works.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn ready(&self, identity: &str) -> Outcomes {
        if let Some(path) = &self.ready_file {
            let text = format!("{identity} {}\n", std::process::id());
            write_whole(path, &text).map_err(|error| unusable(path, &error))?;
        }
        self.say(&format!("READY=1\nSTATUS=works as {identity}"));
        Ok(())
    }

    /// The scheduler begins to stop.
    pub(super) fn stopping(&self) {
        self.say("STOPPING=1\nSTATUS=waits for running jobs");
        if let Some(path) = &self.ready_file
            && let Err(error) = remove(path)
        {
            tracing::warn!(%error, path = %path.display(), "the file that says that this process works is still there");
        }
    }

    /// Says for as long as it is polled that the process lives.
    pub(super) async fn keep_alive(&self) -> Infallible {
        let Some(span) = self.watchdog else { return future::pending().await };
        loop {
            self.say("WATCHDOG=1");
            SystemClock.sleep(span).await;
        }
    }

    fn say(&self, message: &str) {
        let Some((socket, address)) = &self.socket else { return };
        // A manager that takes nothing at the moment must not stop the process; it is told again, or draws its conclusions.
        if let Err(error) = socket.send_to_addr(message.as_bytes(), address) {
            tracing::debug!(%error, message, "the service manager was not told");
        }
    }
}

/// A socket of this process, and the address of the manager's: a path, or a name after `@` that is in no folder.
fn connect(name: &[u8]) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name {
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        path => SocketAddr::from_pathname(Path::new(std::ffi::OsStr::from_bytes(path)))?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

/// Writes a file so that nobody sees a part of it.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?.to_owned();
    name.push(format!(".{}", std::process::id()));
    let unfinished = path.with_file_name(name);
    std::fs::write(&unfinished, text)?;
    std::fs::rename(&unfinished, path)
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn unusable(path: &Path, error: &io::Error) -> Failure {
    Failure::App(AppError::Invalid {
        what: format!("`{}` cannot be the file that says that the server is ready", path.display()),
        causes: vec![error.to_string()],
        hint: Some("name a file in a folder that this user may write in, with --ready-file".to_owned()),
    })
}
