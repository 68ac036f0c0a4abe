//! PEM, as certificates and CSRs come in it.

use muster::ca::{CertificatesError, ImportedKey, VerifiedCsr, certificate_pem, certificates_of_pem};
use muster::client::tls::Trust;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::{allocation, authority};

/// Holds: what is read is written and read again as the same; it is no more than stood there; the TLS library, which skips
/// what it does not know, finds the same certificates; no text is PEM of a private key, of a CSR and of certificates at once.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (read, allocated) = allocation::of(|| certificates_of_pem(text));
    assert!(allocated <= 8 * text.len() + 1_024, "{allocated} bytes allocated for {}", text.len());
    match &read {
        Ok(certificates) => {
            assert!((1..=10).contains(&certificates.len()));
            assert!(certificates.iter().map(Vec::len).sum::<usize>() <= text.len());
            let again: String = certificates.iter().map(|der| certificate_pem(der)).collect();
            assert_eq!(certificates_of_pem(&again).as_ref(), Ok(certificates));
            // It is stricter in what stands inside of a block, and no looser.
            let theirs: Result<Vec<CertificateDer<'_>>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
            if let Ok(theirs) = theirs {
                assert!(theirs.iter().all(|der| certificates.iter().any(|ours| ours == der.as_ref())));
            }
        }
        Err(CertificatesError::Label { found }) => assert!(found.chars().count() <= 40),
        Err(_) => {}
    }
    let is_request = VerifiedCsr::verify(text).is_ok();
    let is_key = ImportedKey::from_pem(text).is_ok();
    assert!(usize::from(is_request) + usize::from(is_key) + usize::from(read.is_ok()) <= 1);
    if let Ok(Trust::Anchors(anchors)) = Trust::from_pem(text) {
        assert!(!anchors.is_empty());
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let authority = authority::get();
    let (root, leaf) = (certificate_pem(&authority.root), certificate_pem(&authority.leaf));
    let request = muster::ca::request_pem(&authority.request_of(&[], None));
    [root.clone(), format!("{leaf}\r\n\n{root} "), format!("{root}x"), request].map(String::into_bytes).into()
}
