//! Tests through the front: real processes, real TLS, verifiers that are not ours. Each module says
//! what it holds.

mod certificates;
