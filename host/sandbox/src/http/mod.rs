//! Requests of guests over HTTP: `wasi:http/outgoing-handler`, with connections that are made here.
//!
//! ```text
//!   handle ──► one reading, granted ──► name looked up ──► address allowed ──► connected ──► sent ──► answered
//!                 (or denied)                                (or denied)       to that address
//! ```
//!
//! * What a request is for must be readable in one way, and granted; see [`crate::model::HttpTarget`].
//! * A name is looked up once, and the connection goes to an address that was looked at: a name that answers something else when it is
//!   asked again leads nowhere. Addresses that are none of the public internet are refused unless granted as such.
//! * A redirection is an answer like any other. Whoever follows it makes a request, which is held against the grants.
//! * A request has a connection of its own, and nothing of it is left for the next one.
//! * Everything has a bound: connections, heads, bodies, waiting; all of it ends with the attempt, as the tasks behind it are dropped with
//!   the store. What goes over the wire burns fuel, and what the host keeps is the guest's memory.

mod connection;
pub(super) mod interface;
pub(super) mod lookup;
mod meter;
mod served;
mod tls;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpHooks};

pub use self::lookup::Resolver;

use self::connection::Outgoing;
use self::lookup::{Lookups, SystemResolver};
use self::meter::Meter;
use self::tls::Tls;
use super::memory::Kept;
use super::work::Work;
use crate::model::HttpUsage;

/// Most bytes of the head of a request or response: its first line and its headers.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Most headers of a request or response.
const HEADERS_MAX: usize = 128;
/// What the host keeps for a connection at the most: buffers of HTTP in both directions, and those of TLS.
const CONNECTION_BYTES: u64 = 256 << 10;
/// Most bytes of a body that a guest writes at once.
const CHUNK_BYTES_MAX: usize = 64 << 10;

/// What all attempts share.
pub(super) struct HttpService {
    lookups: Lookups,
    tls: Tls,
}

impl HttpService {
    /// Looks names up by `resolver`, or as the system does, and trusts `authorities`, in a PEM file, besides the system's.
    ///
    /// # Errors
    /// The system gives no threads.
    pub(super) fn new(
        resolver: Option<Arc<dyn Resolver>>,
        authorities: Option<PathBuf>,
    ) -> std::io::Result<Arc<HttpService>> {
        let resolver = resolver.unwrap_or_else(|| Arc::new(SystemResolver));
        Ok(Arc::new(HttpService { lookups: Lookups::start(resolver)?, tls: Tls::new(authorities) }))
    }
}

/// What one attempt may have of HTTP.
#[derive(Debug, Clone, Copy)]
pub(super) struct HttpLimits {
    /// Connections at the same time; further requests wait for one.
    pub(super) connections: usize,
    /// Size of a body, in bytes.
    pub(super) body_bytes: u64,
}

/// HTTP as one guest has it. Nothing is allocated for it until the guest makes a request.
pub(super) struct Http {
    service: Arc<HttpService>,
    limits: HttpLimits,
    meter: Option<Arc<Meter>>,
    ctx: WasiHttpCtx,
    hooks: Hooks,
    /// What the host keeps for headers and bodies, by the number of the resource that holds them.
    kept: HashMap<u32, Kept>,
}

impl Http {
    /// HTTP for a guest that has made no request yet.
    pub(super) fn new(service: Arc<HttpService>, limits: HttpLimits) -> Http {
        let mut ctx = WasiHttpCtx::new();
        ctx.set_field_size_limit(HEAD_BYTES_MAX);
        Http { service, limits, meter: None, ctx, hooks: Hooks::default(), kept: HashMap::new() }
    }

    /// What was done.
    pub(super) fn usage(&self) -> HttpUsage {
        self.meter.as_ref().map_or_else(HttpUsage::default, |meter| meter.usage())
    }

    fn meter(&mut self, work: &Work) -> Arc<Meter> {
        let connections = self.limits.connections;
        Arc::clone(self.meter.get_or_insert_with(|| Arc::new(Meter::new(work.clone(), connections))))
    }
}

/// Where the implementation of the interface asks for the connection.
#[derive(Default)]
struct Hooks {
    /// The request that is being sent; there is none that was not looked at.
    outgoing: Option<Outgoing>,
}

type Answered = (http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>);

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _sent: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Answered, Error>> + Send> {
        match self.outgoing.take() {
            Some(outgoing) => Box::new(outgoing.send(request, options.unwrap_or_default())),
            None => Box::new(std::future::ready(Err(Error::HttpRequestDenied))),
        }
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK_BYTES_MAX
    }
}
