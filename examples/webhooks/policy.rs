//! The retry policy of a webhook sender: the endpoint's word first, then backoff.
//!
//! A policy is a pure function of the failure: it reads no clock, does not sleep, and takes its
//! chance from [`Failure::random`]. That is why the tests below need no queue and no time.

use std::time::Duration;

use redeliver::{Decision, Exponential, Failure, Jitter, RetryPolicy};

use crate::delivery_error::DeliveryError;

/// An endpoint that asks for an hour does not hold up the end of the program.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

pub struct HonourRetryAfter {
    attempts_max: u32,
    /// Decides about everything that the endpoint did not decide itself. A policy can be built out
    /// of another.
    backoff: Box<dyn RetryPolicy>,
}

impl HonourRetryAfter {
    pub fn new(attempts_max: u32) -> Self {
        let backoff =
            Exponential::new(Duration::from_millis(100)).max_delay(Duration::from_secs(1)).jitter(Jitter::Equal);
        Self { attempts_max, backoff: Box::new(backoff.max_attempts(attempts_max)) }
    }
}

impl RetryPolicy for HonourRetryAfter {
    fn decide(&self, failure: &Failure<'_>) -> Decision {
        match failure.error::<DeliveryError>() {
            Some(error) if error.is_permanent() => Decision::DeadLetter,
            Some(DeliveryError::Status { retry_after: Some(wait), .. }) if failure.attempt() < self.attempts_max => {
                Decision::Retry { after: (*wait).min(RETRY_AFTER_MAX) + spread(failure.random()) }
            }
            _ => self.backoff.decide(failure),
        }
    }
}

/// Up to 100 ms more than was asked for: those who were sent away together do not come back
/// together.
fn spread(random: u64) -> Duration {
    Duration::from_millis(random % 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use redeliver::Cause;

    fn decide(attempt: u32, code: u16, retry_after_s: Option<u64>) -> Decision {
        let error = DeliveryError::Status { code, retry_after: retry_after_s.map(Duration::from_secs) };
        HonourRetryAfter::new(3).decide(&Failure::new(attempt, Cause::Nack(&error)).with_random(250))
    }

    #[test]
    fn retry_after_is_a_lower_bound_and_has_an_upper_one() {
        assert_eq!(decide(1, 429, Some(2)), Decision::Retry { after: Duration::from_millis(2_050) });
        assert_eq!(decide(2, 503, Some(86_400)), Decision::Retry { after: Duration::from_millis(30_050) });
    }

    #[test]
    fn the_last_attempt_is_the_last_whatever_the_endpoint_says() {
        assert_eq!(decide(3, 429, Some(2)), Decision::DeadLetter);
        assert_eq!(decide(3, 500, None), Decision::DeadLetter);
    }

    #[test]
    fn what_the_endpoint_refuses_is_not_sent_again() {
        for code in [301, 400, 404, 410, 422] {
            assert_eq!(decide(1, code, Some(1)), Decision::DeadLetter, "{code}");
        }
    }

    #[test]
    fn the_rest_backs_off() {
        let Decision::Retry { after } = decide(1, 500, None) else { panic!("a 500 is tried again") };
        assert!((Duration::from_millis(50)..=Duration::from_millis(100)).contains(&after), "{after:?}");
    }
}
