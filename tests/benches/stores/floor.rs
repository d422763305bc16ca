//! The floor: what a database does for a bare row in the store's own table, through the driver, with nothing around it.

use anyhow::Result;
use host::clock::Stopwatch;
use tests::backends::Backend;
use tests::factory::Factory;

use crate::LONG_ENOUGH;

/// Jobs a second through the bare driver: a row inserted and later marked as finished, nothing else.
macro_rules! bare {
    ($pool:expr, $insert:literal, $update:literal, $batch:expr, $make:expr) => {{
        let pool = $pool;
        let watch = Stopwatch::start();
        let mut count = 0_u32;
        while watch.elapsed() < LONG_ENOUGH {
            let ids: Vec<Vec<u8>> = (0..$batch).map(|_| $make.job_id().as_bytes().to_vec()).collect();
            let mut transaction = pool.begin().await?;
            for id in &ids {
                sqlx::query($insert).bind(id.as_slice()).execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
            let mut transaction = pool.begin().await?;
            for id in &ids {
                sqlx::query($update).bind(id.as_slice()).execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
            count += $batch;
        }
        let rate = f64::from(count) / watch.elapsed().as_secs_f64();
        pool.close().await;
        rate
    }};
}

/// Rows a second that one caller inserts and updates through the bare driver.
pub(crate) struct Floor {
    /// With a commit for each.
    pub(crate) alone: f64,
    /// With a commit for a hundred.
    pub(crate) by_the_hundred: f64,
}

/// Measures the floor of a database; the memory has none.
pub(crate) async fn measure(backend: Backend) -> Result<Option<Floor>> {
    let mut rates = [0.0; 2];
    for (rate, batch) in rates.iter_mut().zip([1, 100]) {
        let Some(place) = backend.place()? else { return Ok(None) };
        let make = Factory::new(7);
        // In the store's own schema, so that the same indexes are kept.
        tests::backends::open(&place.url).await?.close().await;
        *rate = match backend {
            Backend::Memory => return Ok(None),
            Backend::Sqlite => {
                let options: sqlx::sqlite::SqliteConnectOptions = place.url.parse()?;
                let options = options.synchronous(sqlx::sqlite::SqliteSynchronous::Full);
                bare!(
                    sqlx::SqlitePool::connect_with(options).await?,
                    "INSERT INTO host_jobs (id, task_id, jitter, args_encoding, args, settings, sort_key, result_ttl, due_at, created_at, ready_key)
                     VALUES (?, 'p:work', 0, 'json', x'7b7d', '{}', 0, 0, 0, 0, '')",
                    "UPDATE host_jobs SET state = 'finished', outcome = 'success', ready_key = NULL WHERE id = ?",
                    batch,
                    make
                )
            }
            Backend::Postgres => bare!(
                sqlx::PgPool::connect(&place.url).await?,
                "INSERT INTO host_jobs (id, task_id, jitter, args_encoding, args, settings, sort_key, result_ttl, due_at, created_at, ready_key)
                 VALUES ($1, 'p:work', 0, 'json', '{}', '{}', 0, 0, 0, 0, '')",
                "UPDATE host_jobs SET state = 'finished', outcome = 'success', ready_key = NULL WHERE id = $1",
                batch,
                make
            ),
            Backend::Mysql => bare!(
                Box::pin(sqlx::MySqlPool::connect(&place.url)).await?,
                "INSERT INTO host_jobs (id, task_id, jitter, args_encoding, args, settings, sort_key, result_ttl, due_at, created_at, ready_key)
                 VALUES (?, 'p:work', 0, 'json', '{}', '{}', 0, 0, 0, 0, '')",
                "UPDATE host_jobs SET state = 'finished', outcome = 'success', ready_key = NULL WHERE id = ?",
                batch,
                make
            ),
        };
    }
    let [alone, by_the_hundred] = rates;
    println!(
        "  floor: {alone:.0} bare rows a second inserted and updated, a commit for each; {by_the_hundred:.0}, one for a hundred"
    );
    Ok(Some(Floor { alone, by_the_hundred }))
}
