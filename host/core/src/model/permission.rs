//! What a client of the HTTP interface may do.

use std::fmt;
use std::str::FromStr;

/// Something that a client may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Permission {
    /// See everything that is stored, arguments, results and logs among it.
    Read,
    /// Queue jobs.
    Submit,
    /// Cancel jobs.
    Cancel,
    /// Put jobs that have ended back into the queue.
    Retry,
    /// Remove what is stored: schedules, tasks, plugins, keys and values.
    Delete,
    /// Create, change, pause, unpause and run schedules.
    Schedules,
    /// Register plugins with their rights, roll them back, configure their tasks.
    Plugins,
    /// Everything, what is not listed here among it: queues, keys and values, tokens.
    Admin,
}

impl Permission {
    /// All of them.
    pub const ALL: [Permission; 8] = [
        Permission::Read,
        Permission::Submit,
        Permission::Cancel,
        Permission::Retry,
        Permission::Delete,
        Permission::Schedules,
        Permission::Plugins,
        Permission::Admin,
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Permission::Read => "read",
            Permission::Submit => "submit",
            Permission::Cancel => "cancel",
            Permission::Retry => "retry",
            Permission::Delete => "delete",
            Permission::Schedules => "schedules",
            Permission::Plugins => "plugins",
            Permission::Admin => "admin",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Permission {
    type Err = String;

    fn from_str(text: &str) -> Result<Permission, String> {
        Permission::ALL.into_iter().find(|permission| permission.as_str() == text).ok_or_else(|| {
            let names = Permission::ALL.map(Permission::as_str).join("`, `");
            format!("`{text}` is not a permission: there are `{names}`")
        })
    }
}

/// A set of permissions.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Permissions(u8);

impl Permissions {
    /// Whether one with these permissions may do that. [`Permission::Admin`] includes all others; no other one includes any.
    pub const fn allow(self, wanted: Permission) -> bool {
        self.0 & (wanted.bit() | Permission::Admin.bit()) != 0
    }

    /// The permissions of the set, in the order of [`Permission::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.into_iter().filter(move |permission| self.0 & permission.bit() != 0)
    }

    /// Whether the set has none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Permissions {
        Permissions(permissions.into_iter().fold(0, |bits, permission| bits | permission.bit()))
    }
}

impl fmt::Debug for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_permission_allows_itself_alone_and_admin_all() {
        for permission in Permission::ALL {
            assert_eq!(permission.as_str().parse(), Ok(permission));
            let one: Permissions = [permission].into_iter().collect();
            assert_eq!(one.iter().collect::<Vec<_>>(), [permission]);
            for wanted in Permission::ALL {
                assert_eq!(one.allow(wanted), wanted == permission || permission == Permission::Admin);
                assert!(!Permissions::default().allow(wanted));
            }
        }
        assert!("Read".parse::<Permission>().is_err());
    }
}
