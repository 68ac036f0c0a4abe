//! What an operator brings: a CA, and a certificate of it for a server.

use std::fs;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// A CA, and TLS files for `localhost` and `127.0.0.1` below it.
pub struct Pki {
    pub anchor_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Pki {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::new(vec![]).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let anchor_pem = ca.self_signed(&key).unwrap().pem();
        Self { anchor_pem, issuer: Issuer::new(ca, key) }
    }

    /// Writes `chain.pem` and `key.pem`. The new leaf in DER.
    pub fn write(&self, directory: &Path) -> Vec<u8> {
        let key = KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        fs::write(directory.join("chain.pem"), format!("{}{}", leaf.pem(), self.anchor_pem)).unwrap();
        fs::write(directory.join("key.pem"), key.serialize_pem()).unwrap();
        leaf.der().to_vec()
    }
}
