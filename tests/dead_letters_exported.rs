//! Dead letters are exported as JSON lines that say all that is known, and no writer can harm the store.
#![allow(clippy::disallowed_methods, reason = "a test is the outside: its support writes evidence")]

mod support;

use proptest::prelude::*;
use redeliver::{DeadLetters, ExportError, Filter, Fixed, Headers, ManualClock, MessageId, Never, Queue, Rate};
use serde_json::{Value, json};
use std::error::Error;
use std::io::{self, ErrorKind, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, SystemTime};

const SECOND: Duration = Duration::from_secs(1);

fn with_letters(count: u32) -> Queue<u32> {
    let queue = Queue::builder("mail").retry(Never).clock(ManualClock::new()).open().unwrap();
    queue.producer().send_batch(0..count).unwrap();
    queue.consumer().recv_batch(count as usize).unwrap().nack_all("no such user").unwrap();
    queue
}

fn lines(bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).expect("UTF-8");
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is complete");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The kind of the error, and how many lines it says are complete.
fn failed(outcome: io::Result<usize>) -> (ErrorKind, usize) {
    let error = outcome.unwrap_err();
    let inner: &ExportError = error.get_ref().and_then(|inner| inner.downcast_ref()).expect("an export's error");
    assert!(error.to_string().contains(&format!("{} complete lines", inner.lines())), "{error}");
    assert!(inner.source().is_some());
    (error.kind(), inner.lines())
}

// ---- what a line says ----

#[test]
fn a_line_says_all_that_is_known() {
    let clock = ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_millis(1_770_091_506_789));
    let policy = Fixed::new(Duration::from_micros(1_500)).max_attempts(2);
    let queue = Queue::builder("mail").retry(policy).clock(clock.clone()).open().unwrap();
    let producer = queue.producer();
    let message = producer.message("hello").key("user \"7\"");
    let id = message.header("tenant", "north").header("digest", vec![0xff, 0x00]).send().unwrap();
    clock.advance(SECOND);
    queue.consumer().recv().unwrap().nack(std::fmt::Error).unwrap();
    clock.advance(SECOND);
    queue.consumer().recv().unwrap().nack("no such user:\n\u{1}ada").unwrap();
    clock.advance(SECOND);

    let attempts = json!([
        {
            "attempt": 1, "at": "2026-02-03T04:05:07.789Z", "error": std::fmt::Error.to_string(),
            "error_type": "core::fmt::Error", "delay_ms": 2, "rule": "Fixed",
        },
        {
            "attempt": 2, "at": "2026-02-03T04:05:08.789Z", "error": "no such user:\n\u{1}ada",
            "error_type": null, "delay_ms": null, "rule": "Fixed",
        },
    ]);
    let mut expected = json!({
        "id": id.to_string(),
        "reason": "no such user:\n\u{1}ada",
        "key": "user \"7\"",
        "headers": { "tenant": { "text": "north" }, "digest": { "base64": "/wA=" } },
        "sent_at": "2026-02-03T04:05:06.789Z",
        "died_at": "2026-02-03T04:05:08.789Z",
        "attempts": attempts,
    });
    let mut out = Vec::new();
    assert_eq!(queue.dead_letters().export(&mut out).unwrap(), 1);
    assert_eq!(lines(&out), [expected.clone()]);
    assert!(out.starts_with(b"{\"id\":"), "in the order that is documented");

    expected["message"] = json!("HELLO");
    let mut out = Vec::new();
    assert_eq!(queue.dead_letters().export_with(&mut out, |message| message.to_uppercase()).unwrap(), 1);
    assert_eq!(lines(&out), [expected]);
}

#[test]
fn there_is_a_line_for_each_in_the_order_in_which_they_died_and_none_for_none() {
    let queue = with_letters(3_000);
    let mut out = Vec::new();
    assert_eq!(queue.dead_letters().export_with(&mut out, |number| *number).unwrap(), 3_000);
    let numbers: Vec<u32> = lines(&out).iter().map(|line| line["message"].as_str().unwrap().parse().unwrap()).collect();
    assert_eq!(numbers, Vec::from_iter(0..3_000_u32));
    assert_eq!(queue.dead_letters().len(), 3_000, "an export takes nothing away");

    queue.dead_letters().purge(Filter::all());
    let mut out = Vec::new();
    assert_eq!(queue.dead_letters().export(&mut out).unwrap(), 0);
    assert!(out.is_empty());
}

