//! What a case is made of: settings, operations, and what is sent.

use super::*;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Immediate,
    Fixed(u64),
    Linear(u64, u64),
    Exponential(u64),
    Never,
    /// Retries after so many milliseconds, and discards at this attempt.
    Discard(u64, u32),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    pub(crate) kind: Kind,
    pub(crate) attempts_max: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Retry(u64),
    Dead,
    Discard,
}

impl Rule {
    pub(crate) fn policy(self) -> Box<dyn RetryPolicy> {
        fn ends<P: RetryPolicy>(policy: P, max: Option<u32>) -> Box<dyn RetryPolicy> {
            match max {
                Some(max) => Box::new(RetryPolicyExt::max_attempts(policy, max)),
                None => Box::new(policy),
            }
        }
        let max = self.attempts_max;
        match self.kind {
            Kind::Immediate => ends(Immediate, max),
            Kind::Fixed(delay) => ends(Fixed::new(ms(delay)), max),
            Kind::Linear(first, step) => ends(Linear::new(ms(first), ms(step)), max),
            Kind::Exponential(first) => ends(Exponential::new(ms(first)), max),
            Kind::Never => Box::new(Never),
            Kind::Discard(delay, at) => Box::new(policy_fn(move |failure| {
                if failure.attempt() >= at { Decision::Discard } else { Decision::Retry { after: ms(delay) } }
            })),
        }
    }

