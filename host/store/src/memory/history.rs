//! The ledger of fires in memory.

use std::collections::VecDeque;

use crate::ledger::{ReadHistory, TrimHistory};
use crate::model::FireLine;
use crate::{Page, rules};

/// What became of the due times of a schedule.
#[derive(Debug, Default)]
pub(super) struct History {
    /// In the order of their numbers.
    lines: VecDeque<FireLine>,
    /// The number of the last one.
    pub(super) count: u64,
}

impl History {
    /// Numbers new lines and adds them.
    pub(super) fn write(&mut self, lines: impl IntoIterator<Item = FireLine>) {
        for line in lines {
            self.count += 1;
            self.lines.push_back(FireLine { number: self.count, ..line });
        }
    }

    /// A page of the lines, the latest first.
    pub(super) fn page(&self, request: &ReadHistory) -> Page<FireLine> {
        let limit = rules::page_limit(request.limit);
        let lines = self.lines.iter().rev();
        let lines = lines.filter(|line| request.before.is_none_or(|before| line.number < before));
        let lines = lines.take(limit + 1).map(|line| Ok(line.clone())).collect();
        rules::page(lines, limit, |line: &FireLine| line.number.to_string())
    }

    /// Removes the lines that go, and answers whether there were any.
    pub(super) fn trim(&mut self, request: &TrimHistory) -> bool {
        let last_gone = self.count.saturating_sub(request.keep);
        let before = self.lines.len();
        self.lines.retain(|line| line.number > last_gone && line.at >= request.before);
        self.lines.len() < before
    }
}
