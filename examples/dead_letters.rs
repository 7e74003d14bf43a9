//! What could not be delivered: look at it, fix the cause, and send it on its way again.
//!
//! `cargo run --release --example dead_letters`

use redeliver::{Delivery, Filter, Fixed, MessageId, Queue, Rate, SettleError};
use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

/// An invoice, to be sent by mail to the customer who is the message's key.
type Invoice = u32;

/// A mail server, with troubles that can be fixed.
struct Mail {
    relay_is_up: bool,
    addresses: HashMap<&'static str, &'static str>,
    /// By message: a mail that was sent is not sent again, whatever the queue delivers twice.
    sent: HashMap<MessageId, Invoice>,
}

impl Mail {
    fn send(&mut self, invoice: Delivery<Invoice>) -> Result<(), SettleError<Invoice>> {
        let customer = invoice.key().unwrap_or_default();
        match self.addresses.get(customer) {
            None => {
                let reason = format!("no address of {customer}");
                invoice.reject(reason) // to try again does not help: a dead letter now
            }
            Some(address) if address.ends_with(".example") && !self.relay_is_up => {
                invoice.nack("the relay refused the connection") // a dead letter after three attempts
            }
            Some(_) => {
                self.sent.insert(invoice.id(), *invoice);
                invoice.ack()
            }
        }
    }
}

/// Sends what there is until all of it is sent or dead.
fn work(queue: &Queue<Invoice>, mail: &mut Mail) -> Result<(), Box<dyn Error>> {
    let consumer = queue.consumer();
    while queue.stats().ready + queue.stats().delayed > 0 {
        mail.send(consumer.recv()?)?;
    }
    println!("{} sent, {} dead", mail.sent.len(), queue.dead_letters().len());
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let queue = Queue::builder("invoices").retry(Fixed::new(Duration::from_millis(10)).max_attempts(3)).open()?;
    let addresses = HashMap::from([("ada", "ada@engine.example"), ("alan", "alan@bombe.test")]);
    let mut mail = Mail { relay_is_up: false, addresses, sent: HashMap::new() };
    let producer = queue.producer();
    for (invoice, customer) in ["ada", "alan", "grace", "ada", "nobody"].into_iter().enumerate() {
        producer.message(invoice as Invoice).key(customer).header("currency", "EUR").send()?;
    }
    work(&queue, &mut mail)?;

    // What is there, and why? A letter is kept with its key, its headers and every attempt.
    let dead = queue.dead_letters();
    for letter in dead.list(Filter::all()) {
        let (invoice, customer) = (letter.message().ok_or("unreadable")?, letter.key().unwrap_or("?"));
        println!("  invoice {invoice} to {customer}: {}", letter.reason());
        for attempt in letter.history() {
            println!("    attempt {}: {} (by {})", attempt.attempt(), attempt.error(), attempt.rule());
        }
    }
    let of_the_relay = Filter::all().error_contains("relay");
    assert_eq!((dead.len(), dead.list(of_the_relay.clone()).len()), (4, 2));
    assert_eq!(dead.list(of_the_relay.clone().key("grace")).len(), 0); // conditions add up

    // One cause is fixed: redrive what died of it, and nothing else. Ids stay, attempts start again at 1.
    println!("the relay is up again");
    mail.relay_is_up = true;
    assert_eq!(dead.redrive_all(of_the_relay, Rate::per_second(50)), 2); // spread over time: the relay has just come up
    work(&queue, &mut mail)?;
    assert_eq!((mail.sent.len(), dead.len()), (3, 2));

    // Another one, of a single customer.
    println!("grace has an address now");
    mail.addresses.insert("grace", "grace@cobol.test");
    for letter in dead.list(Filter::all().key("grace")) {
        assert!(dead.redrive(letter.id()));
        assert!(!dead.redrive(letter.id())); // it is no dead letter any more
    }
    work(&queue, &mut mail)?;

    // The last one stays until somebody decides about it: dead letters are never dropped. A copy for the files, and then out.
    let mut invoices: Vec<_> = mail.sent.values().copied().collect();
    invoices.sort_unstable();
    assert_eq!(invoices, [0, 1, 2, 3]);
    assert_eq!((dead.len(), dead.list(Filter::all())[0].message()), (1, Some(&4)));
    let mut file = Vec::new(); // a `std::fs::File` elsewhere
    dead.export_with(&mut file, |invoice| format!("invoice {invoice}"))?;
    print!("{}", String::from_utf8(file)?);
    assert_eq!((dead.purge(Filter::all().key("nobody")), dead.len()), (1, 0));
    Ok(())
}
