//! The JSON forms of what a plugin imports, may do and offers. What [`crate::encoding`] says of forms holds here as well.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::defect::Defect;
use crate::encoding::{Encode, SettingsEncoded};
use crate::model::{
    BucketName, DirAccess, FolderIdentity, Grant, HttpPatternError, Import, KvAccess, SecretGrant, SecretName,
    Settings, TaskDeclaration, TaskName, Timestamp, WriteQuota,
};

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct DeclarationEncoded {
    name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    args_schema: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    result_schema: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    example_args: Option<String>,
    settings: SettingsEncoded,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "right", rename_all = "snake_case")]
pub(in crate::store) enum GrantEncoded {
    Dir {
        host: String,
        guest: String,
        writable: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        identity: Option<FolderIdentityEncoded>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_bytes: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_files: Option<u64>,
        #[serde(flatten)]
        more: Map<String, Value>,
    },
    Env {
        name: String,
        value: Option<String>,
        #[serde(flatten)]
        more: Map<String, Value>,
    },
    Http {
        /// As the flag takes it.
        pattern: String,
        #[serde(flatten)]
        more: Map<String, Value>,
    },
    Kv {
        bucket: String,
        writable: bool,
        #[serde(flatten)]
        more: Map<String, Value>,
    },
    Secret {
        name: String,
        reveal: bool,
        /// As the flag takes it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        requests: Option<String>,
        #[serde(flatten)]
        more: Map<String, Value>,
    },
    #[serde(other)]
    Unknown,
}

/// Which folder was granted. Its birth is in microseconds since 1970.
#[derive(Serialize, Deserialize)]
pub(in crate::store) struct FolderIdentityEncoded {
    machine: String,
    device: u64,
    inode: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    born: Option<i64>,
    #[serde(flatten)]
    more: Map<String, Value>,
}

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct ImportEncoded {
    interface: String,
    by_adapter: bool,
}

/// What a version of a plugin imports, may do and offers.
#[derive(Debug, PartialEq)]
pub(in crate::store) struct Details {
    pub(in crate::store) imports: Vec<Import>,
    pub(in crate::store) grants: Vec<Grant>,
    pub(in crate::store) tasks: Vec<TaskDeclaration>,
}

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct DetailsEncoded {
    imports: Vec<ImportEncoded>,
    grants: Vec<GrantEncoded>,
    tasks: Vec<DeclarationEncoded>,
}

impl Encode for Details {
    type Encoded = DetailsEncoded;

    fn encoded(&self) -> DetailsEncoded {
        let import =
            |import: &Import| ImportEncoded { interface: import.interface.clone(), by_adapter: import.by_adapter };
        let task = |task: &TaskDeclaration| DeclarationEncoded {
            name: task.name.to_string(),
            description: task.description.clone(),
            args_schema: task.args_schema.clone(),
            result_schema: task.result_schema.clone(),
            example_args: task.example_args.clone(),
            settings: task.settings.encoded(),
        };
        DetailsEncoded {
            imports: self.imports.iter().map(import).collect(),
            grants: self.grants.iter().map(grant).collect(),
            tasks: self.tasks.iter().map(task).collect(),
        }
    }

    fn decode(form: DetailsEncoded) -> Result<Details, Defect> {
        let task = |form: DeclarationEncoded| {
            Ok::<_, Defect>(TaskDeclaration {
                name: TaskName::new(&form.name).map_err(|error| Defect::damaged(error.to_string()))?,
                description: form.description,
                args_schema: form.args_schema,
                result_schema: form.result_schema,
                example_args: form.example_args,
                settings: Settings::decode(form.settings)?,
            })
        };
        let import = |form: ImportEncoded| Import { interface: form.interface, by_adapter: form.by_adapter };
        Ok(Details {
            imports: form.imports.into_iter().map(import).collect(),
            grants: form.grants.into_iter().map(granted).collect::<Result<_, _>>()?,
            tasks: form.tasks.into_iter().map(task).collect::<Result<_, _>>()?,
        })
    }
}

fn grant(grant: &Grant) -> GrantEncoded {
    match grant {
        Grant::Dir { host, guest, access, identity, quota } => GrantEncoded::Dir {
            // A folder whose path is no Unicode cannot be granted.
            host: host.to_string_lossy().into_owned(),
            guest: guest.clone(),
            writable: *access == DirAccess::ReadWrite,
            identity: identity.as_ref().map(|identity| FolderIdentityEncoded {
                machine: identity.machine.clone(),
                device: identity.device,
                inode: identity.inode,
                born: identity.born.map(Timestamp::as_micros),
                more: Map::new(),
            }),
            max_bytes: quota.bytes,
            max_files: quota.files,
            more: Map::new(),
        },
        Grant::Env { name, value } => GrantEncoded::Env { name: name.clone(), value: value.clone(), more: Map::new() },
        Grant::Http(pattern) => GrantEncoded::Http { pattern: pattern.to_string(), more: Map::new() },
        Grant::Kv { bucket, access } => {
            GrantEncoded::Kv { bucket: bucket.to_string(), writable: *access == KvAccess::ReadWrite, more: Map::new() }
        }
        Grant::Secret(SecretGrant { name, reveal, requests }) => GrantEncoded::Secret {
            name: name.to_string(),
            reveal: *reveal,
            requests: requests.as_ref().map(ToString::to_string),
            more: Map::new(),
        },
    }
}

fn granted(form: GrantEncoded) -> Result<Grant, Defect> {
    let all_known = |more: &Map<String, Value>| match more.keys().next() {
        Some(field) => Err(Defect::unknown("field of a grant", field)),
        None => Ok(()),
    };
    Ok(match form {
        GrantEncoded::Dir { host, guest, writable, identity, max_bytes, max_files, more } => {
            all_known(&more)?;
            identity.iter().try_for_each(|identity| all_known(&identity.more))?;
            let access = if writable { DirAccess::ReadWrite } else { DirAccess::ReadOnly };
            let identity = identity.map(|identity| FolderIdentity {
                machine: identity.machine,
                device: identity.device,
                inode: identity.inode,
                born: identity.born.and_then(Timestamp::from_micros),
            });
            Grant::Dir {
                host: host.into(),
                guest,
                access,
                identity,
                quota: WriteQuota { bytes: max_bytes, files: max_files },
            }
        }
        GrantEncoded::Env { name, value, more } => {
            all_known(&more)?;
            Grant::Env { name, value }
        }
        GrantEncoded::Http { pattern, more } => {
            all_known(&more)?;
            let pattern = pattern.parse().map_err(|error: HttpPatternError| Defect::damaged(error.to_string()))?;
            Grant::Http(pattern)
        }
        GrantEncoded::Kv { bucket, writable, more } => {
            all_known(&more)?;
            let bucket = BucketName::new(&bucket).map_err(|error| Defect::damaged(error.to_string()))?;
            Grant::Kv { bucket, access: if writable { KvAccess::ReadWrite } else { KvAccess::ReadOnly } }
        }
        GrantEncoded::Secret { name, reveal, requests, more } => {
            all_known(&more)?;
            let name = SecretName::new(&name).map_err(|error| Defect::damaged(error.to_string()))?;
            let requests = requests.map(|pattern| pattern.parse()).transpose();
            let requests = requests.map_err(|error: HttpPatternError| Defect::damaged(error.to_string()))?;
            Grant::Secret(SecretGrant { name, reveal, requests })
        }
        GrantEncoded::Unknown => return Err(Defect::newer("unknown kind of grant")),
    })
}
