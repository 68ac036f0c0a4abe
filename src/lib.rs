//! Muster: devices present a provisioning key, Muster signs their certificate.
//!
//! The rooms and what may import what are mapped in `ARCHITECTURE.md`; `tests/it/architecture.rs`
//! holds the map to the source.

pub mod app;
pub mod auth;
pub mod ca;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod domain;
pub mod enrollment;
pub mod files;
pub mod id;
pub mod index;
pub mod management;
pub mod metrics;
pub mod protocol;
pub mod secret;
pub mod server;
pub mod store;
pub mod sync;
pub mod telemetry;
pub mod tls_provider;
pub mod webhooks;
