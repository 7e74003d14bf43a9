//! The machines alone, against models that keep everything.

mod circuit;
mod guard;
mod purse;
mod settings;

use super::*;
use std::time::Duration;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
