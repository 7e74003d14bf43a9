//! The HTTP side of a delivery: one POST, and what its answer means.

use std::io::{self, Read};
use std::thread;
use std::time::Duration;

use redeliver::MessageId;
use ureq::http::{HeaderMap, header};

use crate::delivery_error::DeliveryError;
use crate::events::Event;
use crate::url::Url;

/// A refused connection costs no time, so without a pause one thread at a closed door would spend
/// the attempts of every event in the queue within an outage of a few milliseconds.
const REFUSED_PAUSE: Duration = Duration::from_millis(5);

/// Shared by all threads; keeps a connection alive for each.
pub struct Client {
    agent: ureq::Agent,
    url: Url,
}

impl Client {
    pub fn new(url: Url, timeout: Duration, threads: usize) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(timeout))
            .max_idle_connections(threads)
            .max_idle_connections_per_host(threads)
            // A 4xx or 5xx is an answer with headers that matter, and a redirect is an answer too.
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            // A proxy that the environment names must not come between the example and its server
            // on loopback.
            .proxy(None)
            .user_agent("redeliver-webhooks")
            .build();
        Self { agent: config.new_agent(), url }
    }

    /// One attempt. `id` is the same at every attempt for the event, so an endpoint that has seen
    /// it takes it only once.
    pub fn post(&self, id: MessageId, event: &Event) -> Result<(), DeliveryError> {
        let outcome = self.try_post(id, event);
        if let Err(DeliveryError::Io(error)) = &outcome
            && error.kind() == io::ErrorKind::ConnectionRefused
        {
            thread::sleep(REFUSED_PAUSE);
        }
        outcome
    }

    fn try_post(&self, id: MessageId, event: &Event) -> Result<(), DeliveryError> {
        let request = self.agent.post(self.url.uri());
        let request = request.header("Content-Type", "application/json");
        let request = request.header("Idempotency-Key", id.to_string()).header("X-Event-Line", event.line);
        let (head, body) = request.send(&event.body[..])?.into_parts();
        skip(body);
        if head.status.is_success() {
            return Ok(());
        }
        Err(DeliveryError::Status { code: head.status.as_u16(), retry_after: retry_after(&head.headers) })
    }
}

/// Reads the rest of an answer, which lets the connection be used again. The status has decided
/// already, so a body that breaks off changes nothing, and one that does not end is left alone.
fn skip(body: ureq::Body) {
    const BYTES_MAX: u64 = 64 * 1024;
    let _ = io::copy(&mut body.into_reader().take(BYTES_MAX), &mut io::sink());
}

/// The header's form in seconds. The other form, a date, would need a calendar; such an answer just
/// backs off.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    let seconds = value.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
