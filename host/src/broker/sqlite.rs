//! The broker between the processes of one machine that share an SQLite store.
//!
//! Events go through a small database of their own beside the store (`host.db-events`), because they are hints: it is written
//! without waiting for the disk, costs the store nothing, and may be deleted at any time. Readers are woken by a watch on its
//! write-ahead log, within a millisecond or so; where the file system has no watches, a look at `PRAGMA data_version` every
//! [`LOOK_EVERY`] finds what is new.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use notify::Watcher;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::local::Fanout;
use super::{Broker, BrokerError, Delivery, Subscription, wire};
use crate::clock::Clock;
use crate::files::{create_private_file, narrow_database};
use crate::model::Event;

/// How often is looked for new events where nothing wakes the reader.
pub const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Most batches of events that wait to be written.
const BATCHES_MAX: usize = 256;
/// Events that are kept for readers who are late; older ones are removed.
const EVENTS_KEPT: i64 = 10_000;
/// Most events that are read at a time.
const READ_MAX: i64 = 1_000;
/// Most events that one statement writes: each costs two of the 32,766 values that a statement may have, and long statements
/// gain nothing any more.
const ROWS_MAX: usize = 200;
/// How long a statement waits for another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Delivers events between the processes that opened the same file.
pub struct SqliteBroker {
    shared: Arc<Shared>,
    outgoing: mpsc::Sender<Vec<Event>>,
    tasks: TaskTracker,
    // Watching ends when this is dropped.
    _watcher: Option<notify::RecommendedWatcher>,
}

struct Shared {
    fanout: Fanout,
    clock: Arc<dyn Clock>,
    /// Tells the events of this process from those of others.
    sender: i64,
    changed: Notify,
    stop: CancellationToken,
}

impl SqliteBroker {
    /// Opens the broker beside the store at `store_path`.
    ///
    /// # Errors
    /// [`BrokerError`] where the file cannot be opened or written.
    pub async fn open(store_path: &Path, clock: Arc<dyn Clock>) -> Result<SqliteBroker, BrokerError> {
        let path = events_path(store_path);
        create_private_file(&path).map_err(failed)?;
        let mut reader = connect(&path).await.map_err(failed)?;
        sqlx::query("CREATE TABLE IF NOT EXISTS events (id INTEGER PRIMARY KEY AUTOINCREMENT, sender INTEGER NOT NULL, event TEXT NOT NULL)")
            .execute(&mut reader)
            .await
            .map_err(failed)?;
        let writer = connect(&path).await.map_err(failed)?;
        let last = last_id(&mut reader).await.map_err(failed)?;
        narrow_database(&path);
        let shared = Arc::new(Shared {
            fanout: Fanout::default(),
            clock,
            sender: fastrand::i64(..),
            changed: Notify::new(),
            stop: CancellationToken::new(),
        });
        let watcher = watch(&path, &shared);
        let (outgoing, batches) = mpsc::channel(BATCHES_MAX);
        let tasks = TaskTracker::new();
        tasks.spawn(write(Arc::clone(&shared), writer, batches));
        tasks.spawn(read(Arc::clone(&shared), reader, last));
        tasks.close();
        Ok(SqliteBroker { shared, outgoing, tasks, _watcher: watcher })
    }
}

#[async_trait]
impl Broker for SqliteBroker {
    async fn publish(&self, events: Vec<Event>) -> Result<(), BrokerError> {
        self.shared.fanout.deliver(events.iter().cloned().map(Delivery::Event));
        self.outgoing.try_send(events).map_err(|_full_or_closed| failed(Backlog))
    }

    fn subscribe(&self) -> Subscription {
        self.shared.fanout.subscribe()
    }

    async fn reaches_other_processes(&self) -> bool {
        true
    }

    async fn close(&self) {
        self.shared.stop.cancel();
        self.tasks.wait().await;
        self.shared.fanout.close();
    }
}

