//! From a URL to a store: the one place that knows which URL means which.

use std::sync::Arc;

use super::detached::Detached;
use super::memory::MemoryStore;
use super::retrying::Retrying;
#[cfg(feature = "sql")]
use super::sql::SqlStore;
use super::timekeeping::Timekeeping;
use super::watched::Watched;
use super::{Store, StoreError};
use crate::clock::Clock;
use crate::config::StoreUrl;

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// Tells when migrations were applied, and measures leases where the database has no clock, pauses, and how long the store is silent.
    pub clock: Arc<dyn Clock>,
    /// Whether a schema that is missing or older is brought up to date. On SQLite that always happens.
    pub auto_migrate: bool,
    /// Which clock decides.
    pub timekeeping: Timekeeping,
}

/// Opens the store at a URL.
///
/// The store is [`guarded`].
///
/// # Errors
/// [`StoreError::BadUrl`] with a hint if the program was built without such stores. [`StoreError::Unusable`] with a hint if the database
/// cannot be used, its schema is newer than this program, or missing and not to be made. [`StoreError::Backend`] if it cannot be reached.
pub async fn open(url: &StoreUrl, options: OpenOptions) -> Result<Arc<dyn Store>, StoreError> {
    let clock = Arc::clone(&options.clock);
    Ok(guarded(open_bare(url, options).await?, clock, fastrand::Rng::new()))
}

async fn open_bare(url: &StoreUrl, options: OpenOptions) -> Result<Arc<dyn Store>, StoreError> {
    match url {
        StoreUrl::Memory => Ok(Arc::new(MemoryStore::with_clock(options.clock))),
        #[cfg(feature = "sql")]
        _ => Ok(Arc::new(SqlStore::open(url, options).await?)),
        #[cfg(not(feature = "sql"))]
        _ => {
            let OpenOptions { clock: _, auto_migrate: _, timekeeping: _ } = options;
            Err(no_such_kind(url))
        }
    }
}

/// A store as programs use it: a call whose caller goes away is finished, one that failed is made again where that is safe and may help, and
/// that the store does not answer is told.
pub fn guarded(store: Arc<dyn Store>, clock: Arc<dyn Clock>, random: fastrand::Rng) -> Arc<dyn Store> {
    let watched = Watched::new(store, Arc::clone(&clock));
    let retrying = Retrying::new(Arc::new(watched), Arc::clone(&clock), random);
    Arc::new(Detached::new(Arc::new(retrying), clock))
}

/// The refusal of a store that is in no database that this program was built with.
pub(crate) fn no_such_kind(url: &StoreUrl) -> StoreError {
    let reason = match url {
        StoreUrl::Memory => "a store in memory has no database".to_owned(),
        StoreUrl::Sqlite(_) => without("SQLite"),
        StoreUrl::Postgres(_) => without("PostgreSQL"),
        StoreUrl::Mysql(_) => without("MySQL and MariaDB"),
    };
    let known = [
        ("sqlite://", cfg!(feature = "sqlite")),
        ("postgres://", cfg!(feature = "postgres")),
        ("mysql://", cfg!(feature = "mysql")),
    ];
    let mut known: Vec<&str> =
        known.into_iter().filter(|(_, is_built_in)| *is_built_in).map(|(begin, _)| begin).collect();
    known.push("memory:");
    StoreError::BadUrl { reason, hint: format!("a store URL begins with {}", known.join(" or ")), source: None }
}

fn without(database: &str) -> String {
    format!("this program was built without support for {database}")
}
