//! What the machine has for this process: memory, and files that it may have open.

use std::fs;
use std::path::{Path, PathBuf};

/// The least of what the machine has and what the control groups allow, in bytes; `None` where the system does not say.
pub(super) fn memory_bytes() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_of(&text));
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = limit_files(&groups, Path::new("/sys/fs/cgroup"));
    let limits = limits.iter().filter_map(|file| fs::read_to_string(file).ok()).filter_map(|text| limit_of(&text));
    machine.into_iter().chain(limits).min()
}

/// How many files this process may have open.
pub(super) fn open_files_max() -> usize {
    /// Where the system does not say.
    const UNKNOWN: usize = 1024;
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    open_files_of(&limits).unwrap_or(UNKNOWN)
}

/// `Max open files            1024                 524288               files`; `None` where there is no bound.
fn open_files_of(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// `MemTotal:        8000000 kB`.
fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The files that hold the limits of the process's groups: of its own and of each one above it, which hold as well. In a
/// container the group's path is that of the host, and the files lie at the root.
fn limit_files(groups: &str, root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (folder, name) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            _ if controllers.split(',').any(|controller| controller == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let mut group = Path::new(path.trim_start_matches('/'));
        loop {
            files.push(folder.join(group).join(name));
            match group.parent() {
                Some(parent) => group = parent,
                None => break,
            }
        }
    }
    files
}

/// A number of bytes, or `max`.
fn limit_of(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_above_the_process_has_a_say() {
        let files = limit_files("0::/system.slice/host.service\n", Path::new("/cg"));
        let expected = ["system.slice/host.service/memory.max", "system.slice/memory.max", "memory.max"];
        assert_eq!(files, expected.map(|file| Path::new("/cg").join(file)));
        let files = limit_files("5:cpu,memory:/docker/x\n4:pids:/docker/x\n", Path::new("/cg"));
        assert_eq!(files[0], Path::new("/cg/memory/docker/x/memory.limit_in_bytes"));
        assert_eq!(files.len(), 3);
    }

    #[test]
    fn a_limit_is_a_number_or_none() {
        assert_eq!((limit_of("max\n"), limit_of("1073741824\n")), (None, Some(1 << 30)));
        assert_eq!(total_of("MemTotal:        2048 kB\nMemFree: 1 kB\n"), Some(2 << 20));
        assert_eq!(open_files_of("Limit\nMax open files            1024                 524288  files\n"), Some(1024));
        assert!(memory_bytes().is_some_and(|bytes| bytes > 1 << 20));
    }
}
