//! What one attempt may write into a granted folder.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::denials::Denials;
use crate::model::WriteQuota;

/// What is left of an attempt's quota for one folder. Clones take from the same.
#[derive(Debug, Clone)]
pub(super) struct Quota(Arc<Left>);

#[derive(Debug)]
struct Left {
    bytes: AtomicU64,
    files: AtomicU64,
    /// What guests call the folder.
    folder: String,
    /// Where it is noted that more was wanted than was left.
    denials: Denials,
}

impl Quota {
    /// All of it, for the folder that the guest knows by that name.
    pub(super) fn new(quota: WriteQuota, folder: String, denials: Denials) -> Quota {
        Quota(Arc::new(Left {
            bytes: AtomicU64::new(quota.bytes.unwrap_or(u64::MAX)),
            files: AtomicU64::new(quota.files.unwrap_or(u64::MAX)),
            folder,
            denials,
        }))
    }

    /// Takes so many bytes, if they are left. What is written over counts as well: the quota bounds what an attempt does to the disk,
    /// not what lies there afterwards.
    pub(super) fn take_bytes(&self, bytes: u64) -> bool {
        self.take(&self.0.bytes, bytes)
    }

    /// Takes a new file or folder.
    pub(super) fn take_file(&self) -> bool {
        self.take(&self.0.files, 1)
    }

    /// Gives back one that was taken and not made after all.
    pub(super) fn give_back_file(&self) {
        let next = |left: u64| if left == u64::MAX { Some(left) } else { left.checked_add(1) };
        // Always answers: no more is given back than was taken.
        let _before = self.0.files.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }

    fn take(&self, left: &AtomicU64, amount: u64) -> bool {
        // Unlimited stays so.
        let next = |left: u64| if left == u64::MAX { Some(left) } else { left.checked_sub(amount) };
        let is_taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok();
        match is_taken {
            true => self.0.denials.had_room(&self.0.folder),
            false => self.0.denials.no_room(&self.0.folder),
        }
        is_taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_taken_from_by_all_streams_together_and_told_when_it_is_passed() {
        let denials = Denials::default();
        let of = |quota| Quota::new(quota, "/data".to_owned(), denials.clone());
        let quota = of(WriteQuota { bytes: Some(100), files: Some(1) });
        let other = quota.clone();
        assert!(quota.take_bytes(60) && other.take_bytes(40) && !denials.is_last());
        assert!(!other.take_bytes(1) && denials.is_last());
        assert!(quota.take_file() && !quota.take_file());
        quota.give_back_file();
        assert!(quota.take_file() && !quota.take_file());
        let unlimited = of(WriteQuota::default());
        assert!((0..3).all(|_| unlimited.take_bytes(u64::MAX - 1) && unlimited.take_file()));
    }
}
