//! Opening a store on a database server that refuses, or is not there. What SQLite refuses is tested beside it.

use anyhow::{Context as _, Result, bail, ensure};
use host::clock::SystemClock;
use host::config::StoreUrl;
use host::store::StoreError;
use host::store::sql::{SqlStore, migrate};

use crate::backends::{Backend, options};

/// A case that opens its store itself.
pub type OpeningCase = fn(Backend) -> Result<()>;

/// The cases with their names, for back ends that are servers.
pub const CASES: [(&str, OpeningCase); 5] = [
    ("a_wrong_password_is_refused_at_once_with_a_hint", |backend| run(wrong_password(backend))),
    ("a_missing_database_is_refused_with_how_to_make_it", |backend| run(missing_database(backend))),
    ("a_server_that_is_not_there_is_worth_another_try", |backend| run(no_server(backend))),
    ("a_schema_is_not_made_unless_asked", |backend| run(not_migrated(backend))),
    ("hosts_that_migrate_at_once_do_it_once", |backend| run(migrated_at_once(backend))),
];

fn run(case: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(case)
}

/// The URL of an empty place.
fn url(backend: Backend) -> Result<String> {
    Ok(backend.place()?.context("the store has a place")?.url)
}

async fn open(url: &str, auto_migrate: bool) -> Result<SqlStore, StoreError> {
    SqlStore::open(&url.parse::<StoreUrl>()?, options(auto_migrate)).await
}

async fn refused(url: &str) -> Result<(String, String)> {
    match open(url, false).await {
        Err(StoreError::Unusable { reason, hint, .. }) => Ok((reason, hint)),
        Err(other) => bail!("another error: {other:?}"),
        Ok(_) => bail!("it opens"),
    }
}

async fn wrong_password(backend: Backend) -> Result<()> {
    let (reason, hint) = refused(&url(backend)?.replace(":secret@", ":wrong@")).await?;
    ensure!(reason.contains("password") && hint.contains("store URL"), "{reason} / {hint}");
    ensure!(!reason.contains("wrong") && !hint.contains("wrong"), "the password is told: {reason} / {hint}");
    Ok(())
}

async fn missing_database(backend: Backend) -> Result<()> {
    let url = url(backend)?;
    let (place, _) = url.rsplit_once('/').context("a URL with a database")?;
    let (reason, hint) = refused(&format!("{place}/nowhere")).await?;
    ensure!(reason.contains("no such database") && hint.contains("CREATE DATABASE"), "{reason} / {hint}");
    Ok(())
}

async fn no_server(backend: Backend) -> Result<()> {
    let url = url(backend)?;
    let (before, rest) = url.split_once("127.0.0.1:").context("a URL with a port")?;
    let (_, database) = rest.split_once('/').context("a URL with a database")?;
    // Nothing listens on port 1.
    match open(&format!("{before}127.0.0.1:1/{database}"), false).await {
        Err(error) if error.is_transient() => Ok(()),
        Err(error) => bail!("not transient: {error:?}"),
        Ok(_) => bail!("it opens"),
    }
}

async fn not_migrated(backend: Backend) -> Result<()> {
    let url = url(backend)?;
    let (reason, hint) = refused(&url).await?;
    ensure!(reason.contains("no schema") && hint.contains("host migrate --apply"), "{reason} / {hint}");
    ensure!(migrate::status(&url.parse()?).await?.current == 0, "something was made");
    ensure!(!migrate::apply(&url.parse()?, &SystemClock).await?.is_empty(), "nothing was applied");
    open(&url, false).await?;
    Ok(())
}

async fn migrated_at_once(backend: Backend) -> Result<()> {
    let url: StoreUrl = url(backend)?.parse()?;
    let mut hosts = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let url = url.clone();
        hosts.spawn(async move { migrate::apply(&url, &SystemClock).await });
    }
    let mut applied = Vec::new();
    while let Some(steps) = hosts.join_next().await {
        applied.extend(steps??.into_iter().map(|step| step.version));
    }
    let times = applied.len();
    applied.sort_unstable();
    applied.dedup();
    ensure!(!applied.is_empty() && applied.len() == times, "{times} migrations were applied, which are {applied:?}");
    Ok(())
}
