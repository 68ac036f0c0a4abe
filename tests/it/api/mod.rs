//! The management API of the real binary, as public clients call it: what the wire carries, and what a
//! change does to the very next enrollment.

mod access;
mod administrators;
mod api_clients;
mod audit;
mod components;
mod customers;
mod enrollment;
mod keys;
mod must;
mod openapi;
pub mod signing_certificates;
pub mod support;
mod wire;
