//! The event brokers that the suite runs on, and the servers behind them.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use host::broker::local::LocalBroker;
use host::broker::sqlite::SqliteBroker;
use host::broker::{Broker, OpenError};
use host::clock::{Clock, SystemClock};
use host::config::BrokerUrl;
use sqlx::Connection as _;

use crate::backends::{Backend, MessageServer, OwnServer, Service, Setup};
use crate::certificates::Certificates;
use crate::doubles::proxy::Proxy;

/// A kind of broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// In the process.
    Local,
    /// In a file.
    Sqlite,
    /// `LISTEN` and `NOTIFY`.
    Postgres,
    /// Redis.
    Redis,
    /// MQTT 5.
    Mqtt,
    /// MQTT 3.1.1.
    Mqtt3,
    /// NATS.
    Nats,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Local => "local",
            Kind::Sqlite => "sqlite",
            Kind::Postgres => "postgres",
            Kind::Redis => "redis",
            Kind::Mqtt => "mqtt",
            Kind::Mqtt3 => "mqtt3",
            Kind::Nats => "nats",
        })
    }
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 7] =
        [Kind::Local, Kind::Sqlite, Kind::Postgres, Kind::Redis, Kind::Mqtt, Kind::Mqtt3, Kind::Nats];

    /// Those that `TEST_BROKERS` names (`local,sqlite` where it names none).
    ///
    /// # Errors
    /// It names one that there is not.
    pub fn enabled() -> Result<Vec<Kind>> {
        let named = std::env::var("TEST_BROKERS").unwrap_or_else(|_| "local,sqlite".to_owned());
        let by_name = |name: &str| {
            let found = Kind::ALL.into_iter().find(|kind| kind.to_string() == name);
            found.with_context(|| {
                format!("TEST_BROKERS names `{name}`; there are {}", Kind::ALL.map(|kind| kind.to_string()).join(", "))
            })
        };
        named.split(',').map(str::trim).filter(|name| !name.is_empty()).map(by_name).collect()
    }

    /// Whether a server stands between the processes.
    pub const fn has_server(self) -> bool {
        !matches!(self, Kind::Local | Kind::Sqlite)
    }

    const fn service(self) -> Option<Service> {
        match self {
            Kind::Local | Kind::Sqlite | Kind::Postgres => None,
            Kind::Redis => Some(Service::Redis),
            Kind::Mqtt | Kind::Mqtt3 => Some(Service::Mqtt),
            Kind::Nats => Some(Service::Nats),
        }
    }

    /// The URL of a server at that port, as the user who is let in.
    pub fn url(self, setup: Setup, port: u16) -> String {
        match (self, setup) {
            (Kind::Postgres, _) => format!("postgres://postgres:secret@127.0.0.1:{port}/postgres"),
            (Kind::Redis, Setup::Open | Setup::Accounts) => format!("redis://127.0.0.1:{port}"),
            (Kind::Redis, Setup::Password) => format!("redis://:s3cret@127.0.0.1:{port}"),
            (Kind::Redis, Setup::Tls | Setup::ClientCertificate) => {
                format!("rediss://localhost:{port}?channel=host:events")
            }
            (Kind::Mqtt | Kind::Mqtt3, setup) => {
                let version = if self == Kind::Mqtt { "5" } else { "3.1.1" };
                match setup {
                    Setup::Open | Setup::Accounts => format!("mqtt://127.0.0.1:{port}?version={version}"),
                    Setup::Password => format!("mqtt://ada:s3cret@127.0.0.1:{port}?version={version}"),
                    Setup::Tls | Setup::ClientCertificate => {
                        format!("mqtts://localhost:{port}?version={version}")
                    }
                }
            }
            (_, Setup::Open | Setup::Accounts) => format!("nats://127.0.0.1:{port}"),
            (_, Setup::Password) => format!("nats://ada:s3cret@127.0.0.1:{port}"),
            (_, Setup::Tls | Setup::ClientCertificate) => format!("tls://localhost:{port}?subject=host"),
        }
    }
}

