//! Rights that an operator gives to a plugin, checked when they are given.

use std::path::Path;

use super::{AppError, AppResult};
use crate::config::units::parse_size;
use crate::config::words::parse_count;
use crate::files::{identity_of, open_folder};
use crate::model::limits::{HTTP_PATTERNS_MAX, KV_BUCKETS_MAX, SECRETS_GRANTED_MAX};
use crate::model::{
    BucketName, DirAccess, Grant, HttpPattern, HttpPatternError, KvAccess, SecretGrant, SecretName, WriteQuota,
};

/// Longest name of a folder inside a guest, or of a variable, in bytes.
const NAME_BYTES_MAX: usize = 4_096;

/// The right to a folder. It must exist now, and is remembered by its real, absolute path and by its identity: neither where the host is
/// started nor what somebody puts in its place later changes what was granted.
///
/// # Errors
/// [`AppError::Invalid`] where there is no such folder, it cannot be read, or the name inside the guest is not usable.
pub fn grant_dir(host: &Path, guest: &str, access: DirAccess, quota: WriteQuota) -> AppResult<Grant> {
    let shown = host.display();
    if guest.is_empty() || guest.len() > NAME_BYTES_MAX || guest.chars().any(char::is_control) {
        return Err(AppError::invalid(format!("`{guest}` cannot be the name of a folder inside a plugin")));
    }
    let real = std::fs::canonicalize(host).map_err(|error| AppError::Invalid {
        what: format!("the folder `{shown}` cannot be granted"),
        causes: vec![error.to_string()],
        hint: Some("a folder must exist before it is granted".to_owned()),
    })?;
    if !real.is_dir() {
        return Err(AppError::invalid(format!("`{shown}` cannot be granted: it is not a folder"))
            .with_hint("grant the folder that holds the file"));
    }
    if real.to_str().is_none() {
        return Err(AppError::invalid(format!("`{}` cannot be granted: its path is not UTF-8", real.display()))
            .with_hint("rename the folder, or mount it elsewhere"));
    }
    let opened = open_folder(&real).and_then(|folder| Ok(identity_of(&folder)?));
    let identity = opened.map_err(|error| AppError::Invalid {
        what: format!("the folder `{shown}` cannot be granted"),
        causes: vec![error.to_string()],
        hint: Some("grant a folder that the user of the host may read".to_owned()),
    })?;
    Ok(Grant::Dir { host: real, guest: guest.to_owned(), access, identity: Some(identity), quota })
}

/// The right to an environment variable: with the value given, or with the one that the host process has when a job runs.
///
/// # Errors
/// [`AppError::Invalid`] where the name cannot be one.
pub fn grant_env(name: &str, value: Option<&str>) -> AppResult<Grant> {
    let is_bad = |text: &str| text.contains('\0') || text.len() > NAME_BYTES_MAX;
    if name.is_empty() || name.contains('=') || is_bad(name) || value.is_some_and(is_bad) {
        return Err(AppError::invalid(format!("`{name}` cannot be an environment variable")));
    }
    Ok(Grant::Env { name: name.to_owned(), value: value.map(str::to_owned) })
}

/// The right to HTTP requests: `[METHODS ]URL-PATTERN`.
///
/// # Errors
/// [`AppError::Invalid`] where the text is no pattern.
pub fn grant_http(text: &str) -> AppResult<Grant> {
    let pattern: HttpPattern = text.parse().map_err(|error: HttpPatternError| {
        AppError::invalid(error.to_string()).with_hint(
            "write it like https://api.example.com, 'GET,HEAD https://*.example.com/v1' or http://10.0.0.7:8080",
        )
    })?;
    Ok(Grant::Http(pattern))
}

