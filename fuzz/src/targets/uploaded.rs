//! Signing certificates as operators upload them: the CA and what stands above it.

use muster::ca::{
    AuthorityChain, CertificateDescription, CertificatesError, Issuer, Profile, certificate_pem, certificates_of_pem,
    try_out,
};
use muster::clock::Timestamp;
use muster::id::{Id as _, SigningCertificateId};
use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::{chosen_by, in_pieces, pieces};
use crate::{allocation, authority, der};

/// What is told of a certificate, for each byte of it: names are written with escapes, bytes as hex.
const TOLD_PER_BYTE: usize = 256;

/// Certificates in pieces. An odd first byte: each piece is what a CA signs, and gets the signature of a root's key.
///
/// Holds: a chain that is taken is one of CAs that may sign, by x509-parser; it is kept as it came, and succeeds itself; one
/// that loads with the CA's key and passes the trial, as each must that is uploaded, is of anchors for rustls-webpki; telling people of a certificate costs a bounded multiple of it.
pub fn run(bytes: &[u8]) {
    let authority = authority::get();
    let (choice, rest) = chosen_by(bytes);
    let signed = |piece: &&[u8]| if choice & 1 == 1 { authority.certificate_of(piece) } else { piece.to_vec() };
    let uploaded: Vec<Vec<u8>> = pieces(rest).iter().map(signed).collect();
    let text: String = uploaded.iter().map(|der| certificate_pem(der)).collect();
    let certificates = match certificates_of_pem(&text) {
        Ok(certificates) => certificates,
        Err(CertificatesError::Empty) => return assert_eq!(uploaded.len(), 0),
        Err(CertificatesError::TooMany { found }) => return assert!(found == uploaded.len() && found > 10),
        Err(error) => panic!("{error}: {text}"),
    };
    assert_eq!(certificates, uploaded);
    for der in &certificates {
        let (_, allocated) = allocation::of(|| CertificateDescription::read(der));
        assert!(allocated <= TOLD_PER_BYTE * der.len() + 65_536, "{allocated} bytes for {}", der.len());
    }
    let (first, above) = certificates.split_first().expect("not empty");
    let Ok(chain) = AuthorityChain::new(first, above) else { return };
    assert_eq!((chain.certificate(), chain.above()), (&**first, above.to_vec()));
    assert!(chain.succeeds(first));
    for der in &certificates {
        let (rest, theirs) = X509Certificate::from_der(der).expect("a certificate");
        assert_eq!(rest, b"");
        assert!(
            theirs.is_ca()
                && theirs.key_usage().is_ok_and(|usage| usage.is_none_or(|usage| usage.value.key_cert_sign()))
        );
        let (from, to) = (theirs.validity().not_before.timestamp(), theirs.validity().not_after.timestamp());
        assert!(chain.not_before().unix_seconds() >= from && chain.not_after().unix_seconds() <= to);
    }
    let Ok(issuer) = Issuer::new(SigningCertificateId::from_raw(9), first, above, &authority.root_key, 86_400) else {
        return;
    };
    let profile = Profile { trust_domain: "example.com".into(), dns_suffix: None, svid_eku: false, public_url: None };
    let now =
        Timestamp::from_unix_seconds(chain.not_before().unix_seconds() / 2 + chain.not_after().unix_seconds() / 2);
    if try_out(&issuer, &profile, now).is_ok() {
        assert!(issuer.is_available(now));
        for der in &certificates {
            webpki::anchor_from_trusted_cert(&CertificateDer::from(&**der)).expect("an anchor");
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let authority = authority::get();
    let with = |choice: u8, pieces: &[&[u8]]| [&[choice], &*in_pieces(pieces)].concat();
    vec![
        with(0, &[&authority.root]),
        with(0, &[&authority.leaf, &authority.root]),
        with(1, &[der::first_inside(&authority.root)]),
        with(1, &[der::first_inside(&authority.root), der::first_inside(&authority.root)]),
    ]
}
