//! The order of a group: who gets a place, and who gives one back.

use std::collections::{BTreeMap, HashMap};

use super::{Group, Places, Rooms, lock, store};
use crate::model::{JobId, TaskId};
use crate::rules::Order;
use crate::sql::drivers::tx::{Fault, Tx};
use crate::sql::statements::query::{Query, q};
use crate::sql::statements::value::{Value, list, values};

/// How many jobs at the ends of a group's two orders are compared at a time.
const COMPARED: i64 = 64;

/// Which of its two places a job gets next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Key,
    Task,
}

/// Which end of a group's order is looked at.
#[derive(Debug, Clone, Copy)]
enum End {
    /// The first that wait.
    First,
    /// The last that have a place and do not run.
    Last,
}

impl Stage {
    fn query(self, end: End) -> Query {
        match (self, end) {
            (Stage::Key, End::First) => q::key_first,
            (Stage::Key, End::Last) => q::key_last,
            (Stage::Task, End::First) => q::task_first,
            (Stage::Task, End::Last) => q::task_last,
        }
    }

    fn of(self, places: Places) -> Option<bool> {
        match self {
            Stage::Key => places.key,
            Stage::Task => places.task,
        }
    }

    /// The places of a job that gets the one of this stage.
    fn given(self, places: Places, group: &Group, rooms: &Rooms) -> Places {
        match self {
            Stage::Key => {
                let is_task_limited = rooms.contains_key(&(group.0.clone(), String::new()));
                Places { key: Some(true), task: is_task_limited.then_some(false), is_parked: false }
            }
            Stage::Task => Places { task: Some(true), is_parked: false, ..places },
        }
    }

    /// The places of a job that has to give the one of this stage back.
    fn taken_back(self, places: Places) -> Places {
        match self {
            Stage::Key => Places { key: Some(false), ..Places::default() },
            Stage::Task => Places { task: Some(false), ..places },
        }
    }
}

/// The jobs at one end of the order of each group, `quota` of each, by group. Nothing is locked.
async fn read_end(
    tx: &mut Tx,
    stage: Stage,
    end: End,
    quotas: Vec<(&Group, i64)>,
) -> Result<BTreeMap<Group, Vec<Order>>, Fault> {
    let mut rows = Vec::with_capacity(quotas.len());
    for ((task, key), quota) in quotas.into_iter().filter(|(_, quota)| *quota > 0) {
        rows.push(match stage {
            Stage::Key => values![task.as_str(), key.as_str(), quota],
            Stage::Task => values![task.as_str(), quota],
        });
    }
    let mut found: BTreeMap<Group, Vec<Order>> = BTreeMap::new();
    for mut row in tx.fetch_rows(stage.query(end), rows).await? {
        let group = (row.text()?, row.text()?);
        let sort_key = row.int()?;
        found.entry(group).or_default().push((sort_key, row.job_id()?));
    }
    found.values_mut().for_each(|orders| match end {
        End::First => orders.sort_unstable(),
        End::Last => orders.sort_unstable_by(|a, b| b.cmp(a)),
    });
    Ok(found)
}

/// Locks those of the jobs that are still queued and that nobody else has locked.
pub(super) async fn hold(tx: &mut Tx, ids: Vec<JobId>) -> Result<HashMap<JobId, Places>, Fault> {
    hold_by(tx, q::job_place_lock, ids).await
}

async fn hold_by(tx: &mut Tx, query: Query, ids: Vec<JobId>) -> Result<HashMap<JobId, Places>, Fault> {
    let mut held = HashMap::new();
    if !ids.is_empty() {
        for mut row in tx.fetch(query, vec![list(ids)]).await? {
            let id = row.job_id()?;
            held.insert(id, Places::read(&mut row)?);
        }
    }
    Ok(held)
}

/// Gives what is free to the first who wait; where too much is taken, since the limit was lowered, the last who do not run give
/// back. Answers whether anyone has got a place.
pub(super) async fn fill(tx: &mut Tx, stage: Stage, groups: &[Group], rooms: &mut Rooms) -> Result<bool, Fault> {
    let (mut first, mut last) = (Vec::new(), Vec::new());
    for group in groups {
        if let Some(room) = rooms.get(group) {
            first.push((group, room.free()));
            last.push((group, room.taken.saturating_sub(room.max)));
        }
    }
    let first = read_end(tx, stage, End::First, first).await?;
    let last = read_end(tx, stage, End::Last, last).await?;
    if first.is_empty() && last.is_empty() {
        return Ok(false);
    }
    let ids = first.values().chain(last.values()).flatten().map(|(_, id)| *id);
    let mut held = hold(tx, ids.collect()).await?;
    // A place must not stay free because somebody happened to look at the job that gets it. Somebody who ends it and waits for us is a
    // collision.
    let missing = first.values().flatten().map(|(_, id)| *id).filter(|id| !held.contains_key(id)).collect();
    held.extend(hold_by(tx, q::job_place_wait, missing).await?);
    let mut rows = Vec::new();
    let mut has_passed = false;
    for (group, orders) in &first {
        for (id, places) in still(&held, orders, stage, false) {
            rows.push(stage.given(places, group, rooms).row(id));
            count(rooms, group, 1);
            has_passed = true;
        }
    }
    for (group, orders) in &last {
        for (id, places) in still(&held, orders, stage, true) {
            take_back(stage, id, places, group, rooms, &mut rows);
        }
    }
    tx.execute_rows(q::job_place, rows).await?;
    Ok(has_passed)
}

