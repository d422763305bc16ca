//! Tokens: what they are compared by, and that of this machine, which is in a file that its user alone can read, who may then do everything.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::app::{AppError, AppResult};
use crate::files::{PrivateFile, ensure_private_folder, read_private_file, write_private_file};

const FILE: &str = "api-token";

/// Longest file: a token with its line end, and room for one that an operator has put there.
const FILE_BYTES_MAX: u64 = 1024;

/// Shortest token that is taken from a file, in bytes: one that can be guessed protects nothing.
const TOKEN_BYTES_MIN: usize = 32;

/// The token of this machine.
pub(super) struct LocalToken {
    pub(super) path: PathBuf,
    pub(super) hash: TokenHash,
}

impl LocalToken {
    /// The token in that folder, made where there is none. One that others were able to read gives way to a new one.
    ///
    /// # Errors
    /// The file cannot be read or made, or is not what it should be.
    pub(super) fn find(data_dir: &Path) -> AppResult<LocalToken> {
        let path = data_dir.join(FILE);
        let unusable = |error: std::io::Error| AppError::Unreachable {
            what: format!("the token in `{}` cannot be used", path.display()),
            hint: Some("remove the file, and a new token is made".to_owned()),
            source: Some(Arc::new(error)),
        };
        ensure_private_folder(data_dir).map_err(unusable)?;
        loop {
            match read_private_file(&path, FILE_BYTES_MAX).map_err(unusable)? {
                PrivateFile::Kept(content) => {
                    let token = content.trim_ascii();
                    if token.len() < TOKEN_BYTES_MIN {
                        let short = format!("it has fewer than {TOKEN_BYTES_MIN} bytes");
                        return Err(unusable(std::io::Error::other(short)));
                    }
                    return Ok(LocalToken { hash: hash_of(token), path });
                }
                PrivateFile::Exposed => {
                    std::fs::remove_file(&path).map_err(unusable)?;
                    tracing::warn!(file = %path.display(), "others were able to read the token of this machine; it is replaced");
                }
                PrivateFile::Absent => {
                    // Another process may be faster; then its token is read.
                    write_private_file(&path, format!("{}\n", fresh_token()?).as_bytes()).map_err(unusable)?;
                }
            }
        }
    }
}

/// What is compared and kept in place of a token.
pub(super) type TokenHash = [u8; 32];

pub(super) fn hash_of(token: &[u8]) -> TokenHash {
    Sha256::digest(token).into()
}

/// Compares in the same time wherever the two differ.
pub(super) fn same_hash(a: &TokenHash, b: &TokenHash) -> bool {
    black_box(a.iter().zip(b).fold(0, |differences, (a, b)| differences | (a ^ b))) == 0
}

/// A token that nobody can guess. What it begins with lets those who look for leaked secrets know it for one.
fn fresh_token() -> AppResult<String> {
    Ok(format!("host_{}", random_hex()?))
}

/// 256 random bits in hexadecimal digits.
pub(super) fn random_hex() -> AppResult<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| AppError::unexpected("the system gives no random bytes", error))?;
    Ok(bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}")))
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
}
