//! What a plugin asks for and what it may do, in plain words.

use crate::config::units::format_size;
use crate::model::{DirAccess, Grant, Import, KvAccess, SecretGrant};

/// What a pure task can do.
pub(crate) const PURE: &str = "yes: it can only compute, log and return";

/// A family of interfaces, in words.
#[derive(Debug, PartialEq, Eq)]
struct Ability {
    /// The interfaces that belong to it begin like this.
    prefix: &'static str,
    /// What somebody who imports it wants to do.
    words: &'static str,
    /// Whether it works without a grant.
    gift: Gift,
}

/// What it takes to use an ability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gift {
    /// Nothing.
    Free,
    /// A folder.
    Dir,
    /// A variable; without one, there simply are none.
    Env,
    /// Requests to servers.
    Http,
    /// A bucket.
    Kv,
    /// A secret.
    Secret,
    /// It cannot be had in this version.
    Unavailable,
}

const ABILITIES: &[Ability] = &[
    Ability { prefix: "jobs:plugin/scheduler@", words: "add jobs and schedules", gift: Gift::Unavailable },
    Ability { prefix: "jobs:plugin/kv@", words: "keep values between jobs", gift: Gift::Kv },
    Ability { prefix: "jobs:plugin/secrets@", words: "use secrets", gift: Gift::Secret },
    Ability { prefix: "jobs:plugin/", words: "talk to the runtime (context, log, progress)", gift: Gift::Free },
    Ability { prefix: "wasi:filesystem/", words: "use files", gift: Gift::Dir },
    Ability { prefix: "wasi:cli/environment@", words: "read environment variables", gift: Gift::Env },
    Ability { prefix: "wasi:cli/", words: "print, and end with an exit code", gift: Gift::Free },
    Ability { prefix: "wasi:io/", words: "use streams", gift: Gift::Free },
    Ability { prefix: "wasi:clocks/", words: "read clocks", gift: Gift::Free },
    Ability { prefix: "wasi:random/", words: "get random numbers", gift: Gift::Free },
    Ability { prefix: "wasi:http/", words: "call other servers over HTTP", gift: Gift::Http },
    Ability { prefix: "wasi:sockets/", words: "open network connections", gift: Gift::Unavailable },
];

/// What `imports` want to do and what `grants` let them, one line each.
pub(crate) fn asks(imports: &[Import], grants: &[Grant]) -> Vec<String> {
    let mut lines = Vec::new();
    for ability in ABILITIES {
        let asked: Vec<&Import> = imports.iter().filter(|import| ability.fits(import)).collect();
        if asked.is_empty() {
            continue;
        }
        let words = ability.words;
        let has_dir = grants.iter().any(|grant| matches!(grant, Grant::Dir { .. }));
        let has_http = grants.iter().any(|grant| matches!(grant, Grant::Http(_)));
        let has_kv = grants.iter().any(|grant| matches!(grant, Grant::Kv { .. }));
        let has_secret = grants.iter().any(|grant| matches!(grant, Grant::Secret(_)));
        let has_env = grants.iter().any(|grant| matches!(grant, Grant::Env { .. }));
        lines.push(match ability.gift {
            _ if asked.iter().all(|import| import.by_adapter) => {
                format!("{words}: imported by the WASI adapter, not by the author; not granted")
            }
            Gift::Free => format!("{words}: allowed to every plugin"),
            Gift::Dir if has_dir => format!("{words}: only in the folders granted below"),
            Gift::Dir => format!("{words}: not granted; --allow-dir HOST::GUEST[:ro|rw] would allow a folder"),
            Gift::Env if has_env => format!("{words}: only those granted below"),
            Gift::Env => format!("{words}: none granted; --allow-env NAME[=VALUE] would show it one"),
            Gift::Http if has_http => format!("{words}: only those granted below"),
            Gift::Http => format!("{words}: not granted; --allow-http '[METHODS ]URL' would allow some"),
            Gift::Kv if has_kv => format!("{words}: only in the buckets granted below"),
            Gift::Kv => format!("{words}: not granted; --allow-kv BUCKET[:ro|rw] would allow a bucket"),
            Gift::Secret if has_secret => format!("{words}: only those granted below"),
            Gift::Secret => format!("{words}: not granted; --allow-secret NAME would allow one"),
            Gift::Unavailable => format!("{words}: denied; this version has no grant for it"),
        });
    }
    let known = |import: &&Import| ABILITIES.iter().any(|ability| import.interface.starts_with(ability.prefix));
    let unknown = imports.iter().filter(|import| !known(import));
    lines.extend(unknown.map(|import| format!("{}: denied; unknown to this version", import.interface)));
    lines
}

