//! Tasks that are due later, tasks that come again and again, and a task that is given up when it is too late.
//!
//! The queue is the timetable: a task that is not due is snoozed, which costs no attempt and no room in the queue. The
//! same tasks would run on a `SystemClock` and a `worker()`; on a clock that is moved by hand an evening takes a
//! millisecond, and every task runs at the minute that can be checked.
//!
//! `cargo run --release --example task_scheduling`

use redeliver::{Clock, Delivery, Exponential, Filter, ManualClock, Producer, Queue};
use std::error::Error;
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);

enum Work {
    Delayed,
    Every {
        period: Duration,
        runs_left: u32,
    },
    /// Tried every five minutes, but of no use after this.
    Until(Instant),
}

struct Task {
    name: &'static str,
    due: Instant,
    work: Work,
}

impl Task {
    /// Counts from when this run was due, so a late one does not shift those after it.
    fn next(&self, period: Duration) -> Task {
        let work = match self.work {
            Work::Every { period, runs_left } => Work::Every { period, runs_left: runs_left - 1 },
            _ => Work::Delayed,
        };
        Task { name: self.name, due: self.due + period, work }
    }
}

/// The work itself; some of it fails at first.
fn run(task: &Task, attempt: u32) -> Result<(), &'static str> {
    match task.name {
        "call back" => Err("engaged"),
        "back up" if attempt < 3 => Err("the disk is asleep"),
        _ => Ok(()),
    }
}

/// A task in the hands of a consumer: run if it is due, and settled as its kind demands.
fn handle(
    delivery: Delivery<Task>,
    now: Instant,
    timetable: &Producer<Task>,
    log: &mut dyn FnMut(&str),
) -> Result<(), Box<dyn Error>> {
    if now < delivery.due {
        let wait = delivery.due - now;
        return Ok(delivery.snooze(wait)?);
    }
    if let Work::Every { period, runs_left: 2.. } = delivery.work
        && delivery.attempt() == 1
    {
        // A periodic task sends its successor before it runs, so the row goes on whatever becomes of this run. `submit`
        // never waits: a handler that waited for room in its own queue might wait for itself.
        drop(timetable.submit(delivery.next(period))?);
    }
    let outcome = run(&delivery, delivery.attempt());
    log(&format!("{}: {}", delivery.name, outcome.err().unwrap_or("done")));
    match (&delivery.work, outcome) {
        (_, Ok(())) => delivery.ack()?,
        (Work::Until(deadline), Err(error)) if now >= *deadline => delivery.reject(format!("too late: {error}"))?,
        (Work::Until(_), Err(error)) => delivery.nack_after(5 * MINUTE, error)?, // at its own pace
        (_, Err(error)) => delivery.nack(error)?,                                // as the policy says
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let clock = ManualClock::new();
    let start = clock.now();
    let queue = Queue::builder("tasks").retry(Exponential::new(MINUTE).max_attempts(5)).clock(clock.clone()).open()?;
    let (producer, consumer) = (queue.producer(), queue.consumer());

    producer.send(Task { name: "back up", due: start + 30 * MINUTE, work: Work::Delayed })?;
    let every = Work::Every { period: 15 * MINUTE, runs_left: 4 };
    producer.send(Task { name: "check the oven", due: start + 15 * MINUTE, work: every })?;
    producer.send(Task { name: "call back", due: start, work: Work::Until(start + 20 * MINUTE) })?;

    let mut ran = Vec::new();
    for minute in 0..=90 {
        let mut log = |text: &str| {
            println!("{:02}:{:02}  {text}", 20 + minute / 60, minute % 60);
            ran.push((minute, text.to_owned()));
        };
        while let Ok(delivery) = consumer.try_recv() {
            handle(delivery, clock.now(), &producer, &mut log)?;
        }
        clock.advance(MINUTE);
    }

    let minutes =
        |name: &str| -> Vec<u32> { ran.iter().filter(|(_, t)| t.starts_with(name)).map(|(m, _)| *m).collect() };
    assert_eq!(minutes("check the oven"), [15, 30, 45, 60]);
    assert_eq!(minutes("back up"), [30, 31, 33]); // two retries, by the policy
    assert_eq!(minutes("call back"), [0, 5, 10, 15, 20]);
    let dead = queue.dead_letters().list(Filter::all());
    println!("given up: {}, {}", dead[0].message().map_or("?", |task| task.name), dead[0].reason());
    assert_eq!((dead.len(), dead[0].reason()), (1, "too late: engaged"));
    assert_eq!((queue.stats().acked, queue.stats().ready, queue.stats().delayed), (5, 0, 0));
    Ok(())
}
