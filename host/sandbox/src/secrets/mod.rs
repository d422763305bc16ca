//! Secrets as one attempt sees them.
//!
//! A guest that asks for a secret gets a text in its place. Where that text stands in a header of a request which the secret may go with, the
//! host puts the value there as it writes the request: what the guest built is left as it was, and no call shows it the value. The text is
//! another one in every attempt, so that nothing that comes from outside can hold it.
//!
//! What a server answers is the guest's to read. A server that sends back what it was sent tells the secret, which is why a secret can be
//! granted for certain requests only.

mod calls;

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use tokio::sync::Semaphore;

use super::memory::Kept;
use crate::executor::SecretSource;
use crate::model::{HttpScheme, HttpTarget, SecretGrant, SecretName, SecretValue};

/// Secrets that all attempts ask for at the same time: they share the store's connections with the host's own work.
const READS_MAX: usize = 4;

/// Why a call was not done.
#[derive(Debug)]
pub(super) enum Refused {
    Denied(String),
    Missing(String),
    Unavailable(String),
}

/// What all attempts share.
pub(super) struct SecretService {
    /// `None`: there are no secrets.
    source: Option<Arc<dyn SecretSource>>,
    reads: Semaphore,
}

impl SecretService {
    /// Asks `source` for values; without one, no secret is set.
    pub(super) fn new(source: Option<Arc<dyn SecretSource>>) -> Arc<SecretService> {
        Arc::new(SecretService { source, reads: Semaphore::new(READS_MAX) })
    }

    async fn value(&self, name: &SecretName) -> Result<Option<SecretValue>, Refused> {
        let Some(source) = &self.source else { return Ok(None) };
        // The semaphore is never closed.
        let _place = self.reads.acquire().await.ok();
        source.secret(name).await.map_err(Refused::Unavailable)
    }
}

/// The secrets of an attempt.
pub(super) struct Secrets {
    service: Arc<SecretService>,
    /// What all of its placeholders have in common, from the first on.
    mark: Option<String>,
    used: BTreeMap<SecretName, Used>,
}

/// A secret that the guest has asked for. It keeps its value to the attempt's end, also if another is set meanwhile.
struct Used {
    grant: SecretGrant,
    placeholder: String,
    value: SecretValue,
    /// Counts the value as the guest's memory.
    _kept: Kept,
}

impl Used {
    fn may_go_with(&self, target: &HttpTarget) -> bool {
        match &self.grant.requests {
            Some(pattern) => pattern.allows(target),
            // Not in the clear, unless somebody has said so.
            None => target.scheme == HttpScheme::Https,
        }
    }
}

impl Secrets {
    /// For an attempt that has asked for none yet.
    pub(super) fn new(service: Arc<SecretService>) -> Secrets {
        Secrets { service, mark: None, used: BTreeMap::new() }
    }

    fn placeholder(&mut self, name: &SecretName) -> String {
        let mark = self.mark.get_or_insert_with(|| uuid::Uuid::new_v4().simple().to_string());
        format!("{{secret:{name}:{mark}}}")
    }

    /// What goes into the headers of a request: the values of the secrets that stand in them.
    ///
    /// # Errors
    /// The secret that stands in them and may not go with the request.
    pub(super) fn for_request<'a>(
        &'a self,
        headers: &HeaderMap,
        target: &HttpTarget,
    ) -> Result<Insertions, &'a SecretName> {
        let mut insertions = Vec::new();
        for (name, used) in &self.used {
            let placeholder = used.placeholder.as_bytes();
            if !headers.values().any(|value| position(value.as_bytes(), placeholder).is_some()) {
                continue;
            }
            if !used.may_go_with(target) {
                return Err(name);
            }
            insertions.push((used.placeholder.clone(), used.value.clone()));
        }
        Ok(Insertions(insertions))
    }
}

/// Secrets that are put into the headers of one request.
#[derive(Debug, Default)]
pub(super) struct Insertions(Vec<(String, SecretValue)>);

impl Insertions {
    /// Puts the values in.
    ///
    /// # Errors
    /// A header cannot hold the value, which is not shown.
    pub(super) fn insert_into(&self, headers: &mut HeaderMap) -> Result<(), http::header::InvalidHeaderValue> {
        if self.0.is_empty() {
            return Ok(());
        }
        for header in headers.values_mut() {
            // In one pass, so that a value that looks like the text for another one stays as it is.
            let (mut whole, mut rest, mut is_changed) = (Vec::new(), header.as_bytes(), false);
            while let Some((at, placeholder, value)) = self.first_in(rest) {
                whole.extend_from_slice(&rest[..at]);
                whole.extend_from_slice(value.reveal());
                rest = &rest[at + placeholder.len()..];
                is_changed = true;
            }
            if is_changed {
                whole.extend_from_slice(rest);
                *header = HeaderValue::from_bytes(&whole)?;
                header.set_sensitive(true);
            }
        }
        Ok(())
    }

    fn first_in(&self, text: &[u8]) -> Option<(usize, &str, &SecretValue)> {
        let found = self.0.iter().filter_map(|(placeholder, value)| {
            position(text, placeholder.as_bytes()).map(|at| (at, placeholder.as_str(), value))
        });
        found.min_by_key(|(at, ..)| *at)
    }
}

fn position(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let name = http::header::AUTHORIZATION;
        values.iter().map(|value| (name.clone(), HeaderValue::from_str(value).expect("valid"))).collect()
    }

    fn inserted(insertions: &[(&str, &str)], values: &[&str]) -> Vec<String> {
        let insertions = insertions.iter().map(|(of, value)| ((*of).to_owned(), SecretValue::new(value.as_bytes())));
        let mut headers = headers(values);
        Insertions(insertions.collect()).insert_into(&mut headers).expect("they can stand in a header");
        headers.values().map(|value| value.to_str().expect("text").to_owned()).collect()
    }

    #[test]
    fn values_stand_where_their_placeholders_stood() {
        let both = [("{a}", "first"), ("{b}", "second")];
        assert_eq!(
            inserted(&both, &["Bearer {a}", "{b}:{a}{b}", "none"]),
            ["Bearer first", "second:firstsecond", "none"]
        );
    }

    #[test]
    fn a_value_that_looks_like_a_placeholder_is_no_placeholder() {
        assert_eq!(inserted(&[("{a}", "{b}"), ("{b}", "told")], &["{a}"]), ["{b}"]);
    }

    #[test]
    fn a_value_that_a_header_cannot_hold_is_refused_and_a_header_with_one_is_not_shown() {
        let two_lines = Insertions(vec![("{a}".to_owned(), SecretValue::new(*b"one\r\nx: two"))]);
        let error = two_lines.insert_into(&mut headers(&["{a}"])).expect_err("two lines");
        assert!(!error.to_string().contains("two"), "{error}");
        let mut map = headers(&["{a}"]);
        Insertions(vec![("{a}".to_owned(), SecretValue::new(*b"hunter2"))]).insert_into(&mut map).expect("one line");
        assert!(!format!("{map:?}").contains("hunter2"), "{map:?}");
    }
}
