//! The broker between the processes that share a database of a PostgreSQL server: `LISTEN` and `NOTIFY`.
//!
//! Two connections, none of them of the store's: one listens and does nothing else, the other one notifies. A pooler that gives a connection
//! to somebody else after each transaction, such as PgBouncer in transaction mode, takes `LISTEN` and delivers nothing; that is found out by
//! listening for what the other connection says.
//!
//! The channel is named after the schema that the connection works in, so that the stores in several schemas of one database have
//! events of their own. A message is shorter than 8000 bytes, as the server demands; a longer event is a hint.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{FutureExt as _, future};
use sha2::{Digest as _, Sha256};
use sqlx::pool::PoolOptions;
use sqlx::postgres::{PgListener, PgPool};
use sqlx::{Acquire as _, Row as _};

use super::OpenError;
use super::link::{Connected, Incoming, LinkedBroker, Lost, Outgoing, Transport};
use crate::clock::Clock;
use crate::config::ServerUrl;
use crate::model::Digest;
use crate::store::StoreError;
use crate::store::sql::PostgresServer;

/// Longest message that the server takes, in bytes.
const MESSAGE_BYTES_MAX: usize = 7_999;
/// Longest name of a channel, in bytes: the server cuts longer ones.
const CHANNEL_BYTES_MAX: usize = 63;

/// Connects to the server of that URL.
///
/// # Errors
/// [`OpenError`] where that is not possible.
pub async fn open(url: &ServerUrl, clock: Arc<dyn Clock>) -> Result<LinkedBroker, OpenError> {
    LinkedBroker::open(Postgres { server: server(url)? }, clock).await
}

/// Connects to the server of that URL; where it is out of reach, goes on trying.
///
/// # Errors
/// [`OpenError`] where the URL cannot be used.
pub async fn open_or_retry(url: &ServerUrl, clock: Arc<dyn Clock>) -> Result<LinkedBroker, OpenError> {
    Ok(LinkedBroker::open_or_retry(Postgres { server: server(url)? }, clock).await)
}

fn server(url: &ServerUrl) -> Result<PostgresServer, OpenError> {
    PostgresServer::of(url).map_err(|error| failed(&url.to_string(), error))
}

struct Postgres {
    server: PostgresServer,
}

#[async_trait]
impl Transport for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn place(&self) -> String {
        self.server.place().to_owned()
    }

    fn send_only_advice(&self) -> &'static str {
        "a pooler such as PgBouncer in transaction mode cannot pass notifications on; name the server itself with --broker postgres://…"
    }

    async fn connect(&self) -> Result<Connected, OpenError> {
        let refused = |error| failed(self.server.place(), self.server.refused(error));
        // The driver listens on connections of pools only. This one is made for two connections, and not used after them. The one that
        // publishes is a listener as well: behind a pooler it may be handed what another client listens to, and a plain connection fails then.
        let pool = PoolOptions::new().max_connections(2).max_lifetime(None).idle_timeout(None);
        let pool: PgPool = pool.connect_lazy_with(self.server.options().clone());
        let publisher = async {
            let mut connection = PgListener::connect_with(&pool).await?;
            connection.ignore_pool_close_event(true);
            connection.eager_reconnect(false);
            let channel = channel(&mut connection).await?;
            Ok::<_, sqlx::Error>((connection, channel))
        };
        let ((connection, channel), mut listener) =
            future::try_join(publisher.boxed(), PgListener::connect_with(&pool).boxed()).await.map_err(refused)?;
        listener.ignore_pool_close_event(true);
        listener.eager_reconnect(false);
        listener.listen(&channel).await.map_err(refused)?;
        Ok(Connected {
            outgoing: Box::new(Publisher { connection, channel }),
            incoming: Box::new(Listener { listener }),
            message_bytes_max: MESSAGE_BYTES_MAX,
        })
    }
}

/// The channel of the schema that is worked in. As a simple query, which a pooler cannot tear apart.
async fn channel(connection: &mut PgListener) -> Result<String, sqlx::Error> {
    let row = sqlx::raw_sql("SELECT coalesce(current_schema(), '')").fetch_one(connection).await?;
    let schema: String = row.try_get(0)?;
    let name = format!("host_events_{schema}");
    if name.len() <= CHANNEL_BYTES_MAX {
        return Ok(name);
    }
    let digest = Digest::from_bytes(Sha256::digest(schema.as_bytes()).into()).to_string();
    Ok(format!("host_events_{}", digest.get(..40).unwrap_or_default()))
}

fn failed(place: &str, error: StoreError) -> OpenError {
    let hint = match &error {
        StoreError::Unusable { hint, .. } | StoreError::BadUrl { hint, .. } => hint.clone(),
        _ => "check that it runs, and that the URL names its host and port".to_owned(),
    };
    OpenError { what: format!("the event broker at {place} cannot be used"), hint, source: Arc::new(error) }
}

struct Publisher {
    connection: PgListener,
    channel: String,
}

#[async_trait]
impl Outgoing for Publisher {
    async fn send(&mut self, messages: Vec<String>) -> Result<(), Lost> {
        let mut transaction = self.connection.begin().await?;
        // Not prepared by name: behind a pooler, the next transaction may be on another connection, which does not know the name.
        sqlx::query("SELECT pg_notify($1, message) FROM unnest($2) AS message")
            .bind(&self.channel)
            .bind(messages)
            .persistent(false)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        // For somebody else.
        while self.connection.next_buffered().is_some() {}
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), Lost> {
        // Each message was committed.
        Ok(())
    }
}

struct Listener {
    listener: PgListener,
}

#[async_trait]
impl Incoming for Listener {
    async fn receive(&mut self) -> Result<Vec<u8>, Lost> {
        match self.listener.try_recv().await? {
            Some(notification) => Ok(notification.payload().as_bytes().to_vec()),
            None => Err("the server has closed the connection".into()),
        }
    }
}
