//! The interface as guests call it: the implementation that comes with wasmtime, behind what the host adds to it.
//!
//! Headers and bodies lie in the host until the guest lets go of them, so each of them is counted as the guest's memory, under the
//! number of the resource that holds it.

use std::sync::Arc;

use http::HeaderMap;
use http::uri::Authority;
use wasmtime::component::{HasSelf, Linker, Resource};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable};
use wasmtime_wasi_http::p2::bindings::http::{outgoing_handler, types};
use wasmtime_wasi_http::p2::body::{HostFutureTrailers, HostIncomingBody, HostOutgoingBody};
use wasmtime_wasi_http::p2::types::{HostFutureIncomingResponse, HostIncomingResponse, HostOutgoingRequest};
use wasmtime_wasi_http::p2::{HeaderError, HeaderResult, HttpError, HttpResult};
use wasmtime_wasi_http::{Error, FieldMap, RequestOptions, WasiHttpCtxView};

use super::super::denials::named;
use super::super::secrets::Insertions;
use super::super::state::Guest;
use super::super::work::{CALL, HTTP_REQUEST};
use super::{CHUNK_BYTES_MAX, CONNECTION_BYTES, Outgoing};
use crate::model::{HttpScheme, HttpTarget, HttpTargetError};
use types::{ErrorCode, Method, Scheme};

/// What the host keeps for a set of headers beside their names and values.
const FIELDS_BYTES: u64 = 256;
/// And beside each of them.
const FIELD_BYTES: u64 = 128;
/// What the host keeps for a body that is written: what was handed over and not sent yet.
pub(super) const BODY_BYTES: u64 = 2 * CHUNK_BYTES_MAX as u64;
/// What the host keeps for a request beside its headers: no more than its texts may have.
const REQUEST_BYTES: u64 = (METHOD_BYTES_MAX + AUTHORITY_BYTES_MAX + PATH_BYTES_MAX) as u64;
/// Longest name of a method, in bytes.
const METHOD_BYTES_MAX: usize = 64;
/// Longest authority, in bytes.
const AUTHORITY_BYTES_MAX: usize = 512;
/// Longest path with its query, in bytes.
const PATH_BYTES_MAX: usize = 8 << 10;

/// Takes what `wasi:http` needs into a linker.
pub(in super::super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    outgoing_handler::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)?;
    types::add_to_linker::<_, HasSelf<_>>(linker, &types::LinkOptions::default(), |guest| guest)
}

/// What a function of the interface answers, or traps.
pub(super) type Answer<T> = wasmtime::Result<T>;
type Named = (String, Vec<u8>);

/// What the host keeps for headers.
pub(super) fn bytes_of(headers: &HeaderMap) -> u64 {
    let field = |name: &str, value: usize| FIELD_BYTES + (name.len() + value) as u64;
    headers.iter().map(|(name, value)| field(name.as_str(), value.len())).sum::<u64>() + FIELDS_BYTES
}

