//! One class's circuit: closed, open, half-open.
//!
//! ```text
//!            too many failures                 open_for has passed
//!  Closed ─────────────────────────► Open ───────────────────────────► HalfOpen
//!    ▲                                ▲                                   │  │
//!    │                                └────────── a probe failed ─────────┘  │
//!    └────────────────────────── so many probes succeeded ───────────────────┘
//! ```
//!
//! Promises: while it is open nothing has room; while it is half-open one call at a time has; it opens for exactly as long
//! as was asked for. An outcome counts only in the era in which its call began: what was on its way when the circuit opened
//! neither closes it nor opens it again.

use super::outcomes::{Outcomes, Span};

/// How a call ended, as far as the circuit is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Success,
    Failure,
    /// It says nothing of what is downstream.
    Neither,
}

/// When a circuit opens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Trip {
    Rate { rate: f64, calls_min: u32, span: Span },
    InARow(u32),
}

/// What all circuits of a queue have in common.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rules {
    pub(super) trip: Trip,
    pub(super) open_ms: u64,
    pub(super) open_max_ms: u64,
    pub(super) probes: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Closed,
    Open { until_ms: u64 },
    HalfOpen,
}

#[derive(Debug)]
pub(super) struct Circuit {
    phase: Phase,
    /// One more with each change of phase.
    era: u32,
    outcomes: Outcomes,
    /// Failures in a row while closed, successful probes while half-open.
    in_a_row: u32,
    is_probed: bool,
    /// How often it has opened since it was closed last.
    opened: u32,
}

impl Circuit {
    pub(super) fn new() -> Self {
        Circuit {
            phase: Phase::Closed,
            era: 0,
            outcomes: Outcomes::default(),
            in_a_row: 0,
            is_probed: false,
            opened: 0,
        }
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    /// How many calls may begin now.
    pub(super) fn room(&self) -> u64 {
        match self.phase {
            Phase::Closed => u64::MAX,
            Phase::Open { .. } => 0,
            Phase::HalfOpen => u64::from(!self.is_probed || planted!("a-second-probe-goes")),
        }
    }

    /// A call begins, for which there was room: the era in which it did.
    pub(super) fn begin(&mut self) -> u32 {
        debug_assert!(self.room() > 0, "nothing begins without room");
        self.is_probed = self.phase == Phase::HalfOpen;
        self.era
    }

    /// A call of that era has ended. True: the circuit has changed its phase.
    pub(super) fn end(&mut self, rules: &Rules, era: u32, outcome: Outcome, now_ms: u64) -> bool {
        if era != self.era && !planted!("an-outcome-of-another-era-counts") {
            return false;
        }
        match self.phase {
            Phase::Closed => self.end_call(rules, outcome, now_ms),
            Phase::Open { .. } => false, // nothing begins in such an era
            Phase::HalfOpen => self.end_probe(rules, outcome, now_ms),
        }
    }

    fn end_call(&mut self, rules: &Rules, outcome: Outcome, now_ms: u64) -> bool {
        let failed = match outcome {
            Outcome::Neither => return false,
            outcome => outcome == Outcome::Failure,
        };
        self.in_a_row = if failed { self.in_a_row.saturating_add(1) } else { 0 };
        let opens = match rules.trip {
            Trip::InARow(failures) => self.in_a_row >= failures,
            Trip::Rate { rate, calls_min, span } => {
                self.outcomes.add(span, failed, now_ms);
                failed && self.outcomes.calls() >= calls_min && self.outcomes.rate() >= rate
            }
        };
        if opens {
            self.open(rules, now_ms);
        }
        opens
    }

    fn end_probe(&mut self, rules: &Rules, outcome: Outcome, now_ms: u64) -> bool {
        self.is_probed = false;
        match outcome {
            Outcome::Neither => false,
            Outcome::Failure => {
                self.open(rules, now_ms);
                true
            }
            Outcome::Success => {
                self.in_a_row += 1;
                let closes = self.in_a_row >= rules.probes;
                if closes {
                    self.opened = 0;
                    self.enter(Phase::Closed);
                }
                closes
            }
        }
    }

    /// Each pause that follows a failed probe is twice the one before, up to the longest.
    fn open(&mut self, rules: &Rules, now_ms: u64) {
        let doubled = rules.open_ms.saturating_mul(1_u64.checked_shl(self.opened).unwrap_or(u64::MAX));
        self.opened = self.opened.saturating_add(1);
        self.enter(Phase::Open { until_ms: now_ms.saturating_add(doubled.min(rules.open_max_ms)) });
    }

    /// Is its pause over? True: it is half-open from now on.
    pub(super) fn poll(&mut self, now_ms: u64) -> bool {
        let is_over = matches!(self.phase, Phase::Open { until_ms } if until_ms <= now_ms);
        if is_over {
            self.enter(Phase::HalfOpen);
        }
        is_over
    }

    fn enter(&mut self, phase: Phase) {
        *self = Circuit { phase, era: self.era.wrapping_add(1), opened: self.opened, ..Circuit::new() };
    }
}
