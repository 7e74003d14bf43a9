//! What goes wrong, and when: a pure function of the seed, the event's line and how often the
//! server has seen it. So two runs with one seed meet the same faults, whatever the threads do.
//! Only outages depend on the timing.

use std::time::Duration;

/// What the server does with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Keeps the event and says so.
    Accept,
    /// Keeps the event, but the connection breaks before the answer: the client has to send a
    /// duplicate.
    AcceptAndReset,
    /// Keeps the event, but the answer comes too late.
    AcceptAndStall,
    Answer(u16),
    /// Answers 429 with Retry-After.
    TooManyRequests,
    Reset,
    Stall,
}

/// Per mille of all requests. The rest is accepted.
const PASSING: [(u64, Behaviour); 7] = [
    (70, Behaviour::Answer(503)),
    (50, Behaviour::Answer(500)),
    (40, Behaviour::TooManyRequests),
    (40, Behaviour::Reset),
    (15, Behaviour::Stall),
    (10, Behaviour::AcceptAndReset),
    (5, Behaviour::AcceptAndStall),
];

/// Per mille of all events, at every attempt: what the endpoint will not take, and what it cannot
/// digest.
const LASTING: [(u64, Behaviour); 4] = [
    (6, Behaviour::Answer(400)),
    (4, Behaviour::Answer(410)),
    (6, Behaviour::Answer(422)),
    (3, Behaviour::Answer(500)),
];

/// Requests from one outage to the next, about.
const OUTAGE_EVERY: u64 = 900;

pub struct Pattern {
    seed: u64,
}

impl Pattern {
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// What happens to the `nth` request (from 1) for the event of this line.
    pub fn behaviour(&self, line: u64, nth: u32) -> Behaviour {
        let lasting = pick(&LASTING, self.draw(line, 0));
        lasting.or_else(|| pick(&PASSING, self.draw(line, u64::from(nth)))).unwrap_or(Behaviour::Accept)
    }

    /// How long the server works on an event: 2 to 33 ms.
    pub fn work(&self, line: u64) -> Duration {
        Duration::from_millis(2 + self.draw(line, u64::MAX) % 32)
    }

    /// How many outages have begun when so many requests have come.
    pub fn outages_by(&self, requests: u64) -> u64 {
        let first_after = OUTAGE_EVERY / 2 + self.seed % (OUTAGE_EVERY / 2);
        (requests + OUTAGE_EVERY - first_after) / OUTAGE_EVERY
    }

    fn draw(&self, line: u64, salt: u64) -> u64 {
        mix(mix(mix(self.seed) ^ line) ^ salt)
    }
}

fn pick(choices: &[(u64, Behaviour)], draw: u64) -> Option<Behaviour> {
    let mut left = draw % 1000;
    for &(per_mille, behaviour) in choices {
        if left < per_mille {
            return Some(behaviour);
        }
        left -= per_mille;
    }
    None
}

/// One step of splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators",
/// 2014).
fn mix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
