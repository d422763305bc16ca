//! Requests over HTTP, in a component.

use std::time::{Duration, Instant};

use crate::http::{Error, ErrorKind, Inbound, Outbound};
use crate::http_bindings::wasi::clocks::monotonic_clock;
use crate::http_bindings::wasi::http::outgoing_handler;
use crate::http_bindings::wasi::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, HeaderError, IncomingBody, Method, OutgoingBody, OutgoingRequest,
    RequestOptions, Scheme, http_error_code,
};
use crate::http_bindings::wasi::io::poll::{Pollable, poll};
use crate::http_bindings::wasi::io::streams::{InputStream, OutputStream, StreamError};

/// The time at which a request has taken too long.
#[derive(Clone, Copy)]
struct Deadline {
    since: Instant,
    limit: Duration,
}

impl Deadline {
    fn left(self) -> Duration {
        self.limit.saturating_sub(self.since.elapsed())
    }

    /// Waits until `ready` is, or the time is over.
    fn wait(self, ready: &Pollable) -> Result<(), Error> {
        let nanoseconds = u64::try_from(self.left().as_nanos()).unwrap_or(u64::MAX);
        let timer = monotonic_clock::subscribe_duration(nanoseconds);
        match poll(&[ready, &timer]).contains(&0) {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::Timeout, format!("no answer within {:?}", self.limit))),
        }
    }
}

/// The body of an answer, as it comes.
pub(crate) struct Body {
    // Before the body that it is part of: the host wants them dropped in this order.
    stream: InputStream,
    _body: IncomingBody,
    deadline: Deadline,
}

impl Body {
    /// The next bytes, as many as there are and no more than that; none at the end.
    pub(crate) fn chunk(&mut self, most: usize) -> Result<Vec<u8>, Error> {
        loop {
            match self.stream.read(most as u64) {
                Ok(chunk) if !chunk.is_empty() => return Ok(chunk),
                Ok(_nothing_yet) => self.deadline.wait(&self.stream.subscribe())?,
                Err(StreamError::Closed) => return Ok(Vec::new()),
                Err(StreamError::LastOperationFailed(error)) => {
                    let code = http_error_code(&error);
                    return Err(code.map_or_else(|| broken(&error.to_debug_string()), refused));
                }
            }
        }
    }
}

pub(crate) fn http_send(outbound: &Outbound<'_>) -> Result<Inbound, Error> {
    let deadline = Deadline { since: Instant::now(), limit: outbound.limit };
    let body = outbound.request.body_bytes();
    let request = request(outbound)?;
    let outgoing = match body {
        [] => None,
        _ => Some(request.body().map_err(|()| invalid("the header content-length cannot be used"))?),
    };
    let future = outgoing_handler::handle(request, Some(options(deadline.left())?)).map_err(refused)?;
    if let Some(outgoing) = outgoing {
        write(outgoing, body, deadline)?;
    }
    let answer = answer(&future, deadline)?;
    let incoming = answer.consume().map_err(|()| broken("the answer has no body"))?;
    let stream = incoming.stream().map_err(|()| broken("the body of the answer is being read"))?;
    Ok(Inbound {
        status: answer.status(),
        headers: answer.headers().entries(),
        body: Body { stream, _body: incoming, deadline },
    })
}

fn request(outbound: &Outbound<'_>) -> Result<OutgoingRequest, Error> {
    let (request, parts) = (outbound.request, &outbound.parts);
    let mut headers: Vec<(String, Vec<u8>)> =
        request.headers().iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect();
    if !request.body_bytes().is_empty() && request.header_value("content-length").is_none() {
        headers.push(("content-length".to_owned(), request.body_bytes().len().to_string().into_bytes()));
    }
    let headers = Fields::from_list(&headers).map_err(|error| match error {
        HeaderError::Forbidden => {
            invalid("it has a header that is the host's own to set, such as `host` or `connection`")
        }
        HeaderError::InvalidSyntax | HeaderError::Immutable => invalid("it has a header that cannot be one"),
    })?;
    let outgoing = OutgoingRequest::new(headers);
    let method = match request.method() {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "CONNECT" => Method::Connect,
        "OPTIONS" => Method::Options,
        "TRACE" => Method::Trace,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    };
    let scheme = match parts.scheme.to_ascii_lowercase().as_str() {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        _ => return Err(invalid("the URL must begin with http:// or https://")),
    };
    outgoing.set_method(&method).map_err(|()| invalid("its method cannot be one"))?;
    outgoing.set_scheme(Some(&scheme)).map_err(|()| invalid("its scheme cannot be one"))?;
    outgoing.set_authority(Some(parts.authority)).map_err(|()| invalid("the host in its URL cannot be one"))?;
    outgoing.set_path_with_query(Some(parts.path)).map_err(|()| invalid("the path in its URL cannot be one"))?;
    Ok(outgoing)
}

fn options(limit: Duration) -> Result<RequestOptions, Error> {
    let options = RequestOptions::new();
    let nanoseconds = Some(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX));
    let all = options
        .set_connect_timeout(nanoseconds)
        .and_then(|()| options.set_first_byte_timeout(nanoseconds))
        .and_then(|()| options.set_between_bytes_timeout(nanoseconds));
    all.map_err(|()| invalid("its timeout cannot be one"))?;
    Ok(options)
}

