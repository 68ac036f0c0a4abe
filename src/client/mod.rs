//! The device's side of enrollment and renewal, and the caller of the management API.
//!
//! Nothing here prints, asks or reads the environment: `cli` hands values in and turns [`endpoint::Event`]s
//! and [`agent::Event`]s into console lines.

pub mod agent;
pub mod api;
pub mod endpoint;
pub mod enroll;
pub mod fingerprint;
pub mod http;
pub mod load;
pub mod renew;
pub mod state;
#[cfg(test)]
mod test_door;
pub mod tls;