/// The right to a secret: `NAME[:reveal][ [METHODS ]URL-PATTERN]`.
///
/// # Errors
/// [`AppError::Invalid`] where the text is no such right.
pub fn grant_secret(text: &str) -> AppResult<Grant> {
    let (secret, requests) = match text.split_once(' ') {
        None => (text, None),
        Some((secret, pattern)) => (secret, Some(pattern.trim_start())),
    };
    let (name, reveal) = match secret.split_once(':') {
        None => (secret, false),
        Some((name, "reveal")) => (name, true),
        Some(_) => {
            return Err(AppError::invalid(format!("`{text}` is no grant of a secret"))
                .with_hint("write it like api-token, 'api-token https://api.example.com' or api-token:reveal"));
        }
    };
    let name = SecretName::new(name).map_err(|error| AppError::invalid(error.to_string()))?;
    let requests = requests.map(|pattern| {
        pattern.parse().map_err(|error: HttpPatternError| {
            AppError::invalid(error.to_string())
                .with_hint("after the name come the requests that it may go with, like https://api.example.com/v1")
        })
    });
    Ok(Grant::Secret(SecretGrant { name, reveal, requests: requests.transpose()? }))
}

/// The right to a bucket of keys and values.
///
/// # Errors
/// [`AppError::Invalid`] where the name cannot be one, or is the host's own.
pub fn grant_kv(bucket: &str, access: KvAccess) -> AppResult<Grant> {
    let bucket = BucketName::new(bucket).map_err(|error| AppError::invalid(error.to_string()))?;
    if bucket.is_reserved() {
        return Err(AppError::invalid(format!("bucket `{bucket}` cannot be granted: it is the host's own"))
            .with_hint("a name that does not begin with `host.` can; secrets are granted with --allow-secret"));
    }
    Ok(Grant::Kv { bucket, access })
}

/// Refuses rights that contradict each other.
///
/// # Errors
/// [`AppError::Invalid`] where two of them stand for the same thing.
pub fn check_grants(grants: &[Grant]) -> AppResult<()> {
    for (at, grant) in grants.iter().enumerate() {
        if grants[..at].iter().any(|other| grant.clashes_with(other)) {
            let name = match grant {
                Grant::Dir { guest, .. } => format!("folder `{guest}`"),
                Grant::Env { name, .. } => format!("variable `{name}`"),
                Grant::Http(pattern) => format!("right to `{pattern}`"),
                Grant::Kv { bucket, .. } => format!("bucket `{bucket}`"),
                Grant::Secret(secret) => format!("secret `{}`", secret.name),
            };
            return Err(AppError::invalid(format!("the {name} is granted twice")));
        }
    }
    let patterns = grants.iter().filter(|grant| matches!(grant, Grant::Http(_))).count();
    if patterns > HTTP_PATTERNS_MAX {
        let what = format!("{patterns} patterns of HTTP requests are granted; a plugin may have {HTTP_PATTERNS_MAX}");
        return Err(AppError::invalid(what).with_hint("`https://*.example.com` stands for all names below example.com"));
    }
    let buckets = grants.iter().filter(|grant| matches!(grant, Grant::Kv { .. })).count();
    if buckets > KV_BUCKETS_MAX {
        return Err(AppError::invalid(format!("{buckets} buckets are granted; a plugin may have {KV_BUCKETS_MAX}")));
    }
    let secrets = grants.iter().filter(|grant| matches!(grant, Grant::Secret(_))).count();
    if secrets > SECRETS_GRANTED_MAX {
        let what = format!("{secrets} secrets are granted; a plugin may have {SECRETS_GRANTED_MAX}");
        return Err(AppError::invalid(what));
    }
    Ok(())
}

/// The right to a bucket, as the flag has it: `BUCKET[:ro|rw]`.
///
/// # Errors
/// [`AppError::Invalid`] where the text has another form, and as [`grant_kv`].
pub fn read_kv_grant(text: &str) -> AppResult<Grant> {
    let (bucket, access) = match text.rsplit_once(':') {
        None => (text, KvAccess::ReadOnly),
        Some((bucket, "ro")) => (bucket, KvAccess::ReadOnly),
        Some((bucket, "rw")) => (bucket, KvAccess::ReadWrite),
        Some(_) => {
            return Err(AppError::invalid(format!("`{text}` is no grant of a bucket"))
                .with_hint("write it like cursors:ro or cursors:rw"));
        }
    };
    grant_kv(bucket, access)
}

/// The right to a variable, as the flag has it: `NAME[=VALUE]`.
///
/// # Errors
/// As [`grant_env`].
pub fn read_env_grant(text: &str) -> AppResult<Grant> {
    match text.split_once('=') {
        Some((name, value)) => grant_env(name, Some(value)),
        None => grant_env(text, None),
    }
}

