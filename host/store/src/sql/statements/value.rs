//! What goes into a statement and what comes out: 64-bit integers, texts, bytes, and nulls of those. Nothing else is stored.

use sqlx::{Column as _, TypeInfo as _, ValueRef as _};

use crate::Defect;

/// The kinds of columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sql) enum Kind {
    Int,
    Text,
    Bytes,
}

/// A value of a column.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::sql) enum Value {
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
    Null(Kind),
}

/// An argument of a statement.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::sql) enum Arg {
    One(Value),
    /// For `IN (?*)`; never empty.
    List(Vec<Value>),
    /// For `?rows(…)` and `?table(…)`; never empty, all of one length.
    Rows(Vec<Vec<Value>>),
}

impl Value {
    /// About how many bytes it takes on its way.
    pub(in crate::sql) fn bytes(&self) -> usize {
        match self {
            Value::Int(_) => 8,
            Value::Text(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
            Value::Null(_) => 1,
        }
    }

    pub(in crate::sql) fn kind(&self) -> Kind {
        match self {
            Value::Int(_) => Kind::Int,
            Value::Text(_) => Kind::Text,
            Value::Bytes(_) => Kind::Bytes,
            Value::Null(kind) => *kind,
        }
    }
}

impl Arg {
    /// About how many bytes it takes on its way.
    pub(in crate::sql) fn bytes(&self) -> usize {
        match self {
            Arg::One(value) => value.bytes(),
            Arg::List(values) => values.iter().map(Value::bytes).sum(),
            Arg::Rows(rows) => rows.iter().flatten().map(Value::bytes).sum(),
        }
    }
}

/// Values of Rust that have a column kind.
pub(in crate::sql) trait IntoValue {
    const KIND: Kind;
    fn value(self) -> Value;
}

macro_rules! into_value {
    ($($type:ty, $kind:ident, |$it:ident| $make:expr;)*) => { $(
        impl IntoValue for $type {
            const KIND: Kind = Kind::$kind;
            fn value(self) -> Value {
                let $it = self;
                Value::$kind($make)
            }
        }
    )* };
}

into_value! {
    i64, Int, |it| it;
    i32, Int, |it| i64::from(it);
    u32, Int, |it| i64::from(it);
    u64, Int, |it| i64::try_from(it).unwrap_or(i64::MAX);
    bool, Int, |it| i64::from(it);
    crate::model::Timestamp, Int, |it| it.as_micros();
    String, Text, |it| it;
    &str, Text, |it| it.to_owned();
    &crate::model::TaskId, Text, |it| it.to_string();
    &crate::model::ScheduleId, Text, |it| it.to_string();
    &crate::model::SchedulerId, Text, |it| it.to_string();
    &crate::model::Incarnation, Text, |it| it.to_string();
    &crate::model::PluginName, Text, |it| it.to_string();
    &crate::model::QueueName, Text, |it| it.to_string();
    &crate::model::BucketName, Text, |it| it.to_string();
    &crate::model::KvKey, Text, |it| it.to_string();
    crate::model::JobState, Text, |it| it.to_string();
    crate::model::Outcome, Text, |it| it.to_string();
    Vec<u8>, Bytes, |it| it;
    &[u8], Bytes, |it| it.to_vec();
    crate::model::JobId, Bytes, |it| it.as_bytes().to_vec();
    crate::model::LeaseToken, Bytes, |it| it.as_bytes().to_vec();
    crate::model::Digest, Bytes, |it| it.as_bytes().to_vec();
}

impl<T: IntoValue> IntoValue for Option<T> {
    const KIND: Kind = T::KIND;
    fn value(self) -> Value {
        self.map_or(Value::Null(T::KIND), IntoValue::value)
    }
}

/// The arguments of a statement, in order.
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$($crate::sql::statements::value::Arg::One($crate::sql::statements::value::IntoValue::value($value))),*] };
}
/// A row of values.
macro_rules! values {
    ($($value:expr),* $(,)?) => { vec![$($crate::sql::statements::value::IntoValue::value($value)),*] };
}
pub(in crate::sql) use {args, values};

/// The argument of an `IN (?*)`.
pub(in crate::sql) fn list<T: IntoValue>(values: impl IntoIterator<Item = T>) -> Arg {
    Arg::List(values.into_iter().map(IntoValue::value).collect())
}

