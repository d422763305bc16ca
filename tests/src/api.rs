//! A server of the HTTP interface, and a client of it that can say anything.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::cli::{Running, User};

/// A running server, and what its clients need to know.
pub struct Server {
    /// The process.
    pub running: Running,
    /// Where it listens: an address with a port, or the path of a socket.
    pub place: Place,
    /// The token of its machine.
    pub token: String,
}

/// Where a server listens.
#[derive(Debug, Clone)]
pub enum Place {
    /// An address with a port.
    Tcp(String),
    /// A socket.
    Unix(PathBuf),
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers, their names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// If it is something else.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }

    /// The status, and the body as text.
    pub fn told(&self) -> (u16, String) {
        (self.status, String::from_utf8_lossy(&self.body).into_owned())
    }
}

/// A connection.
pub trait Connection: Read + Write + Send {}
impl<S: Read + Write + Send> Connection for S {}

impl Server {
    /// A server that answers requests and runs jobs, at a free port, with those flags.
    ///
    /// # Panics
    ///
    /// If it does not start.
    #[track_caller]
    pub fn start(user: &User, flags: &[&str]) -> Server {
        Server::of(user, &[&["serve", "--listen", "127.0.0.1:0"], flags].concat(), "ready: ")
    }

    /// What a command starts that says `word` once it is ready.
    ///
    /// # Panics
    ///
    /// If it does not start, or does not say where it listens.
    #[track_caller]
    pub fn of(user: &User, command: &[&str], word: &str) -> Server {
        let running = user.start(command, word);
        let heard = running.heard();
        let url = heard.split("listening on ").nth(1).and_then(|rest| rest.lines().next());
        let url = url.unwrap_or_else(|| panic!("it does not say where it listens: {heard}"));
        let address = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        let place = match (address, url.strip_prefix("unix:")) {
            (Some(rest), _) => Place::Tcp(rest.split('/').next().unwrap_or_default().to_owned()),
            (_, Some(path)) => Place::Unix(path.into()),
            _ => panic!("it listens at {url}"),
        };
        let token = std::fs::read_to_string(user.data().join("api-token")).unwrap_or_default();
        Server { running, place, token: token.trim().to_owned() }
    }

    /// A connection to it.
    ///
    /// # Panics
    ///
    /// If it takes none.
    #[track_caller]
    pub fn connect(&self) -> Box<dyn Connection> {
        connect(&self.place).expect("it takes connections")
    }

    /// The answer to a request with the token of the machine.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[track_caller]
    pub fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let authorization = format!("Bearer {}", self.token);
        self.ask_plainly(method, target, &[&[("authorization", authorization.as_str())], headers].concat(), body)
    }

    /// The answer to a request without any token.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[track_caller]
    pub fn ask_plainly(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let host = match &self.place {
            Place::Tcp(address) => address.as_str(),
            Place::Unix(_) => "localhost",
        };
        let mut head = format!("{method} {target} HTTP/1.1\r\nconnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "host") {
            head.push_str(&format!("host: {host}\r\n"));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() || method == "POST" {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        let request = [head.as_bytes(), b"\r\n", body].concat();
        self.ask_raw(&request)
    }

    /// The answer to those bytes.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[track_caller]
    pub fn ask_raw(&self, request: &[u8]) -> Answer {
        let mut connection = self.connect();
        // A server that refuses a request need not read the rest of it.
        drop(connection.write_all(request));
        let mut bytes = Vec::new();
        let read = connection.read_to_end(&mut bytes);
        answer(&bytes).unwrap_or_else(|| panic!("no answer ({read:?}) to {:?}", String::from_utf8_lossy(request)))
    }

    /// What is there at a path, with the token of the machine.
    ///
    /// # Panics
    ///
    /// If the status is another than 200.
    #[track_caller]
    pub fn get(&self, target: &str) -> Value {
        let answer = self.ask("GET", target, &[], &[]);
        assert_eq!(answer.status, 200, "{target}: {:?}", answer.told());
        answer.json()
    }

    /// The answer to JSON that is posted, with the token of the machine.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[track_caller]
    pub fn post(&self, target: &str, body: &Value) -> Answer {
        self.ask("POST", target, &[("content-type", "application/json")], body.to_string().as_bytes())
    }
}

fn connect(place: &Place) -> io::Result<Box<dyn Connection>> {
    let patience = Some(Duration::from_secs(60));
    Ok(match place {
        Place::Tcp(address) => {
            let stream = TcpStream::connect(address)?;
            stream.set_read_timeout(patience)?;
            Box::new(stream)
        }
        Place::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(patience)?;
            Box::new(stream)
        }
    })
}

/// The first answer in those bytes, which came before the connection was closed.
pub fn answer(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|it| it == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers: Vec<_> = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    let rest = &bytes[end + 4..];
    let is_chunked = headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let length = headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, value)| value.parse().ok());
    let body = match (is_chunked, length) {
        (true, _) => unchunked(rest),
        (false, Some(length)) => rest.get(..length)?.to_vec(),
        (false, None) => rest.to_vec(),
    };
    Some(Answer { status, headers, body })
}

/// The chunks that have come, put together.
fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|it| it == b"\r\n") {
        let size = std::str::from_utf8(&rest[..end]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let Some(chunk) = size.filter(|size| *size > 0).and_then(|size| rest.get(end + 2..end + 2 + size)) else {
            break;
        };
        body.extend_from_slice(chunk);
        rest = rest.get(end + 4 + chunk.len()..).unwrap_or_default();
    }
    body
}
