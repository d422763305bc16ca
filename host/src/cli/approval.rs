//! Approval files: which rights somebody has approved for which component, in a form that can be reviewed and kept with a program's sources.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};

use super::context::Context;
use super::exit::{Failure, Outcomes};
use super::flags::GrantArgs;
use super::output::printable;
use super::settings_file::located;
use crate::app::{
    AppError, Approval, check_grants, grant_dir, grant_env, grant_http, grant_secret, plugin_name, read_component,
    read_kv_grant,
};
use crate::model::{Digest, DirAccess, Grant, Import, PluginName, WriteQuota};
use crate::words::asks;

#[derive(Debug, Args)]
pub(super) struct ApproveArgs {
    /// The component (a .wasm file), or a plugin that is registered: its current version, and unless rights are given, those that it has
    #[arg(value_name = "FILE|NAME")]
    what: String,
    /// The plugin's name [default: the file's]
    #[arg(long, value_name = "N")]
    name: Option<PluginName>,
    #[command(flatten)]
    grants: GrantArgs,
}

pub(super) async fn approve(context: &mut Context, args: ApproveArgs) -> Outcomes {
    let grants = args.grants.grants()?;
    let path = Path::new(&args.what);
    let is_file = args.what.contains(std::path::MAIN_SEPARATOR) || args.what.ends_with(".wasm") || path.is_file();
    let app = context.app().await?;
    let (plugin, digest, imports, grants) = if is_file {
        let component = read_component(path).await?;
        let name = plugin_name(args.name, path)?;
        let inspection = app.plugin_inspect(component, &grants).await?;
        (name, inspection.digest, inspection.imports, grants)
    } else {
        if args.name.is_some() {
            return Err(Failure::usage("--name is for files", "leave it out: a registered plugin has its name"));
        }
        let name = args.what.parse().map_err(|error: crate::model::IdError| {
            Failure::usage(error.to_string(), "name a .wasm file, or a plugin that is registered")
        })?;
        let version = app.plugin_get(&name).await?;
        check_grants(&grants)?;
        let grants = if grants.is_empty() { version.grants } else { grants };
        (name, version.digest, version.imports, grants)
    };
    let file = ApprovalFile::new(&plugin, &digest, &imports, &grants);
    if context.out.json {
        return Ok(context.out.json(&file)?);
    }
    let mut remarks = vec![
        format!("What plugin `{plugin}` may do: an approval for `host register FILE --approval THIS`."),
        "It holds for the component with this digest, and for no other.".to_owned(),
        "The plugin asks to:".to_owned(),
    ];
    remarks.extend(asks(&imports, &grants).into_iter().map(|line| format!("  {line}")));
    Ok(context.out.own_text(&file.text(&remarks)?)?)
}

/// The version of the form. A file of another version is refused: what it says might be more than is read here.
const VERSION: u32 = 1;

/// Longest file that is read.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ApprovalFile {
    version: u32,
    plugin: String,
    /// The SHA-256 of the component.
    digest: String,
    /// What the component imports, for whoever reads the file or the difference between two of them. The digest holds it already.
    #[serde(default)]
    imports: Vec<String>,
    /// The requests over HTTP that it may make, as `--allow-http` has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    http: Vec<String>,
    /// The buckets, as `--allow-kv` has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    kv: Vec<String>,
    /// The secrets, as `--allow-secret` has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    secret: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    dir: Vec<DirFile>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    env: Vec<EnvFile>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DirFile {
    host: PathBuf,
    guest: String,
    access: AccessFile,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_files: Option<u64>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum AccessFile {
    #[serde(rename = "ro")]
    ReadOnly,
    #[serde(rename = "rw")]
    ReadWrite,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EnvFile {
    name: String,
    value: ValueFile,
}

/// Where the value of a variable comes from. The value itself is not in the file: it may be a secret.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ValueFile {
    /// From the host, when a job runs.
    Host,
    /// From whoever registers the plugin.
    Fixed,
}

