//! Cron rules: eight fields that a wall clock must match, in a time zone.
//!
//! # What a rule means
//! All eight fields must match; `day` and `day_of_week` are both demanded, as `0 12 13 * 5` is noon on a Friday the
//! 13th, unless the rule says that either is enough ([`DayMatch::Or`]). A field that is not given is `*` if a less significant one is given; otherwise month and day are 1, hour,
//! minute and second are 0, and year, week and day_of_week are `*`.
//!
//! # When the clock changes
//! A rule whose hours cover the whole day (`*`, `*/1`, `0-23`) *follows real time*: it fires at every instant whose wall
//! clock matches. An hour that does not exist is simply absent, one that comes twice is run through twice, and nothing
//! is lost or doubled in elapsed time. No policy changes that.
//!
//! Any other rule names *fixed times*. On a day on which such a time does not exist, `dst_gap` decides: `run_after` (the
//! default) fires at the first instant after the gap, once however many times fell into it; `skip` leaves them out. On a
//! day on which it comes twice, `dst_fold` decides: `first` (the default), `last`, or `both`.
//!
//! A step that leaves hours out (`*/2`, `*/3`) names fixed times too. Were it to follow real time, an every-two-hours
//! rule would fire twice at 02:00 in autumn, an hour apart, and not at all between 00:00 and 04:00 in spring; under the
//! default policies it fires once for each of its twelve times on every day of the year.

mod clock;
mod days;
mod describe;
mod dialect;
mod expression;
mod field;
mod hashed;
mod rule;
mod special;

pub use dialect::{DayMatch, Dialect};
pub(super) use expression::{nickname, words};
pub(super) use field::Field;
pub use rule::CronTrigger;
pub(super) use rule::{Bounds, Reading, Source};
