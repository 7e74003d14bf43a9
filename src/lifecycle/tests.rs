//! Every cell of the table against an expectation that was written down separately, state by state.

use super::{State, Trigger, next};
use State::*;

const STATES: [State; 9] = [Unsent, Seated, Ready, InFlight, Deciding, Delayed, Dead, Parked, Settled];
const TRIGGERS: [Trigger; 19] = [
    Trigger::HandOver,
    Trigger::Ack,
    Trigger::Fail,
    Trigger::LeaseLost,
    Trigger::Snooze,
    Trigger::Reject,
    Trigger::Refused,
    Trigger::Accepted,
    Trigger::RetryNow,
    Trigger::RetryLater,
    Trigger::ResendLater,
    Trigger::GiveUp,
    Trigger::Park,
    Trigger::Discard,
    Trigger::Due,
    Trigger::Redrive,
    Trigger::RedriveLater,
    Trigger::Purge,
    Trigger::Room,
];

/// What each state allows, and where it leads; everything else is forbidden.
fn allowed(state: State) -> &'static [(Trigger, State)] {
    match state {
        Unsent => &[(Trigger::Accepted, Seated), (Trigger::Refused, Deciding)],
        Ready => &[(Trigger::HandOver, InFlight)],
        InFlight => &[
            (Trigger::Ack, Settled),
            (Trigger::Fail, Deciding),
            (Trigger::LeaseLost, Deciding),
            (Trigger::Reject, Deciding),
            (Trigger::Snooze, Delayed),
        ],
        Deciding => &[
            (Trigger::RetryNow, Ready),
            (Trigger::RetryLater, Delayed),
            (Trigger::ResendLater, Unsent),
            (Trigger::GiveUp, Dead),
            (Trigger::Park, Parked),
            (Trigger::Discard, Settled),
        ],
        Delayed => &[(Trigger::Due, Ready)],
        Dead => &[(Trigger::Redrive, Ready), (Trigger::RedriveLater, Delayed), (Trigger::Purge, Settled)],
        Parked => &[(Trigger::Room, Dead)],
        // What sits in a seat is the ring's; what is settled is nobody's.
        Seated | Settled => &[],
    }
}

#[test]
fn every_cell_leads_where_it_should_or_nowhere() {
    for state in STATES {
        for trigger in TRIGGERS {
            let expected = allowed(state).iter().find(|(on, _)| *on == trigger).map(|(_, to)| *to);
            assert_eq!(next(state, trigger), expected, "{state:?} on {trigger:?}");
        }
    }
}

#[test]
fn every_state_but_the_first_can_be_reached_and_every_state_but_the_last_can_be_left() {
    for state in STATES {
        let is_reached = STATES.iter().any(|from| TRIGGERS.iter().any(|on| next(*from, *on) == Some(state)));
        let is_left = TRIGGERS.iter().any(|on| next(state, *on).is_some());
        // A message enters the ledger in flight (its first delivery failed) or unsent, and leaves it into a seat or settled.
        assert!(is_reached || matches!(state, Unsent | InFlight), "{state:?} is never reached");
        assert!(is_left || matches!(state, Seated | Settled), "{state:?} is never left");
    }
}