impl Guest {
    /// The implementation that comes with wasmtime. Every call of it begins here.
    pub(super) fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.work.note(CALL);
        WasiHttpCtxView { hooks: &mut self.http.hooks, table: &mut self.resources, ctx: &mut self.http.ctx }
    }

    /// Counts what the resource of that number holds.
    pub(super) fn count(&mut self, number: u32, bytes: u64) -> Answer<()> {
        // What it held before is no longer counted when this is.
        self.http.kept.remove(&number);
        let kept = self.carry(bytes)?;
        self.http.kept.insert(number, kept);
        Ok(())
    }

    /// Counts headers that a guest holds.
    pub(super) fn count_fields(&mut self, fields: Resource<FieldMap>) -> Answer<Resource<FieldMap>> {
        let bytes = bytes_of(self.resources.get(&fields)?);
        self.work.note(bytes);
        self.count(fields.rep(), bytes)?;
        Ok(fields)
    }

    /// As [`Guest::count_fields`], of headers that the guest changes.
    fn changed(&mut self, number: u32) -> HeaderResult<()> {
        self.count_fields(Resource::new_borrow(number)).map(drop).map_err(HeaderError::trap)
    }

    /// No longer counts what the resource of that number held.
    pub(super) fn let_go(&mut self, number: u32) {
        self.http.kept.remove(&number);
    }

    /// What a request is for, if it is granted.
    fn granted(&mut self, request: &Resource<HostOutgoingRequest>) -> HttpResult<HttpTarget> {
        let HostOutgoingRequest { method, scheme, authority, path_with_query, .. } = self.resources.get(request)?;
        let scheme = match scheme {
            None | Some(Scheme::Https) => HttpScheme::Https,
            Some(Scheme::Http) => HttpScheme::Http,
            Some(Scheme::Other(_)) => return Err(ErrorCode::HttpProtocolError.into()),
        };
        // What has no authority by the rules of the interface is not passed on: it would be told in the host's log.
        let authority = authority.as_deref().filter(|text| text.parse::<Authority>().is_ok());
        let (authority, path) = (authority.unwrap_or_default(), path_with_query.as_deref().unwrap_or_default());
        let refusal = match HttpTarget::read(method_name(method), scheme, authority, path) {
            Ok(target) if self.grants.allows(&target) => return Ok(target),
            Ok(target) => {
                let way_out = format!("`--allow-http {}://{}` would allow it", target.scheme, target.authority());
                format!("{} is denied; {way_out}", named(&target.to_string()))
            }
            Err(HttpTargetError::Host | HttpTargetError::Port | HttpTargetError::Path) => {
                return Err(ErrorCode::HttpRequestUriInvalid.into());
            }
            Err(fault) => format!("a request to {scheme}://{} is denied: {fault}", named(authority)),
        };
        self.denials.refused(refusal);
        Err(ErrorCode::HttpRequestDenied.into())
    }

    fn outgoing(&mut self, request: &Resource<HostOutgoingRequest>) -> HttpResult<Outgoing> {
        self.work.note(HTTP_REQUEST);
        let target = self.granted(request)?;
        let insertions = self.secrets_for(request, &target)?;
        let kept = self.carry(CONNECTION_BYTES).map_err(HttpError::trap)?;
        Ok(Outgoing {
            target,
            kept,
            service: Arc::clone(&self.http.service),
            grants: Arc::clone(&self.grants),
            denials: self.denials.clone(),
            meter: self.http.meter(&self.work),
            open_places: Arc::clone(&self.file_places),
            body_bytes: self.http.limits.body_bytes,
            insertions,
        })
    }

    /// The secrets that stand in the headers of a request, if they may go with it.
    fn secrets_for(&mut self, request: &Resource<HostOutgoingRequest>, target: &HttpTarget) -> HttpResult<Insertions> {
        let headers = &self.resources.get(request)?.headers;
        let name = match self.secrets.for_request(headers, target) {
            Ok(insertions) => return Ok(insertions),
            Err(name) => name,
        };
        let place = format!("{}://{}", target.scheme, target.authority());
        let what = format!("sending secret `{name}` with a request to {place} is denied");
        self.denials.refused(format!("{what}; `--allow-secret '{name} {place}'` would allow it"));
        Err(ErrorCode::HttpRequestDenied.into())
    }
}

fn method_name(method: &Method) -> &str {
    match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Connect => "CONNECT",
        Method::Options => "OPTIONS",
        Method::Trace => "TRACE",
        Method::Patch => "PATCH",
        Method::Other(name) => name,
    }
}

impl outgoing_handler::Host for Guest {
    fn handle(
        &mut self,
        request: Resource<HostOutgoingRequest>,
        options: Option<Resource<RequestOptions>>,
    ) -> HttpResult<Resource<HostFutureIncomingResponse>> {
        let number = request.rep();
        // The implementation looks at the options and leaves them where they are.
        let left = options.as_ref().map(|options| Resource::<RequestOptions>::new_own(options.rep()));
        let answer = match self.outgoing(&request) {
            Ok(outgoing) => {
                self.http.hooks.outgoing = Some(outgoing);
                let answer = outgoing_handler::Host::handle(&mut self.http(), request, options);
                self.http.hooks.outgoing = None;
                answer
            }
            Err(refusal) => {
                self.resources.delete(request)?;
                Err(refusal)
            }
        };
        left.map(|options| self.resources.delete(options)).transpose()?;
        self.let_go(number);
        answer
    }
}

impl types::Host for Guest {
    fn convert_error_code(&mut self, error: HttpError) -> Answer<ErrorCode> {
        error.downcast()
    }

    fn convert_header_error(&mut self, error: HeaderError) -> Answer<types::HeaderError> {
        error.downcast()
    }

