//! Opens the event broker.

use std::path::Path;
use std::sync::Arc;

use crate::app::{AppError, AppResult};
#[cfg(any(feature = "postgres", feature = "redis", feature = "mqtt", feature = "nats"))]
use crate::broker::OpenError;
use crate::broker::local::LocalBroker;
#[cfg(feature = "sqlite")]
use crate::broker::sqlite::SqliteBroker;
use crate::broker::{Broker, BrokerError};
use crate::clock::Clock;
use crate::config::{BrokerUrl, Config, StoreUrl};

/// Opens the broker that was named, or the one that the store's other processes would use as well. Nobody asked for the latter, and events
/// are hints: where it cannot be opened, as on a full disk, commands do without it, so that what is stored can still be read.
pub(super) async fn open(config: &Config, clock: &Arc<dyn Clock>) -> AppResult<Arc<dyn Broker>> {
    match &config.broker {
        Some(url) => named(url, clock).await,
        None => Ok(default(&config.store, clock).await),
    }
}

async fn named(url: &BrokerUrl, clock: &Arc<dyn Clock>) -> AppResult<Arc<dyn Broker>> {
    match url {
        BrokerUrl::Local => Ok(Arc::new(LocalBroker::new())),
        BrokerUrl::Sqlite(path) => in_file(path, clock).await.map_err(|error| AppError::Unreachable {
            what: error.to_string(),
            hint: Some("`--broker local` works without one; other processes then wait for their next look".to_owned()),
            source: Some(error.source),
        }),
        #[cfg(feature = "postgres")]
        BrokerUrl::Postgres(url) => opened(crate::broker::postgres::open(url, Arc::clone(clock)).await),
        #[cfg(feature = "redis")]
        BrokerUrl::Redis(server) => opened(crate::broker::redis::open(server, Arc::clone(clock)).await),
        #[cfg(feature = "mqtt")]
        BrokerUrl::Mqtt(server) => opened(crate::broker::mqtt::open(server, Arc::clone(clock)).await),
        #[cfg(feature = "nats")]
        BrokerUrl::Nats(server) => opened(crate::broker::nats::open(server, Arc::clone(clock)).await),
        #[cfg(not(all(feature = "postgres", feature = "redis", feature = "mqtt", feature = "nats")))]
        other => Err(AppError::invalid(format!("this program was built without the event broker for {other}"))),
    }
}

async fn default(store: &StoreUrl, clock: &Arc<dyn Clock>) -> Arc<dyn Broker> {
    match store {
        StoreUrl::Sqlite(file) => match in_file(&file.path, clock).await {
            Ok(broker) => return broker,
            Err(error) => {
                tracing::warn!(cause = %error.source, "the event broker cannot be opened; other processes wait for their next look");
            }
        },
        #[cfg(feature = "postgres")]
        StoreUrl::Postgres(url) => match crate::broker::postgres::open_or_retry(url, Arc::clone(clock)).await {
            Ok(broker) => return Arc::new(broker),
            Err(error) => {
                tracing::warn!(cause = %error, "the event broker cannot be opened; other processes wait for their next look");
            }
        },
        // Other processes learn of changes by looking into the store.
        _ => {}
    }
    Arc::new(LocalBroker::new())
}

#[cfg(any(feature = "postgres", feature = "redis", feature = "mqtt", feature = "nats"))]
fn opened(broker: Result<impl Broker + 'static, OpenError>) -> AppResult<Arc<dyn Broker>> {
    let unreachable = |error: OpenError| AppError::Unreachable {
        what: error.what,
        hint: Some(format!(
            "{}; `--broker local` works without one, and others then wait for their next look",
            error.hint
        )),
        source: Some(error.source),
    };
    broker.map(|broker| Arc::new(broker) as Arc<dyn Broker>).map_err(unreachable)
}

#[cfg(feature = "sqlite")]
async fn in_file(path: &Path, clock: &Arc<dyn Clock>) -> Result<Arc<dyn Broker>, BrokerError> {
    Ok(Arc::new(SqliteBroker::open(path, Arc::clone(clock)).await?))
}

#[cfg(not(feature = "sqlite"))]
async fn in_file(_path: &Path, _clock: &Arc<dyn Clock>) -> Result<Arc<dyn Broker>, BrokerError> {
    let source = std::io::Error::other("this program was built without support for SQLite");
    Err(BrokerError { broker: "sqlite", source: Arc::new(source) })
}
