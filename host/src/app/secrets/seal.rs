//! How a secret is sealed: ChaCha20-Poly1305 (RFC 8439) under a key of the host, bound to the name of the secret.
//!
//! ```text
//!   1 byte    the version of this form
//!   8 bytes   which key: the beginning of a digest of it
//!   12 bytes  a nonce, drawn for each value
//!   …         the sealed value, with its tag of 16 bytes
//! ```

use std::fmt;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use sha2::{Digest as _, Sha256};

use crate::app::{AppError, AppResult};
use crate::model::{SecretName, SecretValue};

/// How many bytes a key has.
pub(super) const KEY_BYTES: usize = 32;
const VERSION: u8 = 1;
const ID_BYTES: usize = 8;
const HEAD_BYTES: usize = 1 + ID_BYTES + NONCE_LEN;

/// Why a sealed value was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum OpenError {
    #[error("it was sealed under another key than this host has")]
    OtherKey,
    #[error("it was changed, or is not the one that was stored under this name")]
    Damaged,
    #[error("it has a form that this version does not know")]
    Newer,
}

/// A key. It shows which one it is and nothing else.
pub(super) struct SecretKey {
    key: LessSafeKey,
    id: [u8; ID_BYTES],
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl SecretKey {
    pub(super) fn new(bytes: &[u8; KEY_BYTES]) -> AppResult<SecretKey> {
        let key = UnboundKey::new(&CHACHA20_POLY1305, bytes)
            .map_err(|error| AppError::unexpected("the key of the secrets was not taken", error))?;
        let digest = Sha256::new().chain_update(b"key of secrets").chain_update(bytes).finalize();
        let mut id = [0; ID_BYTES];
        id.copy_from_slice(&digest[..ID_BYTES]);
        Ok(SecretKey { key: LessSafeKey::new(key), id })
    }

    pub(super) fn seal(&self, name: &SecretName, value: &[u8]) -> AppResult<Vec<u8>> {
        let failed = |error| AppError::unexpected("the secret was not sealed", error);
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(failed)?;
        let mut sealed = value.to_vec();
        let nonce_used = Nonce::assume_unique_for_key(nonce);
        self.key.seal_in_place_append_tag(nonce_used, bound_to(name), &mut sealed).map_err(failed)?;
        let mut whole = Vec::with_capacity(HEAD_BYTES + sealed.len());
        whole.push(VERSION);
        whole.extend_from_slice(&self.id);
        whole.extend_from_slice(&nonce);
        whole.extend_from_slice(&sealed);
        Ok(whole)
    }

    pub(super) fn open(&self, name: &SecretName, whole: &[u8]) -> Result<SecretValue, OpenError> {
        match whole.first() {
            Some(&VERSION) => {}
            Some(version) if *version > VERSION => return Err(OpenError::Newer),
            _ => return Err(OpenError::Damaged),
        }
        let (head, sealed) = whole.split_at_checked(HEAD_BYTES).ok_or(OpenError::Damaged)?;
        let (id, nonce) = head[1..].split_at(ID_BYTES);
        if id != self.id {
            return Err(OpenError::OtherKey);
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| OpenError::Damaged)?;
        let mut sealed = sealed.to_vec();
        let value = self.key.open_in_place(nonce, bound_to(name), &mut sealed).map_err(|_| OpenError::Damaged)?;
        Ok(SecretValue::new(&*value))
    }
}

/// A value that is stored under another name does not open.
fn bound_to(name: &SecretName) -> Aad<&[u8]> {
    Aad::from(name.as_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> SecretName {
        SecretName::new(text).expect("valid")
    }

    #[test]
    fn what_was_sealed_opens_under_its_key_and_name_and_under_no_other() {
        let (key, other) = (SecretKey::new(&[1; 32]).expect("a key"), SecretKey::new(&[2; 32]).expect("a key"));
        let sealed = key.seal(&name("token"), b"hunter2").expect("sealed");
        assert_eq!(key.open(&name("token"), &sealed).expect("opens").reveal(), b"hunter2");
        assert_eq!(key.open(&name("Token"), &sealed), Err(OpenError::Damaged));
        assert_eq!(other.open(&name("token"), &sealed), Err(OpenError::OtherKey));
        assert!(!sealed.windows(7).any(|window| window == b"hunter2"));
        assert_ne!(key.seal(&name("token"), b"hunter2").expect("sealed"), sealed, "a nonce is drawn each time");
    }

    #[test]
    fn whatever_bit_is_changed_nothing_opens() {
        let key = SecretKey::new(&[1; 32]).expect("a key");
        let sealed = key.seal(&name("token"), b"hunter2").expect("sealed");
        for at in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[at / 8] ^= 1 << (at % 8);
            assert!(key.open(&name("token"), &changed).is_err(), "bit {at}");
        }
        for length in 0..sealed.len() {
            assert!(key.open(&name("token"), &sealed[..length]).is_err(), "{length} bytes");
        }
        assert_eq!(key.open(&name("token"), &[VERSION + 1, 0, 0]), Err(OpenError::Newer));
    }

    #[test]
    fn a_key_shows_nothing_of_itself() {
        let shown = format!("{:?}", SecretKey::new(&[0xab; 32]).expect("a key"));
        assert!(!shown.contains("171, 171, 171"), "{shown}");
    }
}
