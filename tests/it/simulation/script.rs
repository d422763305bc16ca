//! What a seed says of a run: who takes part, what there is to do, and what goes wrong when.

use std::time::Duration;

use host::model::{Coalesce, Overlap};

use super::network::Temper;
use super::versions::Change;

const SECOND: Duration = Duration::from_secs(1);

/// How long things go wrong.
pub(super) const TROUBLE: Duration = Duration::from_millis(TROUBLE_MILLIS);
const TROUBLE_MILLIS: u64 = 32_000;

/// How far apart steps of the store's clock are.
const STEPS_APART: Duration = Duration::from_secs(8);

/// Something that goes wrong.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    /// A process is killed, and comes back under its identity after a while.
    Crash {
        host: usize,
        back_after: Duration,
    },
    /// A process is stopped, at any moment or when it has just taken jobs, and goes on.
    Stop {
        host: usize,
        span: Duration,
        is_taking: bool,
    },
    /// A process and the server do not hear each other.
    Partition {
        host: usize,
        span: Duration,
    },
    /// A process is heard and does not hear for a while; the answers come after that, and a moment later it is cut off.
    LateAnswers {
        host: usize,
        late: Duration,
        moment: Duration,
        span: Duration,
    },
    /// A scheduler is asked to stop, and comes back.
    Restart {
        host: usize,
    },
    /// The server stands still, at any moment or when it has just given jobs to a process.
    ServerStops {
        span: Duration,
        is_giving: bool,
    },
    /// Somebody sets the clock of a host.
    HostClock {
        host: usize,
        seconds: i64,
    },
    /// Somebody sets the clock that the store goes by, at any moment or when a scheduler has just asked for its time.
    StoreClock {
        seconds: i64,
        is_asked: bool,
    },
    /// A job, a schedule or a task cannot be read any more, or a fire is not taken.
    DamagedJob,
    DamagedSchedule,
    DamagedTask,
    RefusedFire,
}

/// What a seed says of a run.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) hosts: usize,
    pub(super) temper: Temper,
    /// Whether the store has a clock of its own, as a server has. Otherwise everybody is on one machine.
    pub(super) is_server: bool,
    /// By how many microseconds each host's clock is ahead.
    pub(super) ahead: Vec<i64>,
    /// Of which tasks, from the first, each host has the function. The first host has all.
    pub(super) abilities: Vec<usize>,
    /// For how long hosts take jobs ahead.
    pub(super) take_ahead: Duration,
    /// How often hosts ask the store where nobody tells them anything.
    pub(super) poll_interval: Duration,
    pub(super) intervals: Vec<u32>,
    /// Whether the intervals are those of triggers that are made of others.
    pub(super) is_combined: bool,
    pub(super) submits: Vec<(Duration, usize)>,
    pub(super) cancels: Vec<Duration>,
    pub(super) faults: Vec<(Duration, Fault)>,
    /// When a job of the plugin is queued.
    pub(super) versioned: Vec<Duration>,
    pub(super) changes: Vec<(Duration, Change)>,
    /// What the schedules do about jobs that have not ended.
    pub(super) policies: Vec<Overlap>,
    /// Which of several missed fire times get jobs.
    pub(super) coalesce: Vec<Coalesce>,
}

/// The tasks and how many of their jobs may run at once.
pub(super) const TASKS: [(&str, Option<u32>); 3] = [("any", None), ("one", Some(1)), ("two", Some(2))];