/// The right to a folder, as the flag has it: `HOST::GUEST[:ro|rw]`, with what one attempt may write behind `rw`.
///
/// # Errors
/// [`AppError::Invalid`] where the text has another form, and as [`grant_dir`].
pub fn read_dir_grant(text: &str) -> AppResult<Grant> {
    let form = || {
        AppError::invalid(format!("`{text}` is no grant of a folder"))
            .with_hint("write it like /srv/in::in:ro, ./out::out:rw or ./out::out:rw,max=1GiB,files=1000")
    };
    let (host, guest) = text.split_once("::").ok_or_else(form)?;
    let (guest, (access, quota)) = match guest.rsplit_once(':') {
        Some((guest, access)) => (guest, dir_access(access).ok_or_else(form)?),
        None => (guest, (DirAccess::ReadOnly, WriteQuota::default())),
    };
    if host.is_empty() || guest.is_empty() {
        return Err(form());
    }
    grant_dir(Path::new(host), guest, access, quota)
}

/// `ro`, or `rw` with what one attempt may write.
fn dir_access(text: &str) -> Option<(DirAccess, WriteQuota)> {
    let mut parts = text.split(',');
    let access = match parts.next()? {
        "ro" => DirAccess::ReadOnly,
        "rw" => DirAccess::ReadWrite,
        _ => return None,
    };
    let mut quota = WriteQuota::default();
    for part in parts {
        let slot = match (access, part.split_once('=')?) {
            (DirAccess::ReadWrite, ("max", size)) => quota.bytes.replace(parse_size(size).ok()?),
            (DirAccess::ReadWrite, ("files", count)) => quota.files.replace(parse_count(count).ok()?),
            _ => return None,
        };
        if slot.is_some() {
            return None;
        }
    }
    Some((access, quota))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_cannot_be_granted() {
        let error = grant_dir(Path::new("/no/such/folder"), "in", DirAccess::ReadOnly, WriteQuota::default())
            .expect_err("missing");
        assert!(matches!(error, AppError::Invalid { .. }), "{error}");
    }

    #[test]
    fn a_granted_folder_is_remembered_by_its_real_path() {
        let dir = std::env::temp_dir();
        let Ok(Grant::Dir { host, .. }) = grant_dir(&dir.join("."), "in", DirAccess::ReadOnly, WriteQuota::default())
        else {
            panic!("the folder for temporary files exists");
        };
        assert_eq!(host, dir.canonicalize().expect("exists"));
    }

    #[test]
    fn two_folders_under_one_name_are_refused() {
        let dir = grant_dir(&std::env::temp_dir(), "in", DirAccess::ReadOnly, WriteQuota::default()).expect("exists");
        assert!(check_grants(&[dir.clone(), dir]).is_err());
    }

    #[test]
    fn a_folder_grant_is_read_only_unless_it_says_otherwise() {
        let temp = std::env::temp_dir();
        let access = |suffix: &str| match read_dir_grant(&format!("{}::in{suffix}", temp.display())) {
            Ok(Grant::Dir { access, guest, .. }) => Some((guest, access)),
            _ => None,
        };
        assert_eq!(access(""), Some(("in".to_owned(), DirAccess::ReadOnly)));
        assert_eq!(access(":rw"), Some(("in".to_owned(), DirAccess::ReadWrite)));
        assert_eq!(access(":rx"), None);
        let quota = |suffix: &str| match read_dir_grant(&format!("{}::in{suffix}", temp.display())) {
            Ok(Grant::Dir { quota, .. }) => Some((quota.bytes, quota.files)),
            _ => None,
        };
        assert_eq!(quota(":rw,max=1GiB,files=10"), Some((Some(1 << 30), Some(10))));
        assert_eq!(quota(":rw,files=1_000"), Some((None, Some(1000))));
        for bad in [":ro,max=1GiB", ":rw,max=1GiB,max=2GiB", ":rw,max", ":rw,size=1", ":rw,"] {
            assert_eq!(quota(bad), None, "{bad}");
        }
        assert!(read_dir_grant("/tmp:in").is_err());
    }
}
