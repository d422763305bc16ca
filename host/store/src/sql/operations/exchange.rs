//! Leasing jobs, alone or together with ending others.

use std::sync::Arc;

use super::release::{Releasing, release_unsettled};
use super::{acquire, take};
use crate::sql::drivers::tx::{Fault, Tx};
use crate::sql::places::Touched;
use crate::sql::statements::query::Dialect;
use crate::sql::time::Time;
use crate::{AcquireJobs, AcquiredJobs, Choice, ExchangedJobs};

pub(in crate::sql) async fn acquire(
    tx: &mut Tx,
    (time, request): &(Arc<Time>, AcquireJobs),
) -> Result<AcquiredJobs, Fault> {
    acquire_after(tx, time, request, Touched::default()).await
}

/// Ends attempts, then leases jobs.
pub(in crate::sql) async fn exchange(
    tx: &mut Tx,
    (time, releasing, request): &(Arc<Time>, Releasing, AcquireJobs),
) -> Result<ExchangedJobs, Fault> {
    let mut touched = Touched::default();
    let released = release_unsettled(tx, releasing, &mut touched).await?;
    let acquired = acquire_after(tx, time, request, touched).await?;
    Ok(ExchangedJobs { released, acquired })
}

/// Leases jobs in a transaction that has changed others before. `touched`: the groups of those, which are settled here, together with what
/// is to be done before a claim: jobs are locked before groups.
async fn acquire_after(
    tx: &mut Tx,
    time: &Time,
    request: &AcquireJobs,
    touched: Touched,
) -> Result<AcquiredJobs, Fault> {
    if tx.dialect == Dialect::Postgres && request.choice == Choice::InOrder {
        take::acquire(tx, time, request, touched).await
    } else {
        acquire::acquire(tx, time, request, touched).await
    }
}