/// Those of the jobs that are held and stand as they were seen.
fn still<'a>(
    held: &'a HashMap<JobId, Places>,
    orders: &'a [Order],
    stage: Stage,
    has_place: bool,
) -> impl Iterator<Item = (JobId, Places)> + 'a {
    let places = |(_, id): &Order| Some((*id, *held.get(id)?));
    orders.iter().filter_map(places).filter(move |(_, places)| stage.of(*places) == Some(has_place))
}

fn count(rooms: &mut Rooms, group: &Group, change: i64) {
    if let Some(room) = rooms.get_mut(group) {
        room.taken += change;
    }
}

/// Takes a place back from a job that does not run, and with that of its key also that of its task.
fn take_back(stage: Stage, id: JobId, places: Places, group: &Group, rooms: &mut Rooms, rows: &mut Vec<Vec<Value>>) {
    rows.push(stage.taken_back(places).row(id));
    count(rooms, group, -1);
    if stage == Stage::Key && places.task == Some(true) {
        count(rooms, &(group.0.clone(), String::new()), -1);
    }
}

/// Lets those who wait have the places of ready ones that come after them in order.
pub(super) async fn exchange(tx: &mut Tx, stage: Stage, groups: &[Group], rooms: &mut Rooms) -> Result<(), Fault> {
    let mut candidates: Vec<Group> = groups.to_vec();
    let mut compared = 1;
    while !candidates.is_empty() {
        let first = read_end(tx, stage, End::First, candidates.iter().map(|group| (group, compared)).collect()).await?;
        let last = read_end(tx, stage, End::Last, first.keys().map(|group| (group, compared)).collect()).await?;
        let pairs = |group: &Group| {
            let (first, last) = (first.get(group).into_iter().flatten(), last.get(group).into_iter().flatten());
            first.zip(last).take_while(|(first, last)| first < last).map(|(a, b)| (*a, *b)).collect::<Vec<_>>()
        };
        let pairs: Vec<(Group, Vec<(Order, Order)>)> = candidates
            .iter()
            .map(|group| (group.clone(), pairs(group)))
            .filter(|(_, pairs)| !pairs.is_empty())
            .collect();
        candidates = pairs.iter().map(|(group, _)| group.clone()).collect();
        if compared == 1 {
            // Almost always there is none; where there is one, there may be many.
            compared = COMPARED;
            continue;
        }
        let ids = pairs.iter().flat_map(|(_, pairs)| pairs).flat_map(|((_, first), (_, last))| [*first, *last]);
        let held = hold(tx, ids.collect()).await?;
        let mut rows = Vec::new();
        let mut has_changed = false;
        for (group, pairs) in &pairs {
            let (first, last): (Vec<Order>, Vec<Order>) = pairs.iter().copied().unzip();
            let takers: Vec<_> = still(&held, &first, stage, false).collect();
            let givers: Vec<_> = still(&held, &last, stage, true).collect();
            for ((taker, wanted), (giver, had)) in takers.into_iter().zip(givers) {
                take_back(stage, giver, had, group, rooms, &mut rows);
                rows.push(stage.given(wanted, group, rooms).row(taker));
                count(rooms, group, 1);
                has_changed = true;
            }
        }
        tx.execute_rows(q::job_place, rows).await?;
        if !has_changed {
            // Somebody else has locked them, and settles after us.
            return Ok(());
        }
    }
    Ok(())
}

/// Makes a due job ready although others wait before it, provided that fewer run than may. Answers whether it is ready.
pub(in crate::sql) async fn overtake(
    tx: &mut Tx,
    id: JobId,
    task: &TaskId,
    key: Option<&str>,
    places: Places,
) -> Result<bool, Fault> {
    if places.are_had() {
        return Ok(true);
    }
    let whole = (task.to_string(), String::new());
    let keyed = key.filter(|_| places.key.is_some()).map(|key| (task.to_string(), key.to_owned()));
    let mut rooms = lock(tx, [&whole].into_iter().chain(&keyed).collect()).await?;
    let mut rows = Vec::new();
    let mut had = places;
    let stages: Vec<(Stage, &Group)> =
        keyed.iter().map(|group| (Stage::Key, group)).chain([(Stage::Task, &whole)]).collect();
    for (stage, group) in stages {
        if !rooms.contains_key(group) || stage.of(had) == Some(true) {
            continue;
        }
        if rooms.get(group).is_some_and(|room| room.free() == 0) {
            let last = read_end(tx, stage, End::Last, vec![(group, 1)]).await?;
            let held = hold(tx, last.values().flatten().map(|(_, id)| *id).collect()).await?;
            let giver = last.values().flat_map(|orders| still(&held, orders, stage, true)).next();
            let Some((giver, places)) = giver else { return Ok(false) };
            take_back(stage, giver, places, group, &mut rooms, &mut rows);
        }
        if rooms.get(group).is_some_and(|room| room.free() == 0) {
            return Ok(false);
        }
        had = stage.given(had, group, &rooms);
        count(&mut rooms, group, 1);
    }
    rows.push(had.row(id));
    tx.execute_rows(q::job_place, rows).await?;
    store(tx, &rooms).await?;
    Ok(had.are_had())
}
