//! Schedulers on a memory store, with a clock that is moved by hand: no test here waits for real time to pass.

mod ahead;
mod crashes;
mod endings;
mod identity;
mod liveness;
mod poison;
mod running;
mod schedules;
mod shares;
mod stopping;
mod time;
