//! What goes over a server that passes messages on: several events in one message, with numbers that show what is missing.
//!
//! `{"v":1,"from":"00c0ffee00c0ffee","n":41,"heartbeat":7,"events":[{…},null]}`. `from` is the publisher, which has a new name each time that it
//! starts. `n` is the number of the first event, and each has the one after its predecessor's: a subscriber that misses some sees a gap.
//! `null` stands for an event that was too long. `heartbeat` is there in messages that a publisher waits for itself, to see that its
//! connection works; others see by its `n` what they have missed, also while nothing happens. Keys that are not known are ignored.

use std::collections::HashMap;

use serde_json::Value;

use super::{Delivery, wire};

/// The version that is written. One that is not known is a hint.
const VERSION: u64 = 1;
/// Longest message that is written where the server allows more, and longest that is read.
pub(super) const MESSAGE_BYTES_MAX: usize = 512 * 1024;
/// Most events of one message: fewer than a subscriber has room for, so that one message never overwhelms it.
pub(super) const MESSAGE_EVENTS_MAX: usize = 256;
/// Most publishers that are remembered. Of one that was forgotten, nobody can tell what is missing.
const PUBLISHERS_MAX: usize = 4_096;
/// What stands around the events, at most. A heartbeat is no longer.
const ENVELOPE_BYTES: usize = 128;

/// Makes the messages of one publisher.
#[derive(Debug, Clone, Copy)]
pub(super) struct Writer {
    from: u64,
    bytes_max: usize,
}

impl Writer {
    /// Messages of `from` that are no longer than `bytes_max`, and than this program reads.
    pub(super) fn new(from: u64, bytes_max: usize) -> Writer {
        Writer { from, bytes_max: bytes_max.min(MESSAGE_BYTES_MAX) }
    }

