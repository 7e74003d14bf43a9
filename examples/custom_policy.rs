//! A retry policy of your own: it looks at the error that the handler gave, and decides by it.
//!
//! A policy is a pure function of the failure, so it can be asked, previewed and tested without a queue. Here it is also
//! seen at work, on a clock that is moved by hand: the minutes that it waits for take no time.
//!
//! `cargo run --release --example custom_policy`

use redeliver::{
    Cause, Clock, Decision, Exponential, Failure, Filter, ManualClock, PolicyError, Promise, Queue, RetryPolicy,
    RetryPolicyExt,
};
use std::time::Duration;
use std::{error::Error, fmt};

const SECOND: Duration = Duration::from_secs(1);

/// What the API that we call may answer.
#[derive(Debug)]
enum ApiError {
    RateLimited { retry_after: Duration },
    Invalid(&'static str),
    Timeout,
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RateLimited { retry_after } => write!(f, "rate limited, retry after {retry_after:?}"),
            Self::Invalid(what) => write!(f, "invalid: {what}"),
            Self::Timeout => f.write_str("timeout"),
        }
    }
}

impl Error for ApiError {}

/// The API's word first, then backoff.
struct ApiPolicy {
    /// Decides about all that the API did not decide itself: a policy can be built out of another.
    backoff: Exponential,
}

impl RetryPolicy for ApiPolicy {
    fn decide(&self, failure: &Failure<'_>) -> Decision {
        match failure.error::<ApiError>() {
            Some(ApiError::Invalid(_)) => Decision::DeadLetter, // it would say the same again
            Some(ApiError::RateLimited { retry_after }) => Decision::Retry { after: *retry_after },
            // Besides timeouts: a lost lease, a panic, an error of another type. There is always a rest.
            Some(ApiError::Timeout) | None => self.backoff.decide(failure),
        }
    }

    /// Asked when a queue opens; settings that make no sense are named there.
    fn check(&self) -> Result<(), PolicyError> {
        self.backoff.check()
    }

    fn promise(&self) -> Promise {
        self.backoff.promise()
    }
}

/// An API that answers as it is needed here.
fn call(order: &str, attempt: u32) -> Result<(), ApiError> {
    match (order, attempt) {
        ("tea", 1) => Err(ApiError::RateLimited { retry_after: 90 * SECOND }),
        ("coffee", 1..=3) => Err(ApiError::Timeout),
        ("", _) => Err(ApiError::Invalid("an order without goods")),
        _ => Ok(()),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    // The limit around it holds for every answer, rate limits included.
    let policy = || ApiPolicy { backoff: Exponential::new(SECOND).max_delay(60 * SECOND) }.max_attempts(6);

    println!("{}", policy().preview(10)); // of an error that the policy does not know
    let limited = ApiError::RateLimited { retry_after: 90 * SECOND };
    for attempt in [1, 6] {
        let decision = policy().decide(&Failure::new(attempt, Cause::Nack(&limited)));
        println!("{limited}, attempt {attempt}: {decision}");
    }

    let clock = ManualClock::new();
    let start = clock.now();
    let queue = Queue::builder("orders").retry(policy()).clock(clock.clone()).open()?;
    let consumer = queue.consumer();
    queue.producer().send_batch(["tea", "coffee", "", "cake"])?;
    while queue.stats().ready + queue.stats().delayed > 0 {
        while let Ok(delivery) = consumer.try_recv() {
            let (order, attempt) = (*delivery, delivery.attempt());
            let answer = call(order, attempt);
            println!("{:>4?} {order:8} attempt {attempt}: {answer:?}", clock.now() - start);
            match answer {
                Ok(()) => delivery.ack()?,
                Err(error) => delivery.nack(error)?, // typed: this is what the policy gets to see
            }
        }
        clock.advance(SECOND);
    }

    let dead = queue.dead_letters().list(Filter::all());
    println!(
        "dead: {:?}, because {}, by the rule {}",
        dead[0].message(),
        dead[0].reason(),
        dead[0].history()[0].rule()
    );
    assert_eq!((queue.stats().acked, dead.len(), queue.stats().failed), (3, 1, 1 + 3 + 1));
    Ok(())
}
