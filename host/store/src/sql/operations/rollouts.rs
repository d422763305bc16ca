//! Rollouts: the latest one of a plugin stands with its version.

use std::collections::BTreeMap;

use super::catalog_rows as rows;
use super::versions;
use crate::model::{Digest, PluginName, PluginVersion, Rollout, Settings, Timestamp};
use crate::rollout;
use crate::sql::drivers::tx::{Fault, Tx};
use crate::sql::encoding::Encode as _;
use crate::sql::statements::query::q;
use crate::sql::statements::value::args;
use crate::{CountRollout, EndRollout, Put, PutRollout, RolloutEnded, StoreError, Subject, rules};

async fn set(tx: &mut Tx, name: &PluginName, rollout: &Rollout) -> Result<(), Fault> {
    tx.execute(q::rollout_set, args![rollout.to_json(), name, rollout.digest]).await.map(|_| ())
}

/// Stores what a version has of its plugin's rollouts: the latest one, or none.
pub(in crate::sql) async fn restore(
    tx: &mut Tx,
    version: &PluginVersion,
    rollout: Option<&Rollout>,
) -> Result<(), Fault> {
    match rollout {
        Some(rollout) => {
            tx.execute(q::rollout_clear, args![&version.name]).await?;
            set(tx, &version.name, rollout).await
        }
        None => tx.execute(q::rollout_set, args![None::<String>, &version.name, version.digest]).await.map(|_| ()),
    }
}

pub(in crate::sql) async fn put(tx: &mut Tx, request: &PutRollout) -> Result<Rollout, Fault> {
    rows::lock(tx).await?;
    let PutRollout { name, digest, reviewed, .. } = request;
    let current = rows::current_digest(tx, name).await?;
    let versions = rows::history(tx, name).await?.rows;
    let version = versions.iter().find(|version| version.digest == *digest);
    let Some((current, version)) = current.zip(version) else {
        return Err(rules::no_version(name, *digest).into());
    };
    let rollout = rollout::begin(request, current, rows::rollout(tx, name).await?)?;
    let seen = rows::readable_current(tx, name).await?;
    rules::is_as_reviewed(name, reviewed.as_ref(), seen.as_ref(), Some(&version.grants))?;
    versions::settle_running(tx, name).await?;
    tx.execute(q::rollout_clear, args![name]).await?;
    set(tx, name, &rollout).await?;
    rows::bump(tx).await?;
    Ok(rollout)
}

pub(in crate::sql) async fn end(tx: &mut Tx, request: &EndRollout) -> Result<RolloutEnded, Fault> {
    rows::lock(tx).await?;
    let EndRollout { name, digest, finish, now } = request;
    if rows::current_digest(tx, name).await?.is_none() {
        return Err(StoreError::NotFound(Subject::Plugin(name.clone())).into());
    }
    let end = rollout::end_of(finish.is_some(), *now);
    let rollout = rollout::end(name, rows::rollout(tx, name).await?, *digest, end)?;
    versions::settle_running(tx, name).await?;
    set(tx, name, &rollout).await?;
    rows::bump(tx).await?;
    let changes = match finish {
        Some(tasks) => Some(rows::activate(tx, Put::Replaced, name, *digest, tasks, &Settings::default()).await?),
        None => None,
    };
    Ok(RolloutEnded { rollout, changes })
}

pub(in crate::sql) async fn count(tx: &mut Tx, request: &CountRollout) -> Result<Option<Rollout>, Fault> {
    rows::lock(tx).await?;
    let CountRollout { name, digest, attempts, failed, now } = request;
    let latest = rows::rollout(tx, name).await?.filter(|latest| latest.is_active() && latest.digest == *digest);
    let Some(mut rollout) = latest else { return Ok(None) };
    rollout.count(*attempts, *failed, *now);
    if !rollout.is_active() {
        versions::settle_running(tx, name).await?;
        rows::bump(tx).await?;
    }
    set(tx, name, &rollout).await?;
    Ok(Some(rollout))
}

/// Counts crashes as failures of the versions that are to blame for them. Answers the rollouts that have ended for it.
pub(in crate::sql) async fn count_crashes(
    tx: &mut Tx,
    to_blame: Vec<(PluginName, Digest)>,
    now: Timestamp,
) -> Result<Vec<(PluginName, Digest)>, Fault> {
    let mut crashes: BTreeMap<_, u64> = BTreeMap::new();
    for version in to_blame {
        *crashes.entry(version).or_default() += 1;
    }
    let mut returned = Vec::new();
    for ((name, digest), crashes) in crashes {
        let request = CountRollout { name: name.clone(), digest, attempts: crashes, failed: crashes, now };
        let counted = count(tx, &request).await?;
        returned.extend(counted.filter(|rollout| !rollout.is_active()).map(|_| (name, digest)));
    }
    Ok(returned)
}
