//! What is stored of a token.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::TokenInfo;
use super::text::TokenHash;
use crate::model::{Permission, Permissions, Timestamp, TokenName};
use crate::store::Defect;

/// The version of [`Stored`]. A record of a later one is left to the program that wrote it.
const VERSION: u64 = 1;

/// A token, without its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(super) hash: TokenHash,
    pub(crate) info: TokenInfo,
}

/// The stored form, in JSON. Times are microseconds since 1970.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u64,
    /// SHA-256 of the text, in hexadecimal digits.
    sha256: String,
    permissions: Vec<String>,
    created_at: i64,
    expires_at: Option<i64>,
    last_used_at: Option<i64>,
}

impl Token {
    /// The stored form.
    pub(super) fn encoded(&self) -> Vec<u8> {
        let stored = Stored {
            version: VERSION,
            sha256: self.hash.iter().map(|byte| format!("{byte:02x}")).collect(),
            permissions: self.info.permissions.iter().map(|permission| permission.to_string()).collect(),
            created_at: self.info.created_at.as_micros(),
            expires_at: self.info.expires_at.map(Timestamp::as_micros),
            last_used_at: self.info.last_used_at.map(Timestamp::as_micros),
        };
        // Texts and numbers: they cannot fail to be written.
        serde_json::to_vec(&stored).unwrap_or_default()
    }

    /// The token of that name from its stored form.
    pub(super) fn decoded(name: TokenName, bytes: &[u8]) -> Result<Token, Defect> {
        let damaged = || Defect::damaged("it is not what is stored of a token");
        let value: Value = serde_json::from_slice(bytes).map_err(|_| damaged())?;
        let version = value.get("version").and_then(Value::as_u64).ok_or_else(damaged)?;
        if version > VERSION {
            return Err(Defect::newer(format!("its form has the version {version}")));
        }
        let stored: Stored = serde_json::from_value(value).map_err(|_| damaged())?;
        let time = |micros| Timestamp::from_micros(micros).ok_or_else(damaged);
        // A permission that is not known here might have been taken for a part of what it says.
        let permissions = stored.permissions.iter().map(|name| name.parse::<Permission>());
        Ok(Token {
            hash: hash_from(&stored.sha256).ok_or_else(damaged)?,
            info: TokenInfo {
                name,
                permissions: permissions.collect::<Result<Permissions, _>>().map_err(|_| damaged())?,
                created_at: time(stored.created_at)?,
                expires_at: stored.expires_at.map(time).transpose()?,
                last_used_at: stored.last_used_at.map(time).transpose()?,
            },
        })
    }
}

fn hash_from(digits: &str) -> Option<TokenHash> {
    let mut hash = [0; 32];
    if digits.len() != 2 * hash.len() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (at, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERSION_1: &str = r#"{"version":1,"sha256":"abababababababababababababababababababababababababababababababab","permissions":["read","submit"],"created_at":1790000000000000,"expires_at":1790000001000000,"last_used_at":null}"#;

    fn decoded(text: &str) -> Result<Token, Defect> {
        Token::decoded(TokenName::new("ci").expect("valid"), text.as_bytes())
    }

    #[test]
    fn a_token_is_stored_in_the_form_of_version_1() {
        let token = decoded(VERSION_1).expect("valid");
        assert_eq!(token.hash, [0xab; 32]);
        assert_eq!(token.info.permissions.iter().collect::<Vec<_>>(), [Permission::Read, Permission::Submit]);
        assert_eq!(token.info.expires_at, Timestamp::from_micros(1_790_000_001_000_000));
        assert_eq!(String::from_utf8(token.encoded()).expect("text"), VERSION_1);
    }

    #[test]
    fn what_no_version_writes_is_no_token() {
        assert!(decoded(&VERSION_1.replace(":1,", ":2,")).expect_err("newer").is_newer());
        for (part, other) in [("abab", "ab"), ("abab", "xyxy"), ("submit", "sbumit"), ("version", "vers"), ("{", "")] {
            let text = VERSION_1.replacen(part, other, 1);
            assert!(!decoded(&text).expect_err("damaged").is_newer(), "{text}");
        }
    }
}
