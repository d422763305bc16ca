//! What can be said of a component without compiling it: whether it is one, what it imports, what it exports.

use wasmparser::{ComponentExternalKind, Parser, Payload};

use super::abi;
use super::output::clipped;
use super::refusal::{Refusal as _, refused};
use crate::executor::InspectError;
use crate::model::Import;
use crate::model::limits::COMPONENT_BYTES_MAX;

/// An interface that the host offers to plugins.
pub(super) struct HostInterface {
    name: &'static str,
    version: &'static str,
}

#[cfg(test)]
impl HostInterface {
    /// The name under which it is linked.
    pub(super) fn full_name(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }
}

/// Version of WASI that is linked. Guests built against any other 0.2 are compatible.
const WASI: &str = "0.2.12";

const fn wasi(name: &'static str) -> HostInterface {
    HostInterface { name, version: WASI }
}

const fn own(name: &'static str) -> HostInterface {
    HostInterface { name, version: abi::VERSION }
}

/// Everything that a plugin may import.
pub(super) const HOST_INTERFACES: &[HostInterface] = &[
    own("jobs:plugin/context"),
    own("jobs:plugin/kv"),
    own("jobs:plugin/log"),
    own("jobs:plugin/progress"),
    own("jobs:plugin/scheduler"),
    own("jobs:plugin/secrets"),
    own("jobs:plugin/types"),
    wasi("wasi:cli/environment"),
    wasi("wasi:cli/exit"),
    wasi("wasi:cli/stderr"),
    wasi("wasi:cli/stdin"),
    wasi("wasi:cli/stdout"),
    wasi("wasi:cli/terminal-input"),
    wasi("wasi:cli/terminal-output"),
    wasi("wasi:cli/terminal-stderr"),
    wasi("wasi:cli/terminal-stdin"),
    wasi("wasi:cli/terminal-stdout"),
    wasi("wasi:clocks/monotonic-clock"),
    wasi("wasi:clocks/wall-clock"),
    wasi("wasi:filesystem/preopens"),
    wasi("wasi:filesystem/types"),
    wasi("wasi:http/outgoing-handler"),
    wasi("wasi:http/types"),
    wasi("wasi:io/error"),
    wasi("wasi:io/poll"),
    wasi("wasi:io/streams"),
    wasi("wasi:random/insecure"),
    wasi("wasi:random/insecure-seed"),
    wasi("wasi:random/random"),
    wasi("wasi:sockets/instance-network"),
    wasi("wasi:sockets/ip-name-lookup"),
    wasi("wasi:sockets/network"),
    wasi("wasi:sockets/tcp"),
    wasi("wasi:sockets/tcp-create-socket"),
    wasi("wasi:sockets/udp"),
    wasi("wasi:sockets/udp-create-socket"),
];

/// Packages that plugins may reasonably ask for and this host does not have, with what to say about them.
const KNOWN_ABSENT: &[(&str, &str)] = &[
    ("wasi:http/", "of HTTP a plugin has `outgoing-handler` and `types`"),
    ("wasi:keyvalue/", "of key-value storage a plugin has `jobs:plugin/kv`"),
    ("wasi:config/", "configuration values are not available to plugins yet; use `--allow-env`"),
    ("wasi:nn/", "machine learning is not available to plugins"),
];

/// Most imports of a component: the host has a tenth of that to offer.
const IMPORTS_MAX: usize = 1_000;
/// Most functions of WASI 0.1 that are remembered: there are some fifty, and what is asked is only whether any of a kind is among them.
const ADAPTED_MAX: usize = 1_000;
/// What is kept of a name, in bytes. The names of interfaces that this host has are much shorter.
const NAME_BYTES_MAX: usize = 256;
/// Most names that a refusal lists.
const LISTED_MAX: usize = 20;

/// What the adapter from WASI 0.1 is called where the author's module imports it.
const ADAPTED_MODULE: &str = "wasi_snapshot_preview1";

/// What a component imports and exports.
#[derive(Debug, Default)]
pub(super) struct Outline {
    imports: Vec<String>,
    exports: Vec<String>,
    /// The functions of WASI 0.1 that its modules call through the adapter; `None` without one.
    adapted: Option<Vec<String>>,
}

impl Outline {
    /// Looks into `bytes`.
    ///
    /// # Errors
    /// They are no component, or none that can be a plugin of this host.
    pub(super) fn of(bytes: &[u8]) -> Result<Outline, InspectError> {
        check_form(bytes)?;
        let outline =
            Outline::parse(bytes).map_err(|error| refused("the component is damaged").because(error.to_string()))?;
        if outline.imports.len() > IMPORTS_MAX || outline.exports.len() > IMPORTS_MAX {
            return Err(refused(&format!("the component has more than {IMPORTS_MAX} imports or exports")));
        }
        outline.check_export()?;
        outline.check_imports()?;
        Ok(outline)
    }

