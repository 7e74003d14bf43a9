//! What the server accepted. The key makes a second copy of an event recognisable: it is answered,
//! and not kept.

use std::collections::HashMap;

#[derive(Default)]
pub struct Inbox {
    /// Body by Idempotency-Key.
    pub accepted: HashMap<String, Vec<u8>>,
    /// Copies of what had been accepted before, which came because the answer to the first was
    /// lost.
    pub duplicates: usize,
    /// Copies that differ from what was accepted under the same key. There must be none.
    pub conflicts: Vec<String>,
    /// How often each key was seen, accepted or not.
    seen: HashMap<String, u32>,
}

impl Inbox {
    /// Counts a request. Returns which one it is for its key, from 1.
    pub fn see(&mut self, key: &str) -> u32 {
        let seen = self.seen.entry(key.to_owned()).or_default();
        *seen += 1;
        *seen
    }

    pub fn accept(&mut self, key: String, body: Vec<u8>) {
        match self.accepted.get(&key) {
            None => drop(self.accepted.insert(key, body)),
            Some(first) => {
                self.duplicates += 1;
                if *first != body {
                    self.conflicts.push(format!("{key} arrived twice, with different bytes"));
                }
            }
        }
    }
}
