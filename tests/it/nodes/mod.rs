//! Several nodes of one service on one PostgreSQL: real processes, real TLS, and a database that is lost, cut off,
//! slow or full while devices enroll.

mod balancer;
mod beginning;
mod changes;
mod crls;
mod cuts;
mod exact;
mod false_keys;
mod memory;
mod outages;
mod peppers;
mod race;
mod restarts;
pub mod support;
mod tls_anchor;
