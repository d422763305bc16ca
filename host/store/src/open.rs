//! From a URL to a store: the one place that knows which URL means which.

use std::sync::Arc;

use super::memory::MemoryStore;
#[cfg(feature = "sql")]
use super::sql::SqlStore;
use super::{Store, StoreError};
use crate::clock::Clock;
use crate::config::StoreUrl;

/// How a store is opened.
#[derive(Clone, Copy)]
pub struct OpenOptions<'a> {
    /// Tells when migrations were applied.
    pub clock: &'a dyn Clock,
    /// Whether a schema that is missing or older is brought up to date. On SQLite that always happens.
    pub auto_migrate: bool,
}

/// Opens the store at a URL.
///
/// # Errors
/// [`StoreError::BadUrl`] with a hint if the program was built without such stores. [`StoreError::Unusable`] with a hint if the database
/// cannot be used, its schema is newer than this program, or missing and not to be made. [`StoreError::Backend`] if it cannot be reached.
pub async fn open(url: &StoreUrl, options: OpenOptions<'_>) -> Result<Arc<dyn Store>, StoreError> {
    match url {
        StoreUrl::Memory => Ok(Arc::new(MemoryStore::new())),
        #[cfg(feature = "sql")]
        _ => Ok(Arc::new(SqlStore::open(url, options).await?)),
        #[cfg(not(feature = "sql"))]
        _ => {
            let OpenOptions { clock: _, auto_migrate: _ } = options;
            Err(no_such_kind(url))
        }
    }
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
