//! What a failed attempt tells the queue: typed, because the retry policy decides by it.

use std::error::Error;
use std::time::Duration;
use std::{fmt, io};

use ureq::http::StatusCode;

/// Why an event did not arrive this time.
#[derive(Debug)]
pub enum DeliveryError {
    /// The endpoint answered, but not with a 2xx.
    Status { code: u16, retry_after: Option<Duration> },
    /// No complete answer within the timeout. The endpoint may have taken the event all the same.
    Timeout,
    /// The connection could not be made, or broke.
    Io(io::Error),
    /// The answer was no HTTP, or the like.
    Protocol(ureq::Error),
}

impl DeliveryError {
    /// Whether the endpoint would say the same again. 429 is the one 4xx that means "later", not
    /// "never". A redirect is permanent: following it would turn the POST into a GET, and the
    /// answer to that proves no delivery.
    pub fn is_permanent(&self) -> bool {
        matches!(self, Self::Status { code: 300..=428 | 430..=499, .. })
    }
}

impl fmt::Display for DeliveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status { code, .. } => {
                let status = StatusCode::from_u16(*code).ok();
                let name = status.and_then(|status| status.canonical_reason());
                write!(f, "HTTP {code} {}", name.unwrap_or("(no standard status)"))
            }
            Self::Timeout => f.write_str("no answer in time"),
            Self::Io(error) => write!(f, "{error}"),
            Self::Protocol(error) => write!(f, "{error}"),
        }
    }
}

impl Error for DeliveryError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Protocol(error) => Some(error),
            Self::Status { .. } | Self::Timeout => None,
        }
    }
}

impl From<ureq::Error> for DeliveryError {
    fn from(error: ureq::Error) -> Self {
        match error {
            ureq::Error::Timeout(_) => Self::Timeout,
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => Self::Timeout,
            ureq::Error::Io(error) => Self::Io(error),
            other => Self::Protocol(other),
        }
    }
}
