//! Acquiring jobs on PostgreSQL: one statement looks at everything and leases the jobs, where nothing else is to be done first.

use super::acquire::{choose_and_claim, claimed_before, prepare, read};
use crate::model::{Timestamp, limits};
use crate::sql::drivers::tx::{Fault, Tx};
use crate::sql::places::Touched;
use crate::sql::statements::query::q;
use crate::sql::statements::row;
use crate::sql::statements::value::{Arg, Row, Value, args, values};
use crate::sql::time::Time;
use crate::{AcquireJobs, AcquiredJobs, rules};

/// Whether the statement leases jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing = 0,
    /// Where no deadline is missed and nothing has become due.
    UnlessMore = 1,
    Jobs = 2,
}

/// What the statement has found.
struct Peeked {
    now: Timestamp,
    is_repeated: bool,
    has_missed: bool,
    has_woken: bool,
    has_parked: bool,
    catalog_revision: i64,
    /// The jobs that were leased.
    rows: Vec<Row>,
}

/// Leases jobs, see `exchange::acquire_after`.
pub(super) async fn acquire(
    tx: &mut Tx,
    time: &Time,
    request: &AcquireJobs,
    touched: Touched,
) -> Result<AcquiredJobs, Fault> {
    // What the groups give free is to be leased as well.
    let takes = if touched.is_empty() { Takes::UnlessMore } else { Takes::Nothing };
    let mut peeked = peek(tx, time.argument(request.now), request, takes).await?;
    let mut acquired = AcquiredJobs::none(peeked.now, peeked.catalog_revision);
    let Peeked { is_repeated, has_missed, has_woken, .. } = peeked;
    if is_repeated || has_missed || has_woken || takes == Takes::Nothing {
        prepare(tx, &mut acquired, touched, has_missed && !is_repeated, has_woken && !is_repeated).await?;
        if is_repeated {
            claimed_before(tx, request, &mut acquired).await?;
            return Ok(acquired);
        }
        peeked = peek(tx, Some(acquired.now), request, Takes::Jobs).await?;
    }
    if peeked.has_parked {
        choose_and_claim(tx, time, request, &mut acquired).await?;
    } else {
        read(tx, peeked.rows, &mut acquired).await?;
    }
    Ok(acquired)
}

async fn peek(tx: &mut Tx, now: Option<Timestamp>, request: &AcquireJobs, takes: Takes) -> Result<Peeked, Fault> {
    let AcquireJobs { holder, token, lease, limit, .. } = request;
    let count = |limit: usize| i64::try_from(limit).unwrap_or(i64::MAX);
    let mut keys: Vec<Vec<Value>> = Vec::new();
    for (turn, (served, of_queue)) in (0_i64..).zip(rules::ready_keys(request)) {
        let quota = count(served.limit.min(*limit));
        keys.extend(of_queue.into_iter().map(|key| values![key, &served.queue, turn, quota]));
    }
    if keys.is_empty() {
        // The statement wants one.
        keys.push(values!["", "", 0_i64, 0_i64]);
    }
    let mut arguments = args![holder, *token, now];
    arguments.push(Arg::Rows(keys));
    let lease = row::span_micros((*lease).min(limits::SPAN_MAX));
    arguments.extend(args![takes as i64, count(*limit), holder, *token, lease, holder]);
    let mut found = None;
    for mut row in tx.change(q::job_take, arguments).await? {
        let (is_repeated, has_missed, has_woken) = (row.flag()?, row.flag()?, row.flag()?);
        let has_parked = row.flag()?;
        let (catalog_revision, now, has_job) = (row.int()?, row.time()?, row.flag()?);
        let rows = Vec::new();
        let peeked =
            found.get_or_insert(Peeked { now, is_repeated, has_missed, has_woken, has_parked, catalog_revision, rows });
        peeked.rows.extend(has_job.then_some(row));
    }
    // It answers one row at least.
    found.ok_or(Fault::Again)
}
