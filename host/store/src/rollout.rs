//! The stored form of rollouts, and what every store decides alike about them.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::defect::Defect;
use super::encoding::{Encode, known};
use super::{ERROR_RATE_MAX_DEFAULT, PutRollout, StoreError, Subject};
use crate::model::{
    Digest, JobId, Percent, PluginName, PluginVersion, Rollout, RolloutEnd, RolloutState, TaskName, Timestamp,
};

/// Times are microseconds since 1970, parts hundredths of a percent.
#[derive(Serialize, Deserialize)]
pub(in crate::store) struct RolloutEncoded {
    digest: String,
    share: u16,
    error_rate_max: u16,
    attempts_min: u32,
    started_at: i64,
    attempts: u64,
    failed: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended: Option<EndEncoded>,
}

#[derive(Serialize, Deserialize)]
struct EndEncoded {
    state: String,
    at: i64,
}

impl Encode for Rollout {
    type Encoded = RolloutEncoded;

    fn encoded(&self) -> RolloutEncoded {
        RolloutEncoded {
            digest: self.digest.to_string(),
            share: self.share.hundredths(),
            error_rate_max: self.error_rate_max.hundredths(),
            attempts_min: self.attempts_min,
            started_at: self.started_at.as_micros(),
            attempts: self.attempts,
            failed: self.failed,
            ended: self.end.map(|end| EndEncoded { state: end.state.to_string(), at: end.at.as_micros() }),
        }
    }

    fn decode(form: RolloutEncoded) -> Result<Rollout, Defect> {
        let percent = |hundredths| {
            Percent::from_hundredths(hundredths)
                .ok_or_else(|| Defect::damaged(format!("{hundredths} is no part of 10,000")))
        };
        let time =
            |micros| Timestamp::from_micros(micros).ok_or_else(|| Defect::damaged(format!("{micros} is no time")));
        let end = |end: EndEncoded| {
            let state = known("state of a rollout", &end.state, RolloutState::from_name)?;
            Ok::<_, Defect>(RolloutEnd { state, at: time(end.at)? })
        };
        Ok(Rollout {
            digest: form.digest.parse().map_err(|error: crate::model::IdError| Defect::damaged(error.to_string()))?,
            share: percent(form.share)?,
            error_rate_max: percent(form.error_rate_max)?,
            attempts_min: form.attempts_min,
            started_at: time(form.started_at)?,
            attempts: form.attempts,
            failed: form.failed,
            end: form.ended.map(end).transpose()?,
        })
    }
}

/// Which version a job begins with.
#[derive(Debug)]
pub(in crate::store) struct Assignment {
    current: Digest,
    /// A rollout that is under way, and the functions that its version offers.
    rollout: Option<(Rollout, HashSet<TaskName>)>,
}

impl Assignment {
    /// By the current version, the latest rollout, and its version where that is there.
    pub(in crate::store) fn new(
        current: Digest,
        rollout: Option<Rollout>,
        version: Option<&PluginVersion>,
    ) -> Assignment {
        let rollout = rollout.filter(Rollout::is_active).zip(version);
        let offers = |version: &PluginVersion| version.tasks.iter().map(|task| task.name.clone()).collect();
        Assignment { current, rollout: rollout.map(|(rollout, version)| (rollout, offers(version))) }
    }

    /// The version that this job begins with, if it runs this function.
    pub(in crate::store) fn version(&self, job: JobId, function: &TaskName) -> Digest {
        match &self.rollout {
            Some((rollout, offers)) if offers.contains(function) && rollout.takes(job) => rollout.digest,
            _ => self.current,
        }
    }
}

/// What becomes of a plugin's latest rollout where one is to begin or to be changed.
///
/// # Errors
/// `Conflict` where the version is current already, or another one's rollout is under way.
pub(in crate::store) fn begin(
    request: &PutRollout,
    current: Digest,
    latest: Option<Rollout>,
) -> Result<Rollout, StoreError> {
    let PutRollout { name, digest, share, now, .. } = request;
    if *digest == current {
        return Err(conflict(name, format!("has version {digest} as the current one already")));
    }
    let known = latest.filter(Rollout::is_active);
    if let Some(other) = known.as_ref().filter(|known| known.digest != *digest) {
        return Err(under_way(name, other));
    }
    let mut rollout = known.unwrap_or_else(|| {
        let error_rate_max = request.error_rate_max.unwrap_or(ERROR_RATE_MAX_DEFAULT);
        let attempts_min = Rollout::attempts_min_of(error_rate_max);
        let (digest, share, started_at) = (*digest, *share, *now);
        Rollout { digest, share, error_rate_max, attempts_min, started_at, attempts: 0, failed: 0, end: None }
    });
    rollout.share = *share;
    rollout.error_rate_max = request.error_rate_max.unwrap_or(rollout.error_rate_max);
    rollout.attempts_min = request.attempts_min.unwrap_or(rollout.attempts_min);
    // A smaller rate may be passed already.
    rollout.count(0, 0, *now);
    Ok(rollout)
}

/// The end of a rollout that must be under way.
///
/// # Errors
/// `Conflict` where there is none, or another version's.
pub(in crate::store) fn end(
    name: &PluginName,
    latest: Option<Rollout>,
    digest: Digest,
    end: RolloutEnd,
) -> Result<Rollout, StoreError> {
    match latest.filter(Rollout::is_active) {
        Some(rollout) if rollout.digest == digest => Ok(Rollout { end: Some(end), ..rollout }),
        Some(other) => Err(under_way(name, &other)),
        None => Err(conflict(name, "has no rollout under way".to_owned())),
    }
}

/// How a rollout ends that somebody ends.
pub(in crate::store) fn end_of(is_finished: bool, at: Timestamp) -> RolloutEnd {
    RolloutEnd { state: if is_finished { RolloutState::Finished } else { RolloutState::Aborted }, at }
}

/// Whether another version may become current: not while a rollout is under way, because it is compared with the current one.
///
/// # Errors
/// `Conflict`.
pub(in crate::store) fn may_activate(name: &PluginName, latest: Option<&Rollout>) -> Result<(), StoreError> {
    match latest.filter(|rollout| rollout.is_active()) {
        Some(rollout) => Err(under_way(name, rollout)),
        None => Ok(()),
    }
}

fn under_way(name: &PluginName, rollout: &Rollout) -> StoreError {
    conflict(name, format!("has a rollout of version {} under way", rollout.digest))
}

fn conflict(name: &PluginName, state: String) -> StoreError {
    StoreError::Conflict { subject: Subject::Plugin(name.clone()), state }
}