    fn http_error_code(&mut self, error: Resource<types::IoError>) -> Answer<Option<ErrorCode>> {
        let of_answer = self.resources.get(&error)?.downcast_ref::<Error>().map(code_of);
        match of_answer {
            Some(code) => Ok(Some(code)),
            None => types::Host::http_error_code(&mut self.http(), error),
        }
    }
}

/// What went wrong with the body of an answer, in the words of the interface. The implementation looks for these words in the error of a
/// stream, and finds its own error there.
fn code_of(error: &Error) -> ErrorCode {
    match error {
        Error::ConnectionReadTimeout => ErrorCode::ConnectionReadTimeout,
        Error::ConnectionTerminated => ErrorCode::ConnectionTerminated,
        Error::HttpProtocolError => ErrorCode::HttpProtocolError,
        Error::HttpRequestBodySize(size) => ErrorCode::HttpRequestBodySize(*size),
        Error::HttpResponseBodySize(size) => ErrorCode::HttpResponseBodySize(*size),
        Error::HttpResponseHeaderSectionSize(size) => ErrorCode::HttpResponseHeaderSectionSize(*size),
        Error::HttpResponseIncomplete => ErrorCode::HttpResponseIncomplete,
        Error::HttpResponseTimeout => ErrorCode::HttpResponseTimeout,
        other => ErrorCode::InternalError(Some(other.to_string())),
    }
}

impl types::HostFields for Guest {
    fn new(&mut self) -> Answer<Resource<FieldMap>> {
        let fields = types::HostFields::new(&mut self.http())?;
        self.count_fields(fields)
    }

    fn from_list(&mut self, entries: Vec<Named>) -> HeaderResult<Resource<FieldMap>> {
        self.work.note_bytes(entries.iter().map(|(name, value)| name.len() + value.len()).sum());
        let fields = types::HostFields::from_list(&mut self.http(), entries)?;
        self.count_fields(fields).map_err(HeaderError::trap)
    }

    fn set(&mut self, fields: Resource<FieldMap>, name: String, values: Vec<Vec<u8>>) -> HeaderResult<()> {
        let number = fields.rep();
        self.work.note_bytes(name.len() + values.iter().map(Vec::len).sum::<usize>());
        types::HostFields::set(&mut self.http(), fields, name, values)?;
        self.changed(number)
    }

    fn delete(&mut self, fields: Resource<FieldMap>, name: String) -> HeaderResult<()> {
        let number = fields.rep();
        types::HostFields::delete(&mut self.http(), fields, name)?;
        self.changed(number)
    }

    fn append(&mut self, fields: Resource<FieldMap>, name: String, value: Vec<u8>) -> HeaderResult<()> {
        let number = fields.rep();
        self.work.note_bytes(name.len() + value.len());
        types::HostFields::append(&mut self.http(), fields, name, value)?;
        self.changed(number)
    }

    fn get(&mut self, fields: Resource<FieldMap>, name: String) -> Answer<Vec<Vec<u8>>> {
        types::HostFields::get(&mut self.http(), fields, name)
    }

    fn has(&mut self, fields: Resource<FieldMap>, name: String) -> Answer<bool> {
        types::HostFields::has(&mut self.http(), fields, name)
    }

    fn entries(&mut self, fields: Resource<FieldMap>) -> Answer<Vec<Named>> {
        let bytes = bytes_of(self.resources.get(&fields)?);
        self.work.note(bytes);
        types::HostFields::entries(&mut self.http(), fields)
    }

    fn clone(&mut self, fields: Resource<FieldMap>) -> Answer<Resource<FieldMap>> {
        let fields = types::HostFields::clone(&mut self.http(), fields)?;
        self.count_fields(fields)
    }

    fn drop(&mut self, fields: Resource<FieldMap>) -> Answer<()> {
        self.let_go(fields.rep());
        types::HostFields::drop(&mut self.http(), fields)
    }
}

impl types::HostOutgoingRequest for Guest {
    fn new(&mut self, headers: Resource<FieldMap>) -> Answer<Resource<HostOutgoingRequest>> {
        let bytes = bytes_of(self.resources.get(&headers)?).saturating_add(REQUEST_BYTES);
        self.let_go(headers.rep());
        let request = types::HostOutgoingRequest::new(&mut self.http(), headers)?;
        self.count(request.rep(), bytes)?;
        Ok(request)
    }

