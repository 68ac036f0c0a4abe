//! The doors over real sockets: listener, TLS, PROXY protocol, HTTP and what devices may ask.

mod enroll;
mod listener;
pub mod ops;
mod proxy;
mod support;
mod tls;
