//! Memory that jobs share.

/// The memory that the attempts of one process have together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLoad {
    /// What they may have, in bytes.
    pub total_bytes: u64,
    /// What is reserved for those that run, in bytes.
    pub reserved_bytes: u64,
    /// Attempts that wait for some before they begin.
    pub waiting: usize,
}
