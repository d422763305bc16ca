//! URLs of database servers: what is wrong with one, told without showing the password that may be in it.

use std::sync::Arc;

use super::connection::DriverError;
use crate::store::StoreError;

const ENCODING: &str =
    "in user and password, write `/` as %2F, `#` as %23, `?` as %3F, `@` as %40, `:` as %3A and `%` as %25";

/// Refuses a URL whose password ends where none should: `postgres://ada:a/b@host/jobs` names the host `ada`, to every reader of URLs.
pub(super) fn check_url(url: &str, form: &str) -> Result<(), StoreError> {
    let Some((_, rest)) = url.split_once("://") else { return Ok(()) };
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(authority_end);
    // An `@` may stand in the values behind a `?`; in a path it would be part of the database's name.
    let path = if tail.starts_with('?') { "" } else { tail.split('?').next().unwrap_or(tail) };
    let cut_short = tail.starts_with('?') && authority.contains(':') && has_port_that_is_none(authority);
    if !authority.contains('@') && (path.contains('@') || cut_short && tail.contains('@')) {
        return Err(StoreError::BadUrl {
            reason: "the password in the store URL has a character that ends it".into(),
            hint: format!("{ENCODING}; a URL looks like {form}"),
            source: None,
        });
    }
    Ok(())
}

fn has_port_that_is_none(authority: &str) -> bool {
    // An address of IPv6 has colons of its own, in brackets.
    authority.rsplit(':').next().is_some_and(|port| !port.ends_with(']') && port.parse::<u16>().is_err())
}

/// A URL that the driver cannot read. The URL itself is not shown.
pub(super) fn unreadable_url(error: &sqlx::Error, form: &str) -> StoreError {
    StoreError::BadUrl {
        reason: "the store URL cannot be read".into(),
        hint: format!("it looks like {form}; {ENCODING}"),
        source: Some(Arc::new(DriverError(error.to_string()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_with_a_bare_slash_hash_or_question_mark_is_told_from_an_at_sign_elsewhere() {
        for url in [
            "postgres://ada:a/b@db.example/jobs",
            "postgres://ada:a#b@db.example/jobs",
            "postgres://ada:a?b@db.example/jobs",
            "mysql://ada:12/34@db.example:3306/jobs",
            "postgres://ada:/@db.example/jobs",
        ] {
            let Err(StoreError::BadUrl { reason, hint, .. }) = check_url(url, "postgres://…") else {
                panic!("{url}")
            };
            assert!(hint.contains("%2F") && !reason.contains("ada") && !hint.contains("ada"), "{reason}; {hint}");
        }
        for url in [
            "postgres://ada:a%2Fb@db.example/jobs",
            "postgres://ada:a@b@db.example/jobs",
            "postgres://db.example/jobs?user=ada&password=a@b",
            "postgres://db.example:5432/jobs?password=a@b",
            "postgres:///jobs?host=/run/postgresql&user=ada@example",
            "postgres://db.example?user=ada@example",
            "postgres://[::1]?user=ada@example",
            "postgres://db.example",
            "sqlite:host.db",
        ] {
            assert!(check_url(url, "").is_ok(), "{url}");
        }
    }
}