impl ApprovalFile {
    /// The file for a component with these rights.
    pub(super) fn new(plugin: &PluginName, digest: &Digest, imports: &[Import], grants: &[Grant]) -> ApprovalFile {
        let (mut dir, mut env) = (Vec::new(), Vec::new());
        let (mut http, mut kv, mut secret) = (Vec::new(), Vec::new(), Vec::new());
        for grant in grants {
            match grant {
                Grant::Dir { host, guest, access, quota, .. } => dir.push(DirFile {
                    host: host.clone(),
                    guest: guest.clone(),
                    access: match access {
                        DirAccess::ReadOnly => AccessFile::ReadOnly,
                        DirAccess::ReadWrite => AccessFile::ReadWrite,
                    },
                    max_bytes: quota.bytes,
                    max_files: quota.files,
                }),
                Grant::Env { name, value } => env.push(EnvFile {
                    name: name.clone(),
                    value: if value.is_some() { ValueFile::Fixed } else { ValueFile::Host },
                }),
                Grant::Http(pattern) => http.push(pattern.to_string()),
                Grant::Kv { bucket, access } => kv.push(format!("{bucket}:{}", access.as_str())),
                Grant::Secret(grant) => secret.push(grant.to_string()),
            }
        }
        let imports = imports.iter().map(|import| import.interface.clone()).collect();
        let (plugin, digest) = (plugin.to_string(), digest.to_string());
        ApprovalFile { version: VERSION, plugin, digest, imports, http, kv, secret, dir, env }
    }

    /// The text of the file, with `remarks` for people at its head.
    pub(super) fn text(&self, remarks: &[String]) -> Outcomes<String> {
        let body = toml::to_string(self)
            .map_err(|error| Failure::App(AppError::unexpected("the approval was not written", error)))?;
        let head: String = remarks.iter().map(|line| format!("# {}\n", printable(line))).collect();
        Ok(format!("{head}\n{}", body.trim_end()))
    }
}

/// Reads an approval and looks for its folders on this machine.
pub(super) async fn read_approval(path: &Path) -> Outcomes<Approval> {
    let path = path.to_owned();
    let reading = tokio::task::spawn_blocking(move || read(&path));
    reading.await.map_err(|error| Failure::App(AppError::unexpected("the approval was not read", error)))?
}

fn read(path: &Path) -> Outcomes<Approval> {
    let shown = path.display();
    let fault = |what: &str, cause: String| {
        Failure::App(AppError::Invalid {
            what: format!("the approval `{shown}` {what}"),
            causes: vec![cause],
            hint: Some("`host plugins approve` writes such files".to_owned()),
        })
    };
    let open = |path: &Path| {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut std::io::Read::take(std::fs::File::open(path)?, FILE_BYTES_MAX), &mut text)?;
        Ok(text)
    };
    let text: String = open(path).map_err(|error: std::io::Error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            return Failure::App(
                AppError::not_found("file", &shown).with_hint("`host plugins approve` writes approvals"),
            );
        }
        fault("cannot be read", error.to_string())
    })?;
    parse(&text).and_then(approved).map_err(|failure| match failure {
        Fault::Form(cause) => fault("is not valid", cause),
        Fault::Folder(failure) => failure,
    })
}

/// Why a text is no approval that holds here.
#[derive(Debug)]
enum Fault {
    /// It is not written as one.
    Form(String),
    /// What it approves is not on this machine.
    Folder(Failure),
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Fault {
        Fault::Folder(failure)
    }
}

fn parse(text: &str) -> Result<ApprovalFile, Fault> {
    let file: ApprovalFile = toml::from_str(text).map_err(|error| Fault::Form(located(&error, text)))?;
    if file.version != VERSION {
        return Err(Fault::Form(format!("it has version {}, and this program reads {VERSION}", file.version)));
    }
    Ok(file)
}

fn approved(file: ApprovalFile) -> Result<Approval, Fault> {
    let plugin = file.plugin.parse().map_err(|error: crate::model::IdError| Fault::Form(error.to_string()))?;
    let digest = file.digest.parse::<Digest>().map_err(|error| Fault::Form(format!("digest: {error}")))?;
    let dirs = file.dir.into_iter().map(dir_grant);
    let variables = file.env.into_iter().map(|env| match env.value {
        ValueFile::Host => Ok(grant_env(&env.name, None)?),
        ValueFile::Fixed => Ok(grant_env(&env.name, Some(""))?),
    });
    let requests = file.http.into_iter().map(|pattern| Ok(grant_http(&pattern)?));
    let buckets = file.kv.into_iter().map(|text| Ok(read_kv_grant(&text)?));
    let secrets = file.secret.into_iter().map(|text| Ok(grant_secret(&text)?));
    let grants = dirs.chain(variables).chain(requests).chain(buckets).chain(secrets);
    let grants = grants.collect::<Outcomes<Vec<Grant>>>()?;
    Ok(Approval { plugin, digest, grants })
}

