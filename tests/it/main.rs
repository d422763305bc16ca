//! The tests that look at the whole: rules held across modules, and the parts working together.

mod api;
mod app;
mod cli;
mod dashboard;
mod embed;
mod features;
mod generated;
mod hostile;
mod http_patterns;
mod inline;
mod programs;
mod readme;
mod scheduler;
mod simulation;
mod store_clock;
mod tidy;
mod trigger;
mod wasm;
mod wit;
