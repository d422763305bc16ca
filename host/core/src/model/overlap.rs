//! What a schedule does that fires while an earlier job of its own has not ended.

/// What a fire does about the earlier jobs of its schedule that wait or run.
///
/// It is about all unfinished jobs of the schedule, those of `schedules run` included, whatever life of the schedule they are of. A job
/// that waits for another attempt waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Overlap {
    /// Its job is queued behind them.
    #[default]
    Queue,
    /// It makes no job while one of them waits or runs.
    Skip,
    /// It makes no job while one of them waits.
    QueueOne,
    /// Its job takes the place of all of them: those that run are asked to stop, those that wait are cancelled.
    CancelRunning,
    /// Its job takes the place of those that wait, which are cancelled. What runs goes on.
    ReplaceQueued,
}

super::outcome::names! { Overlap {
    Queue => "queue",
    Skip => "skip",
    QueueOne => "queue-one",
    CancelRunning => "cancel-running",
    ReplaceQueued => "replace-queued",
} }

impl std::str::FromStr for Overlap {
    type Err = String;

    fn from_str(name: &str) -> Result<Overlap, String> {
        Overlap::from_name(name).ok_or_else(|| {
            let names: Vec<String> = Overlap::ALL.iter().map(|policy| format!("`{policy}`")).collect();
            format!("`{name}` is no overlap policy; it is one of {}", names.join(", "))
        })
    }
}
