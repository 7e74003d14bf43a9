//! What the benches, the fuzz targets and the tests of the journal reach. No part of the public face, and free to change.

pub use crate::commit::*;
pub use crate::journal::*;
