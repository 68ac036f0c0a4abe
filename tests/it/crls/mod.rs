//! CRLs as those get them who rely on component certificates: fetched from the enrollment listener, judged by openssl
//! and by rustls.

mod door;
mod many;
mod openssl;
mod publication;
mod publisher;
pub mod support;
mod tls;
