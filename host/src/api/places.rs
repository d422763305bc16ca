//! Places for connections, of which there are only so many.
//!
//! A connection that is being answered keeps its place. One that is waited for, because it has sent no whole head of a request yet, or none
//! since its last answer, gives way where all places are taken: the one that is waited for longest first. So whoever opens connections and
//! sends nothing, or sends it slowly, keeps nobody out who asks at once.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// The places.
pub(super) struct Places {
    free: Arc<Semaphore>,
    waited_for: Mutex<WaitedFor>,
}

/// Connections that are waited for, in the order in which they began to be.
#[derive(Default)]
struct WaitedFor {
    next: u64,
    gives_way: BTreeMap<u64, CancellationToken>,
}

/// A connection's place.
pub(super) struct Place {
    places: Arc<Places>,
    /// Cancelled once it has to give way.
    pub(super) gives_way: CancellationToken,
    /// Its number among those that are waited for; `None` while it is answered.
    number: Mutex<Option<u64>>,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    pub(super) fn new(count: usize) -> Arc<Places> {
        Arc::new(Places { free: Arc::new(Semaphore::new(count)), waited_for: Mutex::default() })
    }

    /// A place for another connection. Where none is free, that which is waited for longest gives way; where all are answered, it is waited
    /// until one of them has been.
    pub(super) async fn take(self: &Arc<Places>) -> Arc<Place> {
        if self.free.available_permits() == 0
            && let Some((_, oldest)) = self.waited_for().gives_way.pop_first()
        {
            oldest.cancel();
        }
        let permit = loop {
            // It is never closed.
            if let Ok(permit) = Arc::clone(&self.free).acquire_owned().await {
                break permit;
            }
        };
        let place = Place {
            places: Arc::clone(self),
            gives_way: CancellationToken::new(),
            number: Mutex::default(),
            _permit: permit,
        };
        place.is_waited_for();
        Arc::new(place)
    }

    fn waited_for(&self) -> MutexGuard<'_, WaitedFor> {
        // Each change to it is one call, so that a panic leaves nothing half done.
        self.waited_for.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// From now on it may have to give way.
    fn is_waited_for(&self) {
        let mut waited_for = self.places.waited_for();
        waited_for.next += 1;
        let number = waited_for.next;
        waited_for.gives_way.insert(number, self.gives_way.clone());
        *self.number.lock().unwrap_or_else(PoisonError::into_inner) = Some(number);
    }

    /// From now on it keeps its place, until what is answered is dropped.
    pub(super) fn is_answered(self: &Arc<Place>) -> Answering {
        self.leave();
        Answering(Arc::clone(self))
    }

    fn leave(&self) {
        if let Some(number) = self.number.lock().unwrap_or_else(PoisonError::into_inner).take() {
            self.places.waited_for().gives_way.remove(&number);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
    }
}

/// A request that is being answered.
pub(super) struct Answering(Arc<Place>);

impl Answering {
    /// The answer, with which this ends.
    pub(super) fn with(self, response: Response) -> Response {
        response.map(|body| Body::new(Answered { body, _answering: self }))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.is_waited_for();
    }
}

/// A body that holds on to something until it was sent.
struct Answered {
    body: Body,
    _answering: Answering,
}

impl HttpBody for Answered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn of_too_many_connections_the_one_that_is_waited_for_longest_gives_way() {
        let places = Places::new(2);
        let (first, second) = (places.take().await, places.take().await);
        let answering = first.is_answered();
        let taken = tokio::join!(places.take(), async {
            second.gives_way.cancelled().await;
            drop(second);
        });
        assert!(!first.gives_way.is_cancelled(), "it is being answered");
        drop(answering);
        let third = taken.0;
        assert!(!third.gives_way.is_cancelled());
        let mut fourth = Box::pin(places.take());
        assert!(futures_util::poll!(&mut fourth).is_pending());
        assert!(third.gives_way.is_cancelled(), "it has waited for longer than the one that was answered since");
    }
}
