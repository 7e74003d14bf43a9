//! Dead letters as they are kept: under the ledger's lock, in a store of theirs.

mod filter;
mod letter;
mod store;

pub use filter::Filter;
pub use letter::DeadLetter;
pub(crate) use store::DeadStore;