    /// A message without events, from whoever publishes event number `next` next.
    pub(super) fn heartbeat(self, number: u64, next: u64) -> String {
        format!(r#"{{"v":{VERSION},"from":"{:016x}","n":{next},"heartbeat":{number},"events":[]}}"#, self.from)
    }

    /// The messages for events as JSON, each with its number: as few as fit. A number that does not follow the one before begins a message.
    pub(super) fn events(self, events: &[(u64, String)]) -> Vec<String> {
        let room = self.bytes_max.saturating_sub(ENVELOPE_BYTES);
        let (mut messages, mut texts, mut length) = (Vec::new(), Vec::<&str>::new(), 0);
        let mut first = events.first().map_or(0, |(number, _)| *number);
        for (number, text) in events {
            let is_too_long = text.len() > room.min(wire::EVENT_BYTES_MAX);
            let text = if is_too_long { "null" } else { text.as_str() };
            let follows = first.checked_add(texts.len() as u64) == Some(*number);
            if !texts.is_empty() && (!follows || length + text.len() >= room || texts.len() == MESSAGE_EVENTS_MAX) {
                messages.push(self.message(first, &texts));
                texts.clear();
                length = 0;
            }
            if texts.is_empty() {
                first = *number;
            }
            length += text.len() + 1;
            texts.push(text);
        }
        if !texts.is_empty() {
            messages.push(self.message(first, &texts));
        }
        messages
    }

    fn message(self, first: u64, texts: &[&str]) -> String {
        format!(r#"{{"v":{VERSION},"from":"{:016x}","n":{first},"events":[{}]}}"#, self.from, texts.join(","))
    }
}

/// What a message says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// It is our own; a heartbeat, if it has a number.
    Own(Option<u64>),
    /// For the subscribers.
    Deliver(Vec<Delivery>),
    /// It is none of this program.
    Foreign,
}

/// Reads the messages of all publishers, and remembers what came last from each.
#[derive(Debug)]
pub(super) struct Reader {
    /// Who we are.
    own: u64,
    /// What our own messages begin with.
    own_prefix: String,
    publishers: HashMap<u64, Publisher>,
    messages: u64,
}

#[derive(Debug)]
struct Publisher {
    /// The number that its next event has.
    next: u64,
    /// Which of all messages was its last.
    last_message: u64,
}

impl Reader {
    /// One for the publisher `own`.
    pub(super) fn new(own: u64) -> Reader {
        let own_prefix = format!(r#"{{"v":{VERSION},"from":"{own:016x}","#);
        Reader { own, own_prefix, publishers: HashMap::new(), messages: 0 }
    }

    /// Reads a message.
    pub(super) fn read(&mut self, message: &[u8]) -> Read {
        // A server sends us all that we publish. None of that but the heartbeats is worth being read.
        if message.len() > ENVELOPE_BYTES && message.starts_with(self.own_prefix.as_bytes()) {
            return Read::Own(None);
        }
        if message.len() > MESSAGE_BYTES_MAX {
            return Read::Foreign;
        }
        let Ok(Value::Object(mut fields)) = serde_json::from_slice(message) else { return Read::Foreign };
        let (version, from) = (fields.get("v").and_then(Value::as_u64), fields.get("from").and_then(Value::as_str));
        let (Some(version), Some(from)) = (version, from) else { return Read::Foreign };
        if version != VERSION {
            return Read::Deliver(vec![Delivery::Hint]);
        }
        let from = (from.len() == 16).then(|| u64::from_str_radix(from, 16).ok()).flatten();
        let number = fields.get("n").and_then(Value::as_u64);
        let heartbeat = fields.get("heartbeat").and_then(Value::as_u64);
        let Some(Value::Array(events)) = fields.remove("events") else { return Read::Foreign };
        match (from, number) {
            (Some(from), Some(_)) if from == self.own => Read::Own(heartbeat),
            (Some(from), Some(number)) => Read::Deliver(self.deliveries(from, number, &events)),
            _ => Read::Foreign,
        }
    }

    fn deliveries(&mut self, from: u64, number: u64, events: &[Value]) -> Vec<Delivery> {
        self.messages += 1;
        let next = number.saturating_add(events.len() as u64);
        let expected = match self.publishers.get_mut(&from) {
            Some(publisher) => {
                publisher.last_message = self.messages;
                let expected = publisher.next;
                publisher.next = expected.max(next);
                expected
            }
            None => {
                self.remember(from, next);
                number
            }
        };
        let mut deliveries = Vec::with_capacity(events.len() + 1);
        if number > expected {
            deliveries.push(Delivery::Missed(number - expected));
        }
        // What a server delivers twice is delivered here once.
        let twice = usize::try_from(expected.saturating_sub(number)).unwrap_or(usize::MAX);
        for event in events.iter().skip(twice) {
            let delivery = wire::decode_value(event).map_or(Delivery::Hint, Delivery::Event);
            // One hint says as much as two.
            if delivery != Delivery::Hint || deliveries.last() != Some(&Delivery::Hint) {
                deliveries.push(delivery);
            }
        }
        deliveries
    }

    fn remember(&mut self, from: u64, next: u64) {
        if self.publishers.len() >= PUBLISHERS_MAX {
            let oldest =
                self.publishers.iter().min_by_key(|(_, publisher)| publisher.last_message).map(|(from, _)| *from);
            if let Some(oldest) = oldest {
                self.publishers.remove(&oldest);
            }
        }
        self.publishers.insert(from, Publisher { next, last_message: self.messages });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Event, EventKind, Timestamp};

    fn event(micros: i64, message: &str) -> Event {
        let kind = EventKind::ScheduleFailed { schedule_id: "s".parse().expect("valid"), message: message.to_owned() };
        Event { at: Timestamp::from_micros(micros).expect("in range"), kind }
    }

    fn numbered(numbers: std::ops::Range<u64>) -> Vec<(u64, Event)> {
        numbers.map(|number| (number, event(i64::try_from(number).expect("small"), "m"))).collect()
    }

    fn texts(events: &[(u64, Event)]) -> Vec<(u64, String)> {
        events.iter().map(|(number, event)| (*number, wire::encode(event).to_string())).collect()
    }

    fn reader() -> Reader {
        Reader::new(1)
    }

    fn read(reader: &mut Reader, message: &str) -> Read {
        reader.read(message.as_bytes())
    }

    fn deliver(events: &[(u64, Event)]) -> Vec<Delivery> {
        events.iter().map(|(_, event)| Delivery::Event(event.clone())).collect()
    }

    #[test]
    fn a_message_is_the_text_that_other_versions_know() {
        let event = |kind| Event { at: Timestamp::EPOCH, kind };
        let removed = EventKind::TaskRemoved { task_id: "p:t".parse().expect("valid") };
        let message = Writer::new(0x00c0_ffee, 1_000).events(&texts(&[(41, event(removed.clone()))]));
        let text = r#"{"v":1,"from":"0000000000c0ffee","n":41,"events":[{"at":"1970-01-01T00:00:00.000000Z","task_id":"p:t","type":"task_removed","v":1}]}"#;
        assert_eq!(message, [text]);
        assert_eq!(read(&mut reader(), text), Read::Deliver(vec![Delivery::Event(event(removed))]));
        assert_eq!(
            Writer::new(0x00c0_ffee, 1_000).heartbeat(7, 42),
            r#"{"v":1,"from":"0000000000c0ffee","n":42,"heartbeat":7,"events":[]}"#
        );
    }

    #[test]
    fn events_are_read_back_in_order_whatever_fits_into_a_message() {
        let events = numbered(5..1_305);
        for bytes_max in [400, 7_999, usize::MAX] {
            let messages = Writer::new(2, bytes_max).events(&texts(&events));
            let mut reader = reader();
            let mut deliveries = Vec::new();
            for message in &messages {
                assert!(message.len() <= bytes_max, "{} bytes", message.len());
                let Read::Deliver(more) = read(&mut reader, message) else { panic!("it is ours") };
                deliveries.extend(more);
            }
            assert_eq!(deliveries, deliver(&events));
        }
    }

    #[test]
    fn an_event_that_is_too_long_is_a_hint_in_its_place() {
        let events = vec![(1, event(1, "short")), (2, event(2, &"x".repeat(8_000))), (3, event(3, "short"))];
        let mut reader = reader();
        let mut deliveries = Vec::new();
        for message in Writer::new(2, 7_999).events(&texts(&events)) {
            assert!(message.len() <= 7_999);
            let Read::Deliver(more) = read(&mut reader, &message) else { panic!("it is ours") };
            deliveries.extend(more);
        }
        let expected = [Delivery::Event(events[0].1.clone()), Delivery::Hint, Delivery::Event(events[2].1.clone())];
        assert_eq!(deliveries, expected);
    }

    #[test]
    fn what_is_missing_is_reported_and_what_comes_twice_is_not_delivered_twice() {
        let (writer, mut reader) = (Writer::new(2, 10_000), reader());
        let message = |numbers| writer.events(&texts(&numbered(numbers))).remove(0);
        assert_eq!(read(&mut reader, &message(10..12)), Read::Deliver(deliver(&numbered(10..12))));
        assert_eq!(read(&mut reader, &message(10..12)), Read::Deliver(Vec::new()));
        assert_eq!(read(&mut reader, &message(11..13)), Read::Deliver(deliver(&numbered(12..13))));
        assert_eq!(read(&mut reader, &writer.heartbeat(1, 13)), Read::Deliver(Vec::new()));
        assert_eq!(read(&mut reader, &writer.heartbeat(2, 17)), Read::Deliver(vec![Delivery::Missed(4)]));
        let mut expected = vec![Delivery::Missed(3)];
        expected.extend(deliver(&numbered(20..21)));
        assert_eq!(read(&mut reader, &message(20..21)), Read::Deliver(expected));
        // Where events were dropped before they were sent, the next message shows it.
        let mut gap = numbered(21..22);
        gap.extend(numbered(25..26));
        assert_eq!(writer.events(&texts(&gap)).len(), 2);
    }

    #[test]
    fn messages_of_other_versions_are_hints_and_those_of_other_programs_are_passed_over() {
        let good = Writer::new(2, 10_000).events(&texts(&numbered(1..2))).remove(0);
        let mut reader = reader();
        let later = good.replacen(r#""v":1"#, r#""v":2,"shape":"new""#, 1);
        assert_eq!(read(&mut reader, &later), Read::Deliver(vec![Delivery::Hint]));
        let unknown = good.replace("schedule_failed", "schedule_exploded");
        assert_eq!(read(&mut reader, &unknown), Read::Deliver(vec![Delivery::Hint]));
        assert_eq!(read(&mut reader, &good.replacen('{', r#"{"extra":[1],"#, 1)), Read::Deliver(Vec::new()));
        let long = format!(r#"{{"v":1,"from":"{:0>16}","n":1,"events":["{}"]}}"#, 2, "x".repeat(MESSAGE_BYTES_MAX));
        let deep = "[".repeat(100_000);
        for foreign in
            ["", "hello", "{}", "null", r#"{"v":1}"#, r#"{"v":1,"from":"2","n":1,"events":[]}"#, &long, &deep, "\u{0}"]
        {
            assert_eq!(read(&mut reader, foreign), Read::Foreign, "{}", foreign.get(..40).unwrap_or(foreign));
        }
        assert_eq!(reader.read(&[0xff, 0xfe, b'{']), Read::Foreign);
    }

    #[test]
    fn of_what_one_has_published_oneself_only_the_heartbeats_are_read() {
        let (writer, mut reader) = (Writer::new(u64::MAX, 10_000), Reader::new(u64::MAX));
        let heartbeat = writer.heartbeat(u64::MAX, u64::MAX);
        assert!(heartbeat.len() <= ENVELOPE_BYTES, "{} bytes", heartbeat.len());
        assert_eq!(read(&mut reader, &heartbeat), Read::Own(Some(u64::MAX)));
        for count in [1, 40] {
            let own = writer.events(&texts(&numbered(1..1 + count))).remove(0);
            assert_eq!(read(&mut reader, &own), Read::Own(None));
        }
    }

    #[test]
    fn no_more_publishers_are_remembered_than_there_may_be() {
        let mut reader = Reader::new(u64::MAX);
        for from in 0..PUBLISHERS_MAX as u64 + 10 {
            reader.read(Writer::new(from, 1_000).heartbeat(1, 1).as_bytes());
        }
        assert_eq!(reader.publishers.len(), PUBLISHERS_MAX);
        assert!(!reader.publishers.contains_key(&0) && reader.publishers.contains_key(&(PUBLISHERS_MAX as u64)));
    }
}