/// The folder that was approved, if that is what its path leads to here.
fn dir_grant(dir: DirFile) -> Outcomes<Grant> {
    let access = match dir.access {
        AccessFile::ReadOnly => DirAccess::ReadOnly,
        AccessFile::ReadWrite => DirAccess::ReadWrite,
    };
    if !dir.host.is_absolute() {
        let what = format!("the approved folder `{}` has no absolute path", dir.host.display());
        return Err(Failure::App(AppError::invalid(what)));
    }
    let quota = WriteQuota { bytes: dir.max_bytes, files: dir.max_files };
    let grant = grant_dir(&dir.host, &dir.guest, access, quota)?;
    match &grant {
        Grant::Dir { host, .. } if *host != dir.host => {
            let what = format!("the approved folder `{}` is `{}` on this machine", dir.host.display(), host.display());
            Err(Failure::App(AppError::refused(what).with_hint("have that one approved, or take the link away")))
        }
        _ => Ok(grant),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::grant_kv;
    use crate::model::KvAccess;

    fn read_text(text: &str) -> Result<Approval, String> {
        parse(text).and_then(approved).map_err(|fault| match fault {
            Fault::Form(cause) => cause,
            Fault::Folder(failure) => {
                let mut text = Vec::new();
                failure.print(&mut text).expect("a vector takes everything");
                String::from_utf8(text).expect("UTF-8")
            }
        })
    }

    #[test]
    fn what_was_written_is_read_back_without_the_values_of_variables() {
        let quota = WriteQuota { bytes: Some(1 << 30), files: Some(7) };
        let grants = vec![
            grant_dir(&std::env::temp_dir(), "odd \"name\"\\", DirAccess::ReadWrite, quota).expect("it exists"),
            grant_env("TOKEN", Some("secret")).expect("valid"),
            grant_env("TZ", None).expect("valid"),
            grant_kv("cursors", KvAccess::ReadWrite).expect("valid"),
        ];
        let (plugin, digest) = ("p".parse().expect("valid"), Digest::from_bytes([7; 32]));
        let import = Import { interface: "wasi:cli/stdout@0.2.6".to_owned(), by_adapter: false };
        let written = ApprovalFile::new(&plugin, &digest, &[import], &grants);
        let Ok(text) = written.text(&["a remark\nplugin = \"x\"".to_owned(), String::new()]) else { panic!("written") };
        assert!(!text.contains("secret"), "{text}");
        let approval = read_text(&text).expect("it is what was written");
        assert_eq!((&approval.plugin, &approval.digest), (&plugin, &digest));
        let mut expected = grants;
        expected[1] = grant_env("TOKEN", Some("")).expect("valid");
        assert_eq!(approval.grants, expected);
    }

    #[test]
    fn what_is_no_approval_is_refused_with_what_is_wrong() {
        let head = format!("version = 1\nplugin = \"p\"\ndigest = \"{}\"\n", "7".repeat(64));
        assert_eq!(read_text(&head).map(|approval| approval.grants), Ok(Vec::new()));
        for (text, mention) in [
            (String::new(), "missing field"),
            ("not TOML".to_owned(), "line 1, column 5"),
            (head.replace("version = 1", "version = 2"), "version 2"),
            (head.replace("plugin = \"p\"", "plugin = \"p p\""), "p p"),
            (head.replacen("77", "7g", 1), "digest"),
            (format!("{head}mail = []\n"), "unknown field `mail`"),
            (format!("{head}http = [\"nowhere\"]\n"), "no pattern of HTTP requests"),
            (format!("{head}kv = [\"a:rx\"]\n"), "no grant of a bucket"),
            (format!("{head}[[dir]]\nhost = \"/\"\nguest = \"a\"\naccess = \"rx\"\n"), "rx"),
            (format!("{head}[[dir]]\nhost = \"x\"\nguest = \"a\"\naccess = \"ro\"\n"), "no absolute path"),
            (format!("{head}[[dir]]\nhost = \"/no/such\"\nguest = \"a\"\naccess = \"ro\"\n"), "cannot be granted"),
            (format!("{head}[[env]]\nname = \"A\"\nvalue = \"secret\"\n"), "unknown variant"),
        ] {
            let said = read_text(&text).expect_err(&text);
            assert!(said.contains(mention), "{text}: {said}");
        }
    }
}
