//! A randomized model test of the whole request path, over the real fold. Clients retry after a 429, clocks of the
//! ingests are skewed, the queue reorders messages, workers crash before the commit, after it and after the reply, and
//! replies are late or lost. The resource is a user who is archived and restored, or the members of a group. Some
//! commands are asynchronous. Identical requests occur within the hour in which retries are expected, and after it.
//!
//! Every history must be linearizable. With any one rule disabled, a violation must be found; this proves that the test
//! checks that rule.

#![expect(clippy::unwrap_used, reason = "a broken model may panic")]

mod checker;
mod database;
mod history;
mod world;

use std::ops::Range;

use rand::SeedableRng;
use rand::rngs::StdRng;
use world::{Rule, World};

/// The first of these seeds whose history is a violation, if there is one.
fn violations(without: Option<Rule>, seeds: Range<u64>) -> Vec<u64> {
    let violated = |seed: &u64| {
        let world = World::play(StdRng::seed_from_u64(*seed), without);
        !checker::is_linearizable(&world.history, world.begun)
    };
    seeds.filter(violated).take(1).collect()
}

#[test]
fn every_history_is_linearizable() {
    let violated: Vec<u64> = std::thread::scope(|scope| {
        let halves = [0..20_000, 20_000..40_000].map(|seeds| scope.spawn(|| violations(None, seeds)));
        halves.into_iter().flat_map(|half| half.join().unwrap()).collect()
    });
    for seed in &violated {
        let world = World::play(StdRng::seed_from_u64(*seed), None);
        world.history.iter().for_each(|call| println!("{call:?}"));
    }
    assert_eq!(violated, [] as [u64; 0], "seeds of histories that are not linearizable");
}

#[test]
fn without_a_rule_a_violation_is_found() {
    let rules = [
        Rule::Tickets,
        Rule::StoredVerdicts,
        Rule::Truth,
        Rule::Active,
        Rule::Hour,
        Rule::Answered,
        Rule::CommitFirst,
        Rule::Receipts,
        Rule::ReadFirst,
    ];
    for rule in rules {
        let found = violations(Some(rule), 0..20_000);
        println!("without {rule:?} the first violation is history {:?}", found.first());
        assert!(!found.is_empty(), "no violation without {rule:?}");
    }
}
