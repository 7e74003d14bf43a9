//! What is done to a queue that is closed, or that closes meanwhile, has a defined end.

use super::*;

#[test]
fn sends_after_close_give_the_message_back() {
    let clock = ManualClock::new();
    let queue = builder(&clock).open().unwrap();
    let producer = queue.producer();
    queue.close();
    queue.close();
    let hello = || String::from("hello");
    let check = |error: redeliver::SendError<String>| {
        assert_eq!((error.kind, error.into_inner()), (SendErrorKind::Closed, hello()));
    };
    check(producer.send(hello()).unwrap_err());
    check(producer.try_send(hello()).unwrap_err());
    check(producer.send_timeout(hello(), Duration::ZERO).unwrap_err());
    check(producer.send_timeout(hello(), Duration::MAX).unwrap_err());
    check(producer.submit(hello()).unwrap_err());
    check(producer.message(hello()).header("h", "v").send().unwrap_err());
    check(producer.message(hello()).key("k").try_send().unwrap_err());
    check(producer.message(hello()).key("k").submit().unwrap_err());
    let error = producer.send_batch([hello(), hello()]).unwrap_err();
    assert_eq!((error.kind, error.sent.len(), error.unsent.len()), (SendErrorKind::Closed, 0, 2));
    assert_eq!((queue.stats().sent, queue.len()), (0, 0));
}

#[test]
fn after_close_what_is_ready_in_flight_or_delayed_is_received_and_then_closed() {
    let clock = ManualClock::new();
    let queue = builder(&clock).retry(Fixed::new(SECOND)).open().unwrap();
    let (producer, consumer) = (queue.producer(), queue.consumer());
    for number in 1..=3 {
        producer.send(number).unwrap();
    }
    let held = consumer.recv().unwrap();
    consumer.recv().unwrap().nack("later").unwrap();
    queue.close();
    let ready = consumer.recv().unwrap();
    assert_eq!(ready.into_message().unwrap(), 3);
    assert_eq!(consumer.try_recv().unwrap_err(), TryRecvError::Empty, "one is in flight, one backs off");
    assert_eq!(consumer.recv_timeout(Duration::ZERO).unwrap_err(), RecvTimeoutError::Timeout);
    clock.advance(SECOND);
    assert_eq!(consumer.try_recv().unwrap().into_message().unwrap(), 2);
    assert_eq!(consumer.try_recv().unwrap_err(), TryRecvError::Empty);
    held.snooze(SECOND).unwrap();
    assert_eq!(consumer.try_recv().unwrap_err(), TryRecvError::Empty);
    clock.advance(SECOND);
    assert_eq!(consumer.try_recv().unwrap().into_message().unwrap(), 1);
    assert_eq!(consumer.try_recv().unwrap_err(), TryRecvError::Closed);
    assert_eq!(consumer.recv().unwrap_err().to_string(), TryRecvError::Closed.to_string());
    assert_eq!(consumer.recv_timeout(Duration::MAX).unwrap_err(), RecvTimeoutError::Closed);
    assert!(consumer.recv_batch(3).is_err() && consumer.try_recv_batch(3).is_err() && consumer.iter().next().is_none());
}

#[test]
fn whoever_waits_for_a_message_is_told_of_the_end_by_the_last_settle() {
    let queue = builder(&ManualClock::new()).open().unwrap();
    queue.producer().send(1).unwrap();
    let held = queue.consumer().recv().unwrap();
    queue.close();
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..3).map(|_| scope.spawn(|| queue.consumer().recv().is_err())).collect();
        held.ack().unwrap();
        assert!(waiting.into_iter().all(|thread| thread.join().unwrap()));
    });
}

#[test]
fn what_is_unsent_at_close_is_a_dead_letter_and_its_receipt_says_given_up() {
    let clock = ManualClock::new();
    let queue = builder(&clock).capacity(1).open().unwrap();
    queue.producer().send(1).unwrap();
    let receipt = queue.producer().submit(2).unwrap();
    let events = queue.events();
    queue.close();
    assert!(matches!(events.try_recv(), Ok(Event::GivenUp { id, .. }) if id == receipt.id()));
    assert_eq!(queue.dead_letters().get(receipt.id()).unwrap().message(), Some(&2));
    assert_eq!(receipt.wait(), Err(ReceiptError::GivenUp));
}

#[test]
fn a_resend_policy_that_closes_the_queue_leaves_no_record_behind() {
    let reach: Reach<u32> = Arc::default();
    let queues = reach.clone();
    let policy = policy_fn(move |_| {
        if let Some(queue) = queues.lock().unwrap().take() {
            queue.close();
        }
        Decision::Retry { after: 3600 * SECOND }
    });
    let queue = builder(&ManualClock::new()).capacity(1).resend(policy).open().unwrap();
    *reach.lock().unwrap() = Some(queue.clone());
    queue.producer().send(1).unwrap();
    let receipt = queue.producer().submit(2).unwrap();
    assert_eq!(receipt.wait_timeout(Duration::ZERO), Some(Err(ReceiptError::GivenUp)));
    assert_eq!((queue.unsent().len(), queue.dead_letters().len()), (0, 1));
}
