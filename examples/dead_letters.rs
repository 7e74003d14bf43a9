//! What could not be delivered: look at it, fix the cause, and send it on its way again.
//!
//! `cargo run --release --example dead_letters`

use redeliver::{Delivery, Filter, Fixed, MessageId, Outcome, Queue, Rate};
use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    fn send(&mut self, invoice: &Delivery<Invoice>) -> Outcome {
        let customer = invoice.key().unwrap_or_default();
        match self.addresses.get(customer) {
            None => Outcome::dead_letter(format!("no address of {customer}")), // to try again does not help
            Some(address) if address.ends_with(".example") && !self.relay_is_up => {
                Outcome::retry("the relay refused the connection") // a dead letter after three attempts
            }
            Some(_) => {
                self.sent.insert(invoice.id(), **invoice);
                Outcome::Ack
            }
        }
    }
}

fn open(mail: &Mutex<Mail>) -> MutexGuard<'_, Mail> {
    mail.lock().unwrap_or_else(PoisonError::into_inner)
}

fn main() -> Result<(), Box<dyn Error>> {
    let queue = Queue::builder("invoices").retry(Fixed::new(Duration::from_millis(10)).max_attempts(3)).open()?;
    let addresses = HashMap::from([("ada", "ada@engine.example"), ("alan", "alan@bombe.test")]);
    let mail = Arc::new(Mutex::new(Mail { relay_is_up: false, addresses, sent: HashMap::new() }));
    let of_worker = mail.clone();
    let _worker = queue.worker().start(move |invoice| open(&of_worker).send(invoice))?;
    // Waits until every invoice is sent or dead.
    let settle_all = || -> Result<usize, Box<dyn Error>> {
        queue.drain(Duration::from_secs(30))?;
        let sent = open(&mail).sent.len();
        println!("{sent} sent, {} dead", queue.dead_letters().len());
        Ok(sent)
    };

    let producer = queue.producer();
    for (invoice, customer) in ["ada", "alan", "grace", "ada", "nobody"].into_iter().enumerate() {
        producer.message(invoice as Invoice).key(customer).header("currency", "EUR").send()?;
    }
    assert_eq!(settle_all()?, 1);

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
    open(&mail).relay_is_up = true;
    assert_eq!(dead.redrive_all(of_the_relay, Rate::per_second(50)), 2); // spread over time: the relay has just come up
    assert_eq!((settle_all()?, dead.len()), (3, 2));

    // Another one, of a single customer.
    println!("grace has an address now");
    open(&mail).addresses.insert("grace", "grace@cobol.test");
    for letter in dead.list(Filter::all().key("grace")) {
        assert!(dead.redrive(letter.id()));
        assert!(!dead.redrive(letter.id())); // it is no dead letter any more
    }
    assert_eq!(settle_all()?, 4);

    // The last one stays until somebody decides about it: dead letters are never dropped. A copy for the files, and then out.
    let mut invoices: Vec<_> = open(&mail).sent.values().copied().collect();
    invoices.sort_unstable();
    assert_eq!(invoices, [0, 1, 2, 3]);
    assert_eq!((dead.len(), dead.list(Filter::all())[0].message()), (1, Some(&4)));
    let mut file = Vec::new(); // a `std::fs::File` elsewhere
    dead.export_with(&mut file, |invoice| format!("invoice {invoice}"))?;
    print!("{}", String::from_utf8(file)?);
    assert_eq!((dead.purge(Filter::all().key("nobody")), dead.len()), (1, 0));
    Ok(())
}
