//! What can go wrong with an operation, by what its caller can do about it.

use std::sync::Arc;

use crate::config::UrlError;
use crate::scheduler::StartError;
use crate::store::{StoreError, Subject};

/// Why an operation was not done. Unless a variant says otherwise, nothing has changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppError {
    /// The input must be changed.
    #[error("{what}")]
    Invalid {
        /// What is wrong with it.
        what: String,
        /// What causes it, outermost first.
        causes: Vec<String>,
        /// What to do about it.
        hint: Option<String>,
    },
    /// There is no such thing.
    #[error("there is no {noun} `{name}`")]
    NotFound {
        /// What kind of thing.
        noun: &'static str,
        /// The name that was given.
        name: String,
        /// What there is instead, or how to find out.
        hint: Option<String>,
    },
    /// What is there already stands against it.
    #[error("{what}")]
    Refused {
        /// What stands against it.
        what: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The store or the broker is out of reach, or cannot be used as it is. Where the cause is a call whose answer was lost, it may have
    /// taken effect.
    #[error("{what}")]
    Unreachable {
        /// What could not be reached.
        what: String,
        /// The way out.
        hint: Option<String>,
        /// The cause.
        #[source]
        source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    },
    /// Something that should not happen: somebody must look.
    #[error("{what}")]
    Unexpected {
        /// What happened.
        what: String,
        /// The cause.
        #[source]
        source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    },
}

/// The result of an operation.
pub type AppResult<T> = Result<T, AppError>;

impl AppError {
    /// Input that must be changed.
    pub fn invalid(what: impl Into<String>) -> AppError {
        AppError::Invalid { what: what.into(), causes: Vec::new(), hint: None }
    }

    /// Something that is in the way.
    pub fn refused(what: impl Into<String>) -> AppError {
        AppError::Refused { what: what.into(), hint: None }
    }

    /// A thing that is not there.
    pub fn not_found(noun: &'static str, name: impl ToString) -> AppError {
        AppError::NotFound { noun, name: name.to_string(), hint: None }
    }

    /// A failure that should not happen.
    pub fn unexpected(what: impl Into<String>, source: impl std::error::Error + Send + Sync + 'static) -> AppError {
        AppError::Unexpected { what: what.into(), source: Some(Arc::new(source)) }
    }

    /// This error with advice on what to do, in place of any it has.
    #[must_use]
    pub fn with_hint(mut self, text: impl Into<String>) -> AppError {
        match &mut self {
            AppError::Invalid { hint, .. }
            | AppError::NotFound { hint, .. }
            | AppError::Refused { hint, .. }
            | AppError::Unreachable { hint, .. } => *hint = Some(text.into()),
            AppError::Unexpected { .. } => {}
        }
        self
    }

    /// What causes it, outermost first.
    pub fn causes(&self) -> Vec<String> {
        let mut causes = match self {
            AppError::Invalid { causes, .. } => causes.clone(),
            _ => Vec::new(),
        };
        causes.extend(
            std::iter::successors(std::error::Error::source(self), |cause| cause.source()).map(ToString::to_string),
        );
        // Some libraries repeat the cause in their own text; a line that says nothing new only tires.
        causes.dedup_by(|next, line| line.contains(next.as_str()));
        causes
    }

    /// What to do about it, where there is something.
    pub fn hint(&self) -> Option<&str> {
        match self {
            AppError::Invalid { hint, .. }
            | AppError::NotFound { hint, .. }
            | AppError::Refused { hint, .. }
            | AppError::Unreachable { hint, .. } => hint.as_deref(),
            AppError::Unexpected { .. } => None,
        }
    }
}

impl From<UrlError> for AppError {
    fn from(error: UrlError) -> AppError {
        AppError::invalid(error.what).with_hint(error.hint)
    }
}

