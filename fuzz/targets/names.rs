//! Names, keys, headers, reasons and ids are anybody's text: they come back as they went in, or are refused, and panic never.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use redeliver::{Filter, Headers, Immediate, ManualClock, MessageId, Queue};

#[derive(Arbitrary, Debug)]
struct Input {
    name: String,
    messages: Vec<Message>,
    reason: String,
    id: String,
    needle: String,
}

#[derive(Arbitrary, Debug)]
struct Message {
    payload: Vec<u8>,
    key: Option<String>,
    headers: Vec<(String, Vec<u8>)>,
    way: u8,
}

impl Message {
    /// What the receiver is to see: a header named twice keeps its place and has its later value.
    fn expected(&self) -> Headers {
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in &self.headers {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        let value = |name: &str| self.headers.iter().rev().find(|(other, _)| other == name).map(|(_, value)| value);
        names.iter().map(|&name| (name, value(name).expect("named").clone())).collect()
    }
}

fuzz_target!(|input: Input| {
    assert_reads_ids(&input.id);
    let messages = &input.messages[..input.messages.len().min(8)];
    let queue = Queue::builder(input.name.clone())
        .capacity(8)
        .retry(Immediate.max_attempts(2))
        .clock(ManualClock::new())
        .open()
        .expect("any text is a name");
    assert_eq!(queue.name(), input.name);
    let (producer, consumer) = (queue.producer(), queue.consumer());
    assert!(!format!("{queue:?}{producer:?}{consumer:?}").is_empty());
    let mut ids = Vec::new();
    for message in messages {
        let mut building = producer.message(message.payload.clone());
        if let Some(key) = &message.key {
            building = building.key(key.clone());
        }
        for (name, value) in &message.headers {
            building = building.header(name.clone(), value.clone());
        }
        let id = match message.way % 3 {
            0 => building.try_send().expect("room"),
            1 => building.send().expect("room"),
            _ => building.submit().expect("room").wait().expect("accepted"),
        };
        assert_eq!(id.to_string().parse(), Ok(id));
        ids.push(id);
    }
    // Twice: as a first delivery and as a redelivery.
    for attempt in 1..=2 {
        let deliveries: Vec<_> = messages.iter().map(|_| consumer.try_recv().expect("ready")).collect();
        for ((message, &id), delivery) in messages.iter().zip(&ids).zip(deliveries) {
            assert_eq!((delivery.id(), delivery.attempt()), (id, attempt));
            assert_eq!((delivery.message(), delivery.key()), (&message.payload, message.key.as_deref()));
            assert_eq!(delivery.headers(), &message.expected());
            delivery.nack(input.reason.clone()).expect("leased");
        }
    }
    let dead = queue.dead_letters();
    assert_eq!(dead.len(), messages.len());
    for (message, &id) in messages.iter().zip(&ids) {
        let letter = dead.get(id).expect("two attempts were all");
        assert_eq!((letter.message(), letter.key()), (Some(&message.payload), message.key.as_deref()));
        assert_eq!((letter.headers(), letter.reason()), (&message.expected(), input.reason.as_str()));
        assert!(letter.history().iter().all(|attempt| attempt.error() == input.reason));
        if let Some(key) = letter.key() {
            assert!(dead.list(Filter::all().key(key)).iter().any(|found| found.id() == id));
        }
    }
    let found = dead.list(Filter::all().error_contains(input.needle.clone())).len();
    assert_eq!(found, if input.reason.contains(&input.needle) { messages.len() } else { 0 });
});

/// A text is an id only if it is the one spelling of it.
fn assert_reads_ids(text: &str) {
    match text.parse::<MessageId>() {
        Ok(id) => assert_eq!(id.to_string(), text),
        Err(error) => assert!(error.to_string().contains("hexadecimal")),
    }
}
