//! The token of this machine, which is in a file that its user alone can read, who may then do everything.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::app::{AppError, AppResult, TokenHash, fresh_token, hash_of};
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
