//! Planted bugs: faults that a test must find, or it proves nothing. Where nothing is planted, nothing is here.
//!
//! `if planted!("name") { … }` is `if false { … }` in every build but one with `--cfg planted`, where the environment
//! variable `PLANTED` names the one fault that is in. `scripts/planted.sh` has the table: each fault, and who catches it.

/// Is this fault in?
#[cfg(not(planted))]
macro_rules! planted {
    ($fault:literal) => {
        false
    };
}

#[cfg(planted)]
macro_rules! planted {
    ($fault:literal) => {
        $crate::planted::is_in($fault)
    };
}

#[cfg(planted)]
pub(crate) fn is_in(fault: &str) -> bool {
    static PLANTED: crate::sync::OnceLock<String> = crate::sync::OnceLock::new();
    PLANTED.get_or_init(|| std::env::var("PLANTED").unwrap_or_default()) == fault
}
