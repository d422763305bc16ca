//! Waiting as a guest sees it: WASI's own, with what it costs and takes.

use wasmtime::component::{HasSelf, Linker, Resource};
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi_io::bindings::wasi::io::poll::{self, HostPollable};

use super::state::Guest;
use super::work::POLLED;

/// What the host keeps, while a guest waits, for each thing that it waits for.
const POLLED_BYTES: u64 = 128;

/// Takes the place of what WASI's own implementation added under the same names.
pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    poll::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)
}

impl poll::Host for Guest {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        let count = pollables.len() as u64;
        self.work.note(count.saturating_mul(POLLED));
        let _kept = self.carry(count.saturating_mul(POLLED_BYTES))?;
        poll::Host::poll(&mut self.resources, pollables).await
    }
}

impl HostPollable for Guest {
    async fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        self.work.note(POLLED);
        HostPollable::ready(&mut self.resources, pollable).await
    }

    async fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.work.note(POLLED);
        HostPollable::block(&mut self.resources, pollable).await
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        HostPollable::drop(&mut self.resources, pollable)
    }
}
