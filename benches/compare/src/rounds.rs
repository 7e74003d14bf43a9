//! Interleaved rounds: A B C, then C B A, then A B C again, with a probe of the distance between any two passes.
//!
//! Going back and forth cancels a machine that slowly warms up or cools down. What a pair of passes of the same round is
//! worth is decided by the four probes around them.

use crate::probe::Probe;

pub struct Plan {
    /// Near rounds that every pair (first contender, other contender) should get.
    pub wanted: usize,
    /// Rounds after which it ends anyway.
    pub tries: usize,
}

/// What one contender did in one round.
pub struct Pass<V> {
    pub value: V,
    pub near: bool,
}

/// Runs `contenders` passes a round, the first of them being the one that the others are compared with. With `probe` as
/// `None` distance plays no part and every round counts.
pub fn interleave<V>(
    contenders: usize,
    plan: &Plan,
    probe: Option<&Probe>,
    mut pass: impl FnMut(usize) -> V,
) -> Vec<Vec<Pass<V>>> {
    let is_near = |reading: Option<f64>| probe.is_none_or(|p| reading.is_some_and(|ns| p.is_near(ns)));
    let measure = || probe.map(Probe::measure);
    let mut rounds: Vec<Vec<Pass<V>>> = Vec::new();
    while rounds.len() < plan.tries && (1..contenders).any(|i| near_rounds(&rounds, i) < plan.wanted) {
        let mut order: Vec<usize> = (0..contenders).collect();
        if rounds.len() % 2 == 1 {
            order.reverse();
        }
        let mut before = measure();
        let mut round: Vec<(usize, Pass<V>)> = Vec::with_capacity(contenders);
        for i in order {
            let value = pass(i);
            let after = measure();
            round.push((i, Pass { value, near: is_near(before) && is_near(after) }));
            before = after;
        }
        round.sort_by_key(|(i, _)| *i);
        rounds.push(round.into_iter().map(|(_, pass)| pass).collect());
    }
    rounds
}

fn near_rounds<V>(rounds: &[Vec<Pass<V>>], contender: usize) -> usize {
    rounds.iter().filter(|round| round[0].near && round[contender].near).count()
}