impl Script {
    pub(super) fn draw(seed: u64) -> Script {
        let mut random = fastrand::Rng::with_seed(seed);
        let hosts = random.usize(1..=3);
        let is_server = random.bool();
        let at = |random: &mut fastrand::Rng| Duration::from_millis(random.u64(0..TROUBLE_MILLIS));
        let ahead = (0..hosts).map(|_| if is_server { random.i64(-300_000_000..300_000_000) } else { 0 }).collect();
        let abilities = (0..hosts).map(|host| if host == 0 { TASKS.len() } else { random.usize(1..=TASKS.len()) });
        let abilities = abilities.collect();
        let faults =
            (0..random.usize(0..=5)).map(|_| (at(&mut random), Fault::draw(&mut random, hosts, is_server))).collect();
        let mut script = Script {
            hosts,
            temper: [Temper::Calm, Temper::Calm, Temper::Rough, Temper::Rough, Temper::Deaf][random.usize(..5)],
            is_server,
            ahead,
            abilities,
            take_ahead: [SECOND / 20, 3 * SECOND][random.usize(..2)],
            poll_interval: [SECOND, 4 * SECOND][random.usize(..2)],
            intervals: (0..random.usize(0..=2)).map(|_| random.u32(2..15)).collect(),
            is_combined: random.bool(),
            submits: (0..random.usize(2..14)).map(|_| (at(&mut random), random.usize(..TASKS.len()))).collect(),
            cancels: (0..random.usize(0..2)).map(|_| at(&mut random)).collect(),
            faults: apart(faults),
            versioned: (0..random.usize(0..8)).map(|_| at(&mut random)).collect(),
            changes: (0..random.usize(0..5)).map(|_| (at(&mut random), Change::draw(&mut random))).collect(),
            policies: Vec::new(),
            coalesce: Vec::new(),
        };
        script.policies = script.intervals.iter().map(|_| Overlap::ALL[random.usize(..Overlap::ALL.len())]).collect();
        let all = [Coalesce::All, Coalesce::All, Coalesce::Latest, Coalesce::Earliest];
        script.coalesce = script.intervals.iter().map(|_| all[random.usize(..all.len())]).collect();
        script
    }
}

/// Leaves out steps of the store's clock that come soon after another one: a scheduler looks at that clock every few seconds, and sees nothing
/// of a step that was undone meanwhile.
fn apart(mut faults: Vec<(Duration, Fault)>) -> Vec<(Duration, Fault)> {
    faults.sort_by_key(|(at, _)| *at);
    let mut last = None;
    faults.retain(|(at, fault)| {
        let is_step = matches!(fault, Fault::StoreClock { .. });
        let is_too_soon = is_step && last.is_some_and(|last| *at < last + STEPS_APART);
        if is_step && !is_too_soon {
            last = Some(*at);
        }
        !is_too_soon
    });
    faults
}

impl Fault {
    fn draw(random: &mut fastrand::Rng, hosts: usize, is_server: bool) -> Fault {
        let host = random.usize(..hosts);
        let span = Duration::from_millis(random.u64(500..20_000));
        let seconds = [-600, -30, 30, 600][random.usize(..4)];
        match random.u8(0..13) {
            0 | 1 => Fault::Crash { host, back_after: span },
            2 | 3 => Fault::Stop { host, span, is_taking: random.bool() },
            4 => Fault::Partition { host, span },
            5 => Fault::Restart { host },
            6 | 7 => {
                let span = [span, 13 * SECOND, 45 * SECOND, 60 * SECOND][random.usize(..4)];
                Fault::ServerStops { span, is_giving: random.bool() }
            }
            8 if is_server => Fault::HostClock { host, seconds: seconds * 12 },
            8 | 9 => Fault::StoreClock { seconds, is_asked: random.bool() },
            10 => [Fault::DamagedJob, Fault::DamagedSchedule, Fault::DamagedTask][random.usize(..3)],
            11 => Fault::RefusedFire,
            _ => {
                let (late, moment) = (random.u64(1_000..2_500), random.u64(0..200));
                Fault::LateAnswers {
                    host,
                    late: Duration::from_millis(late),
                    moment: Duration::from_millis(moment),
                    span: span + 6 * SECOND,
                }
            }
        }
    }

    /// Whether an attempt may lose its lease by it.
    pub(super) fn may_cost_leases(self) -> bool {
        match self {
            Fault::Crash { .. }
            | Fault::Stop { .. }
            | Fault::Partition { .. }
            | Fault::LateAnswers { .. }
            | Fault::ServerStops { .. }
            | Fault::StoreClock { .. } => true,
            Fault::Restart { .. }
            | Fault::HostClock { .. }
            | Fault::DamagedJob
            | Fault::DamagedSchedule
            | Fault::DamagedTask
            | Fault::RefusedFire => false,
        }
    }
}