    fn body(&mut self, request: Resource<HostOutgoingRequest>) -> Answer<Result<Resource<HostOutgoingBody>, ()>> {
        let body = types::HostOutgoingRequest::body(&mut self.http(), request)?;
        if let Ok(body) = &body {
            self.count(body.rep(), BODY_BYTES)?;
        }
        Ok(body)
    }

    fn method(&mut self, request: Resource<HostOutgoingRequest>) -> Answer<Method> {
        types::HostOutgoingRequest::method(&mut self.http(), request)
    }

    fn set_method(&mut self, request: Resource<HostOutgoingRequest>, method: Method) -> Answer<Result<(), ()>> {
        if method_name(&method).len() > METHOD_BYTES_MAX {
            return Ok(Err(()));
        }
        types::HostOutgoingRequest::set_method(&mut self.http(), request, method)
    }

    fn path_with_query(&mut self, request: Resource<HostOutgoingRequest>) -> Answer<Option<String>> {
        types::HostOutgoingRequest::path_with_query(&mut self.http(), request)
    }

    fn set_path_with_query(
        &mut self,
        request: Resource<HostOutgoingRequest>,
        path: Option<String>,
    ) -> Answer<Result<(), ()>> {
        if path.as_ref().is_some_and(|path| path.len() > PATH_BYTES_MAX) {
            return Ok(Err(()));
        }
        types::HostOutgoingRequest::set_path_with_query(&mut self.http(), request, path)
    }

    fn scheme(&mut self, request: Resource<HostOutgoingRequest>) -> Answer<Option<Scheme>> {
        types::HostOutgoingRequest::scheme(&mut self.http(), request)
    }

    fn set_scheme(&mut self, request: Resource<HostOutgoingRequest>, scheme: Option<Scheme>) -> Answer<Result<(), ()>> {
        types::HostOutgoingRequest::set_scheme(&mut self.http(), request, scheme)
    }

    fn authority(&mut self, request: Resource<HostOutgoingRequest>) -> Answer<Option<String>> {
        types::HostOutgoingRequest::authority(&mut self.http(), request)
    }

    fn set_authority(
        &mut self,
        request: Resource<HostOutgoingRequest>,
        authority: Option<String>,
    ) -> Answer<Result<(), ()>> {
        if authority.as_ref().is_some_and(|authority| authority.len() > AUTHORITY_BYTES_MAX) {
            return Ok(Err(()));
        }
        types::HostOutgoingRequest::set_authority(&mut self.http(), request, authority)
    }

    fn headers(&mut self, request: Resource<HostOutgoingRequest>) -> Answer<Resource<FieldMap>> {
        let headers = types::HostOutgoingRequest::headers(&mut self.http(), request)?;
        self.count_fields(headers)
    }

    fn drop(&mut self, request: Resource<HostOutgoingRequest>) -> Answer<()> {
        self.let_go(request.rep());
        types::HostOutgoingRequest::drop(&mut self.http(), request)
    }
}

impl types::HostRequestOptions for Guest {
    fn new(&mut self) -> Answer<Resource<RequestOptions>> {
        types::HostRequestOptions::new(&mut self.http())
    }

    fn connect_timeout(&mut self, options: Resource<RequestOptions>) -> Answer<Option<u64>> {
        types::HostRequestOptions::connect_timeout(&mut self.http(), options)
    }

    fn set_connect_timeout(&mut self, options: Resource<RequestOptions>, span: Option<u64>) -> Answer<Result<(), ()>> {
        types::HostRequestOptions::set_connect_timeout(&mut self.http(), options, span)
    }

    fn first_byte_timeout(&mut self, options: Resource<RequestOptions>) -> Answer<Option<u64>> {
        types::HostRequestOptions::first_byte_timeout(&mut self.http(), options)
    }

    fn set_first_byte_timeout(
        &mut self,
        options: Resource<RequestOptions>,
        span: Option<u64>,
    ) -> Answer<Result<(), ()>> {
        types::HostRequestOptions::set_first_byte_timeout(&mut self.http(), options, span)
    }

    fn between_bytes_timeout(&mut self, options: Resource<RequestOptions>) -> Answer<Option<u64>> {
        types::HostRequestOptions::between_bytes_timeout(&mut self.http(), options)
    }

    fn set_between_bytes_timeout(
        &mut self,
        options: Resource<RequestOptions>,
        span: Option<u64>,
    ) -> Answer<Result<(), ()>> {
        types::HostRequestOptions::set_between_bytes_timeout(&mut self.http(), options, span)
    }

