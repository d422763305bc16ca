//! The statements, what goes into them and what comes out: how one text serves three databases, and how nouns become rows and back.

pub(in crate::sql) mod query;
pub(in crate::sql) mod row;
pub(in crate::sql) mod value;
