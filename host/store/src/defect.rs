//! What is wrong with something stored that cannot be read, and what that means for whoever finds it.

use std::fmt;

/// Why something stored cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defect {
    /// What kind of thing it is.
    pub kind: DefectKind,
    /// What exactly is wrong.
    pub reason: String,
}

/// What unreadable content is to whoever finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DefectKind {
    /// No version of this program writes it. Nobody can use it, and waiting does not help: it is ended, or paused, with the reason.
    Damaged,
    /// It is well formed and names something that this version does not know, so a newer one wrote it. It is left as it is, for those who
    /// can read it.
    Newer,
}

impl Defect {
    /// Of content that no version writes.
    pub fn damaged(reason: impl Into<String>) -> Defect {
        Defect { kind: DefectKind::Damaged, reason: reason.into() }
    }

    /// Of content that a newer version writes.
    pub fn newer(reason: impl Into<String>) -> Defect {
        Defect { kind: DefectKind::Newer, reason: reason.into() }
    }

    /// Of a name where only certain ones are known.
    pub(crate) fn unknown(what: &str, name: &str) -> Defect {
        let shown: String = name.chars().take(64).collect();
        Defect::newer(format!("unknown {what} `{shown}`"))
    }

    /// Whether a newer version wrote it.
    pub fn is_newer(&self) -> bool {
        self.kind == DefectKind::Newer
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        match self.kind {
            DefectKind::Damaged => Ok(()),
            DefectKind::Newer => f.write_str(", which a newer version of this program may have written"),
        }
    }
}

impl std::error::Error for Defect {}

impl From<Defect> for String {
    fn from(defect: Defect) -> String {
        defect.to_string()
    }
}