    /// The imports in the component's order, with whom they are for.
    pub(super) fn imports(&self) -> Vec<Import> {
        let import = |name: &String| Import { interface: name.clone(), by_adapter: self.is_adapters(name) };
        self.imports.iter().map(import).collect()
    }

    fn parse(bytes: &[u8]) -> wasmparser::Result<Outline> {
        let mut outline = Outline::default();
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section.into_iter().take(IMPORTS_MAX + 1) {
                        outline.imports.push(kept(import?.name.name));
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section.into_iter().take(IMPORTS_MAX + 1) {
                        let export = export?;
                        if export.kind == ComponentExternalKind::Instance {
                            outline.exports.push(kept(export.name.name));
                        }
                    }
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import?;
                        if import.module == ADAPTED_MODULE {
                            let adapted = outline.adapted.get_or_insert_default();
                            if adapted.len() < ADAPTED_MAX {
                                adapted.push(kept(import.name));
                            }
                        }
                    }
                }
                _ => {}
            }
            if outline.imports.len() > IMPORTS_MAX || outline.exports.len() > IMPORTS_MAX {
                break;
            }
        }
        Ok(outline)
    }

    /// Whether the adapter from WASI 0.1 imports the interface without the author's code having a use for it: it always
    /// brings the file system and the wall clock.
    fn is_adapters(&self, interface: &str) -> bool {
        let Some(called) = &self.adapted else { return false };
        let calls =
            |prefixes: &[&str]| called.iter().any(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)));
        let wanted = match abi::split_version(interface).0 {
            "wasi:filesystem/types" | "wasi:filesystem/preopens" => calls(&["path_", "fd_readdir", "fd_prestat"]),
            "wasi:clocks/wall-clock" => calls(&["clock_"]),
            "wasi:clocks/monotonic-clock" => calls(&["clock_", "poll_"]),
            "wasi:cli/environment" => calls(&["environ_", "args_"]),
            "wasi:cli/exit" => calls(&["proc_exit"]),
            "wasi:random/random" => calls(&["random_"]),
            "wasi:cli/stdin" => calls(&["fd_read", "fd_pread"]),
            "wasi:cli/stdout" | "wasi:cli/stderr" => calls(&["fd_write", "fd_pwrite"]),
            name => !name.starts_with("wasi:"),
        };
        !wanted
    }

    fn check_export(&self) -> Result<(), InspectError> {
        let versions: Vec<&str> = self
            .exports
            .iter()
            .map(|export| abi::split_version(export))
            .filter(|(name, _)| *name == abi::TASKS_INTERFACE)
            .map(|(_, version)| version.unwrap_or("(none)"))
            .collect();
        let is_ours = |version: &&str| abi::compatible_track(version) == abi::compatible_track(abi::VERSION);
        if versions.iter().any(is_ours) {
            return Ok(());
        }
        if versions.is_empty() {
            let exports = if self.exports.is_empty() { "nothing".to_owned() } else { listed(&self.exports) };
            return Err(refused(&format!("the component does not export `{}`", abi::TASKS_INTERFACE))
                .because(format!("it exports {exports}"))
                .hint("a plugin is a library (crate-type = [\"cdylib\"]) that uses guest-sdk and has at least one #[task]"));
        }
        let track = abi::compatible_track(abi::VERSION).unwrap_or(abi::VERSION);
        Err(refused(&format!(
            "the component was built against {} {}; this host runs plugins of {track}",
            abi::PACKAGE,
            listed(&versions)
        ))
        .hint("build it with the guest-sdk of this host's version"))
    }

    fn check_imports(&self) -> Result<(), InspectError> {
        let missing: Vec<String> =
            self.imports.iter().filter(|import| !is_offered(import)).map(|i| describe(i)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let refusal = refused(&format!("the component imports what this host does not have: {}", listed(&missing)));
        Err(refusal.hint("build it without what needs these, or with the WIT files of this host's version"))
    }
}

/// The part of a name that is kept.
fn kept(name: &str) -> String {
    // The rest of a long name is not even copied.
    clipped(name[..name.floor_char_boundary(NAME_BYTES_MAX + 1)].to_owned(), NAME_BYTES_MAX)
}

/// The names in a line, as many as are worth reading.
fn listed(names: &[impl AsRef<str>]) -> String {
    let mut line = names.iter().take(LISTED_MAX).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    if let Some(more) = names.len().checked_sub(LISTED_MAX + 1) {
        line.push_str(&format!(" and {} more", more + 1));
    }
    line
}

fn is_offered(import: &str) -> bool {
    let (name, version) = abi::split_version(import);
    HOST_INTERFACES.iter().filter(|host| host.name == name).any(|host| {
        version == Some(host.version)
            || version.is_some_and(|version| {
                abi::compatible_track(version).is_some_and(|track| Some(track) == abi::compatible_track(host.version))
            })
    })
}