/// Writes the body. A server that takes no more of it has answered, or is gone; which of the two the answer tells.
fn write(outgoing: OutgoingBody, mut bytes: &[u8], deadline: Deadline) -> Result<(), Error> {
    let stream = outgoing.write().map_err(|()| broken("the body of the request is being written"))?;
    while !bytes.is_empty() {
        let Ok(room) = room(&stream, deadline)? else { return Ok(()) };
        let (chunk, rest) = bytes.split_at(room.min(bytes.len()));
        if stream.write(chunk).is_err() {
            return Ok(());
        }
        bytes = rest;
    }
    drop(stream);
    // What it could say is that fewer bytes were written than announced, and then the server tells it too.
    drop(OutgoingBody::finish(outgoing, None));
    Ok(())
}

/// How much can be written, once anything can.
fn room(stream: &OutputStream, deadline: Deadline) -> Result<Result<usize, StreamError>, Error> {
    loop {
        match stream.check_write() {
            Ok(0) => deadline.wait(&stream.subscribe())?,
            Ok(room) => return Ok(Ok(usize::try_from(room).unwrap_or(usize::MAX))),
            Err(closed) => return Ok(Err(closed)),
        }
    }
}

fn answer(
    future: &FutureIncomingResponse,
    deadline: Deadline,
) -> Result<crate::http_bindings::wasi::http::types::IncomingResponse, Error> {
    let ready = future.subscribe();
    loop {
        match future.get() {
            Some(Ok(answer)) => return answer.map_err(refused),
            Some(Err(())) => return Err(broken("the answer was taken before")),
            None => deadline.wait(&ready)?,
        }
    }
}

fn invalid(what: &str) -> Error {
    Error::new(ErrorKind::InvalidRequest, what)
}

fn broken(what: &str) -> Error {
    Error::new(ErrorKind::Protocol, what)
}

/// The host's word for what went wrong, in ours.
fn refused(code: ErrorCode) -> Error {
    let (kind, text) = match code {
        ErrorCode::HttpRequestDenied => (ErrorKind::Denied, "it is not granted".to_owned()),
        ErrorCode::DestinationIpProhibited => {
            (ErrorKind::Denied, "the server is at an address that is not granted".to_owned())
        }
        ErrorCode::DnsError(error) => {
            (ErrorKind::Connect, format!("the server was not found: {}", error.rcode.unwrap_or_default()))
        }
        ErrorCode::DnsTimeout | ErrorCode::DestinationNotFound => {
            (ErrorKind::Connect, "the server was not found".to_owned())
        }
        ErrorCode::DestinationUnavailable | ErrorCode::DestinationIpUnroutable => {
            (ErrorKind::Connect, "there is no way to the server".to_owned())
        }
        ErrorCode::ConnectionRefused => (ErrorKind::Connect, "the server refused the connection".to_owned()),
        ErrorCode::ConnectionLimitReached => (ErrorKind::Connect, "as many connections are open as may be".to_owned()),
        ErrorCode::ConnectionTerminated => (ErrorKind::Protocol, "the connection broke off".to_owned()),
        ErrorCode::ConnectionTimeout => (ErrorKind::Timeout, "no connection in time".to_owned()),
        ErrorCode::ConnectionReadTimeout | ErrorCode::ConnectionWriteTimeout | ErrorCode::HttpResponseTimeout => {
            (ErrorKind::Timeout, "the server was silent for too long".to_owned())
        }
        ErrorCode::TlsCertificateError => {
            (ErrorKind::Certificate, "the server has no certificate that is trusted for that name".to_owned())
        }
        ErrorCode::TlsProtocolError => (ErrorKind::Certificate, "the server speaks no TLS as the host does".to_owned()),
        ErrorCode::TlsAlertReceived(alert) => (
            ErrorKind::Certificate,
            format!("the server ended the TLS handshake: {}", alert.alert_message.unwrap_or_default()),
        ),
        ErrorCode::HttpRequestBodySize(_) => {
            (ErrorKind::TooLarge, "the body of the request is larger than it may be".to_owned())
        }
        ErrorCode::HttpResponseBodySize(_) => {
            (ErrorKind::TooLarge, "the body of the answer is larger than it may be".to_owned())
        }
        ErrorCode::HttpRequestHeaderSectionSize(_) | ErrorCode::HttpRequestHeaderSize(_) => {
            (ErrorKind::TooLarge, "the headers of the request are more than they may be".to_owned())
        }
        ErrorCode::HttpResponseHeaderSectionSize(_) | ErrorCode::HttpResponseHeaderSize(_) => {
            (ErrorKind::TooLarge, "the headers of the answer are more than they may be".to_owned())
        }
        ErrorCode::HttpRequestUriInvalid | ErrorCode::HttpRequestUriTooLong => {
            (ErrorKind::InvalidRequest, "its URL cannot be used".to_owned())
        }
        ErrorCode::HttpRequestMethodInvalid => (ErrorKind::InvalidRequest, "its method cannot be one".to_owned()),
        ErrorCode::HttpResponseIncomplete => (ErrorKind::Protocol, "the answer broke off".to_owned()),
        ErrorCode::InternalError(text) => (ErrorKind::Unavailable, text.unwrap_or_default()),
        other => (ErrorKind::Protocol, format!("{other:?}")),
    };
    Error::new(kind, text)
}
