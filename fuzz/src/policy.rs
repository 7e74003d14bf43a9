//! Policies with arbitrary parameters, sane or not, under arbitrary combinators; and what each of them must keep to.

use crate::time::Time;
use arbitrary::Arbitrary;
use redeliver::{
    Cause, Decision, Exponential, Failure, Fixed, Immediate, Jitter, Linear, Never, RetryPolicy, RetryPolicyExt,
    Schedule, policy_fn,
};
use std::time::Duration;

/// A policy as it is written: a base, and one combinator after the other.
#[derive(Arbitrary, Clone, Debug)]
pub struct Spec {
    base: Base,
    /// As methods of the base itself.
    own: Vec<Limit>,
    /// Around it.
    around: Vec<Around>,
}

#[derive(Arbitrary, Clone, Debug)]
enum Base {
    Immediate,
    Never,
    Fixed(Time),
    Linear(Time, Time),
    Exponential(Time, Option<f64>),
    Schedule(Vec<Time>),
    Kafka,
    RocketmqDoubling,
    RocketmqLevels,
    Rabbitmq(Time, Time),
    /// A closure that answers by the attempt.
    Closure(Vec<Answer>),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Answer {
    Retry(Time),
    DeadLetter,
    Discard,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Spread {
    None,
    Full,
    Equal,
    Decorrelated,
    Percent(u8),
}

impl Spread {
    fn get(self) -> Jitter {
        match self {
            Spread::None => Jitter::None,
            Spread::Full => Jitter::Full,
            Spread::Equal => Jitter::Equal,
            Spread::Decorrelated => Jitter::Decorrelated,
            Spread::Percent(percent) => Jitter::Percent(percent),
        }
    }
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Limit {
    MaxAttempts(u32),
    MaxElapsed(Time),
    MaxDelay(Time),
    Jitter(Spread),
    Forever,
}

#[derive(Arbitrary, Clone, Debug)]
enum Around {
    Limit(Limit),
    When(Asks, Box<Spec>),
    Then(u32, Box<Spec>),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Asks {
    Always,
    Odd,
    Keyed,
    Full,
}

impl Asks {
    fn asks(self, failure: &Failure<'_>) -> bool {
        match self {
            Asks::Always => true,
            Asks::Odd => failure.attempt() % 2 == 1,
            Asks::Keyed => failure.key().is_some(),
            Asks::Full => matches!(failure.cause(), Cause::Full),
        }
    }
}

type Policy = Box<dyn RetryPolicy>;

/// The methods of a policy that holds its own limits.
macro_rules! with_own {
    ($policy:expr, $limits:expr) => {{
        let mut policy = $policy;
        for limit in $limits {
            policy = match *limit {
                Limit::MaxAttempts(n) => policy.max_attempts(n),
                Limit::MaxElapsed(d) => policy.max_elapsed(d.get()),
                Limit::MaxDelay(d) => policy.max_delay(d.get()),
                Limit::Jitter(spread) => policy.jitter(spread.get()),
                Limit::Forever => policy.forever(),
            };
        }
        Box::new(policy)
    }};
}

impl Spec {
    pub fn build(&self) -> Policy {
        let own = &self.own;
        let base: Policy = match &self.base {
            Base::Immediate => with_limits(Box::new(Immediate), own),
            Base::Never => with_limits(Box::new(Never), own),
            Base::Fixed(d) => with_own!(Fixed::new(d.get()), own),
            Base::Linear(first, step) => with_own!(Linear::new(first.get(), step.get()), own),
            Base::Exponential(first, factor) => {
                let policy = Exponential::new(first.get());
                with_own!(if let Some(factor) = *factor { policy.factor(factor) } else { policy }, own)
            }
            Base::Schedule(delays) => with_own!(Schedule::new(delays.iter().map(|d| d.get())), own),
            Base::Kafka => with_own!(Exponential::kafka_producer(), own),
            Base::RocketmqDoubling => with_own!(Exponential::rocketmq(), own),
            Base::RocketmqLevels => with_own!(Schedule::rocketmq(), own),
            Base::Rabbitmq(min, max) => with_own!(Linear::rabbitmq(min.get(), max.get()), own),
            Base::Closure(answers) => {
                let answers = answers.clone();
                with_limits(Box::new(policy_fn(move |failure| answer(&answers, failure))), own)
            }
        };
        self.around.iter().fold(base, |policy, around| match around {
            Around::Limit(limit) => with_limits(policy, &[*limit]),
            Around::When(asks, other) => {
                let asks = *asks;
                Box::new(policy.when(move |failure| asks.asks(failure), other.build()))
            }
            Around::Then(from, other) => Box::new(policy.then(*from, other.build())),
        })
    }

    /// Whether `decision` keeps to what was said last about this policy. What was said before may have been replaced.
    pub fn assert_bounds(&self, failure: &Failure<'_>, decision: Decision) {
        match self.around.last() {
            Some(Around::Limit(limit)) => limit.assert_kept(failure, decision),
            Some(Around::When(asks, other)) if asks.asks(failure) => other.assert_decides(failure, decision),
            Some(Around::When(..)) => self.inside().assert_decides(failure, decision),
            Some(Around::Then(from, other)) if failure.attempt() >= *from => other.assert_decides(failure, decision),
            Some(Around::Then(..)) => {} // the policy before, without its default end
            None => {
                if let Some(limit) = self.own.last() {
                    limit.assert_kept(failure, decision);
                }
                self.assert_delay(failure, decision);
            }
        }
    }

    fn assert_decides(&self, failure: &Failure<'_>, decision: Decision) {
        assert_eq!(decision, self.build().decide(failure), "one of the two decides, and it sees the failure as it is");
        self.assert_bounds(failure, decision);
    }

    /// This policy without the last combinator around it.
    fn inside(&self) -> Spec {
        let mut spec = self.clone();
        spec.around.pop();
        spec
    }

    /// The delay of a base with own limits: capped, and spread as far as its jitter reaches.
    fn assert_delay(&self, failure: &Failure<'_>, decision: Decision) {
        let Decision::Retry { after } = decision else { return };
        let Base::Fixed(first) = &self.base else { return };
        let cap = self.own.iter().rev().find_map(|limit| match limit {
            Limit::MaxDelay(cap) => Some(cap.get()),
            _ => None,
        });
        let spread = self.own.iter().rev().find_map(|limit| match limit {
            Limit::Jitter(spread) => Some(*spread),
            _ => None,
        });
        let cap = cap.unwrap_or(Duration::MAX);
        let delay = first.get().min(cap);
        let (shortest, longest) = match spread.unwrap_or(Spread::None) {
            Spread::None => (delay, delay),
            Spread::Full => (Duration::ZERO, delay),
            Spread::Equal => (delay / 2, delay),
            Spread::Decorrelated => {
                let before = failure.previous_delay().unwrap_or(delay);
                (delay, before.saturating_mul(3).min(cap).max(delay))
            }
            Spread::Percent(percent) => {
                let part = part(delay, percent.min(100));
                (delay.saturating_sub(part), delay.saturating_add(part))
            }
        };
        assert!(shortest <= after && after <= longest, "{after:?} is not in {shortest:?} ..= {longest:?}");
    }
}

fn part(delay: Duration, percent: u8) -> Duration {
    let nanos = delay.as_nanos() * u128::from(percent) / 100;
    Duration::new((nanos / 1_000_000_000) as u64, (nanos % 1_000_000_000) as u32)
}

fn answer(answers: &[Answer], failure: &Failure<'_>) -> Decision {
    match answers.get(failure.attempt() as usize % answers.len().max(1)) {
        Some(Answer::Retry(after)) => Decision::Retry { after: after.get() },
        Some(Answer::Discard) => Decision::Discard,
        Some(Answer::DeadLetter) | None => Decision::DeadLetter,
    }
}

fn with_limits(policy: Policy, limits: &[Limit]) -> Policy {
    limits.iter().fold(policy, |policy, limit| match *limit {
        Limit::MaxAttempts(n) => Box::new(policy.max_attempts(n)),
        Limit::MaxElapsed(d) => Box::new(policy.max_elapsed(d.get())),
        Limit::MaxDelay(d) => Box::new(policy.max_delay(d.get())),
        Limit::Jitter(spread) => Box::new(policy.jitter(spread.get())),
        Limit::Forever => Box::new(policy.forever()),
    })
}

impl Limit {
    fn assert_kept(self, failure: &Failure<'_>, decision: Decision) {
        let Decision::Retry { after } = decision else { return };
        match self {
            Limit::MaxAttempts(n) => assert!(failure.attempt() < n, "retried after {n} attempts"),
            Limit::MaxElapsed(d) => {
                let elapsed = failure.elapsed().saturating_add(after);
                assert!(elapsed <= d.get(), "retried after {elapsed:?}");
            }
            // A jitter that was named before the cap is drawn around it, `Percent` above it too.
            Limit::MaxDelay(d) => assert!(after <= d.get().saturating_mul(2), "waits for {after:?}"),
            Limit::Jitter(_) | Limit::Forever => {}
        }
    }
}
