//! Granted folders that reach each other: who may write one may change what is read through the other.
//!
//! That is no reason to refuse: a plugin that fills what another one reads is a common arrangement. But it widens what a grant gives, so that
//! whoever grants should know.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::model::{DirAccess, Grant, PluginName, PluginVersion};

/// A folder that one plugin may write, and another grant that reaches the same files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Overlap {
    /// Who may write.
    pub(super) writer: PluginName,
    /// What it may write.
    pub(super) writable: PathBuf,
    /// Who has the other grant.
    pub(super) holder: PluginName,
    /// The other grant's folder.
    pub(super) held: PathBuf,
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Overlap { writer, writable, holder, held } = self;
        let (writable, held) = (writable.display(), held.display());
        let relation = match self.held.strip_prefix(&self.writable) {
            Ok(rest) if rest.as_os_str().is_empty() => {
                return write!(
                    f,
                    "plugin `{writer}` may write `{writable}`, which is granted to plugin `{holder}` too"
                );
            }
            Ok(_) => "and with it",
            Err(_) => "which lies in",
        };
        write!(
            f,
            "plugin `{writer}` may write `{writable}`, {relation} `{held}`, which is granted to plugin `{holder}`"
        )
    }
}

/// How the grants of a plugin reach each other and those of the other plugins.
pub(super) fn overlaps(name: &PluginName, grants: &[Grant], others: &[PluginVersion]) -> Vec<Overlap> {
    let mine: Vec<_> = folders(name, grants).collect();
    let others: Vec<_> = others
        .iter()
        .filter(|other| other.name != *name)
        .flat_map(|other| folders(&other.name, &other.grants))
        .collect();
    let mut found = Vec::new();
    for (at, one) in mine.iter().enumerate() {
        // Two folders of one plugin that it may write both give it nothing that it has not.
        let siblings = mine[..at].iter().filter(|sibling| sibling.access != one.access);
        found.extend(others.iter().chain(siblings).filter_map(|other| one.overlap(other)));
    }
    found
}

struct Folder<'a> {
    plugin: &'a PluginName,
    path: &'a Path,
    access: DirAccess,
}

fn folders<'a>(plugin: &'a PluginName, grants: &'a [Grant]) -> impl Iterator<Item = Folder<'a>> {
    grants.iter().filter_map(move |grant| match grant {
        Grant::Dir { host, access, .. } => Some(Folder { plugin, path: host, access: *access }),
        Grant::Env { .. } | Grant::Http(_) | Grant::Kv { .. } | Grant::Secret(_) => None,
    })
}

impl Folder<'_> {
    fn overlap(&self, other: &Folder<'_>) -> Option<Overlap> {
        if !self.path.starts_with(other.path) && !other.path.starts_with(self.path) {
            return None;
        }
        let (writer, holder) = match (self.access, other.access) {
            (_, DirAccess::ReadWrite) => (other, self),
            (DirAccess::ReadWrite, DirAccess::ReadOnly) => (self, other),
            (DirAccess::ReadOnly, DirAccess::ReadOnly) => return None,
        };
        Some(Overlap {
            writer: writer.plugin.clone(),
            writable: writer.path.to_owned(),
            holder: holder.plugin.clone(),
            held: holder.path.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Digest, Timestamp, WriteQuota};

    fn grant(host: &str, access: DirAccess) -> Grant {
        Grant::Dir { host: host.into(), guest: "in".to_owned(), access, identity: None, quota: WriteQuota::default() }
    }

    fn plugin(name: &str, grants: Vec<Grant>) -> PluginVersion {
        PluginVersion {
            name: name.parse().expect("valid"),
            digest: Digest::from_bytes([0; 32]),
            size_bytes: 0,
            imports: Vec::new(),
            grants,
            tasks: Vec::new(),
            registered_at: Timestamp::EPOCH,
        }
    }

    #[test]
    fn folders_that_reach_each_other_are_reported_if_one_of_them_may_be_written() {
        use DirAccess::{ReadOnly, ReadWrite};
        for (mine, theirs, expected) in [
            (("/srv/a", ReadOnly), ("/srv/a", ReadOnly), None),
            (("/srv/a", ReadWrite), ("/srv/ab", ReadWrite), None),
            (
                ("/srv/a", ReadWrite),
                ("/srv/a", ReadOnly),
                Some("plugin `new` may write `/srv/a`, which is granted to plugin `old` too"),
            ),
            (
                ("/srv/a", ReadWrite),
                ("/srv/a/sub", ReadOnly),
                Some("plugin `new` may write `/srv/a`, and with it `/srv/a/sub`, which is granted to plugin `old`"),
            ),
            (
                ("/srv/a", ReadOnly),
                ("/srv/a/sub", ReadWrite),
                Some("plugin `old` may write `/srv/a/sub`, which lies in `/srv/a`, which is granted to plugin `new`"),
            ),
        ] {
            let others = [plugin("old", vec![grant(theirs.0, theirs.1)])];
            let told = overlaps(&"new".parse().expect("valid"), &[grant(mine.0, mine.1)], &others);
            assert_eq!(told.first().map(ToString::to_string).as_deref(), expected, "{mine:?} {theirs:?}");
        }
    }

    #[test]
    fn a_plugin_that_may_write_by_one_name_what_it_may_only_read_by_another_is_reported() {
        let grants = [grant("/srv/a", DirAccess::ReadWrite), grant("/srv/a/sub", DirAccess::ReadOnly)];
        let name: PluginName = "new".parse().expect("valid");
        let told = overlaps(&name, &grants, &[plugin("new", vec![grant("/srv/a", DirAccess::ReadWrite)])]);
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!((&told[0].writer, &told[0].holder), (&name, &name));
    }
}
