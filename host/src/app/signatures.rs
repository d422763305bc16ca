//! Signatures of components, in the format of minisign: who vouches for a version of a plugin.
//!
//! A signature is kept in the store under the digest of its component, in a bucket of the host's own. What it is worth, each host decides by
//! the keys that it trusts itself: whoever can write to the store cannot make such a host run code that none of these keys has signed.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use minisign_verify::{PublicKey, Signature};

use super::plugins::digest_of;
use super::{App, AppError, AppResult};
use crate::model::limits::SIGNATURE_BYTES_MAX;
use crate::model::{BucketName, Digest, KvKey, KvWrite, KvWrites, PluginName};
use crate::store::{GetKv, Store, WriteKv};

/// Longest file of keys, in bytes.
const KEYS_BYTES_MAX: u64 = 64 << 10;
/// How large all signatures of a store may be together.
const ALL_BYTES_MAX: u64 = 64 << 20;

/// What every line of a public key's file that is no key begins with.
const COMMENT: &str = "untrusted comment:";

/// The keys that a host trusts. It registers and runs only what one of them has signed.
pub struct TrustedKeys {
    keys: Vec<(String, PublicKey)>,
}

/// Who has signed a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// The name of the key where it is trusted.
    pub name: String,
    /// What the signer wrote into the signature.
    pub comment: String,
}

impl TrustedKeys {
    /// Reads a file of keys: one a line, after a name if it has one, as `minisign -G` prints it. Lines that begin with `#` or `untrusted comment:`
    /// are left out, so that a public key's own file is one as well.
    ///
    /// # Errors
    /// [`AppError::Invalid`] where the file cannot be read or holds no key, a line is none, or a name or a key comes twice.
    pub fn read(file: &Path) -> AppResult<TrustedKeys> {
        let invalid = |cause: String| AppError::Invalid {
            what: format!("the file of trusted keys `{}` cannot be used", file.display()),
            causes: vec![cause],
            hint: Some("it has one public key of minisign a line: `[NAME ]RW…`".to_owned()),
        };
        let size = std::fs::metadata(file).map_err(|error| invalid(error.to_string()))?.len();
        if size > KEYS_BYTES_MAX {
            return Err(invalid(format!("it has {size} bytes, and may have {KEYS_BYTES_MAX}")));
        }
        let text = std::fs::read_to_string(file).map_err(|error| invalid(error.to_string()))?;
        let keys = parse(&text).map_err(invalid)?;
        Ok(TrustedKeys { keys })
    }

    /// Who has signed `component`. It is read whole, so this is no work for a thread of the runtime.
    fn signer(&self, component: &[u8], signature: &Signature) -> Option<Signer> {
        // Of another key's signature nothing but its key's number is read.
        let of = |(_, key): &&(String, PublicKey)| key.verify(component, signature, false).is_ok();
        let (name, _) = self.keys.iter().find(of)?;
        Some(Signer { name: name.clone(), comment: signature.trusted_comment().to_owned() })
    }

    /// Who has signed a component, if it is the one of that digest and the signature that is stored for it holds.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn signer_of_stored(
        self: &Arc<TrustedKeys>,
        store: &dyn Store,
        digest: &Digest,
    ) -> AppResult<Option<Signer>> {
        let Some(signature) = stored(store, digest).await? else { return Ok(None) };
        let Some(component) = store.plugin_bytes(digest).await? else { return Ok(None) };
        if digest_of(component.clone()).await? != *digest {
            return Ok(None);
        }
        self.check(component, signature).await
    }

    async fn check(self: &Arc<TrustedKeys>, component: Vec<u8>, signature: String) -> AppResult<Option<Signer>> {
        let keys = Arc::clone(self);
        let checking = tokio::task::spawn_blocking(move || {
            // A signature that is none is worth as much as that of a stranger.
            let signature = Signature::decode(&signature).ok()?;
            keys.signer(&component, &signature)
        });
        checking.await.map_err(|error| AppError::unexpected("the signature was not checked", error))
    }
}

fn parse(text: &str) -> Result<Vec<(String, PublicKey)>, String> {
    let mut keys: Vec<(String, PublicKey)> = Vec::new();
    let mut names = HashSet::new();
    for (number, line) in text.lines().enumerate() {
        let (number, line) = (number + 1, line.trim());
        if line.is_empty() || line.starts_with('#') || line.starts_with(COMMENT) {
            continue;
        }
        let (name, key) = line.rsplit_once(char::is_whitespace).unwrap_or(("", line));
        // The key itself is not repeated: somebody may have pasted the secret one.
        let parsed = PublicKey::from_base64(key).map_err(|error| format!("line {number} ends with no key: {error}"))?;
        let name = match name.trim() {
            "" => key.chars().take(12).chain(['…']).collect(),
            name => name.to_owned(),
        };
        if name.chars().any(char::is_control) {
            return Err(format!("the name in line {number} has control characters"));
        }
        if !names.insert(name.clone()) {
            return Err(format!("line {number} has the name `{name}` once more"));
        }
        if keys.iter().any(|(_, known)| *known == parsed) {
            return Err(format!("line {number} has a key that is there already"));
        }
        keys.push((name, parsed));
    }
    if keys.is_empty() { Err("it holds no key".to_owned()) } else { Ok(keys) }
}

fn key_of(digest: &Digest) -> AppResult<KvKey> {
    KvKey::new(&digest.to_string()).map_err(|error| AppError::unexpected("a digest is no key of a value", error))
}

