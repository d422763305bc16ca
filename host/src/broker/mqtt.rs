//! The broker over an MQTT broker, by version 5 of the protocol or 3.1.1.
//!
//! Quality of service 0: events are hints, and what the others would cost is what nobody asked for. Each connection has a name and a session
//! of its own, so that two processes never push each other out and nothing is kept for those who are gone.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rumqttc::v5::mqttbytes as v5_packets;
use rumqttc::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, Packet, TlsConfiguration, v5};

use super::link::{Connected, Incoming, LinkedBroker, Lost, Outgoing, Transport};
use super::{OpenError, message, tls};
use crate::clock::Clock;
use crate::config::{MessageServer, MqttVersion};

/// How often a client that sends nothing else sends a ping.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Most messages that wait for the connection.
const WAITING_MAX: usize = 16;
/// Longest packet that is taken by version 3.1.1, in which nobody can tell the server what one takes: a longer one ends the connection.
const PACKET_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What stands around a message: at most its topic, and numbers.
const HEADER_BYTES: usize = 512;

/// Connects to the server of that URL.
///
/// # Errors
/// [`OpenError`] where that is not possible.
pub async fn open(server: &MessageServer, clock: Arc<dyn Clock>) -> Result<LinkedBroker, OpenError> {
    LinkedBroker::open(Mqtt { server: server.clone() }, clock).await
}

struct Mqtt {
    server: MessageServer,
}

/// One way to speak to the server, in either version.
enum Client {
    V3(AsyncClient),
    V5(v5::AsyncClient),
}

/// What goes on on the connection, in either version.
enum Events {
    V3(Box<EventLoop>),
    V5(Box<v5::EventLoop>),
}

/// What has happened.
enum Happened {
    /// The server has let us in, and takes packets of that many bytes.
    Welcome(Option<u32>),
    Subscribed {
        is_granted: bool,
    },
    Message(Vec<u8>),
    Other,
}

/// Why the connection failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    V3(ConnectionError),
    #[error(transparent)]
    V5(v5::ConnectionError),
    #[error("the server does not grant the subscription")]
    NotGranted,
    #[error("the server has closed the connection")]
    Closed,
}

impl Events {
    async fn next(&mut self) -> Result<Happened, Failure> {
        match self {
            Events::V3(events) => Ok(match events.poll().await.map_err(Failure::V3)? {
                Event::Incoming(Packet::Publish(publish)) => Happened::Message(publish.payload.to_vec()),
                Event::Incoming(Packet::ConnAck(_)) => Happened::Welcome(None),
                Event::Incoming(Packet::SubAck(answer)) => {
                    let is_granted = |code: &_| matches!(code, rumqttc::SubscribeReasonCode::Success(_));
                    Happened::Subscribed { is_granted: answer.return_codes.iter().all(is_granted) }
                }
                _ => Happened::Other,
            }),
            Events::V5(events) => Ok(match events.poll().await.map_err(Failure::V5)? {
                v5::Event::Incoming(v5_packets::v5::Packet::Publish(publish)) => {
                    Happened::Message(publish.payload.to_vec())
                }
                v5::Event::Incoming(v5_packets::v5::Packet::ConnAck(answer)) => {
                    Happened::Welcome(answer.properties.and_then(|properties| properties.max_packet_size))
                }
                v5::Event::Incoming(v5_packets::v5::Packet::SubAck(answer)) => {
                    let is_granted = |code: &_| matches!(code, v5_packets::v5::SubscribeReasonCode::Success(_));
                    Happened::Subscribed { is_granted: answer.return_codes.iter().all(is_granted) }
                }
                v5::Event::Incoming(v5_packets::v5::Packet::Disconnect(_)) => return Err(Failure::Closed),
                _ => Happened::Other,
            }),
        }
    }
}

impl Client {
    async fn subscribe(&self, topic: &str) -> Result<(), Lost> {
        match self {
            Client::V3(client) => Ok(client.subscribe(topic, rumqttc::QoS::AtMostOnce).await?),
            Client::V5(client) => Ok(client.subscribe(topic, v5_packets::QoS::AtMostOnce).await?),
        }
    }

    async fn publish(&self, topic: &str, message: String) -> Result<(), Lost> {
        match self {
            Client::V3(client) => Ok(client.publish(topic, rumqttc::QoS::AtMostOnce, false, message).await?),
            Client::V5(client) => Ok(client.publish(topic, v5_packets::QoS::AtMostOnce, false, message).await?),
        }
    }

    async fn disconnect(&self) -> Result<(), Lost> {
        match self {
            Client::V3(client) => Ok(client.disconnect().await?),
            Client::V5(client) => Ok(client.disconnect().await?),
        }
    }
}

