//! Data synchronisation over a bad link: every record of a source arrives at a replica exactly as it was sent, though the
//! connection in between breaks, resets and stalls.
//!
//! The link (`link.rs`) is a TCP proxy on loopback that decides by a seed what happens to each connection. Four senders
//! push records from the queue through it. A record whose answer does not come is sent again: the replica knows by its id
//! that it has it already. A sender that is stalled for longer than its lease loses the record to another, and its late
//! ack is refused. The queue is smaller than the data: the source need not wait for it, since what finds no room is sent
//! again when the `resend` policy says.
//!
//! `cargo run --release --example bad_link`
#![allow(clippy::disallowed_methods, reason = "a program starts its own threads and sleeps when it likes")]

mod link;
mod replica;

use std::collections::VecDeque;
use std::error::Error;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use redeliver::{Consumer, Exponential, Jitter, Producer, Queue, Receipt, SendErrorKind};

use crate::link::mix;
use crate::replica::{Replica, read_number};

const RECORDS: u64 = 600;
const MS: Duration = Duration::from_millis(1);
/// A lease ends before a sender's patience does, so that a stalled record need not wait for it.
const LEASE: Duration = Duration::from_millis(150);
const PATIENCE: Duration = Duration::from_millis(600);

#[derive(Clone)]
struct Record {
    id: u64,
    bytes: Vec<u8>,
}

fn record(id: u64) -> Record {
    Record { id, bytes: (0..mix(id) % 400).map(|n| mix(id << 32 | n) as u8).collect() }
}

/// Hands every record over without waiting for room, as far as the resend ledger goes.
fn submit_all(producer: &Producer<Record>) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut receipts: VecDeque<Receipt> = VecDeque::new();
    for id in 0..RECORDS {
        let mut next = record(id);
        loop {
            match producer.submit(next) {
                Ok(receipt) => break receipts.push_back(receipt),
                // The ledger is full too, and gives the record back: now it is time to wait, for the oldest one.
                Err(full) if full.kind == SendErrorKind::Full => next = full.message,
                Err(closed) => return Err(closed.to_string().into()),
            }
            receipts.pop_front().map_or(Ok(()), |oldest| oldest.wait().map(drop))?;
        }
    }
    receipts.into_iter().try_for_each(|receipt| receipt.wait().map(drop))?;
    Ok(())
}

/// Pushes records until the queue is closed and empty. Returns how many acks were refused because they came too late.
fn push(consumer: &Consumer<Record>, link: SocketAddr) -> u32 {
    let (mut connection, mut too_late) = (None, 0);
    for delivery in consumer.iter() {
        match push_one(&mut connection, link, &delivery) {
            Ok(()) => too_late += u32::from(delivery.ack().is_err()),
            Err(error) => {
                connection = None;
                let _ = delivery.nack(error); // refused if the lease is lost: then the record comes back anyway
            }
        }
    }
    too_late
}

/// A frame is the record's id, its length and its bytes; the answer is the id.
fn push_one(connection: &mut Option<TcpStream>, link: SocketAddr, record: &Record) -> io::Result<()> {
    let stream = match connection {
        Some(stream) => stream,
        None => {
            let stream = TcpStream::connect(link)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            connection.insert(stream)
        }
    };
    let length = record.bytes.len() as u64;
    stream.write_all(&[&record.id.to_be_bytes(), &length.to_be_bytes(), &record.bytes[..]].concat())?;
    if read_number(stream)? == record.id { Ok(()) } else { Err(io::Error::other("an answer to another record")) }
}

/// A server of its own thread, with one more for each connection. It ends with the process.
fn listen(serve: impl Fn(u64, TcpStream) -> io::Result<()> + Send + Sync + 'static) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for (number, stream) in (1..).zip(listener.incoming().flatten()) {
            let serve = serve.clone();
            thread::spawn(move || serve(number, stream)); // a connection that breaks is for the source to notice
        }
    });
    Ok(address)
}

fn main() -> Result<(), Box<dyn Error>> {
    let replica = Arc::new(Mutex::new(Replica::default()));
    let behind = replica.clone();
    let replica_address = listen(move |_, stream| replica::serve(stream, &behind))?;
    let link_address = listen(move |number, stream| link::join(number, stream, replica_address))?;

    let queue = Queue::builder("replication")
        .capacity(32)
        .lease(LEASE)
        .retry(Exponential::new(2 * MS).max_delay(50 * MS).jitter(Jitter::Full).forever())
        .max_deliveries(u32::MAX) // a link that is bad for long is no fault of the record
        .resend(Exponential::new(5 * MS).max_delay(40 * MS).jitter(Jitter::Equal).forever())
        .resend_capacity(64)
        .open()?;
    let (sent, too_late) = thread::scope(|scope| {
        let pushers: Vec<_> = (0..4).map(|_| scope.spawn(|| push(&queue.consumer(), link_address))).collect();
        let sent = submit_all(&queue.producer());
        queue.close();
        (sent, pushers.into_iter().map(|pusher| pusher.join().unwrap_or_default()).sum::<u32>())
    });
    sent.map_err(|error| error.to_string())?;

    let (stats, replica) = (queue.stats(), replica.lock().unwrap_or_else(PoisonError::into_inner));
    println!("{} records, {} bytes", RECORDS, replica.records.values().map(Vec::len).sum::<usize>());
    println!("{} retransmissions into the full queue", stats.retransmissions);
    println!(
        "{} retries over the link, {} leases lost, {too_late} late acks refused",
        stats.retries, stats.leases_lost
    );
    println!("{} duplicates dropped by the replica", replica.duplicates);
    assert_eq!((stats.acked, stats.dead, replica.records.len() as u64), (RECORDS, 0, RECORDS));
    assert!((0..RECORDS).all(|id| replica.records[&id] == record(id).bytes));
    assert!(stats.retries > 0 && stats.retransmissions > 0 && replica.duplicates > 0); // it was a bad link
    Ok(())
}
