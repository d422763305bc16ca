//! Questions to a database behind the store's back.

use anyhow::{Context as _, Result, bail};
use sqlx::mysql::MySqlConnection;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

macro_rules! texts {
    ($connection:ty, $url:expr, $statement:expr) => {{
        let mut connection = <$connection>::connect($url).await.context("the database is not reached")?;
        let rows = sqlx::raw_sql(AssertSqlSafe($statement.to_owned())).fetch_all(&mut connection).await;
        let rows = rows.with_context(|| format!("the database does not answer: {}", $statement))?;
        connection.close().await?;
        let text = |row: &_, at| {
            let row: &<<$connection as sqlx::Connection>::Database as sqlx::Database>::Row = row;
            row.try_get_unchecked::<Option<String>, usize>(at).map(Option::unwrap_or_default)
        };
        let read = |row: &_| {
            let row: &<<$connection as sqlx::Connection>::Database as sqlx::Database>::Row = row;
            (0..row.len()).map(|at| text(row, at)).collect::<Result<Vec<String>, sqlx::Error>>()
        };
        rows.iter().map(read).collect::<Result<Vec<_>, _>>()?
    }};
}

/// The rows that a statement answers; every column must be a text. Nulls become empty.
pub(crate) async fn rows(url: &str, statement: &str) -> Result<Vec<Vec<String>>> {
    Ok(match url.split(':').next() {
        Some("sqlite") => texts!(SqliteConnection, url, statement),
        Some("postgres") => texts!(PgConnection, url, statement),
        Some("mysql") => texts!(MySqlConnection, url, statement),
        _ => bail!("{url} is no database"),
    })
}

/// Reads with `statement` in a transaction that goes on until the answer is dropped: what it may still see is not cleared away. Nothing on
/// SQLite, which clears nothing away by itself.
pub(crate) async fn snapshot(url: &str, statement: &str) -> Result<Box<dyn Send>> {
    let begin = |begin| AssertSqlSafe(format!("{begin}; {statement}"));
    Ok(match url.split(':').next() {
        Some("postgres") => {
            let mut connection = PgConnection::connect(url).await?;
            sqlx::raw_sql(begin("BEGIN ISOLATION LEVEL REPEATABLE READ")).fetch_all(&mut connection).await?;
            Box::new(connection)
        }
        Some("mysql") => {
            let mut connection = MySqlConnection::connect(url).await?;
            sqlx::raw_sql(begin("START TRANSACTION WITH CONSISTENT SNAPSHOT")).fetch_all(&mut connection).await?;
            Box::new(connection)
        }
        _ => Box::new(()),
    })
}
