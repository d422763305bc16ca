//! The one writer of a SQLite database: takes what is waiting, runs it in one transaction, commits once.
//!
//! A commit costs a sync of the disk, a statement next to nothing, so concurrent writes share commits (group commit). Nobody waits
//! for company: whatever arrived while the last commit was under way makes up the next one. Work that fails takes its group back,
//! and each member of the group runs again alone.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use super::connection::Database;
use super::query::Texts;
use super::tx::{self, Answer, Fault, Tx, Work, commit, store_error};
use crate::store::{Certainty, StoreError};

/// Most pieces of work in one transaction. Bounds how long other processes wait for the file, and what is run again after a failure.
const GROUP_MAX: usize = 256;

/// Most pieces of work that wait; whoever comes then waits to be let in.
const WAITING_MAX: usize = 4_096;

struct Piece {
    operation: &'static str,
    work: Work,
    reply: oneshot::Sender<Result<Answer, StoreError>>,
}

/// The way to the writer task.
pub(super) struct Writer {
    /// `None` once closed.
    queue: Mutex<Option<mpsc::Sender<Piece>>>,
    task: TaskTracker,
}

/// The writer task broke down under a piece of work.
#[derive(Debug, thiserror::Error)]
#[error("the writer broke down")]
struct BrokeDown;

impl Writer {
    pub(super) fn start(database: Arc<dyn Database>, texts: Arc<Texts>) -> Writer {
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        let task = TaskTracker::new();
        task.spawn(serve(database, texts, waiting));
        task.close();
        Writer { queue: Mutex::new(Some(queue)), task }
    }

    /// Runs a piece of work, together with whatever else is waiting.
    pub(super) async fn run(&self, operation: &'static str, work: Work) -> Result<Answer, StoreError> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(StoreError::Closed)?;
        let (reply, answer) = oneshot::channel();
        queue.send(Piece { operation, work, reply }).await.map_err(|_| StoreError::Closed)?;
        drop(queue);
        answer.await.unwrap_or_else(|_| {
            let (certainty, source) = (Certainty::Unknown, Arc::new(BrokeDown));
            Err(StoreError::Backend { operation, certainty, transient: false, source })
        })
    }

    /// Finishes what waits, and takes nothing new.
    pub(super) async fn stop(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.task.wait().await;
    }
}

async fn serve(database: Arc<dyn Database>, texts: Arc<Texts>, mut waiting: mpsc::Receiver<Piece>) {
    let mut group = Vec::new();
    while waiting.recv_many(&mut group, GROUP_MAX).await > 0 {
        let pieces = std::mem::take(&mut group);
        // A panic in one piece of work is a bug; it must not stop every later write. Its group is answered "unknown".
        let done = AssertUnwindSafe(run_group(&*database, &texts, pieces)).catch_unwind().await;
        if done.is_err() {
            tracing::error!("a store operation panicked; its transaction was rolled back");
        }
    }
}

async fn run_group(database: &dyn Database, texts: &Arc<Texts>, mut group: Vec<Piece>) {
    if group.len() > 1 {
        match run_together(database, texts, &group).await {
            Ok(answers) => {
                for (piece, answer) in group.into_iter().zip(answers) {
                    // Whoever is gone does not wait for the answer.
                    let _gone = piece.reply.send(answer);
                }
                return;
            }
            Err(None) => {}
            Err(Some(error)) => {
                group.drain(..).for_each(|piece| drop(piece.reply.send(Err(error(piece.operation)))));
            }
        }
    }
    for piece in group {
        let answer = tx::run(database, texts, piece.operation, &piece.work).await;
        let _gone = piece.reply.send(answer);
    }
}

type Answers = Vec<Result<Answer, StoreError>>;
type ErrorFor = Box<dyn Fn(&'static str) -> StoreError + Send>;

/// Runs a group in one transaction. `Err(None)`: nothing happened, each is to run alone. `Err(Some)`: the error of each.
async fn run_together(
    database: &dyn Database,
    texts: &Arc<Texts>,
    group: &[Piece],
) -> Result<Answers, Option<ErrorFor>> {
    // Where the file cannot be had now, no member of the group would get it: each is told, instead of each waiting in turn.
    let not_begun = |error| Some(shared_error(database, error, Certainty::NotApplied));
    let connection = database.writer().await.map_err(not_begun)?;
    let mut tx = Tx::new(connection, Arc::clone(texts), database);
    tx.begin().await.map_err(not_begun)?;
    let mut answers = Vec::with_capacity(group.len());
    for piece in group {
        tx.has_written = false;
        match (piece.work)(&mut tx).await {
            Ok(answer) => answers.push(Ok(answer)),
            // Refused before it changed anything: the others are not concerned.
            Err(Fault::Refused(error)) if !tx.has_written => answers.push(Err(error)),
            Err(_) => {
                let _rolled_back = tx.end(false).await;
                return Err(None);
            }
        }
    }
    match commit(&mut tx).await {
        Ok(()) => Ok(answers),
        Err((_, Certainty::NotApplied)) => Err(None),
        Err((error, certainty)) => Err(Some(shared_error(database, error, certainty))),
    }
}

/// One failure as the error of each member of a group.
fn shared_error(database: &dyn Database, error: sqlx::Error, certainty: Certainty) -> ErrorFor {
    let failed = store_error(database, "group", error, certainty);
    Box::new(move |operation| match failed.clone() {
        StoreError::Backend { certainty, transient, source, .. } => {
            StoreError::Backend { operation, certainty, transient, source }
        }
        other => other,
    })
}
