//! Sockets as a guest sees them: none can be made, and no name can be looked up.
//!
//! Refusing to make a socket, instead of refusing to use it, keeps the host's file descriptors out of guests' reach.

use wasmtime::component::{HasSelf, Linker, Resource};
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::{self, ResolveAddressStream};
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode, IpAddress, IpAddressFamily, Network};
use wasmtime_wasi::p2::bindings::sockets::{tcp_create_socket, udp_create_socket};
use wasmtime_wasi::p2::{DynPollable, SocketError, SocketResult, TcpSocket, UdpSocket};
use wasmtime_wasi::sockets::WasiSocketsView as _;

use super::denials::named;
use super::state::Guest;

/// Takes the place of what WASI's own implementation added under the same names.
pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    tcp_create_socket::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)?;
    udp_create_socket::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)?;
    ip_name_lookup::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)
}

impl Guest {
    fn refuse_network(&mut self, what: &str) -> SocketError {
        self.denials.refused(format!(
            "{what} is denied: this version of the host has no grant that would give a plugin the network"
        ));
        ErrorCode::AccessDenied.into()
    }
}

impl tcp_create_socket::Host for Guest {
    fn create_tcp_socket(&mut self, _family: IpAddressFamily) -> SocketResult<Resource<TcpSocket>> {
        Err(self.refuse_network("making a TCP socket"))
    }
}

impl udp_create_socket::Host for Guest {
    async fn create_udp_socket(&mut self, _family: IpAddressFamily) -> SocketResult<Resource<UdpSocket>> {
        Err(self.refuse_network("making a UDP socket"))
    }
}

impl ip_name_lookup::Host for Guest {
    fn resolve_addresses(
        &mut self,
        _network: Resource<Network>,
        name: String,
    ) -> SocketResult<Resource<ResolveAddressStream>> {
        Err(self.refuse_network(&format!("looking up the name `{}`", named(&name))))
    }
}

// Of the following nothing can be reached, as no such resource can be had; the interface wants it all the same.

impl ip_name_lookup::HostResolveAddressStream for Guest {
    fn resolve_next_address(&mut self, stream: Resource<ResolveAddressStream>) -> SocketResult<Option<IpAddress>> {
        self.sockets().resolve_next_address(stream)
    }

    fn subscribe(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<Resource<DynPollable>> {
        ip_name_lookup::HostResolveAddressStream::subscribe(&mut self.sockets(), stream)
    }

    fn drop(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<()> {
        ip_name_lookup::HostResolveAddressStream::drop(&mut self.sockets(), stream)
    }
}

impl network::HostNetwork for Guest {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        network::HostNetwork::drop(&mut self.sockets(), network)
    }
}

impl network::Host for Guest {
    fn network_error_code(&mut self, error: Resource<wasmtime::Error>) -> wasmtime::Result<Option<ErrorCode>> {
        self.sockets().network_error_code(error)
    }

    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }
}