impl Ability {
    /// Whether an import belongs here and not to an earlier, narrower family.
    fn fits(&self, import: &Import) -> bool {
        let first = ABILITIES.iter().find(|ability| import.interface.starts_with(ability.prefix));
        first.is_some_and(|ability| ability == self)
    }
}

/// A grant in words. The value of a variable is left out: it may be a secret.
pub(crate) fn granted(grant: &Grant) -> String {
    match grant {
        Grant::Dir { host, guest, access, quota, .. } => {
            let verb = match access {
                DirAccess::ReadOnly => "read",
                DirAccess::ReadWrite => "read and write",
            };
            let bytes = quota.bytes.map(|bytes| format!("{} at most", format_size(bytes)));
            let files = quota.files.map(|files| format!("{files} new files at most"));
            let bounds: Vec<String> = bytes.into_iter().chain(files).collect();
            let bounds =
                if bounds.is_empty() { String::new() } else { format!(", by one attempt {}", bounds.join(" and ")) };
            format!("{verb} {} as `{guest}`{bounds}", host.display())
        }
        Grant::Env { name, value: None } => format!("the variable {name}, as the host has it when a job runs"),
        Grant::Env { name, value: Some(_) } => format!("the variable {name}, with a fixed value"),
        Grant::Http(pattern) => format!("HTTP requests to `{pattern}`"),
        Grant::Kv { bucket, access: KvAccess::ReadOnly } => format!("read the values in bucket `{bucket}`"),
        Grant::Kv { bucket, access: KvAccess::ReadWrite } => format!("read and write the values in bucket `{bucket}`"),
        Grant::Secret(SecretGrant { name, reveal: true, .. }) => {
            format!("read the secret `{name}`, and send it with any request that is allowed")
        }
        Grant::Secret(SecretGrant { name, requests: Some(requests), .. }) => {
            format!("send the secret `{name}` in headers of requests to `{requests}`, without reading it")
        }
        Grant::Secret(SecretGrant { name, .. }) => {
            format!(
                "send the secret `{name}` in headers of all requests over HTTPS that are allowed, without reading it"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn import(interface: &str, by_adapter: bool) -> Import {
        Import { interface: interface.to_owned(), by_adapter }
    }

    #[test]
    fn what_the_adapter_imports_is_not_presented_as_the_authors_wish() {
        let imports = [import("wasi:filesystem/types@0.2.3", true), import("wasi:clocks/wall-clock@0.2.3", true)];
        let lines = asks(&imports, &[]);
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| line.contains("not by the author")), "{lines:?}");
    }

    #[test]
    fn a_missing_right_names_the_flag_that_would_give_it() {
        let imports = [import("wasi:filesystem/types@0.2.6", false), import("jobs:plugin/scheduler@0.1.0", false)];
        let lines = asks(&imports, &[]);
        assert!(lines.iter().any(|line| line.contains("--allow-dir HOST::GUEST")), "{lines:?}");
        assert!(lines.iter().any(|line| line.starts_with("add jobs and schedules: denied")), "{lines:?}");
    }

    #[test]
    fn an_interface_that_nobody_knows_is_named() {
        let lines = asks(&[import("acme:gpu/compute@1.0.0", false)], &[]);
        assert_eq!(lines, ["acme:gpu/compute@1.0.0: denied; unknown to this version"]);
    }
}
