//! Stores that behave badly, to stand before any other store, and a network that does.

pub mod damaged;
pub mod faulty;
pub mod proxy;
pub mod stalling;