#[test]
fn a_wall_clock_beyond_all_calendars_is_null() {
    let clock = ManualClock::new();
    let queue = Queue::builder("mail").retry(Never).clock(clock.clone()).open().unwrap();
    clock.set_system_time(SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40));
    queue.producer().message("hello").key("k").send().unwrap();
    queue.consumer().recv().unwrap().nack("no such user").unwrap();
    let mut out = Vec::new();
    queue.dead_letters().export(&mut out).unwrap();
    let line = &lines(&out)[0];
    assert_eq!(
        (&line["sent_at"], &line["died_at"], &line["attempts"][0]["at"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
}

proptest! {
    #[test]
    fn whatever_is_in_a_letter_reads_back_as_it_was(
        key in proptest::option::of(".*"),
        headers in proptest::collection::vec((".*", proptest::collection::vec(any::<u8>(), 0..8)), 0..4),
        error: String,
        message: String,
    ) {
        let queue = Queue::builder("mail").retry(Never).open().unwrap();
        let producer = queue.producer();
        let mut sent = producer.message(message.clone());
        if let Some(key) = &key {
            sent = sent.key(key.clone());
        }
        for (name, value) in &headers {
            sent = sent.header(name.clone(), value.clone());
        }
        let id = sent.send().unwrap();
        queue.consumer().recv().unwrap().nack(error.clone()).unwrap();
        let mut out = Vec::new();
        queue.dead_letters().export_with(&mut out, String::clone).unwrap();

        let line = &lines(&out)[0];
        prop_assert_eq!(line["id"].as_str().unwrap().parse::<MessageId>().unwrap(), id);
        prop_assert_eq!((line["key"].as_str(), line["reason"].as_str()), (key.as_deref(), Some(error.as_str())));
        prop_assert_eq!(line["message"].as_str(), Some(message.as_str()));
        let expected = Headers::from_iter(headers);
        prop_assert_eq!(line["headers"].as_object().unwrap().len(), expected.len());
        for (name, value) in expected.iter() {
            let written = &line["headers"][name];
            match std::str::from_utf8(value) {
                Ok(text) => prop_assert_eq!(written, &json!({ "text": text })),
                Err(_) => prop_assert!(written["base64"].is_string(), "{}", written),
            }
        }
    }
}

// ---- writers ----

/// Takes so many bytes, as few at a time as `step` says, and fails then.
struct Disk {
    room: usize,
    step: usize,
    taken: Vec<u8>,
    interrupts: bool,
    when_full: fn() -> io::Result<usize>,
}

impl Disk {
    fn new(room: usize, when_full: fn() -> io::Result<usize>) -> Self {
        Disk { room, step: usize::MAX, taken: Vec::new(), interrupts: false, when_full }
    }
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if std::mem::replace(&mut self.interrupts, false) {
            return Err(ErrorKind::Interrupted.into());
        }
        let len = bytes.len().min(self.step).min(self.room - self.taken.len());
        if len == 0 {
            return (self.when_full)();
        }
        self.interrupts = self.step < usize::MAX;
        self.taken.extend(&bytes[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.interrupts, false) { Err(ErrorKind::Interrupted.into()) } else { Ok(()) }
    }
}

#[test]
fn a_full_disk_says_how_many_lines_are_complete_wherever_it_is_full_and_the_store_is_as_before() {
    let queue = with_letters(4);
    let mut all = Vec::new();
    queue.dead_letters().export(&mut all).unwrap();
    for room in 0..all.len() {
        let mut disk = Disk::new(room, || Err(ErrorKind::StorageFull.into()));
        let (kind, complete) = failed(queue.dead_letters().export(&mut disk));
        let newlines = disk.taken.iter().filter(|byte| **byte == b'\n').count();
        assert_eq!((kind, complete), (ErrorKind::StorageFull, newlines), "{room} bytes");
        assert_eq!(disk.taken, all[..room]);
    }
    assert_eq!(queue.dead_letters().len(), 4);
    let mut again = Vec::new();
    assert_eq!(queue.dead_letters().export(&mut again).unwrap(), 4);
    assert_eq!(again, all);
}

/// The system's own full disk.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_really_full_says_so_and_the_store_is_as_before() {
    let queue = with_letters(4);
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has one");
    assert_eq!(failed(queue.dead_letters().export(full())), (ErrorKind::StorageFull, 0));
    let buffered = failed(queue.dead_letters().export(io::BufWriter::new(full())));
    assert_eq!(buffered, (ErrorKind::StorageFull, 4), "the lines were taken, and the flush says that they are nowhere");
    let mut all = Vec::new();
    assert_eq!((queue.dead_letters().export(&mut all).unwrap(), lines(&all).len()), (4, 4));
}

#[test]
fn short_and_interrupted_writes_are_gone_on_with() {
    let queue = with_letters(3);
    let mut all = Vec::new();
    queue.dead_letters().export(&mut all).unwrap();
    for step in [1, 7, 100] {
        let mut disk = Disk::new(usize::MAX, || unreachable!());
        (disk.step, disk.interrupts) = (step, true);
        assert_eq!(queue.dead_letters().export(&mut disk).unwrap(), 3);
        assert_eq!(disk.taken, all);
    }
}

#[test]
fn a_writer_that_takes_nothing_or_fails_to_flush_is_an_error() {
    let queue = with_letters(2);
    let mut stuck = Disk::new(10, || Ok(0));
    assert_eq!(failed(queue.dead_letters().export(&mut stuck)), (ErrorKind::WriteZero, 0));

    // A buffer takes all that there is, and its disk is full when it is flushed.
    let mut disk = Disk::new(10, || Err(ErrorKind::StorageFull.into()));
    let buffered = io::BufWriter::with_capacity(1 << 20, &mut disk);
    assert_eq!(failed(queue.dead_letters().export(buffered)), (ErrorKind::StorageFull, 2));
    assert_eq!(queue.dead_letters().len(), 2);
}

/// Panics where it is told to.
struct Nasty {
    writes: u32,
    drops: bool,
}

impl Write for Nasty {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writes = self.writes.checked_sub(1).unwrap_or_else(|| panic!("planned: a write"));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Nasty {
    fn drop(&mut self) {
        if self.drops {
            panic!("planned: the drop of a writer");
        }
    }
}

#[test]
fn a_panic_of_the_writer_or_of_what_shows_a_message_is_an_error_and_the_store_is_as_before() {
    support::hush_planned_panics();
    let queue = with_letters(4);
    let dead = queue.dead_letters();
    let quietly = |export: &dyn Fn() -> io::Result<usize>| {
        catch_unwind(AssertUnwindSafe(export)).expect("a panic got out of the export")
    };
    for drops in [false, true] {
        let outcome = quietly(&|| dead.export(Nasty { writes: 2, drops }));
        assert!(outcome.as_ref().unwrap_err().to_string().contains("planned: a write"));
        assert_eq!(failed(outcome), (ErrorKind::Other, 2));
    }
    assert_eq!(quietly(&|| dead.export(Nasty { writes: 4, drops: true })).unwrap(), 4);
    let shows = |number: &u32| if *number < 3 { *number } else { panic!("planned: a message that cannot be shown") };
    assert_eq!(failed(quietly(&|| dead.export_with(io::sink(), shows))), (ErrorKind::Other, 3));
    assert_eq!(dead.list(Filter::all()).len(), 4);
}

/// Works on the very letters that are exported to it.
struct Busy(DeadLetters<u32>);

impl Write for Busy {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.purge(Filter::all().limit(1)); // hangs if a lock is held meanwhile
        self.0.redrive_all(Filter::all().limit(1), Rate::unlimited());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn no_lock_is_held_while_a_writer_works_and_what_it_takes_away_is_still_exported() {
    let queue = with_letters(10);
    let dead = queue.dead_letters();
    assert_eq!(dead.export(Busy(queue.dead_letters())).unwrap(), 10);
    assert_eq!((dead.len(), queue.stats().purged, queue.stats().ready), (0, 5, 5));
}
