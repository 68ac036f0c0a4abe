//! The doors: the only rooms that know HTTP and TLS sockets.
//!
//! [`listener`] accepts and bounds connections, [`tls`] makes them private, [`http`] is what the
//! doors share, and behind it stands one [`http::Handler`] per listener: [`enroll`] for devices,
//! [`admin`] for administrators,
//! which is [`portal`] for people and [`api`] for programs, [`ops`] for whoever watches the service.

pub mod admin;
pub mod api;
pub mod enroll;
mod final_flight;
pub mod health;
pub mod http;
pub mod listener;
pub mod ops;
pub mod portal;
pub mod proxy_protocol;
mod shares;
pub mod tls;
