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

impl MemoryLoad {
    /// What a task that has memory leaves to those that have none, in bytes: an eighth of `total_bytes`.
    pub fn kept_for_others(total_bytes: u64) -> u64 {
        total_bytes / 8
    }

    /// Whether a task that has no memory is likely to get some, although others may wait.
    pub fn has_room_for_others(self) -> bool {
        let free = self.total_bytes.saturating_sub(self.reserved_bytes);
        self.waiting == 0 || free > MemoryLoad::kept_for_others(self.total_bytes) / 2
    }
}
