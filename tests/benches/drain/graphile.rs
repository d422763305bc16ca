//! graphile-worker, a job queue on PostgreSQL without isolation: installed from npm, with two processes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use host::clock::{Clock as _, Stopwatch, SystemClock};
use sqlx::PgPool;
use tests::backends::cpu_time;
use xtask::programs;

use crate::{LOOK_EVERY, Round};

/// What is installed: the package, and the Node that it wants.
const PACKAGES: [&str; 2] = ["graphile-worker@0.18.0", "node@22"];

/// How many processes work on the queue.
const PROCESSES: usize = 2;

/// The peer, installed and with its tables made.
pub(crate) struct Peer {
    folder: PathBuf,
    url: String,
}

/// A process of the peer, ended when it is dropped.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        // What it was doing goes with the database.
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

impl Peer {
    /// Installs it into that folder, where npm is there and reaches its registry.
    pub(crate) fn install(folder: &Path, url: &str) -> Result<Peer> {
        let mut npm = programs::command("npm")?;
        npm.args(["install", "--no-audit", "--no-fund", "--silent", "--prefix"]).arg(folder).args(PACKAGES);
        let status = npm.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        ensure!(status.success(), "npm does not install {}", PACKAGES.join(" and "));
        std::fs::write(folder.join("worker.mjs"), include_str!("worker.mjs"))?;
        let peer = Peer { folder: folder.to_owned(), url: url.to_owned() };
        let status = peer.node("migrate").status()?;
        ensure!(status.success(), "graphile-worker does not make its tables");
        Ok(peer)
    }

    fn node(&self, what: &str) -> Command {
        let mut node = Command::new(self.folder.join("node_modules/node/bin/node"));
        node.arg(self.folder.join("worker.mjs")).args([what, &self.url]);
        // Else each job is a line of its log.
        node.env("NO_LOG_SUCCESS", "1").stderr(Stdio::null());
        node
    }

    /// A worker that has loaded everything, and waits for the word to begin.
    fn worker(&self) -> Result<Worker> {
        let mut child = self.node("work").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let said = child.stdout.take().context("its output is read")?;
        let worker = Worker(child);
        let mut lines = BufReader::new(said).lines();
        while lines.next().context("graphile-worker does not start")?? != "ready" {}
        // Whoever writes into a pipe that nobody reads from stands still.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(worker)
    }

    /// Queues jobs, lets the workers begin, and waits until the jobs have gone.
    pub(crate) async fn drain(&self, pool: &PgPool, jobs: usize) -> Result<Round> {
        let queue = "SELECT count(graphile_worker.add_job('noop', '{}')) FROM generate_series(1, $1)";
        sqlx::query(queue).bind(i64::try_from(jobs)?).execute(pool).await?;
        // With the statistics of an empty queue the server would plan its statements badly.
        sqlx::query("ANALYZE").execute(pool).await?;
        let mut workers = (0..PROCESSES).map(|_| self.worker()).collect::<Result<Vec<_>>>()?;
        let used = |workers: &[Worker]| {
            workers.iter().try_fold(Duration::ZERO, |sum, worker| anyhow::Ok(sum + cpu_time(worker.0.id())?))
        };
        let before = used(&workers)?;
        let watch = Stopwatch::start();
        for Worker(process) in &mut workers {
            process.stdin.as_mut().context("it is told something")?.write_all(b"begin\n")?;
        }
        let is_empty = "SELECT NOT EXISTS (SELECT FROM graphile_worker.jobs)";
        while !sqlx::query_scalar::<_, bool>(is_empty).fetch_one(pool).await? {
            SystemClock.sleep(LOOK_EVERY).await;
        }
        Ok(Round { took: watch.elapsed(), worker_cpu: used(&workers)?.saturating_sub(before), ..Round::default() })
    }
}
