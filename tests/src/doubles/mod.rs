//! Stores that behave badly, to stand before any other store.

pub mod damaged;
pub mod faulty;
pub mod stalling;
