//! Connections: how many, how long, and how they end.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::listen::{self, Listen, Listener, Peer};
use super::places::{Place, Places};
use super::router;
use super::session::Sessions;
use super::stall::Stalling;
use super::state::{ApiOptions, Shared};
use super::tls::Tls;
use super::token::LocalToken;
use crate::app::{App, AppError, AppResult, KnownTokens};
use crate::scheduler::Meter;

/// Most connections at once.
const CONNECTIONS_MAX: usize = 1024;
/// Most answers without end at once.
const STREAMS_MAX: usize = 256;
/// How long a connection may be without a whole head of a request: one that is kept alive without asking, or that sends slowly.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// Largest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Most headers of a request.
const HEADERS_MAX: usize = 64;
/// How long to wait before accepting goes on where the system has no more files to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The interface, at a place that is open. Dropped, it ends at once.
pub struct ApiServer {
    shared: Arc<Shared>,
    listener: Option<Listener>,
    tls: Option<Tls>,
    url: String,
    /// Ends connections in the middle of an answer.
    abort: CancellationToken,
    connections: TaskTracker,
}

impl ApiServer {
    /// Opens the place where it listens; connections wait until it is started. `None` where it is to listen nowhere.
    ///
    /// # Errors
    /// [`AppError::Refused`] where another process listens there, [`AppError::Invalid`] for options that are not acceptable, and
    /// [`AppError::Unreachable`] where the token of this machine cannot be read or made.
    pub async fn open(app: App, options: ApiOptions) -> AppResult<Option<ApiServer>> {
        check(&options)?;
        let tls = match options.tls.clone() {
            Some(files) => Some(Tls::open(files).await?),
            None => None,
        };
        let scheme = if tls.is_some() { "https" } else { "http" };
        let Some(listener) = listen::open(options.listen.as_ref()).await? else { return Ok(None) };
        let url = match &listener {
            Listener::Tcp(_, address) => format!("{scheme}://{address}{}", options.base_path),
            Listener::Unix(_, path) => format!("unix:{}", path.display()),
        };
        let local_token = match options.without_auth {
            true => None,
            false => Some(LocalToken::find(&options.data_dir)?),
        };
        let port = match &listener {
            Listener::Tcp(_, address) => address.port(),
            Listener::Unix(..) => 0,
        };
        let shared = Arc::new(Shared {
            clock: app.clock(),
            sessions: Sessions::new(app.clock(), port, options.without_auth)?,
            tokens: KnownTokens::new(app.clone()),
            app,
            local_token,
            is_tcp: matches!(listener, Listener::Tcp(..)),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            stopping: CancellationToken::new(),
            meter: OnceLock::new(),
            figures: Mutex::default(),
            options,
        });
        let (abort, connections) = (CancellationToken::new(), TaskTracker::new());
        Ok(Some(ApiServer { shared, listener: Some(listener), tls, url, abort, connections }))
    }

    /// Where it is reached: a URL, or `unix:` and a path.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Has it measure a scheduler of this process as well.
    pub fn measure(&self, meter: Meter) {
        // There is one scheduler, so this is the first.
        let _first = self.shared.meter.set(meter);
    }

    /// The URL at which a browser is logged in, once and within ten minutes. `None` where no browser gets there, or none has to be logged in.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn login_url(&self) -> AppResult<Option<String>> {
        if !self.shared.is_tcp || self.shared.options.without_auth {
            return Ok(None);
        }
        Ok(Some(format!("{}/login?code={}", self.url, self.shared.sessions.new_code()?)))
    }

    /// Begins to accept connections.
    pub fn start(&mut self) {
        let Some(listener) = self.listener.take() else { return };
        if let Some(tls) = &self.tls {
            let (renewed, stopping) = (tls.clone().renew(self.shared.app.clock()), self.shared.stopping.clone());
            self.connections.spawn(async move {
                tokio::select! {
                    () = renewed => {}
                    () = stopping.cancelled() => {}
                }
            });
        }
        let serving = Serving {
            router: router::router(Arc::clone(&self.shared)),
            shared: Arc::clone(&self.shared),
            abort: self.abort.clone(),
        };
        let accepting = Accepting {
            serving,
            tls: self.tls.clone(),
            connections: self.connections.clone(),
            places: Places::new(CONNECTIONS_MAX),
        };
        self.connections.spawn(accepting.run(listener));
    }

    /// Accepts nothing more, gives requests under way that long, and ends what is left then.
    pub async fn stop(self, within: Duration) {
        self.shared.stopping.cancel();
        self.connections.close();
        tokio::select! {
            () = self.connections.wait() => {}
            () = self.shared.clock.sleep(within) => {
                tracing::warn!(connections = self.connections.len(), "requests under way were broken off");
            }
        }
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.shared.stopping.cancel();
        self.abort.cancel();
    }
}

