//! Acquiring jobs: which ones start next, and the claim on them. The module above tells what it looks at.

use std::collections::{HashMap, HashSet};

use super::job_rows::{Requeue, ended_unread, leave_unread, lock, lock_each, unreadable_error};
use super::{hooks, shares};
use crate::model::{JobId, Outcome, TaskId, Timestamp};
use crate::rules::Order;
use crate::sql::drivers::tx::{Fault, Tx};
use crate::sql::places::{self, Places, Touched};
use crate::sql::statements::query::{Dialect, q};
use crate::sql::statements::row;
use crate::sql::statements::value::{Arg, Row, Value, args, list, values};
use crate::sql::time::{Now, Time};
use crate::{AcquireJobs, AcquiredJobs, Choice, Defect, EndedJob, Unreadable, rules};

/// What there is to look at.
struct Peek {
    /// The time by which this was found.
    now: Timestamp,
    /// The token is in use: this is the second call of the same acquisition.
    is_repeated: bool,
    has_missed: bool,
    has_woken: bool,
    catalog_revision: i64,
    /// Those of the caller's keys that have jobs ready.
    keys: HashSet<String>,
}

/// Leases jobs, see `exchange::acquire_after`.
pub(super) async fn acquire(
    tx: &mut Tx,
    time: &Time,
    request: &AcquireJobs,
    touched: Touched,
) -> Result<AcquiredJobs, Fault> {
    let mut peek = peek(tx, time, request).await?;
    // From here on the time stands still: what is decided below fits together.
    let now = peek.now;
    let mut acquired = AcquiredJobs::none(now, peek.catalog_revision);
    if peek.is_repeated {
        places::settle(tx, touched).await?;
        claimed_before(tx, request, &mut acquired).await?;
        return Ok(acquired);
    }
    let chosen = match request.choice.only() {
        Some(only) => {
            places::settle(tx, touched).await?;
            choose_one(tx, request, only, &mut acquired).await?
        }
        None => {
            let is_seen = !peek.has_woken && touched.is_empty();
            prepare(tx, &mut acquired, touched, peek.has_missed, peek.has_woken).await?;
            if !is_seen || peek.has_missed {
                peek = self::peek(tx, time, request).await?;
            }
            choose(tx, request, &peek.keys).await?
        }
    };
    claim_chosen(tx, time, request, chosen, &mut acquired).await?;
    Ok(acquired)
}

/// Answers what the first call with this token has leased.
pub(super) async fn claimed_before(
    tx: &mut Tx,
    request: &AcquireJobs,
    acquired: &mut AcquiredJobs,
) -> Result<(), Fault> {
    let rows = tx.fetch(q::job_claimed, args![&request.holder, request.token]).await?;
    read(tx, rows, acquired).await
}

/// Does what is to be done before jobs are leased at `acquired.now`, and settles everything that was touched.
pub(super) async fn prepare(
    tx: &mut Tx,
    acquired: &mut AcquiredJobs,
    mut touched: Touched,
    has_missed: bool,
    has_woken: bool,
) -> Result<(), Fault> {
    if has_missed {
        end_missed(tx, acquired.now, acquired, &mut touched).await?;
    }
    if has_woken {
        wake(tx, acquired.now, &mut touched).await?;
    }
    places::settle(tx, touched).await
}

/// As the peek does not say which keys have jobs ready: looks again, chooses and claims, whatever is due or missed.
pub(super) async fn choose_and_claim(
    tx: &mut Tx,
    time: &Time,
    request: &AcquireJobs,
    acquired: &mut AcquiredJobs,
) -> Result<(), Fault> {
    let peek = peek(tx, time, request).await?;
    let chosen = choose(tx, request, &peek.keys).await?;
    claim_chosen(tx, time, request, chosen, acquired).await
}

async fn claim_chosen(
    tx: &mut Tx,
    time: &Time,
    request: &AcquireJobs,
    chosen: Vec<JobId>,
    acquired: &mut AcquiredJobs,
) -> Result<(), Fault> {
    if chosen.is_empty() {
        return Ok(());
    }
    let now = time.at(tx, acquired.now).await?;
    let rows = claim(tx, request, now, chosen).await?;
    read(tx, rows, acquired).await
}

