//! The doors over real sockets: listener, TLS, PROXY protocol, HTTP and what devices may ask.

mod enroll;
mod est;
mod listener;
pub mod ops;
mod proxy;
pub mod support;
mod tls;
