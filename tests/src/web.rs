//! Servers of HTTP that do what servers in the world do: answer late, without end, with too much, with something else, or not at all.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::certificates::Certificates;

/// A request as a server saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The first line.
    pub line: String,
    /// The headers, their names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Seen {
    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// A connection, and the request that came over it.
pub struct Exchange {
    /// The request.
    pub seen: Seen,
    stream: BufReader<Box<dyn Stream>>,
    closes: bool,
}

trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

impl Exchange {
    /// Reads as much of the body as it says that it has.
    ///
    /// # Errors
    /// It ends sooner.
    pub fn body(&mut self) -> io::Result<Vec<u8>> {
        let length = self.seen.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).map(|()| body)
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// Nobody takes them any more.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(bytes.as_ref())?;
        stream.flush()
    }

    /// Sends a whole answer.
    ///
    /// # Errors
    /// Nobody takes it any more.
    pub fn answer(&mut self, status: u16, headers: &str, body: &str) -> io::Result<()> {
        self.send(format!("HTTP/1.1 {status} Answer\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len()))
    }

    /// Closes the connection after the answer, instead of leaving that to the other side.
    pub fn close(&mut self) {
        self.closes = true;
    }

    /// Waits until the other side closes the connection.
    pub fn wait_for_close(&mut self) {
        // However it ends, it has ended.
        drop(io::copy(&mut self.stream, &mut io::sink()));
    }
}

/// A server on this machine, until it is dropped. Connections that are open then end with the process.
pub struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
}

impl Server {
    /// A server in the clear, on a free port.
    ///
    /// # Errors
    /// There is none.
    pub fn plain(answer: impl Fn(&mut Exchange) -> io::Result<()> + Send + Sync + 'static) -> Result<Server> {
        Server::start(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?, None, answer)
    }

    /// A server over TLS, on a free port.
    ///
    /// # Errors
    /// There is none, or the certificates cannot be read.
    pub fn tls(
        certificates: &Certificates,
        answer: impl Fn(&mut Exchange) -> io::Result<()> + Send + Sync + 'static,
    ) -> Result<Server> {
        let chain = CertificateDer::pem_file_iter(certificates.server())?.collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_file(certificates.key())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        Server::start(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?, Some(Arc::new(config)), answer)
    }

    /// A server in the clear at that address.
    ///
    /// # Errors
    /// It is taken.
    pub fn at(
        address: SocketAddr,
        answer: impl Fn(&mut Exchange) -> io::Result<()> + Send + Sync + 'static,
    ) -> Result<Server> {
        Server::start(TcpListener::bind(address)?, None, answer)
    }

    fn start(
        listener: TcpListener,
        tls: Option<Arc<ServerConfig>>,
        answer: impl Fn(&mut Exchange) -> io::Result<()> + Send + Sync + 'static,
    ) -> Result<Server> {
        let address = listener.local_addr()?;
        let (seen, connections) = (Arc::new(Mutex::default()), Arc::new(AtomicUsize::new(0)));
        let is_over = Arc::new(AtomicBool::new(false));
        let server = Server {
            address,
            seen: Arc::clone(&seen),
            connections: Arc::clone(&connections),
            is_over: Arc::clone(&is_over),
        };
        let answer = Arc::new(answer);
        let accept = move || {
            for stream in listener.incoming() {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                connections.fetch_add(1, Ordering::Relaxed);
                let (tls, seen, answer) = (tls.clone(), Arc::clone(&seen), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let Ok(stream) = stream else { return };
                    // What clients break off is what these servers are for.
                    drop(serve(stream, tls, &seen, &*answer));
                });
            }
        };
        std::thread::Builder::new().name("web-server".to_owned()).spawn(accept).context("no thread for a server")?;
        Ok(server)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The URL of a path, by its address.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The requests that it saw.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many connections were made to it.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for the next connection; where that fails it waits for ever, and holds a port.
        drop(TcpStream::connect(self.address));
    }
}

fn serve(
    stream: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    seen: &Mutex<Vec<Seen>>,
    answer: &(impl Fn(&mut Exchange) -> io::Result<()> + ?Sized),
) -> Result<()> {
    let stream: Box<dyn Stream> = match tls {
        Some(config) => Box::new(StreamOwned::new(ServerConnection::new(config)?, stream)),
        None => Box::new(stream),
    };
    let mut stream = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        anyhow::ensure!(stream.read_line(&mut line)? > 0, "the request broke off");
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let headers = lines.iter().skip(1).filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    let head = Seen { line: lines.first().cloned().unwrap_or_default(), headers };
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(head.clone());
    let mut exchange = Exchange { seen: head, stream, closes: false };
    answer(&mut exchange)?;
    if !exchange.closes {
        exchange.wait_for_close();
    }
    Ok(())
}