async fn peek(tx: &mut Tx, time: &Time, request: &AcquireJobs) -> Result<Peek, Fault> {
    let AcquireJobs { holder, token, now, .. } = request;
    let mut peek = Peek {
        now: *now,
        is_repeated: false,
        has_missed: false,
        has_woken: false,
        catalog_revision: 0,
        keys: HashSet::new(),
    };
    let keys = rules::ready_keys(request).into_iter();
    let mut keys: Vec<Vec<Value>> =
        keys.flat_map(|(served, keys)| keys.into_iter().map(|key| values![key, &served.queue])).collect();
    if keys.is_empty() {
        // The statement wants one.
        keys.push(values!["", ""]);
    }
    let now = time.argument(*now);
    let mut arguments = args![holder, *token, now, now, now];
    arguments.push(Arg::Rows(keys));
    for mut row in tx.fetch(q::job_peek, arguments).await? {
        (peek.is_repeated, peek.has_missed, peek.has_woken) = (row.flag()?, row.flag()?, row.flag()?);
        (peek.catalog_revision, peek.now) = (row.int()?, row.time()?);
        let (key, is_open) = (row.text()?, row.flag()?);
        peek.keys.extend(is_open.then_some(key));
    }
    Ok(peek)
}

/// Ends jobs whose start deadline has passed.
async fn end_missed(
    tx: &mut Tx,
    now: Timestamp,
    acquired: &mut AcquiredJobs,
    touched: &mut Touched,
) -> Result<(), Fault> {
    let limit = i64::try_from(rules::MISSED_MAX).unwrap_or(i64::MAX);
    let (mut rows, mut missed, mut unread) = (Vec::new(), Vec::new(), Vec::new());
    for mut row in tx.fetch(q::job_missed_select, args![now, limit]).await? {
        let Ok(id) = row.job_id() else { continue };
        match row.task_id().and_then(|task_id| Ok((task_id, row::span(row.int()?)))) {
            Ok((task_id, result_ttl)) => {
                let key = row.maybe_text()?;
                touched.left(&task_id, key.as_deref(), Places::read(&mut row)?);
                rows.push(ended(id, Outcome::MissedStartDeadline, now, result_ttl));
                acquired.missed.push(EndedJob { id, task_id });
                missed.push(id);
            }
            Err(defect) => {
                rows.push(ended_unread(id, now, unreadable_error(&defect)));
                unread.push(id);
                acquired.unreadable.push(Unreadable { id: id.to_string(), defect });
            }
        }
    }
    leave_unread(tx, unread, touched).await?;
    tx.execute_rows(q::job_end, rows).await?;
    call_hooks(tx, missed, acquired, touched).await
}

/// Calls the hooks of jobs whose start deadline has passed.
async fn call_hooks(
    tx: &mut Tx,
    missed: Vec<JobId>,
    acquired: &mut AcquiredJobs,
    touched: &mut Touched,
) -> Result<(), Fault> {
    let locked = lock(tx, missed).await?;
    let with_hooks = locked.into_iter().filter(|job| hooks::has_hooks(&job.settings)).map(|job| job.id).collect();
    let made = hooks::ended(tx, with_hooks, Outcome::MissedStartDeadline, acquired.now, touched).await?;
    acquired.hooked.extend(made);
    Ok(())
}

fn ended(id: JobId, outcome: Outcome, now: Timestamp, result_ttl: std::time::Duration) -> Vec<Value> {
    values![id, outcome, now, rules::expiry(now, result_ttl), None::<String>, None::<i64>]
}

/// Lets jobs that have become due wait for their turn.
async fn wake(tx: &mut Tx, now: Timestamp, touched: &mut Touched) -> Result<(), Fault> {
    let limit = i64::try_from(rules::WOKEN_MAX).unwrap_or(i64::MAX);
    let mut jobs = Vec::new();
    for mut row in tx.fetch(q::job_wake_select, args![now, limit]).await? {
        if let Ok(id) = row.job_id() {
            // One whose task cannot be read ends as soon as somebody claims it.
            jobs.push((id, row.task_id().ok(), row.maybe_text().ok().flatten()));
        }
    }
    places::enter(tx, jobs, touched).await
}

/// A queued job that was asked for by its id.
struct Only {
    task_id: TaskId,
    result_ttl: std::time::Duration,
    deadline: Option<Timestamp>,
    run_at: Option<Timestamp>,
    claim_key: String,
    key: Option<String>,
    places: Places,
}