    pub(crate) fn decide(self, attempt: u32) -> Verdict {
        let delay = match self.kind {
            Kind::Never => return Verdict::Dead,
            Kind::Discard(_, at) if attempt >= at => return Verdict::Discard,
            Kind::Discard(delay, _) => return Verdict::Retry(delay),
            Kind::Immediate => 0,
            Kind::Fixed(delay) => delay,
            Kind::Linear(first, step) => first + step * u64::from(attempt - 1),
            Kind::Exponential(first) => first << (attempt - 1).min(30),
        };
        if attempt >= self.attempts_max.unwrap_or(DEFAULT_ATTEMPTS) { Verdict::Dead } else { Verdict::Retry(delay) }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Knobs {
    pub(crate) capacity: usize,
    pub(crate) lease_ms: u64,
    pub(crate) retry: Rule,
    pub(crate) resend: Rule,
    pub(crate) resend_capacity: usize,
    pub(crate) dead_capacity: usize,
    pub(crate) max_deliveries: Option<u32>,
    pub(crate) protection: Protection,
    /// At the end the queue goes before the deliveries.
    pub(crate) queue_first: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Ack,
    Nack,
    NackAfter(u64),
    Snooze(u64),
    Reject,
    IntoMessage,
    Drop,
    DropWhileListed,
    Leak,
    /// Takes a batch apart, takes this many of it, and drops the rest.
    Split(usize),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Op {
    Send,
    TrySend,
    SendTimeout,
    SendKeyed,
    SendBatch(usize),
    Submit,
    SubmitKeyed,
    TryRecv,
    RecvTimeout,
    TryRecvBatch(usize),
    Settle(usize, How),
    Extend(usize, u64),
    KeepAlive(usize, u64, bool),
    Advance(u64),
    /// To the next moment at which something falls due, or a millisecond short of it.
    AdvanceToNext(bool),
    Pause,
    Resume,
    Redrive(usize),
    RedriveAll(Choice, Option<u32>),
    Purge(Choice),
    Look(Choice),
    Close,
}

pub(crate) fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        3 => Just(Kind::Immediate),
        3 => (0..40u64).prop_map(Kind::Fixed),
        1 => (3_600_000..7_200_000u64).prop_map(Kind::Fixed),
        2 => (0..30u64, 0..30u64).prop_map(|(first, step)| Kind::Linear(first, step)),
        2 => (1..30u64).prop_map(Kind::Exponential),
        1 => Just(Kind::Never),
        1 => (0..20u64, 1..4u32).prop_map(|(delay, at)| Kind::Discard(delay, at)),
    ]
}

pub(crate) fn rules() -> impl Strategy<Value = Rule> {
    (kinds(), proptest::option::weighted(0.6, 1..5u32)).prop_map(|(kind, max)| Rule {
        kind,
        attempts_max: max.filter(|_| !matches!(kind, Kind::Never | Kind::Discard(..))),
    })
}

pub(crate) fn knobs() -> impl Strategy<Value = Knobs> {
    let lease = prop_oneof![1 => Just(1u64), 3 => 2..40u64, 2 => 40..2_000u64, 1 => Just(30_000u64)];
    let max_deliveries = proptest::option::weighted(0.25, 1..5u32);
    let sizes = (1..=9usize, 0..=4usize, 1..=4usize);
    (sizes, lease, rules(), rules(), max_deliveries, protections(), any::<bool>()).prop_map(
        |(
            (capacity, resend_capacity, dead_capacity),
            lease_ms,
            retry,
            resend,
            max_deliveries,
            protection,
            queue_first,
        )| {
            // A policy that promises more than the queue allows is refused when it is opened.
            let promised = retry.attempts_max.unwrap_or(1);
            let max_deliveries = max_deliveries.map(|max| max.max(promised));
            // What is let through takes room; whether before or after a resend of the same millisecond is left open.
            let resend_capacity = if protection.is_any() { 0 } else { resend_capacity };
            Knobs {
                capacity,
                lease_ms,
                retry,
                resend,
                resend_capacity,
                dead_capacity,
                max_deliveries,
                protection,
                queue_first,
            }
        },
    )
}

pub(crate) fn times() -> impl Strategy<Value = u64> {
    prop_oneof![
        1 => Just(0u64),
        5 => 1..12u64,
        4 => 12..100u64,
        2 => 100..3_000u64,
        1 => 3_000..100_000u64,
        1 => 3_600_000..90_000_000u64,
    ]
}

pub(crate) fn hows() -> impl Strategy<Value = How> {
    prop_oneof![
        6 => Just(How::Ack),
        5 => Just(How::Nack),
        2 => times().prop_map(How::NackAfter),
        2 => times().prop_map(How::Snooze),
        1 => Just(How::Reject),
        2 => Just(How::IntoMessage),
        4 => Just(How::Drop),
        1 => Just(How::DropWhileListed),
        1 => Just(How::Leak),
        2 => (0..4usize).prop_map(How::Split),
    ]
}

pub(crate) fn ops() -> impl Strategy<Value = Op> {
    let hand = || 0..64usize;
    prop_oneof![
        60 => Just(Op::Send),
        120 => Just(Op::TrySend),
        20 => Just(Op::SendTimeout),
        50 => Just(Op::SendKeyed),
        30 => (0..6usize).prop_map(Op::SendBatch),
        70 => Just(Op::Submit),
        20 => Just(Op::SubmitKeyed),
        220 => Just(Op::TryRecv),
        20 => Just(Op::RecvTimeout),
        60 => (0..6usize).prop_map(Op::TryRecvBatch),
        260 => (hand(), hows()).prop_map(|(hand, how)| Op::Settle(hand, how)),
        40 => (hand(), times()).prop_map(|(hand, time)| Op::Extend(hand, time)),
        20 => (hand(), times(), any::<bool>()).prop_map(|(hand, time, keep)| Op::KeepAlive(hand, time, keep)),
        110 => times().prop_map(Op::Advance),
        60 => any::<bool>().prop_map(Op::AdvanceToNext),
        8 => Just(Op::Pause),
        16 => Just(Op::Resume),
        20 => hand().prop_map(Op::Redrive),
        20 => (choices(), rates()).prop_map(|(choice, rate)| Op::RedriveAll(choice, rate)),
        10 => choices().prop_map(Op::Purge),
        10 => choices().prop_map(Op::Look),
        3 => Just(Op::Close),
    ]
}

// ---- what is sent ----

pub(crate) struct Letter {
    pub(crate) number: usize,
    pub(crate) text: String,
    pub(crate) alive: Arc<AtomicI64>,
}

pub(crate) fn text_of(number: usize) -> String {
    format!("letter {number} {}", "x".repeat(number % 7))
}

impl Drop for Letter {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, SeqCst);
    }
}