impl From<StoreError> for AppError {
    fn from(error: StoreError) -> AppError {
        let what = error.to_string();
        match error {
            StoreError::NotFound(subject) => {
                let (noun, name) = name_of(&subject);
                AppError::not_found(noun, name)
            }
            StoreError::BadUrl { hint, source, .. } => {
                let causes = source.iter().map(ToString::to_string).collect();
                AppError::Invalid { what, causes, hint: Some(hint) }
            }
            StoreError::AlreadyExists(_) | StoreError::Conflict { .. } => AppError::refused(what),
            StoreError::Unusable { hint, source, .. } => AppError::Unreachable { what, hint: Some(hint), source },
            StoreError::Unreadable { defect, .. } if defect.is_newer() => {
                AppError::refused(what).with_hint("use the version of `host` that wrote it, or a later one")
            }
            StoreError::Unreadable { subject, .. } => AppError::Refused { what, hint: way_out(&subject) },
            StoreError::Rejected { source, .. } => {
                let what = "the data store does not take this".to_owned();
                AppError::Invalid { what, causes: causes(&*source), hint: None }
            }
            StoreError::Backend { operation: "open", source, .. } => AppError::Unreachable {
                what: "the data store cannot be reached".into(),
                hint: Some("check that its server runs, and host and port in the store URL".into()),
                source: Some(source),
            },
            StoreError::Backend { operation, certainty, source, .. } => AppError::Unreachable {
                what: match certainty {
                    crate::store::Certainty::NotApplied => format!("the data store failed in `{operation}`"),
                    crate::store::Certainty::Unknown => {
                        format!("the data store did not answer `{operation}`, which may have taken effect")
                    }
                },
                hint: None,
                source: Some(source),
            },
            StoreError::Closed => AppError::Unreachable { what, hint: None, source: None },
        }
    }
}

impl From<StartError> for AppError {
    fn from(error: StartError) -> AppError {
        match error {
            StartError::Store { source, .. } => AppError::from(source),
            StartError::IdentityInUse { .. } => AppError::refused(error.to_string())
                .with_hint("stop that one first, or give this one another identity (`--identity`)"),
        }
    }
}

/// An error and what caused it, outermost first.
fn causes(error: &(dyn std::error::Error + 'static)) -> Vec<String> {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect()
}

/// What to do about something stored that is damaged.
fn way_out(subject: &Subject) -> Option<String> {
    Some(match subject {
        Subject::Plugin(name) => {
            format!("register `{name}` again, which replaces it, or remove it with `host plugins remove {name}`")
        }
        Subject::Task(id) => match id.as_str().split_once(':') {
            Some((plugin, _)) => format!("register the plugin `{plugin}` again: `host register` writes its tasks anew"),
            None => format!("`host tasks remove {id}` removes it"),
        },
        Subject::Schedule(id) => format!("`host schedules remove {id}` removes it"),
        Subject::Job(id) => {
            format!("`host jobs cancel {id}` ends it, if it waits; it is removed when its result expires")
        }
        Subject::Other(_) => return None,
    })
}

fn name_of(subject: &Subject) -> (&'static str, String) {
    match subject {
        Subject::Plugin(id) => ("plugin", id.to_string()),
        Subject::Task(id) => ("task", id.to_string()),
        Subject::Schedule(id) => ("schedule", id.to_string()),
        Subject::Job(id) => ("job", id.to_string()),
        Subject::Other(text) => ("such thing:", text.clone()),
    }
}

/// The names of `known` in the order in which a person who typed `wanted` would look for them: the likely ones first, then by alphabet, not
/// more than fit a screen.
pub(super) fn candidates<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN_MAX: usize = 20;
    let mut names: Vec<&str> = known.into_iter().collect();
    names.sort_unstable();
    names.sort_by_key(|name| std::cmp::Reverse(likeness(wanted, name)));
    let more = names.len().saturating_sub(SHOWN_MAX);
    names.truncate(SHOWN_MAX);
    let list = names.join(", ");
    if more == 0 { list } else { format!("{list} and {more} more") }
}

/// How many pairs of neighbouring letters two names have in common: cheap, and good enough to bring a misspelt name to the top.
fn likeness(a: &str, b: &str) -> usize {
    let pairs = |text: &str| text.to_lowercase().into_bytes().windows(2).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let of_b = pairs(b);
    pairs(a).iter().filter(|pair| of_b.contains(pair)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_comes_first_among_the_known_and_the_list_has_an_end() {
        let listed = candidates("gret", ["alpha:sum", "hello:greet", "beta:run"]);
        assert!(listed.starts_with("hello:greet, "), "{listed}");
        let many: Vec<String> = (0..30).map(|n| format!("task-{n:02}")).collect();
        assert!(candidates("x", many.iter().map(String::as_str)).ends_with("and 10 more"));
    }
}