async fn only(tx: &mut Tx, id: JobId) -> Result<Option<Only>, Fault> {
    let Some(mut row) = tx.fetch_one(q::job_only_select, args![id]).await? else { return Ok(None) };
    let (task_id, result_ttl) = (row.task_id()?, row::span(row.int()?));
    let (deadline, run_at, claim_key) = (row.maybe_time()?, row.maybe_time()?, row.text()?);
    let (_ready_key, key) = (row.maybe_text()?, row.maybe_text()?);
    Ok(Some(Only { task_id, result_ttl, deadline, run_at, claim_key, key, places: Places::read(&mut row)? }))
}

/// The one job that was asked for, if it may start.
async fn choose_one(
    tx: &mut Tx,
    request: &AcquireJobs,
    id: JobId,
    acquired: &mut AcquiredJobs,
) -> Result<Vec<JobId>, Fault> {
    let Some(mut job) = only(tx, id).await? else { return Ok(Vec::new()) };
    let now = acquired.now;
    if job.deadline.is_some_and(|deadline| deadline < now) {
        tx.execute_rows(q::job_end, vec![ended(id, Outcome::MissedStartDeadline, now, job.result_ttl)]).await?;
        let mut touched = Touched::default();
        touched.left(&job.task_id, job.key.as_deref(), job.places);
        call_hooks(tx, vec![id], acquired, &mut touched).await?;
        places::settle(tx, touched).await?;
        acquired.missed.push(EndedJob { id, task_id: job.task_id });
        return Ok(Vec::new());
    }
    let needed = rules::read_ready_key(&job.claim_key).map(|(_, needed)| needed);
    let can_run = needed.is_none_or(|needed| needed.is_met_by(&request.abilities));
    match job.run_at {
        Some(run_at) if run_at > now => return Ok(Vec::new()),
        Some(_) => {
            let mut touched = Touched::default();
            places::enter(tx, vec![(id, Some(job.task_id.clone()), job.key.clone())], &mut touched).await?;
            places::settle(tx, touched).await?;
            let Some(entered) = only(tx, id).await? else { return Ok(Vec::new()) };
            job = entered;
        }
        None => {}
    }
    if !can_run || request.limit == 0 {
        return Ok(Vec::new());
    }
    let is_ready = places::overtake(tx, id, &job.task_id, job.key.as_deref(), job.places).await?;
    Ok(if is_ready { vec![id] } else { Vec::new() })
}

/// The jobs that start next. Those that were parked while nobody ran them wait for their places again first.
async fn choose(tx: &mut Tx, request: &AcquireJobs, open: &HashSet<String>) -> Result<Vec<JobId>, Fault> {
    let mut rounds = 0;
    loop {
        let (mut chosen, mut parked) = (Vec::new(), Vec::new());
        let rows = match &request.choice {
            Choice::EachTask { except } => shares::first_of_each_task(tx, request, open, except).await?,
            Choice::InOrder | Choice::Only(_) => first_in_order(tx, request, open).await?,
        };
        for mut row in rows {
            let id = row.job_id()?;
            if Places::read(&mut row)?.is_parked { parked.push(id) } else { chosen.push(id) }
        }
        if parked.is_empty() || rounds == rules::UNPARK_ROUNDS_MAX {
            return Ok(chosen);
        }
        places::unpark(tx, parked).await?;
        rounds += 1;
    }
}

/// The first jobs in the order of starting, locked: their ids and places.
async fn first_in_order(tx: &mut Tx, request: &AcquireJobs, open: &HashSet<String>) -> Result<Vec<Row>, Fault> {
    let mut first = Vec::new();
    for (key, quota) in quotas(tx, request, open).await? {
        first.extend(tx.fetch(q::job_ready_claim, args![key, quota]).await?);
    }
    Ok(first)
}