    fn drop(&mut self, options: Resource<RequestOptions>) -> Answer<()> {
        types::HostRequestOptions::drop(&mut self.http(), options)
    }
}

impl types::HostOutgoingBody for Guest {
    fn write(&mut self, body: Resource<HostOutgoingBody>) -> Answer<Result<Resource<DynOutputStream>, ()>> {
        types::HostOutgoingBody::write(&mut self.http(), body)
    }

    fn finish(&mut self, body: Resource<HostOutgoingBody>, trailers: Option<Resource<FieldMap>>) -> HttpResult<()> {
        self.let_go(body.rep());
        trailers.iter().for_each(|trailers| self.let_go(trailers.rep()));
        types::HostOutgoingBody::finish(&mut self.http(), body, trailers)
    }

    fn drop(&mut self, body: Resource<HostOutgoingBody>) -> Answer<()> {
        self.let_go(body.rep());
        types::HostOutgoingBody::drop(&mut self.http(), body)
    }
}

type Future<T> = Option<Result<Result<T, ErrorCode>, ()>>;

impl types::HostFutureIncomingResponse for Guest {
    fn get(&mut self, future: Resource<HostFutureIncomingResponse>) -> Answer<Future<Resource<HostIncomingResponse>>> {
        let answer = types::HostFutureIncomingResponse::get(&mut self.http(), future)?;
        if let Some(Ok(Ok(response))) = &answer {
            let bytes = bytes_of(&self.resources.get(response)?.headers);
            self.work.note(bytes);
            self.count(response.rep(), bytes)?;
        }
        Ok(answer)
    }

    fn subscribe(&mut self, future: Resource<HostFutureIncomingResponse>) -> Answer<Resource<DynPollable>> {
        types::HostFutureIncomingResponse::subscribe(&mut self.http(), future)
    }

    fn drop(&mut self, future: Resource<HostFutureIncomingResponse>) -> Answer<()> {
        types::HostFutureIncomingResponse::drop(&mut self.http(), future)
    }
}

impl types::HostIncomingResponse for Guest {
    fn status(&mut self, response: Resource<HostIncomingResponse>) -> Answer<u16> {
        types::HostIncomingResponse::status(&mut self.http(), response)
    }

    fn headers(&mut self, response: Resource<HostIncomingResponse>) -> Answer<Resource<FieldMap>> {
        let headers = types::HostIncomingResponse::headers(&mut self.http(), response)?;
        self.count_fields(headers)
    }

    fn consume(&mut self, response: Resource<HostIncomingResponse>) -> Answer<Result<Resource<HostIncomingBody>, ()>> {
        types::HostIncomingResponse::consume(&mut self.http(), response)
    }

    fn drop(&mut self, response: Resource<HostIncomingResponse>) -> Answer<()> {
        self.let_go(response.rep());
        types::HostIncomingResponse::drop(&mut self.http(), response)
    }
}

impl types::HostIncomingBody for Guest {
    fn stream(&mut self, body: Resource<HostIncomingBody>) -> Answer<Result<Resource<DynInputStream>, ()>> {
        types::HostIncomingBody::stream(&mut self.http(), body)
    }

    fn finish(&mut self, body: Resource<HostIncomingBody>) -> Answer<Resource<HostFutureTrailers>> {
        types::HostIncomingBody::finish(&mut self.http(), body)
    }

    fn drop(&mut self, body: Resource<HostIncomingBody>) -> Answer<()> {
        types::HostIncomingBody::drop(&mut self.http(), body)
    }
}

impl types::HostFutureTrailers for Guest {
    fn get(&mut self, future: Resource<HostFutureTrailers>) -> Answer<Future<Option<Resource<FieldMap>>>> {
        match types::HostFutureTrailers::get(&mut self.http(), future)? {
            Some(Ok(Ok(Some(trailers)))) => Ok(Some(Ok(Ok(Some(self.count_fields(trailers)?))))),
            other => Ok(other),
        }
    }

    fn subscribe(&mut self, future: Resource<HostFutureTrailers>) -> Answer<Resource<DynPollable>> {
        types::HostFutureTrailers::subscribe(&mut self.http(), future)
    }

    fn drop(&mut self, future: Resource<HostFutureTrailers>) -> Answer<()> {
        types::HostFutureTrailers::drop(&mut self.http(), future)
    }
}
