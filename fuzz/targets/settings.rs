//! Whatever a queue is asked to be, it opens or says which setting is wrong and why; and what opens loses nothing.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use redeliver::{ManualClock, OpenError, Queue};
use redeliver_fuzz::policy::Spec;
use redeliver_fuzz::time::Time;
use redeliver_fuzz::world::{Message, Op, World};

#[derive(Arbitrary, Debug)]
struct Input {
    name: Option<String>,
    capacity: Option<Capacity>,
    lease: Option<Time>,
    max_deliveries: Option<u32>,
    dead_letter_capacity: Option<usize>,
    resend_capacity: Option<usize>,
    retry: Option<Spec>,
    resend: Option<Spec>,
    seed: Option<u64>,
    ops: Vec<Op>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Capacity {
    None,
    Small(u8),
    Medium(u16),
    Any(usize),
}

impl Capacity {
    fn get(self) -> usize {
        match self {
            Capacity::None => 0,
            Capacity::Small(seats) => usize::from(seats),
            Capacity::Medium(seats) => usize::from(seats),
            // Those that are valid and take a gigabyte would be all that the fuzzer has time for.
            Capacity::Any(seats) if (1 << 17..=1 << 26).contains(&seats) => (1 << 26) + 1,
            Capacity::Any(seats) => seats,
        }
    }
}

const CAPACITY_DEFAULT: usize = 4096;
const MAX_DELIVERIES_DEFAULT: u32 = 1000;
/// A queue of more seats than this is opened and not played with, for each step looks at every seat.
const PLAYED_MAX: usize = 300;

fuzz_target!(|input: Input| {
    let clock = ManualClock::new();
    let mut builder = Queue::<Message>::builder(input.name.clone().unwrap_or_default()).clock(clock.clone());
    let capacity = input.capacity.map_or(CAPACITY_DEFAULT, Capacity::get);
    let max_deliveries = input.max_deliveries.unwrap_or(MAX_DELIVERIES_DEFAULT);
    if input.capacity.is_some() {
        builder = builder.capacity(capacity);
    }
    if let Some(lease) = input.lease {
        builder = builder.lease(lease.get());
    }
    if let Some(deliveries) = input.max_deliveries {
        builder = builder.max_deliveries(deliveries);
    }
    if let Some(letters) = input.dead_letter_capacity {
        builder = builder.dead_letter_capacity(letters);
    }
    if let Some(messages) = input.resend_capacity {
        builder = builder.resend_capacity(messages);
    }
    if let Some(retry) = &input.retry {
        builder = builder.retry(retry.build());
    }
    if let Some(resend) = &input.resend {
        builder = builder.resend(resend.build());
    }
    if let Some(seed) = input.seed {
        builder = builder.seed(seed);
    }
    assert!(!format!("{builder:?}").is_empty());
    match builder.open() {
        Ok(queue) => {
            assert!(capacity > 0 && max_deliveries > 0 && input.dead_letter_capacity != Some(0));
            assert_eq!(queue.name(), input.name.unwrap_or_default());
            if capacity <= PLAYED_MAX {
                let mut world = World::new(queue, clock, capacity as u64, max_deliveries);
                input.ops.into_iter().for_each(|op| world.step(op));
                world.end();
            }
        }
        Err(error) => assert_says_what_and_where(&error, &input),
    }
});

/// The text of an error names its setting, and has a cause in what was asked for.
fn assert_says_what_and_where(error: &OpenError, input: &Input) {
    let (setting, is_at_fault) = match error {
        OpenError::Capacity { asked, .. } => {
            ("capacity", input.capacity.map(Capacity::get) == Some(*asked) && (*asked == 0 || *asked > 1 << 26))
        }
        OpenError::OutOfMemory { .. } => ("capacity", input.capacity.is_some()),
        OpenError::Lease { asked } => ("lease", asked.as_millis() == 0 && input.lease.map(Time::get) == Some(*asked)),
        OpenError::MaxDeliveries => ("max_deliveries", input.max_deliveries == Some(0)),
        OpenError::DeadLetterCapacity => ("dead_letter_capacity", input.dead_letter_capacity == Some(0)),
        OpenError::Policy { verb: "retry", .. } => ("retry", input.retry.is_some()),
        OpenError::Policy { verb: "resend", .. } => ("resend", input.resend.is_some()),
        OpenError::Promise { promised, max } => ("max_deliveries", promised > max),
        _ => ("", false),
    };
    let text = error.to_string();
    assert!(is_at_fault && text.contains(setting), "{text}");
}
