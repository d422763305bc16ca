//! What a guest was refused, as the host functions that refused it remember it.
//!
//! # When a failure is a denial
//!
//! Host functions cannot know why a guest fails, and its words are its own: an error may quote another program's "Permission
//! denied". What they know is what the guest asked for. So a failure counts as `denied` if the last thing that needed a
//! right was refused. A guest that got something else afterwards had a way around; what it was refused is then told beside
//! its own error, which stays what it is. A folder that may take no more is refused until something is written into it
//! after all, or something else is allowed. Whether another attempt makes sense is left to the guest's word in any case: a
//! guest that can go on without the right may say so.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::output::clipped;

/// Most refused calls that are remembered.
const SENTENCES_MAX: usize = 8;
/// Longest name in a sentence that the guest chose, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// What a guest was refused. Clones remember for the same guest.
#[derive(Debug, Clone, Default)]
pub(super) struct Denials(Arc<Mutex<Refused>>);

#[derive(Debug, Default)]
struct Refused {
    sentences: Vec<String>,
    /// What the last call that needs a right wanted, if it was refused.
    last: Option<Want>,
}

#[derive(Debug)]
enum Want {
    /// A right that was not granted.
    Right,
    /// More room than was granted in the folder that guests know by this name.
    Room(String),
}

impl Denials {
    fn refused_so_far(&self) -> MutexGuard<'_, Refused> {
        // What was refused is whole between any two of its statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call was refused: a sentence that names what would allow it.
    pub(super) fn refused(&self, sentence: String) {
        self.refused_so_far().add(Want::Right, sentence);
    }

    /// A call was refused because `folder` has taken all that it may.
    pub(super) fn no_room(&self, folder: &str) {
        let sentence = format!(
            "one attempt may not write that much into `{folder}`; `--allow-dir HOST::{folder}:rw,max=SIZE,files=N` allows more"
        );
        self.refused_so_far().add(Want::Room(folder.to_owned()), sentence);
    }

    /// `folder` has taken what was written.
    pub(super) fn had_room(&self, folder: &str) {
        let mut refused = self.refused_so_far();
        if matches!(&refused.last, Some(Want::Room(full)) if full == folder) {
            refused.last = None;
        }
    }

    /// A call that needs a right was not refused.
    pub(super) fn allowed(&self) {
        self.refused_so_far().last = None;
    }

    /// The task begins. What a language's runtime looked for while it set itself up is not what the task fails for.
    pub(super) fn task_begins(&self) {
        *self.refused_so_far() = Refused::default();
    }

    /// Whether the last call that needs a right was refused.
    pub(super) fn is_last(&self) -> bool {
        self.refused_so_far().last.is_some()
    }

    /// What was refused, a sentence each.
    pub(super) fn sentences(&self) -> Vec<String> {
        self.refused_so_far().sentences.clone()
    }
}

impl Refused {
    fn add(&mut self, want: Want, sentence: String) {
        self.last = Some(want);
        if self.sentences.len() < SENTENCES_MAX && !self.sentences.contains(&sentence) {
            self.sentences.push(sentence);
        }
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
        let denials = Denials::default();
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
    #[test]
    fn a_full_folder_counts_until_it_takes_something_or_something_else_is_allowed() {
        let denials = Denials::default();
        denials.no_room("/data");
        denials.had_room("/other");
        assert!(denials.is_last());
        denials.had_room("/data");
        assert!(!denials.is_last() && denials.sentences().len() == 1);
        denials.refused("no".to_owned());
        denials.had_room("/data");
        assert!(denials.is_last(), "room is no right");
        denials.no_room("/data");
        denials.allowed();
        assert!(!denials.is_last());
    }
}
