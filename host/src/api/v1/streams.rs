//! Answers without end, as server-sent events: what happens, and what a job logs.
//!
//! A client that does not read holds nobody up: the broker drops its events, which it is told, and its connection is cut off by
//! `stall`. Whoever's token ends is told nothing more. Heartbeats let both sides notice that the other one is gone.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderName;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::Stream;
use futures_util::stream::unfold;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;

use super::super::call::{Answered, Call};
use super::super::caller::Caller;
use super::super::problem::Problem;
use super::super::route::{Access, Route};
use super::super::state::Shared;
use crate::app::{App, EventFilter, EventStream, Received};
use crate::model::Permission::Read;
use crate::model::{EventType, JobId};
use crate::wire::{self, LogLineWire};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/v1/events", Access::Needs(Read), "Events as they happen, as server-sent events", events)
            .query(&[("type", "only events of this type, such as `job_released`; may be repeated")])
            .answers_as("text/event-stream"),
    ]
}

/// How often a stream on which nothing happens says that it is there.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// A place among the streams, and what ends them before their time.
struct Open {
    shared: Arc<Shared>,
    /// Comes to its end once the stream's token has.
    token_ends: Pin<Box<dyn Future<Output = ()> + Send>>,
    _place: OwnedSemaphorePermit,
}

impl Open {
    fn new(call: &Call) -> Result<Open, Problem> {
        let shared = Arc::clone(call.shared());
        let place = Arc::clone(&shared.streams).try_acquire_owned().map_err(|_| {
            Problem::unavailable("too many streams are open").with_hint("close one, or ask again and again instead")
        })?;
        let token_ends = Box::pin(token_ends(Arc::clone(&shared), call.caller.clone()));
        Ok(Open { shared, token_ends, _place: place })
    }

    /// Waits until the stream must end.
    async fn ends(&mut self) {
        tokio::select! {
            () = self.shared.stopping.cancelled() => {}
            () = &mut self.token_ends => {}
        }
    }
}

/// Waits until the token of whoever asked has ended. Where the store does not answer, nobody knows whether it has.
async fn token_ends(shared: Arc<Shared>, caller: Caller) {
    loop {
        shared.clock.sleep(App::TOKENS_KEPT).await;
        if matches!(caller.is_good(&shared.tokens).await, Ok(false)) {
            return;
        }
    }
}

fn answer(stream: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    // A proxy that waits for the end of the answer would show nothing.
    let unbuffered = [(HeaderName::from_static("x-accel-buffering"), "no")];
    (unbuffered, Sse::new(stream).keep_alive(KeepAlive::new().interval(HEARTBEAT))).into_response()
}

fn message(name: &str, data: &Value) -> Event {
    Event::default().event(name).data(data.to_string())
}

/// Events have no memory: whoever comes back is told that some may be missed, and looks at the lists again.
async fn events(call: Call) -> Answered {
    let read = |text: &str| {
        EventType::from_name(text).ok_or_else(|| {
            let names: Vec<&str> = EventType::ALL.iter().map(|known| known.as_str()).collect();
            Problem::bad_request(format!("there are no events of type `{text}`"))
                .with_hint(format!("types: {}", names.join(", ")))
        })
    };
    let types = call.query.all("type").map(read).collect::<Result<_, _>>()?;
    let heard = call.app().events(EventFilter { types });
    let is_back = call.headers.contains_key("last-event-id");
    let state = (Open::new(&call)?, heard, is_back);
    Ok(answer(unfold(state, |(mut open, mut heard, is_back)| async move {
        let event = if is_back { missed(None) } else { next_event(&mut open, &mut heard).await? };
        Some((Ok(event), (open, heard, false)))
    })))
}

fn missed(at_least: Option<u64>) -> Event {
    message("missed", &json!({ "at_least": at_least }))
}

async fn next_event(open: &mut Open, heard: &mut EventStream) -> Option<Event> {
    let received = tokio::select! {
        received = heard.next() => received?,
        () = open.ends() => return None,
    };
    Some(match received {
        Received::Event(event) => {
            let id = event.at.as_micros().to_string();
            message(event.kind.event_type().as_str(), &wire::event(&event)).id(id)
        }
        Received::Hint => message("hint", &json!({})),
        Received::Missed(0) => missed(None),
        Received::Missed(count) => missed(Some(count)),
    })
}

/// What a job logs until it has ended, from a place on.
pub(super) async fn logs(call: &Call, id: JobId, after: Option<(u32, u32)>) -> Answered {
    // A job that is not there is told of by a status.
    call.app().job_get(id).await?;
    let state = Some((Open::new(call)?, after, Vec::new().into_iter()));
    Ok(answer(unfold(state, move |state| async move {
        let (mut open, mut after, mut lines) = state?;
        loop {
            if let Some(line) = lines.next() {
                let line: LogLineWire = line;
                let place = line.place();
                return Some((Ok(message("log", &json!(line)).id(place)), Some((open, after, lines))));
            }
            let app = open.shared.app.clone();
            let news = tokio::select! {
                news = app.job_logs_follow(id, after) => news,
                () = open.ends() => return None,
            };
            match news {
                Ok(Some(news)) => {
                    after = news.next;
                    lines = news.lines.iter().map(LogLineWire::from).collect::<Vec<_>>().into_iter();
                }
                // Told, so that a client does not take the end of the connection for a failure and come back.
                Ok(None) => return Some((Ok(message("end", &json!({}))), None)),
                Err(error) => return Some((Ok(message("error", &json!({"detail": error.to_string()}))), None)),
            }
        }
    })))
}
