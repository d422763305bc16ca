//! What can be wrong with a trigger, said so that the reader can put it right without looking anything up.

use std::fmt::{self, Write as _};

/// Why a trigger was refused, or could not give its next fire time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TriggerError {
    /// The text or JSON names no trigger: the caller has to change it.
    #[error(transparent)]
    Invalid(Box<Invalid>),
    /// An `and` trigger looked at so many pending times that it gave up.
    ///
    /// The state keeps what was looked at, so asking again goes on from there.
    #[error("max_iterations: no common fire time within {limit} iterations of an `and` trigger")]
    MaxIterations {
        /// The bound that was reached.
        limit: u32,
    },
    /// There is no fire time at all, now or later.
    #[error("trigger never fires: {reason}")]
    NeverFires {
        /// What rules every time out, as far as it is known.
        reason: String,
    },
    /// A stored state that cannot be read, or that belongs to another trigger.
    #[error("stored trigger state cannot be used: {reason}")]
    State {
        /// What does not fit.
        reason: String,
    },
}

/// One fault in a trigger's text: where it is, what is wrong, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// The field, with the way to it in nested triggers (`triggers[1].hour`); empty where the whole text is meant.
    pub field: String,
    /// The part of the field's text that is at fault.
    pub token: Option<String>,
    /// Where the token begins in the field's text, counted in characters from 1.
    pub position: Option<usize>,
    /// What is wrong with it.
    pub problem: String,
    /// What may stand there.
    pub allowed: Option<String>,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

impl Invalid {
    /// A fault in `field`.
    pub(super) fn new(field: impl Into<String>, problem: impl Into<String>) -> Box<Self> {
        Box::new(Invalid {
            field: field.into(),
            token: None,
            position: None,
            problem: problem.into(),
            allowed: None,
            suggestion: None,
        })
    }

    pub(super) fn token(mut self: Box<Self>, token: impl Into<String>) -> Box<Self> {
        self.token = Some(token.into());
        self
    }

    pub(super) fn position(mut self: Box<Self>, position: usize) -> Box<Self> {
        self.position = Some(position);
        self
    }

    pub(super) fn allowed(mut self: Box<Self>, allowed: impl Into<String>) -> Box<Self> {
        self.allowed = Some(allowed.into());
        self
    }

    pub(super) fn suggestion(mut self: Box<Self>, suggestion: Option<String>) -> Box<Self> {
        self.suggestion = suggestion;
        self
    }

    /// The same fault, seen from the trigger that holds the faulty one at `path`.
    pub(super) fn within(mut self: Box<Self>, path: &str) -> Box<Self> {
        self.field = if self.field.is_empty() { path.to_owned() } else { format!("{path}.{}", self.field) };
        self
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        if let Some(token) = &self.token {
            f.write_char('`')?;
            for letter in token.chars() {
                // A control character would spoil the line that the error is.
                if letter.is_control() { write!(f, "{}", letter.escape_debug())? } else { f.write_char(letter)? }
            }
            f.write_str("` ")?;
            if let Some(position) = self.position {
                write!(f, "at character {position} ")?;
            }
        }
        f.write_str(&self.problem)?;
        if let Some(allowed) = &self.allowed {
            write!(f, "; allowed: {allowed}")?;
        }
        if let Some(suggestion) = &self.suggestion {
            write!(f, "; did you mean `{suggestion}`?")?;
        }
        Ok(())
    }
}

impl std::error::Error for Invalid {}

impl From<Box<Invalid>> for TriggerError {
    fn from(invalid: Box<Invalid>) -> Self {
        TriggerError::Invalid(invalid)
    }
}

/// The one of `names` that is closest to `word`, if it is close enough to have been meant.
pub(super) fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    // A longer word cannot be near a name; without this bound a long text would cost its length squared.
    const LONGEST: usize = 40;
    if word.is_empty() || word.len() > LONGEST {
        return None;
    }
    let word = word.to_lowercase();
    names
        .into_iter()
        .filter_map(|name| {
            let lower = name.to_lowercase();
            // `january` for `jan`, `sept` for `sep`: the right name written out.
            let distance = if word.starts_with(&lower) && lower.len() >= 3 { 1 } else { edit_distance(&word, &lower) };
            (distance <= 1 + word.len().min(lower.len()) / 4).then_some((distance, name))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name.to_owned())
}

/// How many letters must be added, removed, replaced or swapped with their neighbour to turn one word into the other.
fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let mut best = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    best = best.min(rows[i - 2][j - 2] + 1);
                }
                best
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_across_one_slip_and_nothing_is_guessed_beyond() {
        let months = ["jan", "feb", "mar", "sep"];
        assert_eq!(nearest("january", months).as_deref(), Some("jan"));
        assert_eq!(nearest("sept", months).as_deref(), Some("sep"));
        assert_eq!(nearest("fbe", months).as_deref(), Some("feb"));
        assert_eq!(nearest("xyz", months), None);
        assert_eq!(nearest("mintue", ["hour", "minute", "second"]).as_deref(), Some("minute"));
    }

    #[test]
    fn a_fault_names_field_token_place_and_what_is_allowed() {
        let invalid =
            Invalid::new("hour", "is above 23").token("25").position(4).allowed("0 to 23").within("triggers[1]");
        assert_eq!(invalid.to_string(), "triggers[1].hour: `25` at character 4 is above 23; allowed: 0 to 23");
    }
}
