//! From a URL to a store: the one place that knows which URL means which.

use std::sync::Arc;

use super::memory::MemoryStore;
use super::sql::{OpenOptions, SqlStore};
use super::{Store, StoreError};
use crate::config::StoreUrl;

/// Opens the store at a URL.
///
/// # Errors
/// As [`SqlStore::open`].
pub async fn open(url: &StoreUrl, options: OpenOptions<'_>) -> Result<Arc<dyn Store>, StoreError> {
    match url {
        StoreUrl::Memory => Ok(Arc::new(MemoryStore::new())),
        _ => Ok(Arc::new(SqlStore::open(url, options).await?)),
    }
}
