//! The device's side of enrollment, and the caller of the management API.
//!
//! Nothing here prints, asks or reads the environment: `cli` (and later the agent) hands values in and
//! turns [`enroll::Event`]s into console lines.

pub mod api;
pub mod enroll;
pub mod files;
pub mod fingerprint;
pub mod http;
pub mod load;
pub mod state;
#[cfg(test)]
mod test_door;
pub mod tls;
