//! The queue in front of the embedded store's writer.

#[path = "../../../../src/store/embedded/queue.rs"]
#[allow(dead_code, reason = "the writer uses more of it")]
mod queue;

pub mod queue_model;
