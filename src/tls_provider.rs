//! Whose cryptography TLS runs on: `ring`, or `aws-lc-rs` in a build with the feature of that name. This is
//! the only place that knows which. Why both: `docs/decisions/0013-tls-provider.md`.
//!
//! With the feature both crates are linked, since `ring` goes on sealing, digesting and signing certificates.
//! rustls has no default then, and needs none: every listener, client and verifier is given [`provider`].

use std::sync::Arc;

use rustls::SupportedCipherSuite;
#[cfg(feature = "aws-lc-rs")]
use rustls::crypto::aws_lc_rs as chosen;
#[cfg(not(feature = "aws-lc-rs"))]
use rustls::crypto::ring as chosen;
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::sign::SigningKey;
use rustls_pki_types::PrivateKeyDer;

use chosen::{cipher_suite, kx_group};

/// What [`provider`] is made of, as its crate is called.
pub const NAME: &str = if cfg!(feature = "aws-lc-rs") { "aws-lc-rs" } else { "ring" };

/// In order of preference. SHA-256 has instructions on every server CPU; with SHA-384 a handshake costs 12 to
/// 22 µs more.
static CIPHER_SUITES: [SupportedCipherSuite; 9] = [
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// A client of ours prefers them in this order; with the hybrid it sends a share for X25519 alone as well, so that
/// a server without the hybrid asks for no second hello. A server of ours takes the first of the client's own
/// order that is among them: rustls leaves that choice to the client.
static KEY_EXCHANGES: &[&dyn SupportedKxGroup] = &[
    #[cfg(feature = "aws-lc-rs")]
    kx_group::X25519MLKEM768,
    kx_group::X25519,
    kx_group::SECP256R1,
    kx_group::SECP384R1,
];

/// What every TLS configuration, and every check of a certificate's path, is built with.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: CIPHER_SUITES.to_vec(),
        kx_groups: KEY_EXCHANGES.to_vec(),
        ..chosen::default_provider()
    })
}

/// A private key that TLS can prove itself with.
///
/// # Errors
/// When the provider has no use for a key of this kind.
pub fn signing_key(private_key: &PrivateKeyDer<'_>) -> Result<Arc<dyn SigningKey>, rustls::Error> {
    chosen::sign::any_supported_type(private_key)
}

#[cfg(test)]
mod tests {
    use rustls::{CipherSuite, NamedGroup};

    use super::*;

    #[test]
    fn the_cheapest_suite_comes_first() {
        assert_eq!(provider().cipher_suites[0].suite(), CipherSuite::TLS13_AES_128_GCM_SHA256);
    }

    #[test]
    fn the_hybrid_comes_first_and_classical_key_exchanges_stay() {
        let found: Vec<_> = provider().kx_groups.iter().map(|group| group.name()).collect();
        let hybrid: &[_] = if NAME == "ring" { &[] } else { &[NamedGroup::X25519MLKEM768] };
        assert_eq!(found, [hybrid, &[NamedGroup::X25519, NamedGroup::secp256r1, NamedGroup::secp384r1]].concat());
    }
}
