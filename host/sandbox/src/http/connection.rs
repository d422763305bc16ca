//! One request, from the name of its server to the end of the answer.

use std::error::Error as _;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST};
use http::{HeaderValue, Request, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use wasmtime_wasi::runtime::spawn;
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::super::denials::Denials;
use super::super::grants::OpenGrants;
use super::super::memory::Kept;
use super::super::secrets::Insertions;
use super::super::work::TLS_HANDSHAKE;
use super::meter::{Meter, Metered, Progress};
use super::tls::{handshake_failed, server_name};
use super::{Answered, HEAD_BYTES_MAX, HEADERS_MAX, HttpService};
use crate::clock::Stopwatch;
use crate::model::{HttpHost, HttpScheme, HttpTarget, closed_address};

/// How long it may take until a request can be sent, also if the guest would wait longer: waiting for a place, looking up the name, connecting, and TLS.
const CONNECT_MAX: Duration = Duration::from_secs(30);
/// How long a guest waits for the head of an answer, and then for each next part of it, where it says nothing.
const SILENCE_DEFAULT: Duration = Duration::from_secs(60);
/// And where it asks for more.
const SILENCE_MAX: Duration = Duration::from_secs(600);
/// Most addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;

/// A request that was granted, and what it may use.
pub(super) struct Outgoing {
    pub(super) service: Arc<HttpService>,
    pub(super) target: HttpTarget,
    pub(super) grants: Arc<OpenGrants>,
    pub(super) denials: Denials,
    pub(super) meter: Arc<Meter>,
    /// The places for what all attempts may have open.
    pub(super) open_places: Arc<Semaphore>,
    pub(super) body_bytes: u64,
    /// What the host keeps for the connection, and then for what came over it and was not read yet.
    pub(super) kept: Kept,
    /// The secrets in its headers.
    pub(super) insertions: Insertions,
}

/// What a connection holds as long as it lives.
struct Held {
    _place: OwnedSemaphorePermit,
    _open_place: OwnedSemaphorePermit,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Outgoing {
    /// Sends the request, and answers with the head of what comes back, its body, and what must be polled for the rest to come.
    pub(super) async fn send(self, request: Request<WasiBody>, options: RequestOptions) -> Result<Answered, Error> {
        let limits = Waits::of(options);
        let progress = Arc::new(Progress::default());
        let request = on_the_wire(request, &self.target, &self.insertions, self.body_bytes, &progress)?;
        let (stream, held) = self.connected(limits.connect).await?;
        let Outgoing { target, meter, body_bytes, kept, .. } = self;
        let stream = Metered { stream, meter: Arc::clone(&meter), progress: Arc::clone(&progress) };
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| from_hyper(&error))?;
        let connection = spawn(async move {
            let _held = held;
            // Its end is told to whoever waits for the answer or reads its body.
            drop(connection.await);
        });
        meter.sends();
        let answer = limits.first_byte(sender.send_request(request), &progress).await?;
        progress.is_answered.store(true, Ordering::Relaxed);
        let silence = limits.between_bytes;
        if let Some(length) = answer_length(&answer).filter(|length| *length > body_bytes && target.method != "HEAD") {
            return Err(Error::HttpResponseBodySize(Some(length)));
        }
        let answer = answer.map(|inner| {
            ReceivedBody { inner, received: 0, limit: body_bytes, silence, waiting: None, _kept: kept }.boxed_unsync()
        });
        let rest = async move {
            connection.await;
            Ok(())
        };
        Ok((answer, Box::new(rest)))
    }

    /// A connection over which the request can be sent.
    #[expect(clippy::disallowed_methods, reason = "bounds the wait for a server; no store call is raced here")]
    async fn connected(&self, limit: Duration) -> Result<(Box<dyn Stream>, Held), Error> {
        let since = Stopwatch::start();
        let places = async {
            // Neither semaphore is ever closed.
            let closed = |_closed| Error::ConnectionLimitReached;
            let place = Arc::clone(&self.meter.places).acquire_owned().await.map_err(closed)?;
            let open_place = Arc::clone(&self.open_places).acquire_owned().await.map_err(closed)?;
            Ok((place, open_place))
        };
        let late = |_late| Err(Error::ConnectionLimitReached);
        let (place, open_place) = tokio::time::timeout(limit, places).await.unwrap_or_else(late)?;
        let held = Held { _place: place, _open_place: open_place };
        let connecting = async {
            let addresses = self.addresses().await?;
            let stream = connect(&addresses, self.target.port, limit.saturating_sub(since.elapsed())).await?;
            self.encrypted(stream).await
        };
        let left = limit.saturating_sub(since.elapsed());
        let stream = tokio::time::timeout(left, connecting).await.unwrap_or(Err(Error::ConnectionTimeout))?;
        Ok((stream, held))
    }

    /// Where the server may be reached.
    async fn addresses(&self) -> Result<Vec<IpAddr>, Error> {
        let found = match &self.target.host {
            HttpHost::Address(address) => vec![*address],
            HttpHost::Name(name) => {
                let lookup = self.service.lookups.addresses(name.clone(), self.grants.lookups());
                lookup.await.map_err(|error| Error::DnsError { rcode: Some(error.to_string()), info_code: None })?
            }
        };
        let mut refused = None;
        let mut allowed: Vec<IpAddr> = found
            .into_iter()
            .filter(|address| match closed_address(*address) {
                Some(what) if !self.grants.allows_address(&self.target, *address) => {
                    refused.get_or_insert((*address, what));
                    false
                }
                _ => true,
            })
            .collect();
        allowed.truncate(ADDRESSES_MAX);
        match refused {
            Some((address, what)) if allowed.is_empty() => {
                self.denials.refused(self.target_refused(address, what));
                Err(Error::DestinationIpProhibited)
            }
            _ if allowed.is_empty() => Err(Error::DestinationNotFound),
            _ => {
                self.denials.allowed();
                Ok(allowed)
            }
        }
    }

    fn target_refused(&self, address: IpAddr, what: &str) -> String {
        let place = match &self.target.host {
            HttpHost::Name(name) => format!("{name} is at {address}, {what}"),
            HttpHost::Address(_) => format!("that is {what}"),
        };
        let HttpTarget { method, scheme, .. } = &self.target;
        format!(
            "{method} {scheme}://{} is denied: {place}; `--allow-http {scheme}://{}` would allow it",
            self.target.authority(),
            self.target.at(address).authority()
        )
    }

    async fn encrypted(&self, stream: TcpStream) -> Result<Box<dyn Stream>, Error> {
        match self.target.scheme {
            HttpScheme::Http => Ok(Box::new(stream)),
            HttpScheme::Https => {
                let connector = self.service.tls.connector(&self.service.lookups).await?;
                self.meter.work.note(TLS_HANDSHAKE);
                let host = &self.target.host;
                let stream = connector.connect(server_name(host)?, stream).await;
                Ok(Box::new(stream.map_err(|error| handshake_failed(host, &error))?))
            }
        }
    }
}

/// Connects to the first of the addresses that answers. Each has an equal share of the time that is left.
#[expect(clippy::disallowed_methods, reason = "bounds the wait for a server; no store call is raced here")]
async fn connect(addresses: &[IpAddr], port: u16, limit: Duration) -> Result<TcpStream, Error> {
    let since = Stopwatch::start();
    let mut last = Error::DestinationNotFound;
    for (address, left) in addresses.iter().zip((1..=addresses.len()).rev()) {
        let share = limit.saturating_sub(since.elapsed()) / u32::try_from(left).unwrap_or(u32::MAX);
        last = match tokio::time::timeout(share, TcpStream::connect(SocketAddr::new(*address, port))).await {
            Ok(Ok(stream)) => {
                // A request is written at once, so there is nothing to be gathered. Where this cannot be set it goes on without.
                drop(stream.set_nodelay(true));
                return Ok(stream);
            }
            Ok(Err(error)) => not_connected(&error),
            Err(_late) => Error::ConnectionTimeout,
        };
    }
    Err(last)
}

fn not_connected(error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
        io::ErrorKind::TimedOut => Error::ConnectionTimeout,
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => Error::DestinationUnavailable,
        _ => Error::ConnectionTerminated,
    }
}

