//! The components of one program, joined by queues: sensors → alarm → pager, and an audit log beside them, in real time.
//!
//! Each component is a thread that receives from its own queue, and acks a message only after what follows from it is in
//! the next queue: so a component that fails loses nothing. Readings come at a steady rate, and `stats()` says how long
//! they waited in front of each component.
//!
//! `cargo run --release --example components`
#![allow(clippy::disallowed_methods, reason = "a program starts its own threads and keeps its own time")]

use redeliver::{Consumer, Exponential, Filter, Producer, Queue};
use std::collections::BTreeSet;
use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

const SENSORS: u32 = 3;
const READINGS: u32 = 2000;
/// Of each sensor, so there are 4,500 readings a second in all.
const PERIOD: Duration = Duration::from_micros(667);
const TOO_HOT: u32 = 90;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Reading {
    sensor: u32,
    number: u32,
    degrees: u32,
}

type Failure = Box<dyn Error + Send + Sync>;

/// Ticks on the beat: who is late for one tick makes up for it, so the rate stays.
fn sensor(sensor: u32, readings: &Producer<Reading>) -> Result<(), Failure> {
    let start = Instant::now();
    for number in 0..READINGS {
        thread::sleep((start + PERIOD * number).saturating_duration_since(Instant::now()));
        readings.send(Reading { sensor, number, degrees: (number * 7 + sensor * 31) % 100 })?;
    }
    Ok(())
}

/// Passes on what is too hot, and writes everything down.
fn alarm(
    readings: &Consumer<Reading>,
    alarms: &Producer<Reading>,
    audit: &Producer<(Reading, &'static str)>,
) -> Result<(), Failure> {
    for delivery in readings.iter() {
        let reading = *delivery;
        if reading.degrees >= TOO_HOT {
            alarms.send(reading)?;
            audit.send((reading, "alarm"))?;
        } else {
            audit.send((reading, "fine"))?;
        }
        delivery.ack()?;
    }
    Ok(())
}

/// Calls somebody. The line is engaged at times; the retry policy of its queue takes care of that.
fn pager(alarms: &Consumer<Reading>) -> Result<BTreeSet<Reading>, Failure> {
    let mut called = BTreeSet::new();
    for delivery in alarms.iter() {
        if delivery.number % 5 == 0 && delivery.attempt() < 3 {
            delivery.nack("engaged")?;
        } else {
            called.insert(*delivery);
            delivery.ack()?;
        }
    }
    Ok(called)
}

/// Writes in batches, as a log on a disk would.
fn audit_log(audit: &Consumer<(Reading, &'static str)>) -> Result<Vec<(Reading, &'static str)>, Failure> {
    let mut log = Vec::new();
    while let Ok(batch) = audit.recv_batch(100) {
        log.extend(batch.iter().map(|entry| *entry));
        batch.ack_all().map_err(|late| format!("{} leases were lost", late.len()))?;
    }
    Ok(log)
}

fn main() -> Result<(), Box<dyn Error>> {
    let readings = Queue::builder("alarm").capacity(1024).open()?;
    let alarms = Queue::builder("pager").retry(Exponential::new(Duration::from_millis(2))).open()?;
    let audit = Queue::builder("audit").open()?;

    let (called, log) = thread::scope(|scope| {
        let sensors: Vec<_> = (0..SENSORS)
            .map(|n| (n, readings.producer()))
            .map(|(n, producer)| scope.spawn(move || sensor(n, &producer)))
            .collect();
        let (from, hot, written) = (readings.consumer(), alarms.producer(), audit.producer());
        let alarm = scope.spawn(move || alarm(&from, &hot, &written));
        let pager = scope.spawn(|| pager(&alarms.consumer()));
        let audit_log = scope.spawn(|| audit_log(&audit.consumer()));

        // The end travels the way of the messages: a queue is closed when nobody sends to it any more, and then its
        // component ends as soon as everything in it is settled.
        let died = |_| "a component panicked";
        let sent: Result<Vec<_>, _> = sensors.into_iter().map(|sensor| sensor.join()).collect();
        readings.close();
        let alarmed = alarm.join();
        alarms.close();
        audit.close();
        let (called, log) = (pager.join().map_err(died)??, audit_log.join().map_err(died)??);
        sent.map_err(died)?.into_iter().collect::<Result<(), _>>()?;
        alarmed.map_err(died)??;
        Ok::<_, Failure>((called, log))
    })
    .map_err(|error| error.to_string())?;

    println!("{:8} {:>8} {:>8} {:>8} {:>10} {:>10}", "in front", "messages", "per s", "retries", "p50", "p99");
    for (name, stats) in [("alarm", readings.stats()), ("pager", alarms.stats()), ("audit", audit.stats())] {
        let percentile = |percent| stats.latency().percentile(percent).unwrap_or_default();
        let (p50, p99) = (percentile(50.0), percentile(99.0)); // from send to hand-over, of every 64th message
        println!("{name:8} {:8} {:8.0} {:8} {p50:>10.0?} {p99:>10.0?}", stats.acked, stats.throughput(), stats.retries);
    }

    let all: BTreeSet<_> = log.iter().map(|(reading, _)| *reading).collect();
    let hot: BTreeSet<_> = all.iter().filter(|reading| reading.degrees >= TOO_HOT).copied().collect();
    println!(
        "{} readings in the log, {} of them too hot, and somebody was called for {}",
        all.len(),
        hot.len(),
        called.len()
    );
    assert_eq!(all.len(), (SENSORS * READINGS) as usize);
    assert_eq!(called, hot);
    assert!(alarms.dead_letters().list(Filter::all()).is_empty());
    Ok(())
}