fn describe(import: &str) -> String {
    let name = abi::split_version(import).0;
    if let Some((_, why)) = KNOWN_ABSENT.iter().find(|(prefix, _)| import.starts_with(prefix)) {
        return format!("{import} ({why})");
    }
    match HOST_INTERFACES.iter().find(|host| host.name == name) {
        Some(host) => format!("{import} (this host has {})", host.version),
        None => import.to_owned(),
    }
}

/// Tells what is no component at all, before anybody parses it.
fn check_form(bytes: &[u8]) -> Result<(), InspectError> {
    if bytes.is_empty() {
        return Err(refused("the file is empty"));
    }
    if bytes.len() > COMPONENT_BYTES_MAX {
        return Err(refused(&format!(
            "the file has {} bytes; a component may have {COMPONENT_BYTES_MAX}",
            bytes.len()
        ))
        .hint("build with --release, and strip debug information: strip = \"debuginfo\" in the profile"));
    }
    if Parser::is_core_wasm(bytes) {
        return Err(refused("this is a core module, not a component")
            .hint("build with --target wasm32-wasip2, or with cargo component build"));
    }
    if bytes.starts_with(b"\x7fELF") {
        return Err(
            refused("this is compiled code, which is never loaded from a file").hint("give the .wasm component")
        );
    }
    if !Parser::is_component(bytes) {
        let beginning = &bytes[..bytes.len().min(1024)];
        let what =
            if std::str::from_utf8(beginning).is_ok() { "this is a text file" } else { "this is not WebAssembly" };
        return Err(refused(&format!("{what}, not a component")).hint("give the .wasm file that the build wrote"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(bytes: &[u8]) -> String {
        let error = Outline::of(bytes).expect_err("refused");
        format!("{} | {}", error.reason, error.hint.unwrap_or_default())
    }

    #[test]
    fn what_is_no_component_is_refused_with_what_it_is() {
        assert!(reason(b"").contains("empty"));
        assert!(reason(b"(component)").contains("text file"));
        assert!(reason(b"\x00\xff\x12").contains("not WebAssembly"));
        assert!(reason(b"\x7fELF\x02").contains("compiled code"));
        assert!(reason(b"\0asm\x01\0\0\0").contains("--target wasm32-wasip2"));
        assert!(reason(b"\0asm\x0d\0\x01\0").contains("does not export `jobs:plugin/tasks`"));
        assert!(reason(b"\0asm\x0d\0\x01\0\xff\xff").contains("damaged"));
        assert!(reason(&vec![b'x'; COMPONENT_BYTES_MAX + 1]).contains("strip"));
    }

    #[test]
    fn a_missing_import_is_listed_with_what_is_known_of_it() {
        let imports = ["wasi:io/poll@0.2.0", "wasi:http/incoming-handler@0.2.4", "jobs:plugin/log@0.2.0", "a:b/c"];
        let outline = Outline { imports: imports.map(str::to_owned).to_vec(), ..Outline::default() };
        let reason = outline.check_imports().expect_err("refused").reason;
        assert!(!reason.contains("wasi:io"), "{reason}");
        for part in [
            "wasi:http/incoming-handler@0.2.4 (of HTTP a plugin has",
            "jobs:plugin/log@0.2.0 (this host has 0.1.0)",
            "a:b/c",
        ] {
            assert!(reason.contains(part), "{part} is not in: {reason}");
        }
    }

    #[test]
    fn a_plugin_of_another_version_is_refused_with_the_one_the_host_runs() {
        let outline = Outline { exports: vec!["jobs:plugin/tasks@1.0.0".to_owned()], ..Outline::default() };
        let reason = outline.check_export().expect_err("refused").reason;
        assert!(reason.contains("jobs:plugin 1.0.0") && reason.contains("of 0.1"), "{reason}");
        let newer = Outline { exports: vec!["jobs:plugin/tasks@0.1.9".to_owned()], ..Outline::default() };
        newer.check_export().expect("a compatible version");
    }

    #[test]
    fn what_only_the_adapter_imports_is_not_the_authors_wish() {
        let outline =
            Outline { adapted: Some(vec!["fd_write".to_owned(), "environ_get".to_owned()]), ..Outline::default() };
        assert!(outline.is_adapters("wasi:filesystem/types@0.2.3"));
        assert!(outline.is_adapters("wasi:clocks/wall-clock@0.2.3"));
        assert!(!outline.is_adapters("wasi:cli/environment@0.2.3"));
        assert!(!outline.is_adapters("jobs:plugin/log@0.1.0"));
        assert!(!Outline::default().is_adapters("wasi:filesystem/types@0.2.3"));
    }
}
