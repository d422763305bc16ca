//! What a guest has open. The calls that open and close it are in `files`.

use std::collections::HashMap;

use tokio::sync::OwnedSemaphorePermit;

use super::memory::Kept;

/// A descriptor that a guest holds.
#[derive(Debug)]
pub(super) struct HeldDescriptor {
    pub(super) origin: Origin,
    /// Its place among the files that all guests have open; a folder that was granted was open before.
    pub(super) place: Option<OwnedSemaphorePermit>,
}

/// Where a descriptor comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The granted folder of that number.
    Folder(usize),
    /// The folder that holds nothing.
    Nowhere,
}

/// The descriptors that a guest holds, and the listings that the host keeps for it.
#[derive(Default)]
pub(super) struct OpenFiles {
    pub(super) descriptors: HashMap<u32, HeldDescriptor>,
    pub(super) listings: HashMap<u32, Kept>,
}
