//! Which HTTP requests a plugin may make: patterns of what was granted, and what a request is for.
//!
//! A request is for something only if it can be read in one way: one URL that two programs read differently is how a filter is passed. So
//! what is read here is read strictly, and what has a second reading is refused, not repaired. Beyond its text a request is held
//! against the addresses that its host turns out to have; see [`closed_address`].

mod address;
mod pattern;
mod target;

pub use address::closed_address;
pub use pattern::{HttpPattern, HttpPatternError};
pub use target::{HttpHost, HttpScheme, HttpTarget, HttpTargetError};