/// The signature that is stored for a component.
async fn stored(store: &dyn Store, digest: &Digest) -> AppResult<Option<String>> {
    let entry = store.kv_get(GetKv { bucket: BucketName::of_signatures(), key: key_of(digest)? }).await?;
    Ok(entry.and_then(|entry| String::from_utf8(entry.value.to_vec()).ok()))
}

impl App {
    /// These operations, but only components that one of these keys has signed are registered or made current.
    #[must_use]
    pub fn trusting(self, keys: Arc<TrustedKeys>) -> App {
        App { trusted_keys: Some(keys), ..self }
    }

    /// A sentence about the signature of a component that is to be registered, if there is anything to say.
    ///
    /// # Errors
    /// [`AppError::Invalid`] where `signature` is none; [`AppError::Refused`] where this host trusts keys and none of them has signed the component.
    pub(super) async fn check_signature(
        &self,
        name: &PluginName,
        component: &[u8],
        signature: Option<&str>,
    ) -> AppResult<Option<String>> {
        if let Some(signature) = signature {
            check_form(signature)?;
        }
        let Some(keys) = &self.trusted_keys else {
            let unchecked =
                "its signature was not checked, as this host trusts no keys; `--trusted-keys FILE` names them";
            return Ok(signature.map(|_| unchecked.to_owned()));
        };
        let signer = match signature {
            Some(signature) => keys.check(component.to_vec(), signature.to_owned()).await?,
            None => match stored(&*self.store, &digest_of(component.to_vec()).await?).await? {
                Some(signature) => keys.check(component.to_vec(), signature).await?,
                None => {
                    let what = format!("plugin `{name}` cannot be registered: the component is not signed");
                    return Err(AppError::refused(what)
                        .with_hint("`minisign -Sm FILE` signs it; name the signature with --signature"));
                }
            },
        };
        match signer {
            Some(Signer { name, comment }) => Ok(Some(format!("signed by `{name}`: {comment}"))),
            None => {
                let what = format!(
                    "plugin `{name}` cannot be registered: no key that this host trusts has signed the component"
                );
                Err(AppError::refused(what)
                    .with_hint("compare the signature with the component, and its key with those of --trusted-keys"))
            }
        }
    }

    /// That a version which is stored may be made current.
    ///
    /// # Errors
    /// [`AppError::Refused`] where this host trusts keys and none of them has signed it.
    pub(super) async fn check_stored_signature(&self, name: &PluginName, digest: &Digest) -> AppResult<()> {
        match self.signature_fault(digest).await? {
            None => Ok(()),
            Some(fault) => {
                let what = format!("version {digest} of plugin `{name}` cannot be made current: {fault}");
                Err(AppError::refused(what).with_hint("register it again with --signature"))
            }
        }
    }

    /// What is wrong with the signature of a stored version, for a host that trusts keys.
    pub(super) async fn signature_fault(&self, digest: &Digest) -> AppResult<Option<String>> {
        let Some(keys) = &self.trusted_keys else { return Ok(None) };
        let signer = keys.signer_of_stored(&*self.store, digest).await?;
        Ok(signer.is_none().then(|| "no key that this host trusts has signed it".to_owned()))
    }

    /// Stores the signature of a component. Before the component, so that no host that follows at once finds it unsigned.
    pub(super) async fn keep_signature(&self, digest: &Digest, signature: &str) -> AppResult<()> {
        let write = KvWrite {
            bucket: BucketName::of_signatures(),
            key: key_of(digest)?,
            value: Some(Arc::from(signature.as_bytes())),
            expected: None,
        };
        let writes = KvWrites { writes: vec![write], bucket_bytes_max: ALL_BYTES_MAX };
        Ok(self.store.kv_write(WriteKv { now: self.now().await?, writes }).await?)
    }
}

fn check_form(signature: &str) -> AppResult<()> {
    let invalid = |cause: String| AppError::Invalid {
        what: "the signature is none of minisign".to_owned(),
        causes: vec![cause],
        hint: Some("`minisign -Sm FILE` writes FILE.minisig".to_owned()),
    };
    if signature.len() > SIGNATURE_BYTES_MAX {
        return Err(invalid(format!("it has {} bytes, and may have {SIGNATURE_BYTES_MAX}", signature.len())));
    }
    Signature::decode(signature).map(drop).map_err(|error| invalid(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

    fn names(text: &str) -> Result<Vec<String>, String> {
        parse(text).map(|keys| keys.into_iter().map(|(name, _)| name).collect())
    }

    #[test]
    fn a_file_of_keys_is_what_minisign_writes_or_names_before_keys() {
        assert_eq!(
            names(&format!("untrusted comment: minisign public key\n{KEY}\n")),
            Ok(vec!["RWQf6LRCGA9i…".to_owned()])
        );
        assert_eq!(
            names(&format!("# ours\n\n  the build server \t{KEY}  \r\n")),
            Ok(vec!["the build server".to_owned()])
        );
    }

    #[test]
    fn a_file_that_holds_no_keys_or_one_twice_is_refused_with_the_line() {
        assert_eq!(names("# nobody\n"), Err("it holds no key".to_owned()));
        assert!(names(&format!("a {KEY}\nb RWQ=")).is_err_and(|error| error.starts_with("line 2 ends with no key")));
        assert_eq!(names(&format!("a {KEY}\nb {KEY}")), Err("line 2 has a key that is there already".to_owned()));
        let secret = names("RWRTY0IyVeryMuchASecret").expect_err("it is no key");
        assert!(!secret.contains("Secret"), "{secret}");
    }
}
