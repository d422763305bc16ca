//! The versions of the interface to plugins that this host speaks: one module each, with its bindings and the
//! conversions between them and the model.
//!
//! A plugin names the version it was built against in the names of what it imports and exports. Versions that are
//! compatible by the rules of semantic versioning share a module.

pub(super) mod v0_1;

/// The package that plugins and host meet in.
pub(super) const PACKAGE: &str = "jobs:plugin";
/// The interface that makes a component a plugin, without its version.
pub(super) const TASKS_INTERFACE: &str = "jobs:plugin/tasks";
/// The version that this host implements.
pub(super) const VERSION: &str = "0.1.0";

/// The part of a version that must be equal for two versions to be compatible: `0.1` of `0.1.7`, `2` of `2.3.4`.
/// `None` for a name without a version, or with one that is compatible with itself only.
pub(super) fn compatible_track(version: &str) -> Option<&str> {
    if version.contains('-') {
        return None;
    }
    let plain = version.split('+').next()?;
    let mut parts = plain.split('.');
    let (major, minor, patch) = (parts.next()?, parts.next()?, parts.next()?);
    match (major, minor, patch) {
        ("0", "0", _) => None,
        ("0", minor, _) => Some(&plain[..2 + minor.len()]),
        (major, _, _) => Some(&plain[..major.len()]),
    }
}

/// Splits `a:b/c@1.2.3` into the name and the version.
pub(super) fn split_version(interface: &str) -> (&str, Option<&str>) {
    match interface.split_once('@') {
        Some((name, version)) => (name, Some(version)),
        None => (interface, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compatible_by_the_rules_of_semantic_versioning() {
        assert_eq!(compatible_track("0.1.7"), Some("0.1"));
        assert_eq!(compatible_track("0.12.0"), Some("0.12"));
        assert_eq!(compatible_track("2.3.4"), Some("2"));
        assert_eq!(compatible_track("2.3.4+build.5"), Some("2"));
        assert_eq!(compatible_track("0.0.3"), None);
        assert_eq!(compatible_track("1.0.0-rc.1"), None);
        assert_eq!(split_version("a:b/c@1.2.3"), ("a:b/c", Some("1.2.3")));
    }
}
