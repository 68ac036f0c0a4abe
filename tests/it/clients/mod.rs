//! The clients that exist already manage the real binary over TLS, unchanged but for the address. The Python
//! ones run; Terraform, which has no setting for an address, is played here byte for byte. EST clients enroll there.

mod est;
mod go;
mod python;
mod terraform;
