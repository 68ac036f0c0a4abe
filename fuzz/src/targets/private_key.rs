//! Private keys that operators bring.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use muster::ca::{AuthorityChain, ImportedKey, Issuer};
use muster::id::{Id as _, SigningCertificateId};

use super::chosen_by;
use crate::{authority, der};

/// By the first byte.
const LABELS: [&str; 4] = ["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY"];

/// DER behind a byte that says what the PEM block calls it.
///
/// Holds: a key that is said to belong to a CA is one that it loads with; what is refused says nothing of the key.
pub fn run(bytes: &[u8]) {
    let (choice, rest) = chosen_by(bytes);
    let label = LABELS[usize::from(choice) % LABELS.len()];
    let text = format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(rest));
    match ImportedKey::from_pem(&text) {
        Ok(key) => {
            let root = &authority::get().root;
            let chain = AuthorityChain::new(root, &[]).expect("a CA");
            if let Ok(pkcs8) = chain.private_key(&key) {
                Issuer::new(SigningCertificateId::from_raw(9), root, &[], &pkcs8, 86_400).expect("an issuer");
            }
        }
        Err(error) => assert!(error.to_string().len() <= 256, "{error}"),
    }
}

/// None of them guards anything: their secrets are one byte over and over.
pub fn seeds() -> Vec<Vec<u8>> {
    let scalar = |bytes: usize| der::element(4, &vec![0x11; bytes]);
    let p256 = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    let ec_public_key = [0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    let sec1 = der::sequence(&[&[2, 1, 1], &scalar(32), &der::element(0xa0, &p256)]);
    let pkcs8 = der::sequence(&[&[2, 1, 0], &der::sequence(&[&ec_public_key, &p256]), &der::element(4, &sec1)]);
    let rsa =
        der::sequence(&[&[2, 1, 0], &der::element(2, &[0x7f; 256]), &[2, 3, 1, 0, 1], &der::element(2, &[0x11; 256])]);
    let of = |choice: u8, der: &[u8]| [&[choice], der].concat();
    vec![of(0, &authority::get().root_key), of(0, &pkcs8), of(1, &sec1), of(2, &rsa), of(3, b"x")]
}
