//! What the fuzz targets share: arbitrary times and policies, and a queue beside a tiny model of it.
//!
//! The targets are in `targets/`, each with what it promises. `scripts/fuzz.sh` builds and runs them.

pub mod policy;
pub mod time;
pub mod world;