/// How long a guest waits, and for what.
struct Waits {
    connect: Duration,
    first_byte: Duration,
    between_bytes: Duration,
}

impl Waits {
    fn of(options: RequestOptions) -> Waits {
        let silence = |asked: Option<Duration>| asked.map_or(SILENCE_DEFAULT, |span| span.min(SILENCE_MAX));
        Waits {
            connect: options.connect_timeout.map_or(CONNECT_MAX, |span| span.min(CONNECT_MAX)),
            first_byte: silence(options.first_byte_timeout),
            between_bytes: silence(options.between_bytes_timeout),
        }
    }

    /// Waits for the head of the answer. As long as the request is still being sent, or the guest has not written all of it, that is
    /// no silence of the server.
    #[expect(clippy::disallowed_methods, reason = "bounds the wait for a server; no store call is raced here")]
    async fn first_byte(
        &self,
        answer: impl Future<Output = hyper::Result<Response<Incoming>>>,
        progress: &Progress,
    ) -> Result<Response<Incoming>, Error> {
        let mut answer = pin!(answer);
        loop {
            let sent = progress.sent.load(Ordering::Relaxed);
            match tokio::time::timeout(self.first_byte, &mut answer).await {
                Ok(Err(_)) if progress.is_flooded.load(Ordering::Relaxed) => {
                    return Err(Error::HttpResponseHeaderSectionSize(None));
                }
                Ok(answer) => return answer.map_err(|error| from_hyper(&error)),
                Err(_late) => {
                    let is_sending = sent != progress.sent.load(Ordering::Relaxed);
                    if !is_sending && !progress.waits_for_guest.load(Ordering::Relaxed) {
                        return Err(Error::HttpResponseTimeout);
                    }
                }
            }
        }
    }
}

