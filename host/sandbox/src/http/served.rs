//! The other half of the interface, for components that answer requests. Plugins do not: of what is in here a guest can make an answer that
//! nobody gets, which is counted as what it sends, and the rest is never reached.

use wasmtime::component::Resource;
use wasmtime_wasi_http::FieldMap;
use wasmtime_wasi_http::p2::HttpResult;
use wasmtime_wasi_http::p2::bindings::http::types::{self, ErrorCode, Method, Scheme};
use wasmtime_wasi_http::p2::body::{HostIncomingBody, HostOutgoingBody};
use wasmtime_wasi_http::p2::types::{HostIncomingRequest, HostOutgoingResponse, HostResponseOutparam};

use super::super::state::Guest;
use super::interface::{Answer, BODY_BYTES, bytes_of};

impl types::HostOutgoingResponse for Guest {
    fn new(&mut self, headers: Resource<FieldMap>) -> Answer<Resource<HostOutgoingResponse>> {
        let bytes = bytes_of(self.resources.get(&headers)?);
        self.let_go(headers.rep());
        let response = types::HostOutgoingResponse::new(&mut self.http(), headers)?;
        self.count(response.rep(), bytes)?;
        Ok(response)
    }

    fn status_code(&mut self, response: Resource<HostOutgoingResponse>) -> Answer<u16> {
        types::HostOutgoingResponse::status_code(&mut self.http(), response)
    }

    fn set_status_code(&mut self, response: Resource<HostOutgoingResponse>, status: u16) -> Answer<Result<(), ()>> {
        types::HostOutgoingResponse::set_status_code(&mut self.http(), response, status)
    }

    fn headers(&mut self, response: Resource<HostOutgoingResponse>) -> Answer<Resource<FieldMap>> {
        let headers = types::HostOutgoingResponse::headers(&mut self.http(), response)?;
        self.count_fields(headers)
    }

    fn body(&mut self, response: Resource<HostOutgoingResponse>) -> Answer<Result<Resource<HostOutgoingBody>, ()>> {
        let body = types::HostOutgoingResponse::body(&mut self.http(), response)?;
        if let Ok(body) = &body {
            self.count(body.rep(), BODY_BYTES)?;
        }
        Ok(body)
    }

    fn drop(&mut self, response: Resource<HostOutgoingResponse>) -> Answer<()> {
        self.let_go(response.rep());
        types::HostOutgoingResponse::drop(&mut self.http(), response)
    }
}

impl types::HostIncomingRequest for Guest {
    fn method(&mut self, request: Resource<HostIncomingRequest>) -> Answer<Method> {
        types::HostIncomingRequest::method(&mut self.http(), request)
    }

    fn path_with_query(&mut self, request: Resource<HostIncomingRequest>) -> Answer<Option<String>> {
        types::HostIncomingRequest::path_with_query(&mut self.http(), request)
    }

    fn scheme(&mut self, request: Resource<HostIncomingRequest>) -> Answer<Option<Scheme>> {
        types::HostIncomingRequest::scheme(&mut self.http(), request)
    }

    fn authority(&mut self, request: Resource<HostIncomingRequest>) -> Answer<Option<String>> {
        types::HostIncomingRequest::authority(&mut self.http(), request)
    }

    fn headers(&mut self, request: Resource<HostIncomingRequest>) -> Answer<Resource<FieldMap>> {
        types::HostIncomingRequest::headers(&mut self.http(), request)
    }

    fn consume(&mut self, request: Resource<HostIncomingRequest>) -> Answer<Result<Resource<HostIncomingBody>, ()>> {
        types::HostIncomingRequest::consume(&mut self.http(), request)
    }

    fn drop(&mut self, request: Resource<HostIncomingRequest>) -> Answer<()> {
        types::HostIncomingRequest::drop(&mut self.http(), request)
    }
}

impl types::HostResponseOutparam for Guest {
    fn set(
        &mut self,
        outparam: Resource<HostResponseOutparam>,
        response: Result<Resource<HostOutgoingResponse>, ErrorCode>,
    ) -> Answer<()> {
        types::HostResponseOutparam::set(&mut self.http(), outparam, response)
    }

    fn send_informational(
        &mut self,
        outparam: Resource<HostResponseOutparam>,
        status: u16,
        headers: Resource<FieldMap>,
    ) -> HttpResult<()> {
        types::HostResponseOutparam::send_informational(&mut self.http(), outparam, status, headers)
    }

    fn drop(&mut self, outparam: Resource<HostResponseOutparam>) -> Answer<()> {
        types::HostResponseOutparam::drop(&mut self.http(), outparam)
    }
}
