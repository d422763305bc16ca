//! From a URL to a store: the one place that knows which URL means which.

use std::sync::Arc;

use super::memory::MemoryStore;
use super::sql::{OpenOptions, SqlStore};
use super::{Store, StoreError};

/// Opens the store at a URL: `memory:`, `sqlite://PATH`, `postgres://…` or `mysql://…`.
///
/// # Errors
/// As [`SqlStore::open`].
pub async fn open(url: &str, options: OpenOptions<'_>) -> Result<Arc<dyn Store>, StoreError> {
    match url {
        "memory" | "memory:" | "memory://" => Ok(Arc::new(MemoryStore::new())),
        _ => Ok(Arc::new(SqlStore::open(url, options).await?)),
    }
}
