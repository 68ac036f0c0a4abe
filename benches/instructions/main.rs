//! How many instructions the steps of an enrollment take, so that none of them creeps.
//!
//! `cargo bench --profile instructions --bench instructions` counts them and compares with
//! `benches/instructions/recorded.toml`; it fails when one is off by more than its tolerance, in either
//! direction: what became cheaper is recorded, or it could creep back unseen. After a change that is meant,
//! `… -- --record` writes the file anew. `-- --test` runs each step once, uncounted.
//!
//! Method. `valgrind --tool=callgrind` counts instructions in user mode. What `ring` executes is left out: it picks its
//! code by the processor it finds, and is the floor anyway (`benches/ca.rs`). The steps of [`steps`] run some times over
//! after a warm-up, in a process of their own; the figure is the mean. They are counted in the thread that runs them; the
//! store's is counted in its writer, by the function that commits a batch ([`steps::COMMIT`]), since what the writer puts in
//! order when nobody waits comes when it comes.
//!
//! What is counted depends on the compilers, the C library and which vector instructions there are. The file says which it
//! was made with; with others the tolerance is [`recorded::ELSEWHERE`] times as wide.

mod callgrind;
mod connection;
#[path = "../device/mod.rs"]
mod device;
mod recorded;
mod steps;
#[path = "../tenant/mod.rs"]
mod tenant;
#[path = "../../tests/it/support/world.rs"]
#[expect(dead_code, reason = "shared with the tests, which use more of it")]
mod world;

use std::collections::BTreeMap;
use std::process::ExitCode;

use callgrind::Counted;
use recorded::{Recorded, Verdict};
use steps::Counter;

/// The processes that run the steps are told which.
const STEPS: &str = "--steps";
const BATCHES: &str = "--batches";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is = |wanted: &str| arguments.iter().any(|argument| argument == wanted);
    let counter = if is("--test") { Counter::Once } else { Counter::Counted };
    if is(STEPS) || is("--test") {
        steps::run(counter);
    }
    if is(BATCHES) || is("--test") {
        steps::run_batches(counter);
    }
    if is(STEPS) || is(BATCHES) || is("--test") {
        return ExitCode::SUCCESS;
    }
    let found = count();
    if is("--record") {
        Recorded::write(&found);
        return ExitCode::SUCCESS;
    }
    match Recorded::read().compare(&found) {
        Verdict::Unchanged => ExitCode::SUCCESS,
        Verdict::Changed => ExitCode::FAILURE,
    }
}

/// Instructions of each step, by name.
fn count() -> BTreeMap<String, u64> {
    let steps = callgrind::count_steps(STEPS, Counted::Thread);
    let batches = callgrind::count_steps(BATCHES, Counted::CallsOf(steps::COMMIT));
    let mut found: BTreeMap<String, u64> = steps.into_iter().chain(batches).collect();
    // A line costs what the door does more when there is a log.
    let silent = found.remove(steps::DOOR_WITHOUT_LOG).expect("it was counted");
    found.insert("log-line".to_owned(), found[steps::DOOR].saturating_sub(silent));
    found
}
