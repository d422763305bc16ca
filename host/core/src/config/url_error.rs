//! Why a URL cannot be used, in words that show nothing secret of it.

/// A URL that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct UrlError {
    /// What is wrong with it. Shows nothing secret.
    pub what: String,
    /// The way out.
    pub hint: String,
}

/// The scheme, where there is one.
pub(super) fn scheme_of(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once(':')?;
    let is_scheme = (1..=32).contains(&scheme.len())
        && scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    is_scheme.then_some(scheme)
}

/// A URL that has not the form of one. Nothing of it is shown but its scheme, as nobody knows what the rest is.
pub(super) fn malformed(text: &str, reason: &str) -> UrlError {
    let scheme = scheme_of(text).unwrap_or_default();
    UrlError {
        what: format!("the URL `{scheme}://…` cannot be read: {reason}"),
        hint: format!(
            "it looks like {scheme}://USER:PASSWORD@HOST:PORT/DATABASE; in user and password, other characters than letters and digits are \
             written like %2F for `/`, %40 for `@`, %23 for `#`, %3F for `?`"
        ),
    }
}
