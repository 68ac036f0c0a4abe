//! Two files of the room `enrollment`, and what is tried with them.

#[path = "../../../src/enrollment/freshness.rs"]
#[allow(dead_code, reason = "what waits by the clock is not tried here")]
mod freshness;
#[path = "../../../src/enrollment/turns.rs"]
mod turns;

pub mod freshness_model;
pub mod turns_model;
