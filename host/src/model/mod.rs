//! The nouns of the runtime and their laws.
//!
//! Nothing here does I/O, waits, reads a clock, or knows how it is stored, sent or shown: those forms live with the
//! stores, the command line and the boundary to the guest, each with its own version.

pub mod time;

pub use time::Timestamp;
