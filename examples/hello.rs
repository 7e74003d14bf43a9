//! Send, receive, acknowledge; what fails comes back.
//!
//! `cargo run --release --example hello`

use redeliver::{Fixed, Queue};
use std::error::Error;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let queue = Queue::builder("greetings").retry(Fixed::new(Duration::from_millis(20))).open()?;
    queue.producer().send_batch(["Ada", "Grace", "Alan"])?;
    queue.close(); // no more sends: the loop below ends when everything is settled

    for delivery in queue.consumer().iter() {
        if *delivery == "Grace" && delivery.attempt() < 3 {
            println!("{} is not at home; again in 20 ms", *delivery);
            delivery.nack("not at home")?;
        } else {
            println!("hello, {}! (attempt {})", *delivery, delivery.attempt());
            delivery.ack()?;
        }
    }
    let stats = queue.stats();
    assert_eq!((stats.acked, stats.failed, stats.dead), (3, 2, 0));
    Ok(())
}
