//! What a seed draws before anything runs: settings and temperaments.

use crate::support::Rng;
use redeliver::{
    Breaker, Cause, Decision, Exponential, Failure, Fixed, Immediate, Jitter, Limited, Linear, Never, Queue,
    QueueBuilder, RetryBudget, RetryPolicy, RetryPolicyExt, Schedule, policy_fn,
};
use std::sync::Arc;
use std::time::Duration;

/// No delay of a policy here is longer, whatever its jitter.
pub(crate) const DELAY_MAX: Duration = Duration::from_secs(7_200);

/// A policy, and what may be expected of it.
#[derive(Clone)]
pub(crate) struct Rules {
    pub(crate) policy: Arc<dyn RetryPolicy>,
    /// Its decisions depend on more than the attempt.
    pub(crate) looks_at_time: bool,
    pub(crate) is_decorrelated: bool,
}

impl Rules {
    /// What it may decide about this attempt: `None` a retry never, else the shortest and the longest delay.
    pub(crate) fn delays(&self, attempt: u32) -> Option<(Duration, Duration)> {
        if self.looks_at_time {
            return Some((Duration::ZERO, DELAY_MAX));
        }
        let draw = |random| match self.policy.decide(&Failure::new(attempt, Cause::Dropped).with_random(random)) {
            Decision::Retry { after } => Some(after),
            _ => None,
        };
        let (low, high) = (draw(0)?, draw(u64::MAX)?);
        Some(if self.is_decorrelated { (low, DELAY_MAX) } else { (low, high) })
    }
}

pub(crate) struct Knobs {
    pub(crate) capacity: usize,
    pub(crate) lease: Duration,
    pub(crate) retry: Rules,
    pub(crate) resend: Rules,
    pub(crate) resend_capacity: usize,
    pub(crate) dead_capacity: usize,
    pub(crate) max_deliveries: u32,
    pub(crate) seed: u64,
    pub(crate) producers: usize,
    pub(crate) consumers: usize,
    /// How likely each outcome of a handler is; see `actors::Plan`.
    pub(crate) temper: [u64; 12],
    /// What stands between it and its consumers.
    pub(crate) budget: Option<RetryBudget>,
    pub(crate) fuse: Option<Fuse>,
    /// How often it is closed, in 10,000 steps.
    pub(crate) closes: u64,
}

fn pick(rng: &mut Rng, from: &[u64]) -> u64 {
    from[rng.below(from.len() as u64) as usize]
}

fn delay(rng: &mut Rng) -> Duration {
    let micros = pick(rng, &[0, 300, 1_000, 7_000, 7_500, 64_000, 1_000_000, 60_000_000]);
    Duration::from_micros(micros)
}

fn rules(rng: &mut Rng) -> Rules {
    let jitters = [Jitter::None, Jitter::Full, Jitter::Equal, Jitter::Percent(20), Jitter::Decorrelated];
    let jitter = jitters[rng.below(5) as usize];
    let first = delay(rng);
    let (policy, has_jitter): (Box<dyn RetryPolicy>, bool) = match rng.below(8) {
        0 => (Box::new(Immediate), false),
        1 => (Box::new(Never), false),
        2 => (Box::new(Fixed::new(first).max_delay(DELAY_MAX).jitter(jitter)), true),
        3 => (Box::new(Linear::new(first, delay(rng)).max_delay(DELAY_MAX).jitter(jitter)), true),
        4 => (Box::new(Schedule::new([first, delay(rng), delay(rng)])), false),
        5 => {
            let at = 1 + rng.below(4) as u32;
            let policy = policy_fn(move |failure| match failure.attempt() {
                attempt if attempt >= at => Decision::Discard,
                _ => Decision::Retry { after: first },
            });
            (Box::new(policy), false)
        }
        _ => (Box::new(Exponential::new(first).factor(1.5).max_delay(DELAY_MAX).jitter(jitter)), true),
    };
    let looks_at_time = rng.below(8) == 0;
    let policy: Arc<dyn RetryPolicy> = if looks_at_time {
        Arc::new(RetryPolicyExt::max_elapsed(policy, Duration::from_secs(rng.below(100))).max_attempts(12))
    } else if rng.below(2) == 0 {
        let limited: Limited<_> = RetryPolicyExt::max_attempts(policy, 1 + rng.below(6) as u32);
        Arc::new(limited)
    } else {
        Arc::new(policy)
    };
    Rules { policy, looks_at_time, is_decorrelated: has_jitter && jitter == Jitter::Decorrelated }
}

