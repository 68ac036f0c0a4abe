//! Several nodes, one store, and everything that can go wrong between them, on one thread and in simulated time, so that a
//! seed tells all of it. The nodes are the product's own: enrollment service, memory, turns, management. What it
//! covers, and what not: docs/proof.md.
//!
//! `SIMULATION_SEEDS=5000 cargo test --test simulation` tries more seeds, from `SIMULATION_FIRST` on;
//! `SIMULATION_SEED=7` repeats one.

mod actors;
mod broken;
mod dice;
mod flag;
mod link;
mod run;
mod truth;

#[path = "../it/support"]
#[expect(dead_code, reason = "the tests' support, which they use more of")]
mod support {
    pub mod store_behind;
    pub mod world;
}

use std::time::Instant;

use crate::broken::Broken;
use crate::run::run;
use crate::truth::Counts;

/// Seeds in the short form.
const SEEDS: u64 = 60;

/// Within so many seeds each broken store must be found out.
const FOUND_WITHIN: u64 = 200;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn whatever_happens_between_nodes_the_count_is_exact() {
    let (first, seeds) = match number("SIMULATION_SEED") {
        Some(seed) => (seed, 1),
        None => (number("SIMULATION_FIRST").unwrap_or(1), number("SIMULATION_SEEDS").unwrap_or(SEEDS)),
    };
    let began = Instant::now();
    let mut all = Counts::default();
    for seed in first..first + seeds {
        match run(seed, None) {
            Ok(report) => all += report.counts,
            Err(violations) => panic!(
                "seed {seed}:\n{}\n`SIMULATION_SEED={seed} cargo test --test simulation whatever` repeats it",
                violations.join("\n")
            ),
        }
    }
    println!("{seeds} seeds from {first} on in {:.0?}: {all:?}", began.elapsed());
}

#[test]
fn a_seed_tells_all_of_a_run() {
    for seed in [3, 4] {
        let [once, again] = [(); 2].map(|()| run(seed, None).expect("nothing is wrong").trace);
        let parted = once.iter().zip(&again).find(|(once, again)| once != again);
        assert!(parted.is_none(), "seed {seed} ran differently the second time: {parted:?}");
        assert_eq!(once.len(), again.len());
    }
}

#[test]
fn a_store_that_breaks_a_promise_is_found_out() {
    for broken in Broken::ALL {
        let found = (1..=FOUND_WITHIN).find_map(|seed| run(seed, Some(broken)).err().map(|found| (seed, found)));
        let (seed, violations) =
            found.unwrap_or_else(|| panic!("{broken:?} was not found within {FOUND_WITHIN} seeds"));
        println!("{broken:?}: seed {seed}: {}", violations[0]);
    }
}
