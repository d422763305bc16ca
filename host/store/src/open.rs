//! From a URL to a store: the one place that knows which URL means which.

use std::sync::Arc;

use super::memory::MemoryStore;
#[cfg(feature = "sql")]
use super::sql::SqlStore;
use super::{Store, StoreError};
use crate::clock::Clock;

/// How a store is opened.
#[derive(Clone, Copy)]
pub struct OpenOptions<'a> {
    /// Tells when migrations were applied.
    pub clock: &'a dyn Clock,
    /// Whether a schema that is missing or older is brought up to date. On SQLite that always happens.
    pub auto_migrate: bool,
}

/// Opens the store at a URL: `memory:`, `sqlite://PATH`, `postgres://…` or `mysql://…`.
///
/// # Errors
/// [`StoreError::Unusable`] with a hint where the URL cannot be read, the database cannot be used, its schema is newer than this
/// program, or missing and not to be made. [`StoreError::Backend`] where it cannot be reached.
pub async fn open(url: &str, options: OpenOptions<'_>) -> Result<Arc<dyn Store>, StoreError> {
    match url {
        "memory" | "memory:" | "memory://" => Ok(Arc::new(MemoryStore::new())),
        #[cfg(feature = "sql")]
        _ => Ok(Arc::new(SqlStore::open(url, options).await?)),
        #[cfg(not(feature = "sql"))]
        _ => {
            let OpenOptions { clock: _, auto_migrate: _ } = options;
            Err(unknown_kind(url.split(':').next().unwrap_or_default()))
        }
    }
}

/// The kinds of databases, how their URLs begin, and whether this program was built with them.
const DATABASES: [(&str, &[&str], bool); 3] = [
    ("SQLite", &["sqlite"], cfg!(feature = "sqlite")),
    ("PostgreSQL", &["postgres", "postgresql"], cfg!(feature = "postgres")),
    ("MySQL and MariaDB", &["mysql", "mariadb"], cfg!(feature = "mysql")),
];

/// The refusal of a URL that begins with `scheme`.
pub(crate) fn unknown_kind(scheme: &str) -> StoreError {
    let left_out = DATABASES.iter().find(|(_, schemes, _)| schemes.contains(&scheme));
    let reason = match left_out {
        Some((name, ..)) => format!("this program was built without support for {name}"),
        None => format!("there is no kind of store called `{}`", scheme.chars().take(32).collect::<String>()),
    };
    let mut known = vec!["memory:".to_owned()];
    let built_in = DATABASES.iter().filter(|(_, _, is_built_in)| *is_built_in);
    known.extend(built_in.map(|(_, schemes, _)| format!("{}://", schemes[0])));
    let hint = match known.as_slice() {
        [all @ .., last] if !all.is_empty() => format!("a store URL begins with {} or {last}", all.join(", ")),
        _ => format!("a store URL is `{}`", known.join("")),
    };
    StoreError::Unusable { reason, hint, source: None }
}