/// What stands between the brokers of a test, for it alone.
pub struct Place {
    kind: Kind,
    /// In the process, all have the same.
    local: Arc<LocalBroker>,
    folder: tempfile::TempDir,
    server: Server,
    proxy: Option<Proxy>,
}

enum Server {
    None,
    /// A schema on the server that all share.
    Schema(crate::backends::Place),
    Postgres(OwnServer),
    Messages(MessageServer),
}

impl Place {
    /// An open one.
    ///
    /// # Errors
    /// [`crate::backends::NotRun`] where the server is not installed; it does not start.
    pub fn new(kind: Kind) -> Result<Place> {
        Self::with(kind, Setup::Open, None)
    }

    /// One for a test that leaves the server in peace, so that others may use it as well.
    ///
    /// # Errors
    /// As [`Place::new`].
    pub fn in_peace(kind: Kind) -> Result<Place> {
        if kind != Kind::Postgres {
            return Self::new(kind);
        }
        let place = Backend::Postgres.place()?.context("a store on a server has a place")?;
        let local = Arc::new(LocalBroker::new());
        Ok(Place { kind, local, folder: tempfile::tempdir()?, server: Server::Schema(place), proxy: None })
    }

    /// One that is set up otherwise.
    ///
    /// # Errors
    /// As [`Place::new`].
    pub fn with(kind: Kind, setup: Setup, certificates: Option<&Certificates>) -> Result<Place> {
        let server = match kind.service() {
            Some(service) => Server::Messages(MessageServer::start(service, setup, certificates)?),
            None if kind == Kind::Postgres => {
                let mut server = OwnServer::start(true)?;
                if let Some(certificates) = certificates {
                    server.use_tls(certificates)?;
                }
                Server::Postgres(server)
            }
            None => Server::None,
        };
        Ok(Place { kind, local: Arc::new(LocalBroker::new()), folder: tempfile::tempdir()?, server, proxy: None })
    }

    /// Puts a network that can behave badly before the server.
    pub async fn put_proxy(&mut self) {
        self.proxy = Some(Proxy::before(self.port()).await);
    }

