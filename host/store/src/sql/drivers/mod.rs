//! The drivers, and the transactions on their connections. Nothing else names a driver's types.

pub(in crate::sql) mod connection;
pub(in crate::sql) mod line;
#[cfg(feature = "mysql")]
pub(in crate::sql) mod mysql;
#[cfg(feature = "postgres")]
pub(in crate::sql) mod postgres;
#[cfg(feature = "sqlite")]
pub(in crate::sql) mod sqlite;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(in crate::sql) mod tls;
pub(in crate::sql) mod tx;
pub(in crate::sql) mod writer;
