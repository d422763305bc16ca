//! Buckets that are the host's own.

use crate::model::BucketName;
use crate::model::limits::PAGE_ROWS_MAX;
use crate::store::{KvKeyRow, ListKv, Store, StoreError};

/// All keys of such a bucket, in order.
pub(super) async fn all_keys(store: &dyn Store, bucket: BucketName) -> Result<Vec<KvKeyRow>, StoreError> {
    let mut rows: Vec<KvKeyRow> = Vec::new();
    loop {
        let after = rows.last().map(|row| row.key.clone());
        let page = ListKv { bucket: bucket.clone(), prefix: String::new(), after, limit: PAGE_ROWS_MAX };
        let page = store.kv_list(page).await?;
        rows.extend(page.keys);
        if !page.has_more {
            return Ok(rows);
        }
    }
}
