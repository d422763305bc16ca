//! Disks that are full, for real: small ones, filled up under load.

use std::collections::HashSet;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use host::clock::{Clock as _, SystemClock};
use host::model::{Encoding, JobId, JobSpec, Payload};
use host::store::{Certainty, ReleaseJobs, Released, Store, StoreError};
use tests::artifacts::plugin;
use tests::backends::{Backend, OwnServer, Small, SmallDisk, open};
use tests::cli::{Said, User};
use tests::drain::every_job_ends;
use tests::factory::{Factory, release, success, t, task};
use tests::trials::block_on;

/// Who works while the disk fills up.
const CALLERS: u64 = 4;

pub(crate) fn sqlite_survives(_: Backend) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let disk = SmallDisk::mount(folder.path(), 48)?;
    let url = format!("sqlite://{}", disk.path().join("host.db").display());
    let user = User::new().with_env("HOST_STORE", &url);
    user.ok(["register".as_ref(), plugin("hello").as_os_str()]);
    disk.fill(4_000)?;
    let done = block_on(fill_up(&url, Full::Refused))?;
    let (submitted, said) = submit_until_refused(&user)?;
    ensure!(said.code == Some(5) && said.out.is_empty(), "{said:?}");
    let is_told = |line: &str| line.starts_with("error: ") && line.ends_with("cannot be written: the disk is full");
    ensure!(said.err.lines().any(is_told), "{said:?}");
    ensure!(said.err.contains("hint: make room on the disk; nothing that was stored is lost"), "{said:?}");
    // What is stored can still be read.
    user.ok(["jobs"]);
    disk.make_room()?;
    block_on(goes_on(&url, &done))?;
    for id in submitted {
        user.ok(["jobs", "show", &id]);
    }
    user.ok(["submit", "hello:greet", "--arg", "name=x"]);
    Ok(())
}

/// Submits jobs with large arguments; there may be room for some where the log of the database has been emptied. Answers those that were
/// acknowledged, and the refusal.
fn submit_until_refused(user: &User) -> Result<(Vec<String>, Said)> {
    let (large, mut submitted) = (format!("name={}", "x".repeat(100_000)), Vec::new());
    while submitted.len() < 500 {
        let said = user.host(["submit", "hello:greet", "--arg", &large]);
        if said.code != Some(0) {
            return Ok((submitted, said));
        }
        submitted.push(said.out.trim().to_owned());
    }
    anyhow::bail!("the disk does not fill up")
}

pub(crate) fn server_survives(backend: Backend) -> Result<()> {
    let server = OwnServer::start_on_small_disk(backend == Backend::Postgres, Small::Data(300))?;
    let disk = server.disk().context("it was asked for")?;
    make_schema(&server)?;
    disk.fill(12_000)?;
    let done = block_on(fill_up(&server.url(), Full::Refused))?;
    disk.make_room()?;
    block_on(goes_on(&server.url(), &done))
}

/// PostgreSQL stops when it cannot write a commit to its log, and comes back where there is room again.
pub(crate) fn log_survives(backend: Backend) -> Result<()> {
    let mut server = OwnServer::start_on_small_disk(backend == Backend::Postgres, Small::Log(96))?;
    make_schema(&server)?;
    // Less than the next piece of the log takes, which is 16 MiB.
    server.disk().context("it was asked for")?.fill(8_000)?;
    let done = block_on(fill_up(&server.url(), Full::Stopped))?;
    server.disk().context("it was asked for")?.make_room()?;
    server.crash_and_restart()?;
    block_on(goes_on(&server.url(), &done))
}

/// The schema first: an empty database takes room of its own.
fn make_schema(server: &OwnServer) -> Result<()> {
    block_on(async {
        open(&server.url()).await?.close().await;
        Ok(())
    })
}

/// What callers see of a full disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Full {
    /// Their calls are refused, and told why.
    Refused,
    /// The server is gone; whose call came just before may have been refused.
    Stopped,
}

/// What was acknowledged.
#[derive(Debug, Default)]
struct Done {
    added: HashSet<JobId>,
    finished: HashSet<JobId>,
}

/// Works until everybody was told that the disk is full.
async fn fill_up(url: &str, full: Full) -> Result<Done> {
    let store = open(url).await?;
    store.task_put(task("p:two", Some(2))).await?;
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        callers.spawn(work_until_full(Arc::clone(&store), caller, full));
    }
    let mut done = Done::default();
    while let Some(ended) = callers.join_next().await {
        let of_caller = ended??;
        done.added.extend(of_caller.added);
        done.finished.extend(of_caller.finished);
    }
    ensure!(!done.added.is_empty() && !done.finished.is_empty(), "nothing was done before: {done:?}");
    // Who only reads goes on.
    if full == Full::Refused {
        ensure!(store.job_counts().await?.finished >= done.finished.len() as u64, "ends are lost");
    }
    store.close().await;
    Ok(done)
}

async fn work_until_full(store: Arc<dyn Store>, caller: u64, full: Full) -> Result<Done> {
    let (make, mut done) = (Factory::new(caller), Done::default());
    let watch = SystemClock.now();
    loop {
        ensure!(SystemClock.now().saturating_since(watch).as_secs() < 120, "the disk does not fill up");
        match work(&*store, &make, caller, &mut done).await {
            Ok(()) => {}
            Err(error) => {
                let is_told = match full {
                    Full::Refused => refused(&error),
                    Full::Stopped if error.is_transient() => Ok(()),
                    Full::Stopped => refused(&error),
                };
                is_told.with_context(|| format!("{error:?}"))?;
                return Ok(done);
            }
        }
    }
}

/// Adds a job of some size, acquires and releases.
async fn work(store: &dyn Store, make: &Factory, caller: u64, done: &mut Done) -> Result<(), StoreError> {
    let mut noise = vec![0; 20_000];
    // Noise, which no database can make smaller.
    fastrand::Rng::with_seed(caller ^ done.added.len() as u64).fill(&mut noise);
    let args = Payload { encoding: Encoding::Cbor, data: noise.into() };
    let job = JobSpec { args, ..make.job(["p:two", "p:free"][make.below(2)]) };
    let id = job.id;
    store.job_add(vec![job]).await?;
    done.added.insert(id);
    let request = make.acquire(1, 1);
    let token = request.token;
    for job in store.job_acquire(request).await?.jobs {
        let id = job.spec.id;
        let releases = vec![release(id, token, success(9_000))];
        let released = store.job_release(ReleaseJobs { now: t(2), releases }).await?;
        if released == [Released::Stored] {
            done.finished.insert(id);
        }
    }
    Ok(())
}

/// The error says what is the matter and what to do, and that nothing happened.
fn refused(error: &StoreError) -> Result<()> {
    let StoreError::Unusable { reason, hint, .. } = error else { anyhow::bail!("another error") };
    ensure!(reason.contains("disk is full") && hint.contains("make room"), "{reason} / {hint}");
    ensure!(error.certainty() == Certainty::NotApplied, "nobody knows whether it happened");
    Ok(())
}

/// Everything that was acknowledged is there, and what was left half done comes to its end.
async fn goes_on(url: &str, done: &Done) -> Result<()> {
    let store = open(url).await?;
    for id in &done.added {
        let job = store.job_get(*id).await?.with_context(|| format!("job {id} is lost"))?;
        ensure!(job.outcome.is_some() || !done.finished.contains(id), "the end of job {id} is lost");
    }
    // Those that were acquired by somebody who could not release them.
    store.recover(tests::factory::recover(1_000)).await?;
    every_job_ends(&*store, 1_000).await?;
    store.close().await;
    Ok(())
}
