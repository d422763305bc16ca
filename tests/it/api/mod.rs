//! The HTTP interface, asked by clients of every kind.

mod access;
mod metrics;
mod serving;
