//! The time by which a call decides, see [`crate::timekeeping`].

use std::sync::{Arc, OnceLock};

use crate::StoreTime;
use crate::clock::{Clock, Instant};
use crate::model::Timestamp;
use crate::sql::drivers::tx::{Fault, Tx};
use crate::sql::statements::query::{Dialect, q};
use crate::sql::statements::value::{Arg, values};
use crate::timekeeping::{LeaseClock, Timekeeping};

/// Where a store has the time from.
#[derive(Debug)]
pub(super) enum Time {
    /// From the caller.
    Caller,
    /// From the server, inside the transaction.
    Server,
    /// What is due from the caller, leases from the machine.
    Machine(MachineLeases),
}

/// The time of one call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    /// What is due.
    pub(super) due: Timestamp,
    /// Which lease is over.
    pub(super) leases: Timestamp,
}

impl Time {
    pub(super) fn new(dialect: Dialect, timekeeping: Timekeeping, clock: &Arc<dyn Clock>) -> Time {
        match (timekeeping, dialect) {
            (Timekeeping::Caller, _) => Time::Caller,
            (Timekeeping::Own, Dialect::Postgres | Dialect::Mysql) => Time::Server,
            (Timekeeping::Own, Dialect::Sqlite) => {
                Time::Machine(MachineLeases { clock: Arc::clone(clock), agreed: OnceLock::new() })
            }
        }
    }

    /// The argument for a `?now`: nothing where the server is to look at its own clock.
    pub(super) fn argument(&self, now: Timestamp) -> Option<Timestamp> {
        (!matches!(self, Time::Server)).then_some(now)
    }

    /// The time of a call whose caller says that it is `now`.
    pub(super) async fn now(&self, tx: &mut Tx, now: Timestamp) -> Result<Now, Fault> {
        let due = match self {
            Time::Server => server(tx).await?.unwrap_or(now),
            Time::Caller | Time::Machine(_) => now,
        };
        self.at(tx, due).await
    }

    /// The time of a call that has found out when it is.
    pub(super) async fn at(&self, tx: &mut Tx, due: Timestamp) -> Result<Now, Fault> {
        let leases = match self {
            Time::Caller | Time::Server => due,
            Time::Machine(machine) => machine.agree(tx).await?.unwrap_or(due),
        };
        Ok(Now { due, leases })
    }

    /// The time as it is told to callers.
    pub(super) async fn shown(&self, tx: &mut Tx) -> Result<StoreTime, Fault> {
        match self {
            // Whoever says what time it is says so for leases as well.
            Time::Caller => Ok(StoreTime { now: server(tx).await?, leases: None }),
            Time::Server => {
                let now = server(tx).await?;
                Ok(StoreTime { now, leases: now })
            }
            Time::Machine(machine) => Ok(StoreTime { now: None, leases: machine.read(tx).await? }),
        }
    }
}

/// The time by the server's clock; `None` on SQLite.
async fn server(tx: &mut Tx) -> Result<Option<Timestamp>, Fault> {
    let row = tx.fetch_one(q::clock, Vec::new()).await?;
    Ok(row.map(|mut row| row.maybe_time()).transpose()?.flatten())
}

/// Leases by the monotonic clock of the machine. The processes that share a file agree on one: which start of the machine it counts from,
/// and what time that was, is stored in the file by the first that asks after a start.
#[derive(Debug)]
pub(super) struct MachineLeases {
    clock: Arc<dyn Clock>,
    /// What was read. What was only written is not kept, because the transaction may yet be rolled back.
    agreed: OnceLock<LeaseClock>,
}

/// The names of the two numbers.
const BOOT: &str = "lease_clock_boot";
const ORIGIN: &str = "lease_clock_origin";

impl MachineLeases {
    /// The time, where processes can agree on one.
    async fn read(&self, tx: &mut Tx) -> Result<Option<Timestamp>, Fault> {
        if let Some(agreed) = self.agreed.get() {
            return Ok(Some(agreed.now()));
        }
        let Some(boot) = self.clock.monotonic_origin() else { return Ok(None) };
        let (mut stored_boot, mut origin) = (None, None);
        for mut row in tx.fetch(q::number_select, vec![crate::sql::statements::value::list([BOOT, ORIGIN])]).await? {
            let (name, value) = (row.text()?, row.int()?);
            *(if name == BOOT { &mut stored_boot } else { &mut origin }) = Some(value);
        }
        let origin = origin.filter(|_| stored_boot == Some(signed(boot))).and_then(Timestamp::from_micros);
        Ok(origin.map(|origin| {
            let begin = || LeaseClock::begun(Arc::clone(&self.clock), Instant::new(std::time::Duration::ZERO), origin);
            self.agreed.get_or_init(begin).now()
        }))
    }

    /// The same, in a transaction that writes: whoever is first says from where it counts.
    async fn agree(&self, tx: &mut Tx) -> Result<Option<Timestamp>, Fault> {
        if let Some(agreed) = self.read(tx).await? {
            return Ok(Some(agreed));
        }
        let Some(boot) = self.clock.monotonic_origin() else { return Ok(None) };
        let begun = LeaseClock::begin(Arc::clone(&self.clock));
        let rows = vec![values![BOOT, signed(boot)], values![ORIGIN, begun.origin().as_micros()]];
        tx.execute(q::number_put, vec![Arg::Rows(rows)]).await?;
        Ok(Some(begun.now()))
    }
}

fn signed(number: u64) -> i64 {
    i64::from_ne_bytes(number.to_ne_bytes())
}
