//! Delivers every event of a file to an HTTP endpoint that keeps failing, until each has arrived or
//! is a dead letter.
//!
//! `cargo run --release --example webhooks` starts an endpoint of its own that misbehaves on
//! purpose; `-- --help` names the options.
//!
//! How the library is used, in the order of a message's life:
//! 1. `outbox` submits every event. The queue is small, so many submits find it full; those are
//!    recorded in the resend ledger and sent again when the `resend` policy says.
//! 2. `deliver`, on several threads, takes an event, posts it, and acks or nacks.
//! 3. `policy` decides when a nacked event comes back, or that it is a dead letter.
//! 4. `report` reads the queue's counters and dead letters, and accounts for each line of the file.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the library takes time, threads and files from outside, and a program is that outside"
)]
#![allow(
    unreachable_pub,
    reason = "nothing reaches into a program; here `pub` is what a file offers to its neighbours"
)]

mod args;
mod check;
mod client;
mod delivery_error;
mod events;
mod outbox;
mod policy;
mod progress;
mod report;
mod server;
mod url;

use std::error::Error;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use redeliver::{Consumer, Exponential, Jitter, OpenError, Queue};

use crate::args::{Args, Command};
use crate::client::Client;
use crate::events::Event;
use crate::outbox::Sent;
use crate::policy::HonourRetryAfter;
use crate::report::Report;
use crate::server::Server;

fn main() -> ExitCode {
    let args = match args::parse() {
        Ok(Command::Run(args)) => args,
        Ok(Command::Help) => return report::print(args::HELP),
        Err(problem) => return complain(2, &problem),
    };
    let events = match events::read(&args.file) {
        Ok(events) => events,
        Err(problem) => return complain(2, &problem),
    };
    match run(&args, &events) {
        Ok(code) => code,
        Err(problem) => complain(1, &*problem),
    }
}

fn run(args: &Args, events: &[Event]) -> Result<ExitCode, Box<dyn Error>> {
    let server = match args.url {
        Some(_) => None,
        None => Some(Server::start(args.seed, args.timeout)?),
    };
    let own_url = server.as_ref().map(Server::url);
    let url = args.url.as_ref().or(own_url).ok_or("there is no endpoint")?;
    let client = Client::new(url.clone(), args.timeout, args.threads);
    progress::announce(args, events.len(), url);

    let queue = open_queue(args, events.len())?;
    let (sent, delivered) = send_and_deliver(&queue, events, &client, args.threads)?;

    let report = Report::new(&queue, events, &delivered);
    let printed = report::print(&if args.json { report.to_json() } else { report.to_table() });
    let exact = match server {
        Some(server) => check::print(&check::compare(events, &sent, &report, &server.inbox())),
        None => true,
    };
    let good = report.accounts_for_all() && exact;
    Ok(if good { printed } else { ExitCode::FAILURE })
}

/// In memory, so there is nothing to set up.
fn open_queue(args: &Args, count: usize) -> Result<Queue<Event>, OpenError> {
    // A full queue is no fault of the event: it is sent again for as long as it takes.
    let resend = Exponential::new(Duration::from_millis(20))
        .max_delay(Duration::from_millis(200))
        .jitter(Jitter::Equal)
        .forever();
    Queue::builder("webhooks")
        .capacity(256)
        .retry(HonourRetryAfter::new(args.attempts))
        .resend(resend)
        .resend_capacity(64)
        // Longer than the slowest request, so that no event is handed out twice while a thread
        // still works on it.
        .lease(args.timeout * 2 + Duration::from_secs(5))
        // An endpoint that is down for good makes a dead letter of every event, and each of them
        // has to be named.
        .dead_letter_capacity(count.max(1))
        .open()
}

/// Runs one sender and `threads` consumers until every event is settled. Returns what the sender
/// and the consumers saw.
fn send_and_deliver(
    queue: &Queue<Event>,
    events: &[Event],
    client: &Client,
    threads: usize,
) -> Result<(Sent, Vec<usize>), Box<dyn Error>> {
    thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let sent = outbox::submit_all(&queue.producer(), events);
            // Nothing more will come: from here on `recv` hands out what is left, also what still
            // backs off, and then says `Closed`. Closing earlier would turn the records of the
            // resend ledger into dead letters.
            queue.close();
            sent
        });
        let work = || deliver(&queue.consumer(), client);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();

        progress::show(queue, events.len(), || workers.iter().all(|w| w.is_finished()));

        let delivered: thread::Result<Vec<_>> = workers.into_iter().map(|w| w.join()).collect();
        // The sender must not wait for room that nobody makes any more.
        let delivered = delivered.inspect_err(|_| queue.close());
        let delivered = delivered.map_err(|_| "a delivering thread panicked")?;
        let sent = sender.join().map_err(|_| "the sending thread panicked")??;
        Ok((sent, delivered.concat()))
    })
}

/// Posts events until the queue is closed and empty. Returns the lines that this thread delivered.
fn deliver(consumer: &Consumer<Event>, client: &Client) -> Vec<usize> {
    let mut delivered = Vec::new();
    while let Ok(delivery) = consumer.recv() {
        let line = delivery.message().line;
        match client.post(delivery.id(), delivery.message()) {
            // An ack that comes after the lease was lost is refused, and the event is delivered
            // once more. The endpoint recognises the second copy by its Idempotency-Key, which is
            // the same for every delivery of an event.
            Ok(()) => delivered.extend(delivery.ack().is_ok().then_some(line)),
            // The error travels to the `RetryPolicy`, which decides. A nack can be refused too:
            // then the event is not ours.
            Err(error) => drop(delivery.nack(error)),
        }
    }
    delivered
}

fn complain(code: u8, problem: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("webhooks: {problem}");
    ExitCode::from(code)
}