impl Drop for SqliteBroker {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

/// Too many events wait to be written.
#[derive(Debug, thiserror::Error)]
#[error("too many events wait to be written")]
struct Backlog;

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> BrokerError {
    BrokerError { broker: "sqlite", source: Arc::new(error) }
}

/// The file of the events that belongs to a store.
fn events_path(store_path: &Path) -> PathBuf {
    let mut path = store_path.as_os_str().to_owned();
    path.push("-events");
    path.into()
}

async fn connect(path: &Path) -> Result<SqliteConnection, sqlx::Error> {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Off)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging()
        .connect()
        .await
}

/// Wakes the reader when the write-ahead log changes; `None` where the system cannot tell.
fn watch(path: &Path, shared: &Arc<Shared>) -> Option<notify::RecommendedWatcher> {
    let (folder, name) = (path.parent()?.to_owned(), path.file_name()?.to_owned());
    let weak = Arc::downgrade(shared);
    let on_event = move |event: notify::Result<notify::Event>| {
        // Reading the database is an access to the file too, and must not lead to reading it again.
        let is_ours = event.is_ok_and(|event| {
            !event.kind.is_access()
                && event.paths.iter().any(|path| {
                    path.file_name().is_some_and(|it| it.as_encoded_bytes().starts_with(name.as_encoded_bytes()))
                })
        });
        if is_ours && let Some(shared) = weak.upgrade() {
            shared.changed.notify_one();
        }
    };
    let watching = notify::recommended_watcher(on_event).and_then(|mut watcher| {
        watcher.watch(&folder, notify::RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    watching
        .inspect_err(
            |error| tracing::debug!(%error, "the events of other processes are polled: files cannot be watched"),
        )
        .ok()
}

/// Writes batches of events until the broker closes, and then what is left.
async fn write(shared: Arc<Shared>, mut connection: SqliteConnection, mut batches: mpsc::Receiver<Vec<Event>>) {
    let mut gathered = Vec::with_capacity(BATCHES_MAX);
    loop {
        let stopping = tokio::select! {
            biased;
            count = batches.recv_many(&mut gathered, BATCHES_MAX) => count == 0,
            () = shared.stop.cancelled() => true,
        };
        while let Ok(batch) = batches.try_recv() {
            gathered.push(batch);
        }
        if !gathered.is_empty() {
            let events = gathered.drain(..).flatten();
            if let Err(error) = append(&mut connection, shared.sender, events).await {
                tracing::warn!(error = %error, "events were not written; other processes will poll the store");
            }
        }
        if stopping {
            // Nothing depends on it: the file is a scratch pad.
            let _closed = connection.close().await;
            return;
        }
    }
}

async fn append(
    connection: &mut SqliteConnection,
    sender: i64,
    events: impl Iterator<Item = Event>,
) -> Result<(), sqlx::Error> {
    let texts: Vec<String> = events.map(|event| wire::encode(&event).to_string()).collect();
    let mut transaction = connection.begin().await?;
    let mut last = 0;
    for chunk in texts.chunks(ROWS_MAX) {
        let mut insert = sqlx::QueryBuilder::<sqlx::Sqlite>::new("INSERT INTO events (sender, event) ");
        insert.push_values(chunk, |mut row, text| {
            row.push_bind(sender).push_bind(text.as_str());
        });
        last = insert.build().execute(&mut *transaction).await?.last_insert_rowid();
    }
    sqlx::query("DELETE FROM events WHERE id <= ?").bind(last - EVENTS_KEPT).execute(&mut *transaction).await?;
    transaction.commit().await
}

async fn last_id(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query("SELECT coalesce(max(id), 0) FROM events").fetch_one(connection).await?.try_get(0)
}

/// Delivers what other processes write, until the broker closes.
async fn read(shared: Arc<Shared>, mut connection: SqliteConnection, mut last: i64) {
    let mut version = 0;
    loop {
        tokio::select! {
            () = shared.stop.cancelled() => break,
            () = shared.changed.notified() => {}
            () = shared.clock.sleep(LOOK_EVERY) => {}
        }
        if let Err(error) = read_new(&shared, &mut connection, &mut version, &mut last).await {
            tracing::debug!(error = %error, "the events of other processes could not be read; trying again");
        }
    }
    // Nothing depends on it: the file is a scratch pad.
    let _closed = connection.close().await;
}

/// Reads what is new, if the file changed since `version`.
async fn read_new(
    shared: &Shared,
    connection: &mut SqliteConnection,
    version: &mut i64,
    last: &mut i64,
) -> Result<(), sqlx::Error> {
    let current: i64 = sqlx::query("PRAGMA data_version").fetch_one(&mut *connection).await?.try_get(0)?;
    if current == *version {
        return Ok(());
    }
    loop {
        let rows = sqlx::query("SELECT id, sender, event FROM events WHERE id > ? ORDER BY id LIMIT ?")
            .bind(*last)
            .bind(READ_MAX)
            .fetch_all(&mut *connection)
            .await?;
        for row in &rows {
            let id: i64 = row.try_get(0)?;
            // Ids have no holes but those of rows that were removed before they were read.
            let lost = u64::try_from(id - *last - 1).unwrap_or(0);
            if lost > 0 {
                shared.fanout.deliver([Delivery::Missed(lost)]);
            }
            *last = id;
            if row.try_get::<i64, _>(1)? != shared.sender {
                let event = wire::decode(row.try_get(2)?).map_or(Delivery::Hint, Delivery::Event);
                shared.fanout.deliver([event]);
            }
        }
        if i64::try_from(rows.len()).is_ok_and(|count| count < READ_MAX) {
            *version = current;
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::model::{EventKind, Timestamp};

    fn event(number: i64) -> Event {
        Event {
            at: Timestamp::from_micros(number).expect("in range"),
            kind: EventKind::SchedulerStarted { scheduler_id: "s".parse().expect("valid") },
        }
    }

    /// A broker on that store, as another process would open it.
    async fn broker(store: &Path) -> SqliteBroker {
        SqliteBroker::open(store, Arc::new(SystemClock)).await.expect("the file can be made")
    }

    /// A folder that goes with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Folder {
            let path = std::env::temp_dir().join(format!("host-broker-{}-{:x}", std::process::id(), fastrand::u64(..)));
            std::fs::create_dir(&path).expect("a temporary folder");
            Folder(path)
        }

        fn store(&self) -> PathBuf {
            self.0.join("host.db")
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            // What is left over is the system's to clean up.
            let _removed = std::fs::remove_dir_all(&self.0);
        }
    }

    #[tokio::test]
    async fn another_process_receives_every_event_in_order_and_the_publisher_each_one_once() {
        let folder = Folder::new();
        let (here, there) = (broker(&folder.store()).await, broker(&folder.store()).await);
        let (mut own, mut other) = (here.subscribe(), there.subscribe());
        // More than one statement's worth, in several batches.
        for batch in 0..3 {
            here.publish((batch * 250..(batch + 1) * 250).map(event).collect()).await.expect("there is room");
        }
        for number in 0..750 {
            assert_eq!(own.next().await, Some(Delivery::Event(event(number))));
            assert_eq!(other.next().await, Some(Delivery::Event(event(number))));
        }
        there.publish(vec![event(-1)]).await.expect("there is room");
        // Had its own events come back to the publisher, one of them would stand before this.
        assert_eq!(own.next().await, Some(Delivery::Event(event(-1))));
        here.close().await;
        there.close().await;
    }

    #[tokio::test]
    async fn what_was_published_before_somebody_came_is_not_delivered_to_them() {
        let folder = Folder::new();
        let early = broker(&folder.store()).await;
        early.publish(vec![event(1)]).await.expect("there is room");
        // Closing writes what is left.
        early.close().await;
        let (late, writer) = (broker(&folder.store()).await, broker(&folder.store()).await);
        let mut subscription = late.subscribe();
        writer.publish(vec![event(2)]).await.expect("there is room");
        assert_eq!(subscription.next().await, Some(Delivery::Event(event(2))));
    }

    #[tokio::test]
    async fn a_message_that_nobody_understands_is_a_hint() {
        let folder = Folder::new();
        let reader = broker(&folder.store()).await;
        let mut subscription = reader.subscribe();
        let mut stranger = connect(&events_path(&folder.store())).await.expect("the file is there");
        sqlx::query("INSERT INTO events (sender, event) VALUES (1, 'from the future')")
            .execute(&mut stranger)
            .await
            .expect("it can be written");
        assert_eq!(subscription.next().await, Some(Delivery::Hint));
    }
}
