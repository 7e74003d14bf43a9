//! What the fuzz targets share: arbitrary times and policies, a queue beside a tiny model of it, and
//! journals to be damaged.
//!
//! The targets are in `targets/`, each with what it promises. `scripts/fuzz.sh` builds and runs them.

pub mod journal;
pub mod policy;
pub mod time;
pub mod world;
