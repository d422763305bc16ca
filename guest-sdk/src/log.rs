//! Log lines that are kept with the job.
//!
//! The macros take fields first, then a message as in [`format!`]:
//!
//! ```
//! use guest_sdk::log;
//!
//! let (path, rows) = ("in.csv", 12);
//! log::info!("begin");
//! log::warn!(rows, path = ?path, attempt = 1 + 1, "read {rows} rows");
//! ```
//!
//! A field is a name, or `name = value`; the value is written as by `{}`, or as by `{:?}` with a `?` before it.
//! The target of a line is the module it stands in. In native tests, lines go to the fake host of
//! [`testing`](crate::testing), and without one to stderr.

use crate::host;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Every step, for finding a fault.
    Trace,
    /// What the author wants to see.
    Debug,
    /// What the operator may want to see.
    Info,
    /// It went on, but somebody should look.
    Warn,
    /// It did not work.
    Error,
}

/// Writes a line; the macros of this module are nicer. It never fails: what the host does not keep, it counts.
pub fn log(level: Level, target: &str, message: &str, fields: &[(&str, String)]) {
    host::log(level, target, message, fields);
}

pub use crate::{
    __log_debug as debug, __log_error as error, __log_info as info, __log_trace as trace, __log_warn as warn,
};

/// Collects the fields in front of the message, one at a time.
#[doc(hidden)]
#[macro_export]
macro_rules! __log {
    ($level:ident [$($field:tt)*] $name:ident = ?$value:expr, $($rest:tt)+) => {
        $crate::__log!($level [$($field)* (::core::stringify!($name), ::std::format!("{:?}", $value)),] $($rest)+)
    };
    ($level:ident [$($field:tt)*] $name:ident = %$value:expr, $($rest:tt)+) => {
        $crate::__log!($level [$($field)* (::core::stringify!($name), ::std::format!("{}", $value)),] $($rest)+)
    };
    ($level:ident [$($field:tt)*] $name:ident = $value:expr, $($rest:tt)+) => {
        $crate::__log!($level [$($field)* (::core::stringify!($name), ::std::format!("{}", $value)),] $($rest)+)
    };
    ($level:ident [$($field:tt)*] ?$name:ident, $($rest:tt)+) => {
        $crate::__log!($level [$($field)*] $name = ?$name, $($rest)+)
    };
    ($level:ident [$($field:tt)*] %$name:ident, $($rest:tt)+) => {
        $crate::__log!($level [$($field)*] $name = %$name, $($rest)+)
    };
    ($level:ident [$($field:tt)*] $name:ident, $($rest:tt)+) => {
        $crate::__log!($level [$($field)*] $name = $name, $($rest)+)
    };
    ($level:ident [$($field:tt)*] $message:literal $(, $($args:tt)*)?) => {
        $crate::log::log(
            $crate::log::Level::$level,
            ::core::module_path!(),
            &::std::format!($message $(, $($args)*)?),
            &[$($field)*],
        )
    };
}

/// Writes a line at level `trace`. See [`log`](crate::log).
#[doc(hidden)]
#[macro_export]
macro_rules! __log_trace {
    ($($line:tt)+) => { $crate::__log!(Trace [] $($line)+) };
}

/// Writes a line at level `debug`. See [`log`](crate::log).
#[doc(hidden)]
#[macro_export]
macro_rules! __log_debug {
    ($($line:tt)+) => { $crate::__log!(Debug [] $($line)+) };
}

/// Writes a line at level `info`. See [`log`](crate::log).
#[doc(hidden)]
#[macro_export]
macro_rules! __log_info {
    ($($line:tt)+) => { $crate::__log!(Info [] $($line)+) };
}

/// Writes a line at level `warn`. See [`log`](crate::log).
#[doc(hidden)]
#[macro_export]
macro_rules! __log_warn {
    ($($line:tt)+) => { $crate::__log!(Warn [] $($line)+) };
}

/// Writes a line at level `error`. See [`log`](crate::log).
#[doc(hidden)]
#[macro_export]
macro_rules! __log_error {
    ($($line:tt)+) => { $crate::__log!(Error [] $($line)+) };
}
