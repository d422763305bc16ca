//! What a guest was refused, as the host functions that refused it remember it.
//!
//! # When a failure is a denial
//!
//! Host functions cannot know why a guest fails, and its words are its own: an error may quote another program's "Permission
//! denied". What they know is what the guest asked for. So a failure counts as `denied` if the last thing that needed a
//! right was refused. A guest that got something else afterwards had a way around; what it was refused is then told beside
//! its own error, which stays what it is. Whether another attempt makes sense is left to the guest's word in any case: a
//! guest that can go on without the right may say so.

use super::output::clipped;

/// Most refused calls that are remembered.
const SENTENCES_MAX: usize = 8;
/// Longest name in a sentence that the guest chose, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// What a guest was refused.
#[derive(Debug, Default)]
pub(super) struct Denials {
    sentences: Vec<String>,
    is_last: bool,
}

impl Denials {
    /// A call was refused: a sentence that names what would allow it.
    pub(super) fn refused(&mut self, sentence: String) {
        self.is_last = true;
        if self.sentences.len() < SENTENCES_MAX && !self.sentences.contains(&sentence) {
            self.sentences.push(sentence);
        }
    }

    /// A call that needs a right was not refused.
    pub(super) fn allowed(&mut self) {
        self.is_last = false;
    }

    /// The task begins. What a language's runtime looked for while it set itself up is not what the task fails for.
    pub(super) fn task_begins(&mut self) {
        *self = Denials::default();
    }

    /// Whether the last call that needs a right was refused.
    pub(super) fn is_last(&self) -> bool {
        self.is_last
    }

    /// What was refused, a sentence each.
    pub(super) fn sentences(&self) -> &[String] {
        &self.sentences
    }
}

/// A name that a guest chose, fit for a sentence.
pub(super) fn named(name: &str) -> String {
    clipped(name.to_owned(), NAME_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_counts_until_something_else_is_allowed() {
        let mut denials = Denials::default();
        assert!(!denials.is_last());
        denials.refused("no".to_owned());
        denials.refused("no".to_owned());
        assert!(denials.is_last() && denials.sentences() == ["no"]);
        denials.allowed();
        assert!(!denials.is_last() && denials.sentences() == ["no"]);
        for n in 0..100 {
            denials.refused(n.to_string());
        }
        assert_eq!(denials.sentences().len(), SENTENCES_MAX);
    }
}
