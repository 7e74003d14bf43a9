//! T6: damage to a journal.
#![cfg(feature = "store")]

#[path = "journal_damage/found_once.rs"]
mod found_once;