/// A row that a statement answered, read from left to right.
#[derive(Debug, Clone)]
pub(in crate::sql) struct Row {
    cells: std::vec::IntoIter<Value>,
}

impl Row {
    pub(in crate::sql) fn new(cells: Vec<Value>) -> Row {
        Row { cells: cells.into_iter() }
    }

    /// The next column, whatever its kind.
    fn next(&mut self) -> Value {
        self.cells.next().unwrap_or(Value::Null(Kind::Int))
    }

    pub(in crate::sql) fn int(&mut self) -> Result<i64, Defect> {
        self.maybe_int()?.ok_or_else(|| Defect::damaged("null in place of a number"))
    }

    pub(in crate::sql) fn maybe_int(&mut self) -> Result<Option<i64>, Defect> {
        match self.next() {
            Value::Int(value) => Ok(Some(value)),
            Value::Null(_) => Ok(None),
            other => Err(Defect::damaged(format!("{:?} in place of a number", other.kind()))),
        }
    }

    pub(in crate::sql) fn text(&mut self) -> Result<String, Defect> {
        self.maybe_text()?.ok_or_else(|| Defect::damaged("null in place of a text"))
    }

    pub(in crate::sql) fn maybe_text(&mut self) -> Result<Option<String>, Defect> {
        match self.next() {
            Value::Text(value) => Ok(Some(value)),
            // What MySQL's driver calls a text under a binary collation.
            Value::Bytes(value) => {
                String::from_utf8(value).map(Some).map_err(|_| Defect::damaged("bytes that are no text"))
            }
            Value::Null(_) => Ok(None),
            other => Err(Defect::damaged(format!("{:?} in place of a text", other.kind()))),
        }
    }

    pub(in crate::sql) fn bytes(&mut self) -> Result<Vec<u8>, Defect> {
        self.maybe_bytes()?.ok_or_else(|| Defect::damaged("null in place of bytes"))
    }

    pub(in crate::sql) fn maybe_bytes(&mut self) -> Result<Option<Vec<u8>>, Defect> {
        match self.next() {
            Value::Bytes(value) => Ok(Some(value)),
            Value::Null(_) => Ok(None),
            other => Err(Defect::damaged(format!("{:?} in place of bytes", other.kind()))),
        }
    }

    /// A number that must fit a smaller type.
    pub(in crate::sql) fn small<T: TryFrom<i64>>(&mut self) -> Result<T, Defect> {
        let value = self.int()?;
        T::try_from(value).map_err(|_| Defect::damaged(format!("number {value} is out of range")))
    }

    pub(in crate::sql) fn flag(&mut self) -> Result<bool, Defect> {
        Ok(self.int()? != 0)
    }
}

/// Reads a driver's row into ours. The driver names the type of each value; whatever is no integer and no text is bytes.
pub(in crate::sql) fn read_row<R>(row: &R) -> Result<Row, sqlx::Error>
where
    R: sqlx::Row,
    usize: sqlx::ColumnIndex<R>,
    for<'r> i64: sqlx::Decode<'r, R::Database>,
    for<'r> i32: sqlx::Decode<'r, R::Database>,
    for<'r> String: sqlx::Decode<'r, R::Database>,
    for<'r> Vec<u8>: sqlx::Decode<'r, R::Database>,
{
    let mut cells = Vec::with_capacity(row.len());
    for column in row.columns() {
        let index = column.ordinal();
        let raw = row.try_get_raw(index)?;
        if raw.is_null() {
            cells.push(Value::Null(Kind::Int));
            continue;
        }
        let info = raw.type_info();
        let name = info.name();
        cells.push(match name {
            "INTEGER" | "INT8" | "BIGINT" => Value::Int(row.try_get_unchecked::<i64, _>(index)?),
            "INT4" | "INT" => Value::Int(i64::from(row.try_get_unchecked::<i32, _>(index)?)),
            "TEXT" | "VARCHAR" | "LONGTEXT" | "CHAR" | "NAME" => {
                Value::Text(row.try_get_unchecked::<String, _>(index)?)
            }
            _ => Value::Bytes(row.try_get_unchecked::<Vec<u8>, _>(index)?),
        });
    }
    Ok(Row::new(cells))
}