/// The request as a server gets it: by its path alone, with the host that was looked at, and with a body that is bounded.
fn on_the_wire(
    request: Request<WasiBody>,
    target: &HttpTarget,
    insertions: &Insertions,
    limit: u64,
    progress: &Arc<Progress>,
) -> Result<Request<SentBody>, Error> {
    let (mut head, body) = request.into_parts();
    insertions.insert_into(&mut head.headers).map_err(|_invalid| {
        Error::InternalError(Some("a secret cannot stand in a header: it is not one line of text".to_owned()))
    })?;
    let path = head.uri.path_and_query().map(|path| match path.query() {
        Some(query) => format!("{}?{query}", path.path()),
        None => path.path().to_owned(),
    });
    head.uri = Uri::try_from(path.unwrap_or_else(|| "/".to_owned())).map_err(|_| Error::HttpRequestUriInvalid)?;
    let host = HeaderValue::try_from(target.authority()).map_err(|_| Error::HttpRequestUriInvalid)?;
    head.headers.insert(HOST, host);
    head.headers.insert(CONNECTION, HeaderValue::from_static("close"));
    let bytes: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if head.headers.len() > HEADERS_MAX || bytes > HEAD_BYTES_MAX {
        return Err(Error::HttpRequestHeaderSectionSize(u32::try_from(HEAD_BYTES_MAX).ok()));
    }
    Ok(Request::from_parts(head, SentBody { inner: body, sent: 0, limit, progress: Arc::clone(progress) }))
}

/// What a fault of the connection, or in what came over it, is to the guest.
fn from_hyper(error: &hyper::Error) -> Error {
    let own = error.source().and_then(|source| source.downcast_ref::<Error>());
    match own {
        Some(Error::HttpRequestBodySize(size)) => Error::HttpRequestBodySize(*size),
        _ if error.is_parse_too_large() => Error::HttpResponseHeaderSectionSize(u32::try_from(HEAD_BYTES_MAX).ok()),
        _ if error.is_parse() => Error::HttpProtocolError,
        _ if error.is_incomplete_message() || error.is_body_write_aborted() => Error::HttpResponseIncomplete,
        _ if error.is_timeout() => Error::HttpResponseTimeout,
        _ if error.is_user() => Error::HttpProtocolError,
        _ => Error::ConnectionTerminated,
    }
}

/// The body of a request, up to its limit.
struct SentBody {
    inner: WasiBody,
    sent: u64,
    limit: u64,
    progress: Arc<Progress>,
}

impl Body for SentBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let body = self.get_mut();
        let frame = Pin::new(&mut body.inner).poll_frame(cx);
        body.progress.waits_for_guest.store(frame.is_pending(), Ordering::Relaxed);
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
            body.sent = body.sent.saturating_add(bytes);
            if body.sent > body.limit {
                return Poll::Ready(Some(Err(Error::HttpRequestBodySize(Some(body.limit)))));
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// How long the body says that it is.
fn answer_length(answer: &Response<Incoming>) -> Option<u64> {
    answer.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The body of an answer, up to its limit and to the longest silence in it.
struct ReceivedBody {
    inner: Incoming,
    received: u64,
    limit: u64,
    silence: Duration,
    /// Since the guest waits; not while it has something else to do.
    waiting: Option<Pin<Box<Sleep>>>,
    _kept: Kept,
}

impl Body for ReceivedBody {
    type Data = Bytes;
    type Error = Error;

    #[expect(clippy::disallowed_methods, reason = "bounds the wait for a server; no store call is raced here")]
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let body = self.get_mut();
        let frame = match Pin::new(&mut body.inner).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                let silence = body.silence;
                let waiting = body.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(silence)));
                return waiting.as_mut().poll(cx).map(|()| Some(Err(Error::ConnectionReadTimeout)));
            }
        };
        body.waiting = None;
        if let Some(Ok(frame)) = &frame {
            let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
            body.received = body.received.saturating_add(bytes);
            if body.received > body.limit {
                return Poll::Ready(Some(Err(Error::HttpResponseBodySize(Some(body.limit)))));
            }
        }
        Poll::Ready(frame.map(|frame| frame.map_err(|error| from_hyper(&error))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
