//! The texts of tokens, and the hashes that are kept in their place.

use std::hint::black_box;

use sha2::{Digest as _, Sha256};

use crate::app::{AppError, AppResult};

/// What is compared and kept in place of a token.
///
/// One round of SHA-256 is enough, and no hash that is slow on purpose: such a hash is for passwords, which are few enough to be tried one
/// after the other. A token has 256 random bits, and whoever reads its hash does not find it by trying, however fast a try is.
pub(crate) type TokenHash = [u8; 32];

/// What every token begins with. It lets those who look for leaked secrets know one.
const PREFIX: &str = "host_";

/// Random bytes of a token.
const RANDOM_BYTES: usize = 32;

pub(crate) fn hash_of(token: &[u8]) -> TokenHash {
    Sha256::digest(token).into()
}

/// Compares in the same time wherever the two differ.
pub(crate) fn same_hash(a: &TokenHash, b: &TokenHash) -> bool {
    black_box(a.iter().zip(b).fold(0, |differences, (a, b)| differences | (a ^ b))) == 0
}

/// A token that nobody can guess.
///
/// # Errors
/// The system gives no random bytes.
pub(crate) fn fresh_token() -> AppResult<String> {
    Ok(format!("{PREFIX}{}", random_hex()?))
}

/// 256 random bits in hexadecimal digits.
///
/// # Errors
/// The system gives no random bytes.
pub(crate) fn random_hex() -> AppResult<String> {
    let mut bytes = [0; RANDOM_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| AppError::unexpected("the system gives no random bytes", error))?;
    Ok(bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}")))
}

/// Whether a text looks like one of [`fresh_token`]. What does not is none, without anybody looking.
pub(super) fn is_token(text: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    text.strip_prefix(PREFIX.as_bytes())
        .is_some_and(|digits| digits.len() == 2 * RANDOM_BYTES && digits.iter().all(is_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_the_same_where_every_bit_is() {
        let hash = hash_of(b"token");
        assert!(same_hash(&hash, &hash_of(b"token")));
        for bit in 0..256 {
            let mut other = hash;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!same_hash(&hash, &other), "bit {bit}");
        }
    }

    #[test]
    fn a_token_looks_like_one_and_nothing_else_does() {
        let token = fresh_token().expect("chance");
        assert!(is_token(token.as_bytes()));
        assert_ne!(fresh_token().expect("chance"), token);
        for other in [&token[1..], &token[..token.len() - 1], &format!("{token}0"), &token.to_uppercase(), ""] {
            assert!(!is_token(other.as_bytes()), "{other}");
        }
    }
}
