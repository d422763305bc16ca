//! NATS users as accounts vouch for them: an operator signs the account, the account signs the user, and the user has a key.

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};

/// A server's accounts, and the users of one of them.
pub(super) struct Accounts {
    /// What the server's configuration says of them.
    pub(super) configuration: String,
    /// The credentials file of a user.
    pub(super) user: String,
    /// The credentials file of a user of an account that the server does not know.
    pub(super) stranger: String,
}

impl Accounts {
    pub(super) fn new() -> Result<Accounts> {
        let (operator, account) = (KeyPair::new_operator(), KeyPair::new_account());
        let operator_token = token(&operator, &operator, json!({"type": "operator", "version": 2}))?;
        let limits = json!({
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
        });
        let claims = json!({"type": "account", "version": 2, "limits": limits});
        let account_token = token(&account, &operator, claims)?;
        let configuration = format!(
            "operator: {operator_token}\nresolver: MEMORY\nresolver_preload: {{ {}: {account_token} }}\n",
            account.public_key()
        );
        Ok(Accounts { configuration, user: user(&account)?, stranger: user(&KeyPair::new_account())? })
    }
}

fn user(account: &KeyPair) -> Result<String> {
    let user = KeyPair::new_user();
    let claims = json!({"type": "user", "version": 2, "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1});
    let (token, seed) = (token(&user, account, claims)?, user.seed()?);
    Ok(format!(
        "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    ))
}

/// What `issuer` says of `subject`, with its signature.
fn token(subject: &KeyPair, issuer: &KeyPair, nats: Value) -> Result<String> {
    let header = json!({"typ": "JWT", "alg": "ed25519-nkey"});
    let claims = json!({
        "jti": subject.public_key(), "iat": 1_700_000_000, "iss": issuer.public_key(), "sub": subject.public_key(), "name": "test",
        "nats": nats,
    });
    let signed = format!("{}.{}", encoded(header.to_string()), encoded(claims.to_string()));
    let signature = encoded(issuer.sign(signed.as_bytes())?);
    Ok(format!("{signed}.{signature}"))
}

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