    /// That network.
    ///
    /// # Panics
    /// If there is none.
    pub fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().expect("the test has put it there")
    }

    /// Whether processes share it.
    pub fn is_shared(&self) -> bool {
        self.kind != Kind::Local
    }

    /// The port of the server itself.
    pub fn port(&self) -> u16 {
        match &self.server {
            Server::None | Server::Schema(_) => 0,
            Server::Postgres(server) => server.port(),
            Server::Messages(server) => server.port(),
        }
    }

    /// Kills the server and starts it again.
    ///
    /// # Errors
    /// It does not start.
    pub fn crash_and_restart(&mut self) -> Result<()> {
        match &mut self.server {
            Server::None | Server::Schema(_) => bail!("{} has no server of its own", self.kind),
            Server::Postgres(server) => server.crash_and_restart(),
            Server::Messages(server) => server.crash_and_restart(),
        }
    }

    /// Where processes find it, over the network if there is one.
    pub fn url(&self) -> String {
        if let Server::Schema(place) = &self.server {
            return place.url.clone();
        }
        let port = self.proxy.as_ref().map_or_else(|| self.port(), Proxy::port);
        self.kind.url(Setup::Open, port)
    }

    /// A broker, as another process would have it, that has found out that it reaches the others.
    ///
    /// # Errors
    /// It cannot be opened.
    pub async fn broker(&self) -> Result<Arc<dyn Broker>> {
        self.broker_with(Arc::new(SystemClock)).await
    }

    /// The same by another clock.
    ///
    /// # Errors
    /// It cannot be opened.
    pub async fn broker_with(&self, clock: Arc<dyn Clock>) -> Result<Arc<dyn Broker>> {
        match self.kind {
            Kind::Local => Ok(Arc::clone(&self.local) as Arc<dyn Broker>),
            Kind::Sqlite => Ok(Arc::new(SqliteBroker::open(&self.folder.path().join("host.db"), clock).await?)),
            _ => {
                let broker = open_with(&self.url(), clock).await?;
                ensure!(broker.reaches_other_processes().await, "the broker receives nothing of what it publishes");
                Ok(broker)
            }
        }
    }

    /// Puts a message of another program among those of the host.
    ///
    /// # Errors
    /// The server does not take it.
    pub async fn inject(&self, message: &str) -> Result<()> {
        let port = self.port();
        match self.kind {
            Kind::Local => Ok(()),
            Kind::Sqlite => {
                let url = format!("sqlite://{}", self.folder.path().join("host.db-events").display());
                let mut file = sqlx::SqliteConnection::connect(&url).await?;
                let insert = sqlx::query("INSERT INTO events (sender, event) VALUES (1, ?)").bind(message);
                insert.execute(&mut file).await?;
                Ok(())
            }
            Kind::Postgres => {
                let mut connection = sqlx::PgConnection::connect(&self.url()).await?;
                let notify = sqlx::query("SELECT pg_notify('host_events_' || current_schema(), $1)").bind(message);
                notify.execute(&mut connection).await?;
                Ok(())
            }
            Kind::Redis => {
                let channel = "host:events";
                let command = format!(
                    "*3\r\n$7\r\nPUBLISH\r\n${}\r\n{channel}\r\n${}\r\n{message}\r\n",
                    channel.len(),
                    message.len()
                );
                say(port, &[command.as_bytes()])
            }
            Kind::Nats => say(
                port,
                &[
                    b"CONNECT {\"verbose\":true}\r\n",
                    format!("PUB host.events {}\r\n{message}\r\n", message.len()).as_bytes(),
                ],
            ),
            Kind::Mqtt | Kind::Mqtt3 => {
                // CONNECT of 3.1.1 with an empty name and a clean session, which servers of version 5 take as well.
                let connect = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00";
                let topic = b"host/events";
                let mut publish = vec![0x30];
                let mut length = 2 + topic.len() + message.len();
                while length >= 128 {
                    publish.push(u8::try_from(length % 128)? | 0x80);
                    length /= 128;
                }
                publish.push(u8::try_from(length)?);
                publish.extend(u16::try_from(topic.len())?.to_be_bytes());
                publish.extend(topic);
                publish.extend(message.as_bytes());
                say(port, &[connect, &publish])
            }
        }
    }
}

/// Says something to a server, part by part, with an answer after each; the answer to the last one may not come.
fn say(port: u16, parts: &[&[u8]]) -> Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", port))?;
    server.set_read_timeout(Some(Duration::from_millis(500)))?;
    let mut answer = [0; 4096];
    for part in parts {
        server.write_all(part)?;
        // What it says is not of interest, only that it has come so far.
        let _said = server.read(&mut answer);
    }
    Ok(())
}

/// Opens a broker with a server by its URL.
///
/// # Errors
/// As the broker says.
pub async fn open(url: &str) -> Result<Arc<dyn Broker>, OpenError> {
    open_with(url, Arc::new(SystemClock)).await
}

/// The same by another clock.
///
/// # Errors
/// As the broker says.
///
/// # Panics
/// If the URL is none of a broker with a server.
pub async fn open_with(url: &str, clock: Arc<dyn Clock>) -> Result<Arc<dyn Broker>, OpenError> {
    Ok(match url.parse::<BrokerUrl>().expect("a URL of this test") {
        BrokerUrl::Postgres(url) => Arc::new(host::broker::postgres::open(&url, clock).await?),
        BrokerUrl::Redis(server) => Arc::new(host::broker::redis::open(&server, clock).await?),
        BrokerUrl::Mqtt(server) => Arc::new(host::broker::mqtt::open(&server, clock).await?),
        BrokerUrl::Nats(server) => Arc::new(host::broker::nats::open(&server, clock).await?),
        other => panic!("{other} has no server"),
    })
}
