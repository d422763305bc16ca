//! The back ends that the suites run on, and the servers behind them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};
use host::clock::SystemClock;
use host::store::Store;
use host::store::memory::MemoryStore;
use host::store::sql::{OpenOptions, SqlStore};
use host::store::timekeeping::Timekeeping;

mod cpu;
mod disk;
mod messages;
mod nats_accounts;
mod servers;

pub use cpu::cpu_time;
pub use disk::SmallDisk;
pub use messages::{MessageServer, Service, Setup};
pub use servers::{Kind, NotRun, OwnServer, Small, stop_all};

/// A kind of data store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// In memory.
    Memory,
    /// A file in a temporary folder.
    Sqlite,
    /// A schema on a PostgreSQL server of our own.
    Postgres,
    /// A database on a MariaDB server of our own.
    Mysql,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Backend::Memory => "memory",
            Backend::Sqlite => "sqlite",
            Backend::Postgres => "postgres",
            Backend::Mysql => "mysql",
        })
    }
}

/// An empty place for one test, and what must live as long as it.
#[derive(Debug)]
pub struct Place {
    /// Its URL.
    pub url: String,
    _folder: Option<tempfile::TempDir>,
}

/// Two handles on one empty store.
pub struct Pair {
    /// One.
    pub a: Arc<dyn Store>,
    /// The other.
    pub b: Arc<dyn Store>,
    /// Where they are; in memory nowhere.
    pub place: Option<Place>,
}

/// How a store is opened whose callers say what time it is.
pub fn options(auto_migrate: bool) -> OpenOptions {
    OpenOptions { clock: Arc::new(SystemClock), auto_migrate, timekeeping: Timekeeping::Caller }
}

/// Opens a store as programs use it: with its own time, and guarded.
///
/// # Errors
/// The store's.
pub async fn open_as_programs(url: &str) -> Result<Arc<dyn Store>> {
    let options = OpenOptions { timekeeping: Timekeeping::Own, ..options(true) };
    host::store::open(&url.parse()?, options).await.with_context(|| format!("store {url} cannot be opened"))
}

/// Opens a store whose callers say what time it is, its schema made.
pub async fn open(url: &str) -> Result<Arc<dyn Store>> {
    let store = SqlStore::open(&url.parse()?, options(true)).await;
    Ok(Arc::new(store.with_context(|| format!("store {url} cannot be opened"))?))
}

impl Backend {
    /// Every back end.
    pub const ALL: [Backend; 4] = [Backend::Memory, Backend::Sqlite, Backend::Postgres, Backend::Mysql];

    /// Those that `TEST_BACKENDS` names (`memory,sqlite` where it names none); a name that is none of ours is an error.
    pub fn enabled() -> Result<Vec<Backend>> {
        let named = std::env::var("TEST_BACKENDS").unwrap_or_else(|_| "memory,sqlite".to_owned());
        let by_name = |name: &str| {
            let found = Backend::ALL.into_iter().find(|backend| backend.to_string() == name);
            found.with_context(|| format!("TEST_BACKENDS names `{name}`; there are memory, sqlite, postgres and mysql"))
        };
        named.split(',').map(str::trim).filter(|name| !name.is_empty()).map(by_name).collect()
    }

    /// An empty place of this kind; `None` for the memory.
    pub fn place(self) -> Result<Option<Place>> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Ok(match self {
            Backend::Memory => None,
            Backend::Sqlite => {
                let folder = tempfile::tempdir()?;
                let url = format!("sqlite://{}", folder.path().join("host.db").display());
                Some(Place { url, _folder: Some(folder) })
            }
            Backend::Postgres => Some(Place { url: servers::postgres_schema(number)?, _folder: None }),
            Backend::Mysql => Some(Place { url: servers::mysql_database(number)?, _folder: None }),
        })
    }

    /// Two handles on an empty store.
    pub async fn open(self) -> Result<Pair> {
        let Some(place) = self.place()? else {
            let memory = MemoryStore::new();
            let b = Arc::new(memory.handle());
            return Ok(Pair { a: Arc::new(memory), b, place: None });
        };
        Ok(Pair { a: open(&place.url).await?, b: open(&place.url).await?, place: Some(place) })
    }
}
