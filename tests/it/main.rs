//! Tests through the front: real processes, real TLS, verifiers that are not ours. Each module says
//! what it holds.

mod agent;
mod api;
mod architecture;
mod bad_input;
mod certificates;
mod cli;
mod clients;
mod crls;
mod documents;
mod door;
mod enrollment;
mod faults;
mod nodes;
mod openssl_device;
mod operation;
mod packaging;
mod portal;
mod promises;
mod recovery;
mod renewal;
mod store;
mod storms;
mod support;
mod tls_anchor;
mod webhooks;
