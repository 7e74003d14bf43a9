//! Loom models of the ring: every interleaving of a few threads over the code that ships.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release --lib models`. `LOOM_MAX_PREEMPTIONS` deepens the search; each model
//! prints how many executions it took, and says so if it was cut short.

use super::*;
use loom::sync::Arc as Token;
use loom::thread::{spawn, yield_now};
use std::sync::Arc;

use crate::model_runner::model;

/// What stands behind the ring: nothing.
struct Nothing<P>(std::marker::PhantomData<fn(P)>);

/// A payload that loom checks for leaks and double drops.
struct Msg(u32, #[allow(dead_code, reason = "counted")] Token<()>);

/// What the models need of a payload.
trait Number: Send + Sync + 'static {
    fn number(&self) -> u32;
}

impl Number for Msg {
    fn number(&self) -> u32 {
        self.0
    }
}

/// Without a destructor a settle has no LEAVING, on which two senders would spin and starve the settler in loom.
impl Number for u32 {
    fn number(&self) -> u32 {
        *self
    }
}

impl<P: Number> Side for Nothing<P> {
    type Plain = P;
    type Boxed = Arc<P>;
    type Cold = ();
    fn lease_ended(&self, _: u64) {}
    fn last_out(&self) {}
}

type TestDoor<P = Msg> = Door<Nothing<P>>;

fn ring<P: Number>(seats: usize) -> TestDoor<P> {
    Door::open(Ring::new(seats).expect("small"), Nothing(std::marker::PhantomData))
}

fn msg(n: u32, token: &Token<()>) -> Msg {
    Msg(n, token.clone())
}

fn try_push<P: Number>(door: &TestDoor<P>, msg: P) -> Result<(), P> {
    if let Some(claim) = door.ring.claim_fast(|_| true) {
        claim.put(msg);
        return Ok(());
    }
    match door.claim() {
        Ok(pos) => {
            door.ring.put(pos, msg);
            Ok(())
        }
        Err(_) => Err(msg),
    }
}

fn push<P: Number>(door: &TestDoor<P>, mut msg: P) {
    while let Err(back) = try_push(door, msg) {
        msg = back;
        yield_now();
    }
}

fn try_pop<P: Number>(door: &TestDoor<P>) -> Option<Tenancy<Nothing<P>>> {
    door.take_fast(|_| true).or_else(|| door.take())
}

fn pop<P: Number>(door: &TestDoor<P>) -> Tenancy<Nothing<P>> {
    loop {
        match try_pop(door) {
            Some(tenancy) => return tenancy,
            None => yield_now(),
        }
    }
}

fn read<P: Number>(tenancy: &Tenancy<Nothing<P>>) -> u32 {
    match tenancy.peek() {
        Load::Plain(msg) => msg.number(),
        Load::Boxed(msg) => msg.number(),
    }
}

/// By the fast path, as a delivery does it.
fn ack<P: Number>(tenancy: Tenancy<Nothing<P>>) -> bool {
    let mut hold = Hold::hot(tenancy);
    if hold.ack_fast() {
        return true;
    }
    match std::mem::replace(&mut hold, Hold::ended()).into_held() {
        Held::Hot(tenancy) => tenancy.ack().is_ok(),
        _ => unreachable!("a hot hold"),
    }
}

fn take<P: Number>(door: &TestDoor<P>) -> u32 {
    let tenancy = pop(door);
    let n = read(&tenancy);
    assert!(ack(tenancy));
    n
}

/// At most `looks` looks: loom starves a third thread when two spin.
fn some<P: Number>(door: &TestDoor<P>, looks: usize) -> Vec<u32> {
    let taken = (0..looks).filter_map(|_| try_pop(door));
    taken
        .map(|tenancy| {
            let n = read(&tenancy);
            assert!(ack(tenancy));
            n
        })
        .collect()
}

/// Takes the leases of everything that was handed out.
fn expire_all<P: Number>(door: &TestDoor<P>) -> Vec<Expired<Nothing<P>>> {
    let mut lost = Vec::new();
    let head = door.ring.head();
    door.shared().sweep(0, head, |_| false, &mut lost);
    lost
}

#[test]
fn two_senders_two_receivers() {
    model("two senders, two receivers, two seats", || {
        let token = Token::new(());
        let door = ring::<Msg>(2);
        let senders: Vec<_> = (0..2)
            .map(|n| (door.clone(), msg(n, &token)))
            .map(|(door, msg)| spawn(move || assert!(try_push(&door, msg).is_ok())))
            .collect();
        let other = door.clone();
        let receiver = spawn(move || some(&other, 1));
        let mut got = some(&door, 2);
        got.extend(receiver.join().unwrap());
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        got.extend(some(&door, 2));
        got.sort_unstable();
        assert_eq!(got, [0, 1]);
        push(&door, msg(7, &token)); // the seats serve the next lap
        assert_eq!(take(&door), 7);
    });
}

