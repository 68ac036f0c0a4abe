//! One file of the room `server`, and what is tried with it.

#[path = "../../../src/server/listener/gate.rs"]
#[allow(dead_code, reason = "the listener uses more of it")]
mod gate;

pub mod gate_model;
