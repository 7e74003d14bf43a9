//! What a user meets only when threads meet: states that another thread would have to be stopped in, set up by hand. Every
//! interleaving around them is in `models`.

use super::*;
use std::sync::Arc;

/// What stands behind the ring: nothing.
struct Nothing;

/// Copies of it tell how many are left.
type Msg = Arc<()>;

impl Side for Nothing {
    type Plain = Msg;
    type Boxed = Arc<Msg>;
    type Cold = Msg;
    fn lease_ended(&self, _: u64) {}
    fn last_out(&self) {}
}

fn ring(seats: usize) -> Door<Nothing> {
    Door::open(Ring::new(seats).expect("small"), Nothing)
}

fn push(door: &Door<Nothing>, msg: &Msg) {
    let pos = door.claim().expect("room");
    door.ring.put(pos, msg.clone());
}

/// A message that is in flight.
fn held(door: &Door<Nothing>, msg: &Msg) -> Tenancy<Nothing> {
    push(door, msg);
    door.take().expect("ready")
}

fn expire(door: &Door<Nothing>, pos: u64, extended: bool) -> Vec<Expired<Nothing>> {
    let mut lost = Vec::new();
    assert_eq!(door.shared().expire(pos, extended, &mut lost), !lost.is_empty());
    lost
}

/// Takes the lease of a held message away: the message's own claim to its seat.
fn lose(door: &Door<Nothing>, pos: u64) -> Guest<Nothing> {
    match expire(door, pos, false).pop() {
        Some(Expired::InSeat(guest)) => guest,
        _ => panic!("a plain message that is in flight loses its lease in its seat"),
    }
}

fn ack(tenancy: Tenancy<Nothing>) {
    assert!(tenancy.ack().is_ok());
}

#[test]
fn a_timer_that_comes_late_takes_no_lease_that_is_not_its_own() {
    let (door, msg) = (ring(1), Msg::default());
    let first = held(&door, &msg);
    let pos = first.pos();
    assert!(expire(&door, pos, true).is_empty(), "it was never extended: the sweeper watches it");
    assert!(first.set_extended());
    assert!(expire(&door, pos, false).is_empty(), "it is extended: its timer watches it");
    ack(first);
    assert!(expire(&door, pos, true).is_empty(), "it is settled");
    let second = held(&door, &msg);
    assert!(second.set_extended());
    assert_eq!(door.ring.index(second.pos()), door.ring.index(pos));
    assert!(expire(&door, pos, true).is_empty(), "the seat serves another message");
    assert!(!second.is_lost());
    ack(second);
    assert_eq!(Arc::strong_count(&msg), 1);
}

#[test]
fn the_sweep_comes_back_to_a_receiver_between_its_two_stores() {
    let (door, msg) = (ring(2), Msg::default());
    push(&door, &msg);
    let pos = door.ring.head();
    // The head has moved on, and the seat is not marked yet.
    door.ring.head.store(door.ring.next(pos), SeqCst);
    let (due, mut lost) = (door.ring.head(), Vec::new());
    assert_eq!(door.shared().sweep(pos, due, |_| false, &mut lost), pos, "it has to be looked at again");
    assert!(lost.is_empty());
    let stamp = &door.ring.seat(pos).stamp;
    stamp.store(with_state(stamp.load(SeqCst), FLIGHT), SeqCst);
    let late = Tenancy::new(door.shared(), pos);
    assert_eq!(door.shared().sweep(pos, due, |_| false, &mut lost), due);
    assert!(late.is_lost() && lost.len() == 1);
}

#[test]
fn a_lost_message_leaves_its_seat_once_and_not_while_its_handle_reads_it() {
    let (door, msg) = (ring(1), Msg::default());
    let late = held(&door, &msg);
    let mut guest = lose(&door, late.pos());
    assert!(!guest.is_alone() && guest.try_take().is_none());
    assert_eq!(door.claim(), Err(Refused::Full));
    drop(late);
    assert!(guest.is_alone());
    assert!(matches!(guest.try_take(), Some(Load::Plain(moved)) if Arc::ptr_eq(&moved, &msg)));
    assert!(!guest.is_alone() && guest.try_take().is_none(), "it was moved before");
    let next = held(&door, &msg);
    drop(guest); // and what it was moved out of is no concern of its any more
    assert!(!next.is_lost() && Arc::strong_count(&msg) == 2);
    ack(next);
}

#[test]
fn a_hold_lets_go_of_what_it_holds() {
    let (door, msg) = (ring(1), Msg::default());
    drop(Hold::<Nothing>::cold(Box::new(msg.clone())));
    assert_eq!(Arc::strong_count(&msg), 1);

    let hold = Hold::hot(held(&door, &msg));
    let Look::Hot(tenancy) = hold.look() else { panic!("it has a seat") };
    let mut guest = lose(&door, tenancy.pos());
    drop(hold);
    assert!(guest.try_take().is_some(), "nobody reads the seat any more");

    assert!(matches!(Hold::<Nothing>::ended().into_held(), Held::Ended));
}

#[test]
fn a_batch_that_lost_its_lease_settles_nothing() {
    let (door, msg) = (ring(4), Msg::default());
    (0..3).for_each(|_| push(&door, &msg));
    let run = Run::take(&door, 3).expect("ready");
    let lost = expire(&door, run.positions().next().expect("three"), false);
    assert_eq!(lost.len(), 3, "all of them go with the first");
    let Err(run) = run.ack_all() else { panic!("the lease was lost") };
    assert_eq!(Arc::strong_count(&msg), 1 + 3);
    let late: Vec<_> = run.split().collect();
    assert!(late.iter().all(Tenancy::is_lost));
    drop(lost); // settled elsewhere, while the handles live
    assert_eq!(Arc::strong_count(&msg), 1 + 3);
    drop(late);
    assert_eq!(Arc::strong_count(&msg), 1);
    assert_eq!(door.ring.census(), crate::ring::drain::Census::default());
}
