//! The broker over a NATS server: core NATS, which delivers at most once. JetStream would keep what nobody needs any more.

use std::sync::Arc;

use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr, Subscriber};
use async_trait::async_trait;
use futures_util::StreamExt as _;
use tokio::sync::watch;

use super::link::{Connected, Incoming, LinkedBroker, Lost, Outgoing, Transport};
use super::{OpenError, message, tls};
use crate::clock::Clock;
use crate::config::MessageServer;

/// Most messages that wait for the subscriber. What is beyond is dropped by the client, and seen by its numbers.
const WAITING_MAX: usize = 1_024;

/// Connects to the server of that URL.
///
/// # Errors
/// [`OpenError`] where that is not possible.
pub async fn open(server: &MessageServer, clock: Arc<dyn Clock>) -> Result<LinkedBroker, OpenError> {
    LinkedBroker::open(Nats { server: server.clone() }, clock).await
}

struct Nats {
    server: MessageServer,
}

impl Nats {
    /// How to connect, and what becomes true once the connection has gone. The client would connect again by itself, but nobody would be
    /// told what is lost.
    async fn options(&self) -> Result<(ConnectOptions, watch::Receiver<bool>), OpenError> {
        let (gone, is_gone) = watch::channel(false);
        let gone = Arc::new(gone);
        let login = &self.server.login;
        let mut options = ConnectOptions::new();
        options = match (&login.user, &login.password, &login.credentials) {
            (_, _, Some(path)) => {
                let hint = format!("check the file `{}` that credentials names", path.display());
                let failed = |error| self.failed("cannot be used", &hint, error);
                let text = tokio::fs::read_to_string(path).await.map_err(failed)?;
                options.credentials(&text).map_err(failed)?
            }
            (Some(user), Some(password), None) => options.user_and_password(user.clone(), password.clone()),
            (Some(token), None, None) | (None, Some(token), None) => options.token(token.clone()),
            (None, None, None) => options,
        };
        if let Some(settings) = &self.server.tls {
            let config = tls::client_config(settings).await;
            let config = config.map_err(|fault| self.failed("cannot be used", tls::HINT, fault))?;
            options = options.require_tls(true).tls_client_config(Arc::unwrap_or_clone(config));
        } else {
            // A server may ask for TLS all the same.
            tls::ensure_provider();
        }
        let options =
            options.name("host").max_reconnects(1).subscription_capacity(WAITING_MAX).event_callback(move |event| {
                let gone = Arc::clone(&gone);
                async move {
                    if matches!(event, Event::Disconnected | Event::Closed) {
                        gone.send_replace(true);
                    }
                }
            });
        Ok((options, is_gone))
    }

    fn address(&self) -> Result<ServerAddr, OpenError> {
        let scheme = if self.server.tls.is_some() { "tls" } else { "nats" };
        let host = &self.server.host;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let address = format!("{scheme}://{host}:{}", self.server.port).parse();
        address.map_err(|error: std::io::Error| self.failed("cannot be used", "check the URL", error))
    }

    fn failed(&self, what: &str, hint: &str, cause: impl Into<Lost>) -> OpenError {
        OpenError {
            what: format!("the event broker at {} {what}", self.server),
            hint: hint.to_owned(),
            source: cause.into().into(),
        }
    }

    fn refused(&self, error: async_nats::ConnectError) -> OpenError {
        let (what, hint) = match error.kind() {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => (
                "refuses the user or the password",
                "check it: nats://USER:PASSWORD@HOST, nats://TOKEN@HOST, or ?credentials=FILE",
            ),
            ConnectErrorKind::Tls => ("is not to be trusted", tls::HINT),
            ConnectErrorKind::Io if self.server.tls.is_some() => ("is out of reach, or not to be trusted", tls::HINT),
            _ => ("is out of reach", "check that it runs, and that the URL names its host and port"),
        };
        self.failed(what, hint, error)
    }
}

#[async_trait]
impl Transport for Nats {
    fn name(&self) -> &'static str {
        "nats"
    }

    fn place(&self) -> String {
        self.server.to_string()
    }

    fn send_only_advice(&self) -> &'static str {
        "the server's permissions do not let this user publish on the subject, or subscribe to it"
    }

    async fn connect(&self) -> Result<Connected, OpenError> {
        let (options, is_gone) = self.options().await?;
        let client = options.connect(self.address()?).await.map_err(|error| self.refused(error))?;
        let out_of_reach = "is out of reach";
        let hint = "check that it runs, and that the URL names its host and port";
        let subscriber = client.subscribe(self.server.channel.clone()).await;
        let subscriber = subscriber.map_err(|error| self.failed(out_of_reach, hint, error))?;
        client.flush().await.map_err(|error| self.failed(out_of_reach, hint, error))?;
        let message_bytes_max = client.max_payload().min(message::MESSAGE_BYTES_MAX);
        Ok(Connected {
            outgoing: Box::new(Publisher { client, subject: self.server.channel.clone() }),
            incoming: Box::new(Messages { subscriber, is_gone }),
            message_bytes_max,
        })
    }
}

struct Publisher {
    client: Client,
    subject: String,
}

#[async_trait]
impl Outgoing for Publisher {
    async fn send(&mut self, messages: Vec<String>) -> Result<(), Lost> {
        for message in messages {
            self.client.publish(self.subject.clone(), message.into()).await?;
        }
        Ok(self.client.flush().await?)
    }

    async fn finish(&mut self) -> Result<(), Lost> {
        // Each message was flushed.
        Ok(())
    }
}

struct Messages {
    subscriber: Subscriber,
    is_gone: watch::Receiver<bool>,
}

#[async_trait]
impl Incoming for Messages {
    async fn receive(&mut self) -> Result<Vec<u8>, Lost> {
        let message = tokio::select! {
            biased;
            message = self.subscriber.next() => message,
            _ = self.is_gone.wait_for(|is_gone| *is_gone) => None,
        };
        match message {
            Some(message) => Ok(message.payload.to_vec()),
            None => Err("the server has closed the connection".into()),
        }
    }
}
