//! The real service and real devices for the tests: the binary in a process of its own, TLS on
//! loopback, certificates checked by rustls-webpki.

pub mod agent;
pub mod device;
pub mod disk;
pub mod faketime;
pub mod guide;
pub mod network;
pub mod openssl;
pub mod patience;
pub mod pki;
pub mod postgres;
pub mod proxy_protocol;
pub mod random;
pub mod revoked;
pub mod rows;
pub mod service;
pub mod shared_store;
pub mod store_behind;
pub mod storm;
pub mod tools;
pub mod wire;
#[expect(dead_code, reason = "the simulation packs worlds, too")]
pub mod world;

pub use device::{Answer, Device, Endpoint};
pub use openssl::Openssl;
pub use patience::{eventually, patiently};
pub use pki::Pki;
pub use random::Random;
pub use service::Service;