fn check(options: &ApiOptions) -> AppResult<()> {
    let base = &options.base_path;
    let is_plain = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
    };
    if !base.is_empty() && !base.strip_prefix('/').is_some_and(|parts| parts.split('/').all(is_plain)) {
        return Err(AppError::invalid(format!("`{base}` cannot stand before every path")).with_hint(
            "name a path such as `/host`: letters, digits and -._~ between slashes, and no slash at the end",
        ));
    }
    if options.tls.is_some() && matches!(options.listen, Some(Listen::Unix(_))) {
        return Err(AppError::invalid("there is no TLS at a Unix socket, which no other machine reaches")
            .with_hint("leave --tls-cert and --tls-key out, or listen at an address"));
    }
    let place = match &options.listen {
        Some(Listen::Tcp(address)) => Some(address.ip()),
        _ => None,
    };
    let is_open = place.is_some_and(|address: IpAddr| !address.is_loopback());
    match (options.without_auth, is_open) {
        (true, true) => {
            Err(AppError::invalid("without tokens, everybody who reaches this address could do everything").with_hint(
                "listen at an address of this machine alone, such as 127.0.0.1:7980, or leave --insecure-no-auth out",
            ))
        }
        (true, false) => {
            tracing::warn!("everybody on this machine may do everything: no token is asked for");
            Ok(())
        }
        (false, true) if options.tls.is_none() => {
            tracing::warn!(
                "tokens and answers go over the network in the clear unless a proxy with TLS stands before this, or --tls-cert is given"
            );
            Ok(())
        }
        (false, _) => Ok(()),
    }
}

/// What accepts connections.
struct Accepting {
    serving: Serving,
    tls: Option<Tls>,
    connections: TaskTracker,
    places: Arc<Places>,
}

impl Accepting {
    async fn run(self, listener: Listener) {
        loop {
            let accepted = tokio::select! {
                accepted = accept(&listener) => accepted,
                () = self.serving.shared.stopping.cancelled() => break,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                // The client was gone before it was accepted, or no file was left for it: neither ends the others.
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    self.serving.shared.clock.sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let place = tokio::select! {
                place = self.places.take() => place,
                () = self.serving.shared.stopping.cancelled() => break,
            };
            let (serving, tls) = (self.serving.clone(), self.tls.clone());
            match (stream, tls) {
                (Stream::Tcp(stream), Some(tls)) => {
                    drop(self.connections.spawn(serving.serve_over(tls, stream, peer, place)));
                }
                (Stream::Tcp(stream), None) => drop(self.connections.spawn(serving.serve(stream, peer, place))),
                (Stream::Unix(stream), _) => drop(self.connections.spawn(serving.serve(stream, peer, place))),
            }
        }
        if let Listener::Unix(listener, path) = listener {
            drop(listener);
            drop(std::fs::remove_file(path));
        }
    }
}

/// A connection that was accepted.
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

async fn accept(listener: &Listener) -> io::Result<(Stream, Peer)> {
    Ok(match listener {
        Listener::Tcp(listener, _) => {
            let (stream, address) = listener.accept().await?;
            // Only slower where it fails.
            drop(stream.set_nodelay(true));
            (Stream::Tcp(stream), Peer::Tcp(address))
        }
        Listener::Unix(listener, _) => (Stream::Unix(listener.accept().await?.0), Peer::Unix),
    })
}

/// What answers the requests of a connection.
#[derive(Clone)]
struct Serving {
    router: Router,
    shared: Arc<Shared>,
    abort: CancellationToken,
}

impl Serving {
    /// Serves a connection over TLS. Agreeing upon that may take as long as a head.
    async fn serve_over<S>(self, tls: Tls, stream: S, peer: Peer, place: Arc<Place>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let agreed = tokio::select! {
            agreed = tls.accept(stream) => agreed,
            () = self.shared.clock.sleep(HEAD_TIME) => return,
            () = place.gives_way.cancelled() => return,
            () = self.shared.stopping.cancelled() => return,
        };
        match agreed {
            Ok(stream) => self.serve(stream, peer, place).await,
            Err(error) => tracing::debug!(%error, %peer, "a client speaks no TLS that is taken"),
        }
    }

    async fn serve<S>(self, stream: S, peer: Peer, place: Arc<Place>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Serving { router, shared, abort } = self;
        let router = TowerToHyperService::new(router);
        let answered = Arc::clone(&place);
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer);
            let (answering, response) = (answered.is_answered(), router.call(request));
            async move { response.await.map(|response| answering.with(response)) }
        });
        let stream = TokioIo::new(Stalling::new(stream, Arc::clone(&shared.clock)));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_headers(HEADERS_MAX)
            // The buffer alone would let a head pass that came in large pieces.
            .max_header_size(HEAD_BYTES_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(stream, service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            // Whoever has sent nothing whole loses nothing.
            () = place.gives_way.cancelled() => return,
            () = shared.stopping.cancelled() => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection.as_mut() => ended,
                    () = abort.cancelled() => Ok(()),
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, %peer, "a connection ended early");
        }
    }
}