impl Mqtt {
    async fn client(&self) -> Result<(Client, Events), OpenError> {
        let name = format!("host-{:016x}", fastrand::u64(..));
        let MessageServer { port, login, .. } = &self.server;
        // The client joins host and port by a colon.
        let host =
            if self.server.host.contains(':') { format!("[{}]", self.server.host) } else { self.server.host.clone() };
        let transport = match &self.server.tls {
            Some(settings) => {
                let config = tls::client_config(settings).await;
                let config = config.map_err(|fault| self.failed("cannot be used", tls::HINT, fault))?;
                Some(rumqttc::Transport::tls_with_config(TlsConfiguration::Rustls(config)))
            }
            None => None,
        };
        let user = login.user.clone().map(|user| (user, login.password.clone().unwrap_or_default()));
        Ok(match self.server.version {
            MqttVersion::V3 => {
                let mut options = MqttOptions::new(name, host, *port);
                options.set_keep_alive(KEEP_ALIVE).set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX);
                if let Some(transport) = transport {
                    options.set_transport(transport);
                }
                if let Some((user, password)) = user {
                    options.set_credentials(user, password);
                }
                let (client, events) = AsyncClient::new(options, WAITING_MAX);
                (Client::V3(client), Events::V3(Box::new(events)))
            }
            MqttVersion::V5 => {
                let mut options = v5::MqttOptions::new(name, host, *port);
                let bytes_max = u32::try_from(message::MESSAGE_BYTES_MAX + HEADER_BYTES).unwrap_or(u32::MAX);
                // Longer ones are none of ours, and the server keeps them to itself.
                options.set_keep_alive(KEEP_ALIVE).set_max_packet_size(Some(bytes_max));
                if let Some(transport) = transport {
                    options.set_transport(transport);
                }
                if let Some((user, password)) = user {
                    options.set_credentials(user, password);
                }
                let (client, events) = v5::AsyncClient::new(options, WAITING_MAX);
                (Client::V5(client), Events::V5(Box::new(events)))
            }
        })
    }

    /// Waits to be let in, and subscribes. Answers how long a packet may be.
    async fn subscribe(&self, client: &Client, events: &mut Events) -> Result<Option<u32>, Lost> {
        let mut packet_bytes_max = None;
        loop {
            match events.next().await? {
                Happened::Welcome(bytes_max) => {
                    packet_bytes_max = bytes_max;
                    client.subscribe(&self.server.channel).await?;
                }
                Happened::Subscribed { is_granted: true } => return Ok(packet_bytes_max),
                Happened::Subscribed { is_granted: false } => return Err(Failure::NotGranted.into()),
                Happened::Message(_) | Happened::Other => {}
            }
        }
    }

    fn failed(&self, what: &str, hint: &str, cause: impl Into<Lost>) -> OpenError {
        OpenError {
            what: format!("the event broker at {} {what}", self.server),
            hint: hint.to_owned(),
            source: cause.into().into(),
        }
    }

    fn refused(&self, error: Lost) -> OpenError {
        use rumqttc::ConnectReturnCode as V3;
        use v5_packets::v5::ConnectReturnCode as V5;
        let login = ("refuses the user or the password", "check both: mqtt://USER:PASSWORD@HOST");
        let version = ("does not speak this version of MQTT", "try the other one: ?version=3.1.1 (5 is the default)");
        let (what, hint) = match error.downcast_ref::<Failure>() {
            Some(
                Failure::V3(ConnectionError::ConnectionRefused(V3::BadUserNamePassword | V3::NotAuthorized))
                | Failure::V5(v5::ConnectionError::ConnectionRefused(V5::BadUserNamePassword | V5::NotAuthorized)),
            ) => login,
            Some(
                Failure::V3(ConnectionError::ConnectionRefused(V3::RefusedProtocolVersion))
                | Failure::V5(v5::ConnectionError::ConnectionRefused(
                    V5::RefusedProtocolVersion | V5::UnsupportedProtocolVersion,
                )),
            ) => version,
            Some(Failure::NotGranted) => {
                ("refuses what this user may not do", "its ACL must allow to read and write the topic (host/events)")
            }
            // A server that does not like the certificate of the host says so only after the handshake, to the first packet.
            _ if self.server.tls.is_some() => ("is out of reach, or not to be trusted", tls::HINT),
            _ => ("is out of reach", "check that it runs, and that the URL names its host and port"),
        };
        self.failed(what, hint, error)
    }
}

#[async_trait]
impl Transport for Mqtt {
    fn name(&self) -> &'static str {
        "mqtt"
    }

    fn place(&self) -> String {
        self.server.to_string()
    }

    fn send_only_advice(&self) -> &'static str {
        "the server's ACL does not let this user write or read the topic, which the protocol does not tell"
    }

    async fn connect(&self) -> Result<Connected, OpenError> {
        let (client, mut events) = self.client().await?;
        let packet = self.subscribe(&client, &mut events).await.map_err(|error| self.refused(error))?;
        let packet = packet.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX);
        Ok(Connected {
            outgoing: Box::new(Publisher { client, topic: self.server.channel.clone() }),
            incoming: Box::new(Subscriber { events }),
            message_bytes_max: packet.saturating_sub(HEADER_BYTES).min(message::MESSAGE_BYTES_MAX),
        })
    }
}

struct Publisher {
    client: Client,
    topic: String,
}

#[async_trait]
impl Outgoing for Publisher {
    async fn send(&mut self, messages: Vec<String>) -> Result<(), Lost> {
        for message in messages {
            self.client.publish(&self.topic, message).await?;
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), Lost> {
        self.client.disconnect().await?;
        // The server closes the connection when it has taken what was sent before, and the other half sees that. Were it closed here, the
        // server would fail to send us the first of those messages, and drop the others.
        std::future::pending().await
    }
}

struct Subscriber {
    events: Events,
}

#[async_trait]
impl Incoming for Subscriber {
    async fn receive(&mut self) -> Result<Vec<u8>, Lost> {
        loop {
            match self.events.next().await? {
                Happened::Message(message) => return Ok(message),
                Happened::Welcome(_) | Happened::Subscribed { .. } | Happened::Other => {}
            }
        }
    }
}
