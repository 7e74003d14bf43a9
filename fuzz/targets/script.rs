//! Whatever is called in whatever order: nothing is lost, nothing settled twice, every figure and event right.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use redeliver::ManualClock;
use redeliver_fuzz::world::{Op, Small, World};

#[derive(Arbitrary, Debug)]
struct Input {
    settings: Small,
    ops: Vec<Op>,
}

fuzz_target!(|input: Input| {
    let clock = ManualClock::new();
    let settings = &input.settings;
    let Ok(queue) = settings.builder(&clock).open() else { return };
    let mut world = World::new(queue, clock, settings.capacity() as u64, settings.max_deliveries());
    input.ops.into_iter().for_each(|op| world.step(op));
    world.end();
});
