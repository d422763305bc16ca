//! The lines on which leases are extended: nothing that any other call does may hold them up.

use std::sync::Arc;

use async_trait::async_trait;

use super::connection::{Connection, Database};
use super::tx::{self, Tx};
use super::writer::Writer;
use crate::sql::SqlStore;
use crate::sql::operations::release;
use crate::sql::statements::query::Texts;
use crate::sql::time::Time;
use crate::{Certainty, ExtendJobs, Extended, LeaseLine, StoreError};

const OPERATION: &str = "job_extend";

impl SqlStore {
    pub(in crate::sql) fn line(&self) -> Box<dyn LeaseLine> {
        let time = Arc::clone(&self.time);
        match &self.writer {
            Some(writer) => Box::new(FileLine { writer: writer.clone(), time }),
            None => Box::new(ServerLine {
                database: Arc::clone(&self.database),
                texts: Arc::clone(&self.texts),
                time,
                connection: None,
            }),
        }
    }
}

/// A file has one writer at a time, which does this before everything else.
struct FileLine {
    writer: Writer,
    time: Arc<Time>,
}

#[async_trait]
impl LeaseLine for FileLine {
    async fn extend(&mut self, request: ExtendJobs) -> Result<Vec<Extended>, StoreError> {
        let data = Arc::new((Arc::clone(&self.time), request));
        let work = tx::untyped(move |tx| {
            let data = Arc::clone(&data);
            Box::pin(async move { release::extend(tx, &data).await })
        });
        Ok(tx::typed(self.writer.run_first(OPERATION, work).await?))
    }
}

/// A server has a connection for this alone.
struct ServerLine {
    database: Arc<dyn Database>,
    texts: Arc<Texts>,
    time: Arc<Time>,
    /// `None` at first, after a failure, and while it is in use: a call that is given up takes its connection with it.
    connection: Option<Box<dyn Connection>>,
}

#[async_trait]
impl LeaseLine for ServerLine {
    async fn extend(&mut self, request: ExtendJobs) -> Result<Vec<Extended>, StoreError> {
        let failed = |error| tx::store_error(&*self.database, OPERATION, error, Certainty::Unknown);
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.database.apart().await.map_err(failed)?,
        };
        let mut tx = Tx::new(connection, Arc::clone(&self.texts), &*self.database);
        tx.begin().await.map_err(failed)?;
        let extended = release::extend(&mut tx, &(Arc::clone(&self.time), request)).await;
        let extended = extended.map_err(|fault| tx::read_error(&*self.database, OPERATION, fault))?;
        tx.end(true).await.map_err(failed)?;
        self.connection = Some(tx.into_connection());
        Ok(extended)
    }
}
