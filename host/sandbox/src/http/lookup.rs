//! Names of servers, looked up on threads of their own.

use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::super::pool::Pool;

/// Threads that look up names.
const LOOKUP_THREADS_MAX: usize = 64;
/// Lookups of names of one plugin at the same time.
const PLUGIN_LOOKUPS_MAX: usize = 8;

/// A bound on the lookups of one plugin, so that names which take long to look up do not keep all threads from others.
pub(in super::super) fn lookup_permits() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(PLUGIN_LOOKUPS_MAX))
}

/// Looks up names of servers.
pub trait Resolver: Send + Sync {
    /// The addresses of a server. Blocks.
    ///
    /// # Errors
    /// There is no such name, or nobody answered.
    fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// Asks the system, and with it `/etc/hosts` and whatever else it is set up to ask.
pub(super) struct SystemResolver;

impl Resolver for SystemResolver {
    fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
    }
}

/// A resolver with its threads.
pub(super) struct Lookups {
    resolver: Arc<dyn Resolver>,
    threads: Pool,
}

impl Lookups {
    pub(super) fn start(resolver: Arc<dyn Resolver>) -> io::Result<Lookups> {
        Ok(Lookups { resolver, threads: Pool::start("name-lookup", LOOKUP_THREADS_MAX)? })
    }

    /// The addresses of a server, once there is a place for the lookup. The place is held until it has ended, whether or not
    /// somebody still waits: a thread inside the system's resolver cannot be called back.
    pub(super) async fn addresses(&self, name: String, places: Arc<Semaphore>) -> io::Result<Vec<IpAddr>> {
        // The semaphore is never closed.
        let place = places.acquire_owned().await.map_err(io::Error::other)?;
        let resolver = Arc::clone(&self.resolver);
        let lookup = move || {
            let addresses = resolver.addresses(&name);
            drop(place);
            addresses
        };
        self.threads.run(lookup).await.unwrap_or_else(|| Err(io::Error::other("the host is stopping")))
    }

    /// Runs another call that blocks.
    pub(super) async fn run<T: Send + 'static>(&self, call: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        self.threads.run(call).await
    }
}