/// How many jobs to take by each key. Where several have jobs ready, that needs a look at the first of each.
async fn quotas(tx: &mut Tx, request: &AcquireJobs, open: &HashSet<String>) -> Result<Vec<(String, i64)>, Fault> {
    let rows_max = |limit: usize| i64::try_from(limit.min(request.limit)).unwrap_or(i64::MAX);
    let queues: Vec<(usize, Vec<String>)> = rules::ready_keys(request)
        .into_iter()
        .map(|(served, keys)| (served.limit, keys.into_iter().filter(|key| open.contains(key)).collect()))
        .collect();
    let all = || queues.iter().flat_map(|(limit, keys)| keys.iter().map(move |key| (key, rows_max(*limit))));
    if all().count() <= 1 {
        return Ok(all().map(|(key, quota)| (key.clone(), quota)).filter(|(_, quota)| *quota > 0).collect());
    }
    let rows = all().map(|(key, quota)| values![key.as_str(), quota]).collect();
    let mut candidates: HashMap<String, Vec<Order>> = HashMap::new();
    for mut row in tx.fetch_rows(q::job_ready_candidates, rows).await? {
        let (key, sort_key) = (row.text()?, row.int()?);
        candidates.entry(key).or_default().push((sort_key, row.job_id()?));
    }
    let candidates = &candidates;
    let in_order = |(limit, keys): &(usize, Vec<String>)| {
        let of_key = |key: &String| {
            candidates.get(key).into_iter().flatten().map(|order| (*order, key.clone())).collect::<Vec<_>>()
        };
        let mut jobs: Vec<(Order, String)> = keys.iter().flat_map(of_key).collect();
        jobs.sort_unstable();
        (*limit, jobs)
    };
    let mut quotas: Vec<(String, i64)> = Vec::new();
    for (_, key) in rules::take_turns(queues.iter().map(in_order).collect(), request.limit) {
        match quotas.iter_mut().find(|(known, _)| *known == key) {
            Some((_, quota)) => *quota += 1,
            None => quotas.push((key, 1)),
        }
    }
    Ok(quotas)
}

/// Leases those of the chosen jobs that are still queued, and answers their rows.
async fn claim(tx: &mut Tx, request: &AcquireJobs, now: Now, chosen: Vec<JobId>) -> Result<Vec<Row>, Fault> {
    let AcquireJobs { holder, token, lease, .. } = request;
    let mut arguments = args![holder, *token, now.leases.saturating_add(*lease), holder, now.due];
    arguments.push(list(chosen));
    if tx.dialect != Dialect::Mysql {
        return tx.change(q::job_claim, arguments).await;
    }
    match tx.execute(q::job_claim, arguments).await? {
        0 => Ok(Vec::new()),
        _ => tx.fetch(q::job_claimed, args![holder, *token]).await,
    }
}

/// Reads what is under the lease now, and quarantines what cannot be read, so that it blocks nobody.
pub(super) async fn read(tx: &mut Tx, rows: Vec<Row>, acquired: &mut AcquiredJobs) -> Result<(), Fault> {
    let mut unreadable = Vec::new();
    for row in rows {
        match row::job(row) {
            Ok(job) => acquired.jobs.push(job),
            Err(bad) => unreadable.push(bad),
        }
    }
    acquired.jobs.sort_unstable_by_key(|job| (std::cmp::Reverse(job.spec.settings.priority), job.spec.id));
    quarantine(tx, &unreadable, acquired.now).await?;
    acquired.unreadable.extend(unreadable);
    Ok(())
}

/// Ends jobs that are damaged; puts those that a newer version has written back as they were, and off.
async fn quarantine(tx: &mut Tx, unreadable: &[Unreadable], now: Timestamp) -> Result<(), Fault> {
    let defects: HashMap<JobId, &Defect> =
        unreadable.iter().filter_map(|bad| Some((bad.id.parse().ok()?, &bad.defect))).collect();
    let (mut ended, mut requeued, mut unread, mut touched) = (Vec::new(), Vec::new(), Vec::new(), Touched::default());
    for locked in lock_each(tx, defects.keys().copied()).await? {
        match locked {
            Ok(job) => match defects.get(&job.id) {
                Some(defect) if defect.is_newer() => {
                    let requeue = Requeue {
                        now,
                        attempt: job.attempt.saturating_sub(1),
                        started_at: None,
                        not_before: Some(rules::put_off(now, job.due_at)),
                        ..Requeue::of(&job)
                    };
                    requeued.push(requeue.place(&job, &mut touched));
                }
                defect => {
                    let error = defect.map(|defect| unreadable_error(defect));
                    job.leave(&mut touched);
                    ended.push(job.ended(Outcome::DeserializationFailed, now, error));
                }
            },
            Err(bad) => {
                let Ok(id) = bad.id.parse() else { continue };
                ended.push(ended_unread(id, now, unreadable_error(&bad.defect)));
                unread.push(id);
            }
        }
    }
    leave_unread(tx, unread, &mut touched).await?;
    tx.execute_rows(q::job_end, ended).await?;
    tx.execute_rows(q::job_requeue, requeued).await?;
    places::settle(tx, touched).await
}
