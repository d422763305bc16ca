//! Secrets: values that plugins use and that nobody sees, such as tokens of other servers.
//!
//! A plugin is granted a secret by its name. Its code gets a text in the place of the value, for the headers of its requests, in which the
//! host puts the value when the request is sent; the value itself only where that was granted too.

use std::fmt;
use std::sync::Arc;

use super::id::SecretName;
use super::{HttpPattern, HttpScheme};

/// The value of a secret. It is not shown by `Debug`, so that it does not end up in a log by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue(Arc<[u8]>);

impl SecretValue {
    /// The secret `bytes`.
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> SecretValue {
        SecretValue(bytes.into())
    }

    /// The value itself.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue(…)")
    }
}

/// What a plugin may do with a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretGrant {
    /// The secret.
    pub name: SecretName,
    /// Whether its code may read the value.
    pub reveal: bool,
    /// The requests in whose headers the value may be put; `None`: all over HTTPS that the plugin may make.
    pub requests: Option<HttpPattern>,
}

impl SecretGrant {
    /// Whether whoever has this right may do all that `other` would let them do. Who may read the value can send it anywhere, so the requests
    /// matter only where they may not.
    pub fn covers(&self, other: &SecretGrant) -> bool {
        let is_sent_no_further = match (&self.requests, &other.requests) {
            (None, Some(other)) => other.scheme() == HttpScheme::Https,
            (None, None) => true,
            (Some(pattern), Some(other)) => pattern.covers(other),
            (Some(_), None) => false,
        };
        self.name == other.name && (self.reveal || !other.reveal && is_sent_no_further)
    }
}

/// As the flag takes it: `NAME[:reveal][ REQUESTS]`.
impl fmt::Display for SecretGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SecretGrant { name, reveal, requests } = self;
        write!(f, "{name}{}", if *reveal { ":reveal" } else { "" })?;
        requests.iter().try_for_each(|pattern| write!(f, " {pattern}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(reveal: bool, requests: Option<&str>) -> SecretGrant {
        SecretGrant {
            name: SecretName::new("token").expect("valid"),
            reveal,
            requests: requests.map(|pattern| pattern.parse().expect("valid")),
        }
    }

    #[test]
    fn a_value_is_not_shown_by_accident() {
        assert_eq!(format!("{:?}", SecretValue::new(*b"hunter2")), "SecretValue(…)");
    }

    #[test]
    fn a_right_to_a_secret_covers_what_lets_a_plugin_do_no_more() {
        let (all, wide, narrow) = (None, Some("https://*.example.com"), Some("https://api.example.com/v1"));
        for (has, asks) in [(all, all), (all, narrow), (wide, narrow)] {
            assert!(grant(false, has).covers(&grant(false, asks)), "{has:?} covers {asks:?}");
            assert!(grant(true, asks).covers(&grant(false, has)), "who may read it can send it anywhere");
            assert!(!grant(false, has).covers(&grant(true, asks)), "{has:?} lets nobody read it");
        }
        for (has, asks) in [(narrow, all), (narrow, wide), (wide, all)] {
            assert!(!grant(false, has).covers(&grant(false, asks)), "{has:?} does not cover {asks:?}");
        }
        let in_the_clear = Some("http://api.example.com");
        assert!(!grant(false, all).covers(&grant(false, in_the_clear)), "only HTTPS, unless somebody says so");
        let other = SecretGrant { name: SecretName::new("other").expect("valid"), ..grant(true, None) };
        assert!(!other.covers(&grant(false, None)));
    }
}
