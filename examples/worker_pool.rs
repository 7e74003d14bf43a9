//! A pool of threads that runs your handler for every message, and settles it by what the handler returns.
//!
//! `cargo run --release --example worker_pool`
#![allow(clippy::disallowed_methods, reason = "a program may sleep; the library may not")]

use redeliver::{Delivery, Filter, Fixed, Outcome, Queue};
use std::error::Error;
use std::io;
use std::thread::sleep;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(30);

/// Makes a thumbnail of image number `n`. The number decides what goes wrong.
fn thumbnail(image: &Delivery<u32>) -> Result<Outcome, io::Error> {
    sleep(5 * MS); // the work
    match **image {
        // `?` and `Err` are a retry: the policy decides when.
        n if n % 10 == 3 && image.attempt() == 1 => Err(io::Error::from(io::ErrorKind::TimedOut)),
        // The other side said when.
        n if n % 10 == 5 && image.attempt() == 1 => Ok(Outcome::RetryAfter(20 * MS, "the disk is busy".into())),
        // It makes no sense to try again.
        n if n % 10 == 7 => Ok(Outcome::dead_letter("not an image")),
        // Nobody needs it any more.
        n if n % 10 == 9 => Ok(Outcome::Discard),
        // The thread survives it, and so does the message.
        21 if image.attempt() == 1 => panic!("image 21 has no pixels (this panic is meant to be)"),
        _ => Ok(Outcome::Ack),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let queue = Queue::builder("thumbnails").retry(Fixed::new(10 * MS).max_attempts(5)).open()?;
    let producer = queue.producer();

    let worker = queue.worker().threads(4).run_timeout(LONG).start(thumbnail)?;
    producer.send_batch(0..50)?;
    queue.drain(LONG)?; // until everything is settled, retries included
    let stats = queue.stats();
    println!("{} threads: {} done, {} retries, {} dead", worker.threads(), stats.acked, stats.retries, stats.dead);
    assert_eq!((stats.acked, stats.dead, stats.discarded), (40, 5, 5));
    assert_eq!(stats.retries, 10 + 1); // the errors and the panic: each came back, and is among those above

    // More hands while it runs, and fewer: those who leave finish what they hold.
    producer.send_batch(100..200)?;
    worker.set_threads(16)?;
    sleep(10 * MS);
    worker.set_threads(2)?;
    println!("{} threads, {} images ready", worker.threads(), queue.len());

    // Stops in the middle of the work. Nothing is lost: what no handler has begun waits in the queue.
    let report = worker.shutdown(LONG);
    println!("{report:?}; {} still in the queue", queue.stats().ready + queue.stats().delayed);
    assert_eq!((report.panicked, report.lost), (1, 0));
    assert_eq!((report.still_running, report.given_back), (0, 0)); // all ended within the limit

    // Another worker takes up the rest. A queue that is closed ends it once everything is settled.
    let worker = queue.worker().threads(8).start(thumbnail)?;
    queue.close();
    let rest = worker.join();
    println!("the rest: {} handled", rest.handled);

    let dead = queue.dead_letters().list(Filter::all().error_contains("not an image"));
    let ends = (report.acked + rest.acked, report.discarded + rest.discarded, dead.len());
    println!("150 images: {} done, {} discarded, {} dead letters", ends.0, ends.1, ends.2);
    assert_eq!(ends, (40 + 80, 5 + 10, 5 + 10));
    Ok(())
}
