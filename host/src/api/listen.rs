//! Where the interface listens.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;
use tokio::net::{TcpListener, UnixListener, UnixStream};

use crate::app::{AppError, AppResult};

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Listen {
    /// At an address; port 0 is a free one.
    Tcp(SocketAddr),
    /// At a Unix socket, for this user alone.
    Unix(PathBuf),
    /// Nowhere.
    None,
}

/// The port that is listened at where nothing is said.
const PORT: u16 = 7980;

/// What is no place to listen at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it is an address with a port, such as 127.0.0.1:7980, `unix:` and a path, or `none`")]
pub struct ListenError;

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Listen, ListenError> {
        match text.strip_prefix("unix:") {
            Some("") => Err(ListenError),
            Some(path) => Ok(Listen::Unix(path.into())),
            None if text == "none" => Ok(Listen::None),
            None => match text.strip_prefix("localhost:") {
                Some(port) => Ok(Listen::Tcp((Ipv4Addr::LOCALHOST, port.parse().map_err(|_| ListenError)?).into())),
                None => text.parse().map(Listen::Tcp).map_err(|_| ListenError),
            },
        }
    }
}

impl TryFrom<String> for Listen {
    type Error = String;

    fn try_from(text: String) -> Result<Listen, String> {
        text.parse().map_err(|error: ListenError| format!("`{text}`: {error}"))
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Tcp(address) => write!(f, "{address}"),
            Listen::Unix(path) => write!(f, "unix:{}", path.display()),
            Listen::None => f.write_str("none"),
        }
    }
}

/// An open place, at which nothing is accepted yet.
pub(super) enum Listener {
    Tcp(TcpListener, SocketAddr),
    /// The file is removed with the listener.
    Unix(UnixListener, PathBuf),
}

/// Who is at the other side of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) enum Peer {
    Tcp(SocketAddr),
    /// A process of this user.
    Unix,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Tcp(address) => write!(f, "{address}"),
            Peer::Unix => f.write_str("unix"),
        }
    }
}

/// Opens a place. `None`: the usual one on this machine, or a free port where that is taken.
pub(super) async fn open(listen: Option<&Listen>) -> AppResult<Option<Listener>> {
    match listen {
        Some(Listen::None) => Ok(None),
        Some(Listen::Tcp(address)) => tcp(*address).await.map(Some).map_err(|error| unusable(&address, error)),
        Some(Listen::Unix(path)) => {
            let opened = unix(path).await.map_err(|error| unusable(&path.display(), error))?;
            Ok(Some(opened))
        }
        None => {
            let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
            let opened = match tcp(usual).await {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
                }
                opened => opened,
            };
            opened.map(Some).map_err(|error| unusable(&usual, error))
        }
    }
}

async fn tcp(address: SocketAddr) -> io::Result<Listener> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    Ok(Listener::Tcp(listener, address))
}

/// A socket that an earlier process left behind, and that nobody listens at, gives way.
async fn unix(path: &Path) -> io::Result<Listener> {
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let is_abandoned = is_socket(path)
                && matches!(UnixStream::connect(path).await, Err(error) if error.kind() == io::ErrorKind::ConnectionRefused);
            if !is_abandoned {
                return Err(error);
            }
            std::fs::remove_file(path)?;
            UnixListener::bind(path)?
        }
        bound => bound?,
    };
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(Listener::Unix(listener, path.to_owned()))
}

fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}

fn unusable(place: &dyn fmt::Display, error: io::Error) -> AppError {
    let hint = "name another place with --listen, or `--listen none` for no HTTP interface";
    match error.kind() {
        io::ErrorKind::AddrInUse => AppError::refused(format!("another process listens at {place}")).with_hint(hint),
        _ => AppError::Invalid {
            what: format!("nothing can listen at {place}"),
            causes: vec![error.to_string()],
            hint: Some(hint.to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_an_address_a_path_or_none() {
        for text in ["127.0.0.1:7980", "[::1]:80", "0.0.0.0:0", "unix:/run/host.sock", "none"] {
            assert_eq!(text.parse::<Listen>().map(|listen| listen.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("localhost:80".parse::<Listen>().map(|it| it.to_string()), Ok("127.0.0.1:80".to_owned()));
        for text in ["", "127.0.0.1", "7980", "unix:", "example.org:80", "localhost:", "localhost:x", "None"] {
            assert_eq!(text.parse::<Listen>(), Err(ListenError), "{text}");
        }
    }
}
