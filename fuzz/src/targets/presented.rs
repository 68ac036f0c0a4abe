//! Client certificates as strangers show them.

use muster::ca::{PresentedCertificate, SigningAuthority};
use muster::id::{ComponentId, Id as _};
use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::chosen_by;
use crate::{authority, der};

/// An odd first byte: the rest is what a CA signs, and gets a signature of the CA's key.
///
/// Holds: what is read is what stands there, and never that of a CA; a certificate is traced to the CA exactly if it names it
/// and its signature verifies, by x509-parser and ring.
pub fn run(bytes: &[u8]) {
    let authority = authority::get();
    let (choice, rest) = chosen_by(bytes);
    let shown = if choice & 1 == 1 { authority.certificate_of(rest) } else { rest.to_vec() };
    let Ok(presented) = PresentedCertificate::parse(&shown) else { return };
    assert_eq!(presented.der(), shown);
    let (rest, theirs) = X509Certificate::from_der(&shown).expect("a certificate");
    assert_eq!(rest, b"");
    assert!(!theirs.is_ca());
    assert_eq!(theirs.raw_serial(), presented.serial().as_bytes());
    let common_name = theirs.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    assert_eq!(common_name, Some(presented.component_id().to_string().as_str()));
    assert!(presented.component_id() != ComponentId::from_raw(0));

    let maker = SigningAuthority::parse(&authority.root).expect("a CA");
    let (_, root) = X509Certificate::from_der(&authority.root).expect("a CA");
    let is_named = theirs.issuer().as_raw() == root.subject().as_raw();
    let verifies = theirs.verify_signature(Some(root.public_key())).is_ok();
    assert_eq!(maker.has_signed(&presented), is_named && verifies);
    // A second reader, which is in the path of every handshake.
    let _ = webpki::EndEntityCert::try_from(&CertificateDer::from(&*shown));
}

pub fn seeds() -> Vec<Vec<u8>> {
    let authority = authority::get();
    vec![[&[0], &*authority.leaf].concat(), [&[1], der::first_inside(&authority.leaf)].concat()]
}
