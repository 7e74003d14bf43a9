//! A whole guard: nobody is lost, nobody overtakes, nothing goes where there is no room.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

#[derive(Debug, Clone, Copy)]
enum Op {
    LineUp(usize, Turn),
    Pick,
    End(usize, Outcome),
    Pass(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let turn = prop_oneof![Just(Turn::First), Just(Turn::Retry), Just(Turn::Again)];
    let outcome = prop_oneof![Just(Outcome::Failure), Just(Outcome::Success), Just(Outcome::Neither)];
    prop_oneof![
        3 => (0_usize..3, turn).prop_map(|(class, turn)| Op::LineUp(class, turn)),
        3 => Just(Op::Pick),
        2 => (0_usize..100, outcome).prop_map(|(which, outcome)| Op::End(which, outcome)),
        1 => (0_u64..300).prop_map(Op::Pass),
    ]
}

const NAMES: [&str; 3] = ["a", "b", "c"];

/// A guard and what is known of it from outside.
struct World {
    guard: Guard,
    now: u64,
    classes: Vec<u32>,
    /// By class and by whether they are retries: who waits.
    lines: BTreeMap<(usize, bool), VecDeque<u32>>,
    ready: BTreeSet<u32>,
    out: Vec<(usize, Pick)>,
    next: u32,
}

impl World {
    fn new(budget: Option<RetryBudget>, breaker: Option<Breaker>) -> Self {
        let mut guard = Guard::new(budget.as_ref(), breaker.as_ref()).unwrap();
        let classes = NAMES.map(|name| guard.class(name)).to_vec();
        World { guard, now: 0, classes, lines: BTreeMap::new(), ready: BTreeSet::new(), out: Vec::new(), next: 0 }
    }

    /// What the hub does whenever it lets go of its lock.
    fn heed(&mut self) {
        self.guard.turn_to(self.now);
        while let Some(key) = self.guard.promote(self.now) {
            assert!(self.ready.insert(key), "called ready twice");
        }
        let next = self.guard.next_ms(self.now);
        assert!(next.is_none_or(|next| next > self.now), "the same moment again and again");
        self.guard.take_told(true);
    }

    fn line_up(&mut self, class: usize, turn: Turn) {
        self.lines.entry((class, turn == Turn::Retry)).or_default().push_back(self.next);
        self.guard.line_up(self.classes[class], self.next, turn);
        self.next += 1;
    }

    fn state(&self, class: usize) -> BreakerState {
        self.guard.state(NAMES[class], self.now)
    }

    fn pick(&mut self) -> bool {
        let may_go = self.guard.may_go(self.now);
        let pick = self.guard.pick(self.now);
        assert_eq!(pick.is_some(), may_go, "it says beforehand whether there is somebody");
        let Some(pick) = pick else { return false };
        let (&(class, is_retry), line) =
            self.lines.iter_mut().find(|(_, line)| line.front() == Some(&pick.key)).expect("the first of a line");
        line.pop_front();
        assert_eq!(self.ready.remove(&pick.key), is_retry, "a retry is called ready first");
        match self.state(class) {
            BreakerState::Closed => {}
            BreakerState::HalfOpen => {
                let era = pick.era;
                assert!(self.out.iter().all(|(other, out)| *other != class || out.era != era), "one probe at a time");
            }
            BreakerState::Open { .. } => panic!("handed out while it is open"),
        }
        self.out.push((class, pick));
        true
    }

    fn end(&mut self, which: usize, outcome: Outcome) {
        if !self.out.is_empty() {
            let (class, pick) = self.out.swap_remove(which % self.out.len());
            self.guard.end(self.classes[class], pick.era, outcome, self.now);
        }
    }
}

proptest! {
    #[test]
    fn nobody_is_lost_and_nobody_overtakes(
        budgeted in any::<bool>(),
        broken in any::<bool>(),
        ops in proptest::collection::vec(op(), 1..300),
    ) {
        let budget = RetryBudget::percent(20.0).floor_per_second(10.0).window(ms(300));
        let breaker = Breaker::new().consecutive_failures(2).open_for(ms(100)).open_for_max(ms(300)).probes(2);
        let mut world = World::new((budgeted || !broken).then_some(budget), broken.then_some(breaker));
        for op in ops {
            match op {
                Op::LineUp(class, turn) => world.line_up(class, turn),
                Op::Pick => {
                    world.pick();
                }
                Op::End(which, outcome) => world.end(which, outcome),
                Op::Pass(by) => world.now += by,
            }
            world.heed();
        }
        // From now on all goes well, and nobody does anything but what the guard says.
        for round in 0.. {
            prop_assert!(round < 10_000, "somebody waits for ever: {:?}", world.lines);
            world.heed();
            if world.pick() || !world.out.is_empty() {
                world.end(0, Outcome::Success);
            } else if world.lines.values().all(VecDeque::is_empty) {
                break;
            } else {
                world.now = world.guard.next_ms(world.now).expect("somebody waits, so something is to come");
            }
        }
    }
}

#[test]
fn classes_are_remembered_while_something_is_left_of_them() {
    let breaker = Breaker::new().consecutive_failures(1).open_for(ms(10));
    let mut guard = Guard::new(None, Some(&breaker)).unwrap();
    let kept = guard.class("kept");
    guard.count(kept, true);
    for name in 0..10_000 {
        guard.class(&name.to_string());
    }
    assert_eq!(guard.class("kept"), kept);
    assert_eq!(guard.class(""), CLASSLESS);

    // Open ones are remembered until their pause is over, and told of when they are forgotten.
    let mut guard = Guard::new(None, Some(&breaker)).unwrap();
    for now in 0..20_000 {
        guard.turn_to(now);
        let class = guard.class(&now.to_string());
        guard.line_up(class, 0, Turn::First);
        let pick = guard.pick_of(class, now).unwrap();
        guard.end(class, pick.era, Outcome::Failure, now);
    }
    let told = guard.take_told(true);
    let closed = told.iter().filter(|told| told.state == BreakerState::Closed).count();
    assert!(guard.opened() < 3_000, "{} are remembered", guard.opened());
    assert_eq!(closed as u64 + guard.opened(), 20_000);
}

#[test]
fn a_guard_of_nothing_is_none() {
    assert!(Guard::new(None, None).is_none());
}
