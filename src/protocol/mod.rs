//! Messages of the enrollment endpoint, as both sides read and write them.
//!
//! Only shapes and limits; what a request leads to is decided in `enrollment`.

pub mod enroll;
pub mod problem;
pub mod renew;