#[test]
fn wrap_over_a_gap() {
    model("three seats (no power of two) and four messages", || {
        let token = Token::new(());
        let door = ring::<Msg>(3);
        let other = door.clone();
        let messages: Vec<_> = (0..4).map(|n| msg(n, &token)).collect();
        let sender = spawn(move || messages.into_iter().for_each(|msg| push(&other, msg)));
        let got: Vec<_> = (0..4).map(|_| take(&door)).collect();
        assert_eq!(got, [0, 1, 2, 3]);
        sender.join().unwrap();
    });
}

#[test]
fn skip_a_held_seat() {
    model("the tail passes a seat that is held, whenever it is settled", || {
        let token = Token::new(());
        let door = ring::<Msg>(2);
        push(&door, msg(0, &token));
        push(&door, msg(1, &token));
        let held = pop(&door);
        let (to, from) = (door.clone(), door.clone());
        let two = msg(2, &token);
        let sender = spawn(move || try_push(&to, two).or_else(|two| try_push(&to, two)));
        let receiver = spawn(move || some(&from, 3));
        assert!(ack(held));
        let mut got = receiver.join().unwrap();
        if let Err(two) = sender.join().unwrap() {
            got.extend(some(&door, 1));
            assert!(try_push(&door, two).is_ok()); // both seats are free: room, whatever was skipped
        }
        got.extend(some(&door, 2));
        assert_eq!(got, [1, 2]); // first deliveries in order
        push(&door, msg(3, &token));
        push(&door, msg(4, &token));
        assert_eq!((take(&door), take(&door)), (3, 4));
    });
}

#[test]
fn two_senders_skip() {
    model("two senders meet a held seat, and its settle", || {
        let door = ring::<u32>(2);
        push(&door, 0);
        let held = pop(&door);
        push(&door, 1);
        assert_eq!(take(&door), 1);
        // The tail stands at the held seat; the other one is free.
        let senders: Vec<_> =
            [10, 20].map(|n| (door.clone(), n)).map(|(door, msg)| spawn(move || try_push(&door, msg))).into();
        assert!(ack(held));
        let back: Vec<_> = senders.into_iter().filter_map(|sender| sender.join().unwrap().err()).collect();
        let mut got = some(&door, 3);
        assert_eq!(got.len() + back.len(), 2);
        back.into_iter().for_each(|msg| push(&door, msg));
        got.extend(some(&door, 3));
        got.sort_unstable();
        assert_eq!(got, [10, 20]);
    });
}

#[test]
fn phantom() {
    model("a phantom against a receiver, and its end against a sender", || {
        let token = Token::new(());
        let door = ring::<Msg>(2);
        push(&door, msg(0, &token));
        let (other, from) = (door.clone(), door.clone());
        let one = msg(1, &token);
        let cold_side = spawn(move || {
            let phantom = other.ring.claim_phantom();
            if let Ok(pos) = phantom {
                other.ring.vacate(pos);
            }
            push(&other, one);
        });
        let receiver = spawn(move || take(&from));
        cold_side.join().unwrap();
        assert_eq!(receiver.join().unwrap(), 0);
        assert_eq!(take(&door), 1);
        assert_eq!(door.ring.vacant(), 2);
    });
}

#[test]
fn close_against_send() {
    model("close against a send: refused, or there to be taken", || {
        let token = Token::new(());
        let door = ring::<Msg>(1);
        let other = door.clone();
        let zero = msg(0, &token);
        let sender = spawn(move || try_push(&other, zero).is_ok());
        door.ring.close();
        let sent = sender.join().unwrap();
        assert_eq!(some(&door, 1), if sent { vec![0] } else { vec![] });
        assert!(try_push(&door, msg(1, &token)).is_err());
    });
}

#[test]
fn drop_with_messages_inside() {
    model("the last door closes on ready messages, while a receiver takes one", || {
        let token = Token::new(());
        let door = ring::<Msg>(2);
        push(&door, msg(0, &token));
        push(&door, msg(1, &token));
        let other = door.clone();
        let receiver = spawn(move || {
            let tenancy = pop(&other);
            drop(other);
            ack(tenancy)
        });
        drop(door);
        assert!(receiver.join().unwrap());
    });
}

#[test]
fn ack_against_expiry() {
    model("ack against expiry: one of them wins", || {
        let token = Token::new(());
        let door = ring::<Msg>(1);
        push(&door, msg(5, &token));
        let tenancy = pop(&door);
        let other = door.clone();
        let sweeper = spawn(move || expire_all(&other));
        let acked = ack(tenancy);
        let lost = sweeper.join().unwrap();
        assert_eq!(lost.is_empty(), acked);
        for expired in lost {
            let Expired::InSeat(mut guest) = expired else { panic!("it sat plainly") };
            assert!(matches!(guest.peek(), Load::Plain(msg) if msg.0 == 5));
            // The late handle is gone: the message moves out, and the seat is free.
            assert!(matches!(guest.try_take(), Some(Load::Plain(msg)) if msg.0 == 5));
        }
        assert_eq!(door.ring.vacant(), 1);
    });
}