/// A breaker that is still to be made.
#[derive(Clone, Copy)]
pub(crate) struct Fuse {
    failures: u32,
    open_for: Duration,
    growth: u32,
    probes: u32,
    pub(crate) by_key: bool,
}

impl Fuse {
    fn draw(rng: &mut Rng) -> Self {
        Fuse {
            failures: 1 + rng.below(4) as u32,
            open_for: Duration::from_micros(pick(rng, &[700, 5_000, 50_000, 1_000_000, 60_000_000])),
            growth: 1 + rng.below(4) as u32,
            probes: 1 + rng.below(3) as u32,
            by_key: rng.below(2) == 0,
        }
    }

    fn breaker(&self) -> Breaker {
        let breaker = Breaker::new()
            .consecutive_failures(self.failures)
            .open_for(self.open_for)
            .open_for_max(self.growth * self.open_for)
            .probes(self.probes);
        if self.by_key { breaker.per_key(|key| key.unwrap_or_default().into()) } else { breaker }
    }
}

fn budget(rng: &mut Rng) -> RetryBudget {
    let percent = pick(rng, &[0, 10, 100]) as f64;
    RetryBudget::percent(percent).floor_per_second(1.0 + rng.below(5) as f64).window(Duration::from_secs(1))
}

impl Knobs {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let mut temper = [0; 12];
        for likely in &mut temper {
            *likely = pick(rng, &[0, 1, 1, 2, 4]);
        }
        temper[0] = 1 + rng.below(12); // some are acked
        Knobs {
            capacity: 1 + rng.below(12) as usize,
            lease: Duration::from_micros(pick(rng, &[1_000, 5_000, 5_300, 40_000, 1_000_000, 30_000_000])),
            retry: rules(rng),
            resend: rules(rng),
            resend_capacity: rng.below(6) as usize,
            dead_capacity: pick(rng, &[1, 2, 3, 8, 1_000]) as usize,
            max_deliveries: pick(rng, &[16, 20, 1_000]) as u32,
            seed: rng.draw() | 1,
            producers: 1 + rng.below(3) as usize,
            consumers: 1 + rng.below(3) as usize,
            temper,
            budget: (rng.below(3) == 0).then(|| budget(rng)),
            fuse: (rng.below(3) == 0).then(|| Fuse::draw(rng)),
            closes: pick(rng, &[0, 0, 0, 10, 40]),
        }
    }

    pub(crate) fn build<T: Send + Sync + 'static>(&self, name: String) -> QueueBuilder<T> {
        let mut builder = Queue::<T>::builder(name);
        if let Some(budget) = self.budget {
            builder = builder.retry_budget(budget);
        }
        if let Some(fuse) = self.fuse {
            builder = builder.breaker(fuse.breaker());
        }
        builder
            .capacity(self.capacity)
            .lease(self.lease)
            .retry(self.retry.policy.clone())
            .resend(self.resend.policy.clone())
            .resend_capacity(self.resend_capacity)
            .dead_letter_capacity(self.dead_capacity)
            .max_deliveries(self.max_deliveries)
            .seed(self.seed)
    }

    /// What a failure of this attempt may lead to; `None`: no retry.
    pub(crate) fn delays(&self, attempt: u32) -> Option<(Duration, Duration)> {
        if attempt >= self.max_deliveries { None } else { self.retry.delays(attempt) }
    }
}
