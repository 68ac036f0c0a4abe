//! Tries how threads may meet in what keeps Muster's queues honest: `src/enrollment/turns.rs`, `src/enrollment/freshness.rs`,
//! `src/store/jobs.rs` with `src/store/embedded/queue.rs`, and `src/server/listener/gate.rs`. These files are compiled
//! as they are. Only what they stand on is another: tokio, dashmap and `crate::sync` are shuttle's, which runs all
//! threads on one and chooses at each lock, each await and each wake-up who goes on; and of the rooms that they import
//! there is here what they name of them.
//!
//! `cargo run --manifest-path model/Cargo.toml -- 20000` tries so many schedules of each model, half of them at random,
//! half by probabilistic concurrency testing with three changes of priority (PCT). A schedule that fails is printed, and
//! how to repeat it. What this shows and what not: docs/proof.md.

// What `queue.rs` names of it stands below.
extern crate self as rusqlite;

mod domain;
mod index;

#[path = "../../src/id.rs"]
#[allow(dead_code, reason = "the service uses more of it")]
mod id;

#[allow(unused_imports, reason = "each file takes what it needs")]
mod sync {
    pub use shuttle::sync::atomic::{AtomicU32, AtomicUsize};
    pub use shuttle::sync::{Condvar, Mutex, MutexGuard, PoisonError};
}

mod enrollment;
mod server;
mod store;

use std::time::Instant;

/// Of a schedule by probabilistic concurrency testing.
const PRIORITY_CHANGES: usize = 3;

/// What `queue.rs` hands to those who write; nobody does here.
pub struct Connection;

pub type Result<T> = std::result::Result<T, store::StoreError>;

type Model = (&'static str, fn());

const MODELS: [Model; 7] = [
    ("one turn per device", enrollment::turns_model::one_turn_per_device),
    ("no more seats than uses are left", enrollment::turns_model::no_more_seats_than_uses_are_left),
    ("a failed use is another's", enrollment::turns_model::a_failed_use_is_anothers),
    ("a look begins after it was asked for", enrollment::freshness_model::a_look_begins_after_it_was_asked_for),
    ("answers of a batch find their requests", store::embedded::queue_model::answers_find_their_requests),
    ("a full batch wakes the writer", store::embedded::queue_model::a_full_batch_wakes_the_writer),
    ("everybody at the gate is let in", server::gate_model::everybody_is_let_in),
];

fn main() {
    let mut given = std::env::args().skip(1);
    let schedules = given.next().map_or(2_000, |text| text.parse().expect("a number of schedules"));
    let only = given.next().unwrap_or_default();
    for (name, model) in MODELS.into_iter().filter(|(name, _)| name.contains(&only)) {
        let began = Instant::now();
        shuttle::check_random(model, schedules / 2);
        shuttle::check_pct(model, schedules / 2, PRIORITY_CHANGES);
        println!("{name}: {schedules} schedules in {:.1?}", began.elapsed());
    }
}
