//! What the tests share: where evidence goes, which tier runs, and chance from a seed.
#![allow(dead_code, reason = "no test uses all of it")]

#[cfg(unix)]
pub(crate) mod child;
pub(crate) mod folder;
#[cfg(all(feature = "store", unix, not(any(loom, shuttle))))]
pub(crate) mod witness;

use std::path::Path;

/// Writes what a test has counted to `target/evidence/<name>.json`.
pub(crate) fn evidence(name: &str, facts: serde_json::Value) {
    if cfg!(planted) {
        return; // a run that looks for a planted bug is evidence of the tests, and not of the queue
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/evidence");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(format!("{name}.json")), format!("{facts:#}\n")).unwrap();
    println!("evidence: {name}: {facts}");
}

/// `REDELIVER_TIER=nightly` asks for the long run.
pub(crate) fn is_nightly() -> bool {
    std::env::var("REDELIVER_TIER").is_ok_and(|tier| tier == "nightly")
}

/// The run's seed: `SEED=…` replays one.
pub(crate) fn seed() -> u64 {
    std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x5eed)
}

/// Splitmix64.
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.draw() % n
    }
}

/// Panics whose text begins with `planned` are part of a test, and print nothing.
pub(crate) fn hush_planned_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let text = info.payload_as_str().unwrap_or_default();
            if !text.starts_with("planned") {
                loud(info);
            }
        }));
    });
}

/// Leaks a value as `mem::forget` does, but keeps it reachable, so that LeakSanitizer tells this leak from one of ours.
pub(crate) fn leak(value: impl std::any::Any + Send) {
    static LEAKED: std::sync::Mutex<Vec<Box<dyn std::any::Any + Send>>> = std::sync::Mutex::new(Vec::new());
    LEAKED.lock().unwrap().push(Box::new(value));
}
