//! What handlers share.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::CancellationToken;

use super::listen::Listen;
use super::session::Sessions;
use super::tls::TlsFiles;
use super::token::LocalToken;
use crate::app::{App, Figures, KnownTokens};
use crate::clock::{Clock, Instant};
use crate::scheduler::Meter;

/// How the interface is set.
#[derive(Debug, Clone, Default)]
pub struct ApiOptions {
    /// Where it listens. `None`: at port 7980 of this machine, or at a free one where that is taken.
    pub listen: Option<Listen>,
    /// What stands before every path, such as `/host`, behind a proxy that passes it on; empty: nothing.
    pub base_path: String,
    /// Names under which it may be asked for, beside addresses and `localhost`.
    pub allowed_hosts: Vec<String>,
    /// Whether everybody who reaches it may do everything. Only for an address of this machine.
    pub without_auth: bool,
    /// The certificate that it shows; `None`: it speaks no TLS.
    pub tls: Option<TlsFiles>,
    /// Where the token of this machine is kept.
    pub data_dir: PathBuf,
}

/// What handlers share.
pub(super) struct Shared {
    pub(super) app: App,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) options: ApiOptions,
    /// The token of this machine; `None` where nobody needs one.
    pub(super) local_token: Option<LocalToken>,
    /// Those that operators have made.
    pub(super) tokens: KnownTokens,
    /// Those of the browsers that show the dashboard.
    pub(super) sessions: Sessions,
    /// Whether any client reaches the interface over the network, and a browser might be among them.
    pub(super) is_tcp: bool,
    /// Places for answers without end: fewer than connections, so that they never take all of these.
    pub(super) streams: Arc<Semaphore>,
    /// Cancelled once the process begins to stop. Answers without end then end.
    pub(super) stopping: CancellationToken,
    /// What the scheduler of this process has done, where there is one.
    pub(super) meter: OnceLock<Meter>,
    /// What the store was asked for last, for whoever measures.
    pub(super) figures: Mutex<Option<Measurement>>,
}

/// When the store was asked for its figures, and what it answered; `None`: nothing.
pub(super) type Measurement = (Instant, Option<Figures>);
