//! The locks under what hands out turns, seats and places in a queue. `model/` compiles those files with others in
//! this place, which try how threads may meet.

pub use std::sync::atomic::{AtomicU32, AtomicUsize};
pub use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