#[test]
fn late_handle_against_guest() {
    model("a late handle's end against the message's, and a sender that wants the seat", || {
        let token = Token::new(());
        let door = ring::<Msg>(1);
        push(&door, msg(5, &token));
        let late = pop(&door);
        let lost = expire_all(&door);
        let (other, six) = (door.clone(), msg(6, &token));
        let settle = spawn(move || drop(lost));
        let sender = spawn(move || push(&other, six));
        assert_eq!(read(&late), 5);
        assert!(late.is_lost());
        assert!(!ack(late));
        settle.join().unwrap();
        sender.join().unwrap();
        assert_eq!(take(&door), 6);
    });
}

#[test]
fn settle_slowly_against_expiry() {
    model("a nack's CAS against expiry", || {
        let token = Token::new(());
        let door = ring::<Msg>(1);
        push(&door, msg(5, &token));
        let tenancy = pop(&door);
        let other = door.clone();
        let sweeper = spawn(move || expire_all(&other).len());
        match tenancy.win_slowly() {
            Ok(won) => {
                assert!(matches!(won.take(), Load::Plain(msg) if msg.0 == 5));
                assert_eq!(sweeper.join().unwrap(), 0);
            }
            Err(late) => {
                assert_eq!(sweeper.join().unwrap(), 1);
                drop(late);
            }
        }
        assert_eq!(door.ring.vacant(), 1);
    });
}

#[test]
fn extend_against_expiry() {
    model("extend against the sweeper: extended or lost, never both", || {
        let token = Token::new(());
        let door = ring::<Msg>(1);
        push(&door, msg(5, &token));
        let tenancy = pop(&door);
        let other = door.clone();
        let sweeper = spawn(move || expire_all(&other));
        let extended = tenancy.set_extended();
        assert_eq!(sweeper.join().unwrap().is_empty(), extended);
        assert_eq!(ack(tenancy), extended);
    });
}

#[test]
fn run_against_expiry() {
    model("ack_all against expiry", || {
        let token = Token::new(());
        let door = ring::<Msg>(2);
        push(&door, msg(0, &token));
        push(&door, msg(1, &token));
        let run = Run::take(&door, 2).expect("two are ready");
        assert_eq!(run.len(), 2);
        let other = door.clone();
        let sweeper = spawn(move || expire_all(&other));
        let acked = run.ack_all().map_err(|run| run.split().for_each(drop)).is_ok();
        let lost = sweeper.join().unwrap();
        assert_eq!(lost.len(), if acked { 0 } else { 2 });
        drop(lost);
        assert_eq!(door.ring.vacant(), 2);
        push(&door, msg(2, &token));
        push(&door, msg(3, &token));
        assert_eq!((take(&door), take(&door)), (2, 3));
    });
}

#[test]
fn split_against_expiry() {
    model("a run that is split while the sweeper looks", || {
        let token = Token::new(());
        let door = ring::<Msg>(2);
        push(&door, msg(0, &token));
        push(&door, msg(1, &token));
        let run = Run::take(&door, 2).expect("two are ready");
        let other = door.clone();
        let sweeper = spawn(move || expire_all(&other).len());
        let acked = run.split().filter_map(|tenancy| ack(tenancy).then_some(())).count();
        let lost = sweeper.join().unwrap();
        assert_eq!(acked + lost, 2);
        assert_eq!(door.ring.vacant(), 2);
    });
}

#[test]
fn run_while_the_tail_wraps() {
    model("ack_all while a sender waits for its seats", || {
        let token = Token::new(());
        let door = ring::<Msg>(2);
        push(&door, msg(0, &token));
        push(&door, msg(1, &token));
        let run = Run::take(&door, 2).expect("two are ready");
        let (other, two) = (door.clone(), msg(2, &token));
        let sender = spawn(move || push(&other, two));
        assert!(run.ack_all().is_ok());
        assert_eq!(take(&door), 2);
        sender.join().unwrap();
    });
}

#[test]
fn orphans() {
    model("the last door against two settles: the memory goes once, with the last", || {
        let token = Token::new(());
        let door = ring::<Msg>(2);
        push(&door, msg(0, &token));
        push(&door, msg(1, &token));
        let memory = Arc::downgrade(door.shared());
        let (first, second) = (pop(&door), pop(&door));
        let threads = [
            spawn(move || assert!(ack(first))),
            spawn(move || drop(second.win_slowly().map(Won::take).map_err(|_| "nobody takes the lease"))),
        ];
        drop(door);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(memory.strong_count(), 0);
    });
}

#[test]
fn orphan_that_is_late() {
    model("the last door against a late handle and its guest", || {
        let token = Token::new(());
        let door = ring::<Msg>(1);
        push(&door, msg(0, &token));
        let memory = Arc::downgrade(door.shared());
        let late = pop(&door);
        let lost = expire_all(&door);
        let threads = [
            spawn(move || {
                assert_eq!(read(&late), 0);
                drop(late);
            }),
            spawn(move || drop(lost)),
        ];
        drop(door);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(memory.strong_count(), 0);
    });
}
