//! The broker over a Redis server, or one that speaks its protocol: publish/subscribe.
//!
//! Two connections, one that is subscribed and one that publishes, so that servers of every age will do. Redis drops subscribers that read
//! too slowly (`client-output-buffer-limit pubsub`); this one reads all the time, and is connected again where it happens. The client keeps
//! what it has read and was not asked for in a queue without a bound, which is why nothing here waits between two messages.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::future;
use redis::aio::{MultiplexedConnection, PubSubSink, PubSubStream};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, ErrorKind, IntoConnectionInfo as _,
    RedisConnectionInfo, RedisError, TlsCertificates,
};

use super::link::{Connected, Incoming, LinkedBroker, Lost, Outgoing, Transport};
use super::{OpenError, message, tls};
use crate::clock::Clock;
use crate::config::MessageServer;

/// Connects to the server of that URL.
///
/// # Errors
/// [`OpenError`] where that is not possible.
pub async fn open(server: &MessageServer, clock: Arc<dyn Clock>) -> Result<LinkedBroker, OpenError> {
    LinkedBroker::open(Redis { server: server.clone() }, clock).await
}

struct Redis {
    server: MessageServer,
}

impl Redis {
    async fn client(&self) -> Result<Client, OpenError> {
        let MessageServer { host, port, login, .. } = &self.server;
        let (address, certificates) = match &self.server.tls {
            Some(settings) => {
                tls::ensure_provider();
                let pem = tls::read(settings).await.map_err(|fault| self.failed("cannot be used", tls::HINT, fault))?;
                let client_tls =
                    pem.client.map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key });
                let address =
                    ConnectionAddr::TcpTls { host: host.clone(), port: *port, insecure: false, tls_params: None };
                (address, Some(TlsCertificates { client_tls, root_cert: pem.roots }))
            }
            None => (ConnectionAddr::Tcp(host.clone(), *port), None),
        };
        let mut info = RedisConnectionInfo::default().set_skip_set_lib_name();
        if let Some(user) = &login.user {
            info = info.set_username(user);
        }
        if let Some(password) = &login.password {
            info = info.set_password(password);
        }
        let refused = |error| self.refused(error);
        let info = address.into_connection_info().map_err(refused)?.set_redis_settings(info);
        match certificates {
            Some(certificates) => Client::build_with_tls(info, certificates),
            None => Client::open(info),
        }
        .map_err(refused)
    }

    fn failed(&self, what: &str, hint: &str, cause: impl std::error::Error + Send + Sync + 'static) -> OpenError {
        OpenError {
            what: format!("the event broker at {} {what}", self.server),
            hint: hint.to_owned(),
            source: Arc::new(cause),
        }
    }

    fn refused(&self, error: RedisError) -> OpenError {
        let (what, hint) = match (error.kind(), error.code()) {
            (ErrorKind::AuthenticationFailed, _) | (_, Some("WRONGPASS" | "NOAUTH")) => (
                "refuses the user or the password",
                "check both: redis://USER:PASSWORD@HOST, or redis://:PASSWORD@HOST",
            ),
            (_, Some("NOPERM")) => (
                "refuses what this user may not do",
                "its ACL must allow SUBSCRIBE and PUBLISH on the channel (&host:events)",
            ),
            (ErrorKind::InvalidClientConfig, _) => ("cannot be used", tls::HINT),
            (ErrorKind::Io, _) if self.server.tls.is_some() => ("is out of reach, or not to be trusted", tls::HINT),
            _ => ("is out of reach", "check that it runs, and that the URL names its host and port"),
        };
        self.failed(what, hint, error)
    }
}

#[async_trait]
impl Transport for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn place(&self) -> String {
        self.server.to_string()
    }

    fn send_only_advice(&self) -> &'static str {
        "the two connections do not reach the same server, or a proxy in between does not pass messages on"
    }

    async fn connect(&self) -> Result<Connected, OpenError> {
        let client = self.client().await?;
        let subscribed = async {
            let mut connection = client.get_async_pubsub().await?;
            connection.subscribe(&self.server.channel).await?;
            Ok::<_, RedisError>(connection)
        };
        // Time limits are those of the link, which sees also what is sent and goes nowhere.
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let publisher = client.get_multiplexed_async_connection_with_config(&config);
        let (subscribed, connection) =
            future::try_join(subscribed, publisher).await.map_err(|error| self.refused(error))?;
        let (sink, stream) = subscribed.split();
        Ok(Connected {
            outgoing: Box::new(Publisher { connection, channel: self.server.channel.clone() }),
            incoming: Box::new(Subscriber { stream, _sink: sink }),
            message_bytes_max: message::MESSAGE_BYTES_MAX,
        })
    }
}

struct Publisher {
    connection: MultiplexedConnection,
    channel: String,
}

#[async_trait]
impl Outgoing for Publisher {
    async fn send(&mut self, messages: Vec<String>) -> Result<(), Lost> {
        let mut pipeline = redis::pipe();
        for message in messages {
            pipeline.cmd("PUBLISH").arg(&self.channel).arg(message).ignore();
        }
        Ok(pipeline.query_async(&mut self.connection).await?)
    }

    async fn finish(&mut self) -> Result<(), Lost> {
        // Each PUBLISH was answered.
        Ok(())
    }
}

struct Subscriber {
    stream: PubSubStream,
    // The subscription ends with it.
    _sink: PubSubSink,
}

#[async_trait]
impl Incoming for Subscriber {
    async fn receive(&mut self) -> Result<Vec<u8>, Lost> {
        match self.stream.next().await {
            Some(message) => Ok(message.get_payload_bytes().to_vec()),
            None => Err("the server has closed the connection".into()),
        }
    }
}
