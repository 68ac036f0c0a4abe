//! Tests through the front: real processes, real TLS, verifiers that are not ours. Each module says
//! what it holds.

mod api;
mod architecture;
mod bad_input;
mod certificates;
mod cli;
mod clients;
mod door;
mod enrollment;
mod nodes;
mod openssl_device;
mod operation;
mod portal;
mod promises;
mod store;
mod storms;
mod support;
