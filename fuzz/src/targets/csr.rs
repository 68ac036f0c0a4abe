//! CSRs, and what becomes of them in a certificate.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use muster::ca::{Issuer, Profile, Subject, VerifiedCsr, claimed_serial_number, request_pem};
use muster::clock::Timestamp;
use muster::domain::{Fingerprint, Kind};
use muster::id::{ComponentId, CustomerId, Id as _, SigningCertificateId};
use x509_parser::certificate::X509Certificate;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;

use super::{in_pieces, pieces};
use crate::authority;

/// 2026-11-20T16:06:00Z.
const NOW: Timestamp = Timestamp::from_unix_seconds(1_795_190_760);

/// serialNumber, 2.5.4.5.
const SERIAL_NUMBER: &[u8] = &[0x55, 0x04, 0x05];

/// A text as it comes, and DER as a device would send it.
///
/// Holds: PEM and base64 of the same bytes get the same verdict; what is accepted x509-parser reads, too, if it reads such
/// names at all, with the same public key and a signature that ring verifies; the certificate has that key and differs in
/// nothing else from one for a CSR without any wish.
pub fn run_any(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = claimed_serial_number(text);
        if let Ok(csr) = VerifiedCsr::verify(text) {
            assert_clean(&csr);
        }
    }
    if let Some(csr) = verdict(bytes) {
        assert_agreed(bytes, &csr);
        assert_clean(&csr);
    }
}

/// A subject and attributes of any bytes, under a good signature.
///
/// Holds: it is accepted whatever they are, and they find no way into the certificate; the serial number that a device
/// claims is the one that x509-parser finds first.
pub fn run_signed(bytes: &[u8]) {
    let parts = pieces(bytes);
    let (subject, attributes) = (parts.first().copied().unwrap_or_default(), parts.get(1).copied());
    if subject.len() + attributes.map_or(0, <[u8]>::len) > VerifiedCsr::TEXT_BYTES_MAX / 2 {
        return;
    }
    let authority = authority::get();
    let der = authority.request_of(subject, attributes);
    let csr = verdict(&der).expect("a CSR with a good signature");
    assert_eq!(csr.public_key_der(), authority.leaf_public_key());
    assert_agreed(&der, &csr);
    assert_clean(&csr);
}

fn verdict(der: &[u8]) -> Option<VerifiedCsr> {
    let base64 = STANDARD.encode(der);
    if base64.len() > VerifiedCsr::TEXT_BYTES_MAX / 2 {
        return None;
    }
    let (plain, pem) = (VerifiedCsr::verify(&base64), VerifiedCsr::verify(&request_pem(der)));
    if !der.is_empty() {
        assert_eq!(plain.as_ref().err(), pem.as_ref().err());
    }
    plain.ok()
}

fn assert_agreed(der: &[u8], csr: &VerifiedCsr) {
    let claimed = claimed_serial_number(&STANDARD.encode(der));
    // A subject that is no Name it does not read; ours is not read either, and not needed.
    let Ok((rest, theirs)) = X509CertificationRequest::from_der(der) else { return };
    assert_eq!(rest, b"");
    let info = &theirs.certification_request_info;
    let (_, ours) = x509_parser::x509::SubjectPublicKeyInfo::from_der(csr.public_key_der()).expect("a public key");
    assert_eq!(ours.algorithm.algorithm, info.subject_pki.algorithm.algorithm);
    assert_eq!(ours.subject_public_key, info.subject_pki.subject_public_key);
    theirs.verify_signature().expect("ring's verdict");
    let mut attributes = info.subject.iter_attributes();
    let first = attributes.find(|attribute| attribute.attr_type().as_bytes() == SERIAL_NUMBER);
    // Names that run over their frame it reads in part, and others leave out.
    if let (Some(claimed), Some(first)) = (claimed, first) {
        assert_eq!(first.attr_value().data, claimed);
    }
}

/// The certificate that is made for `csr` has its public key, and all else as that of [`Fixture::plain`].
fn assert_clean(csr: &VerifiedCsr) {
    let fixture = fixture();
    let der = fixture.issue(csr);
    let (rest, made) = X509Certificate::from_der(&der).expect("a certificate");
    let (_, plain) = X509Certificate::from_der(&fixture.plain).expect("a certificate");
    assert_eq!(rest, b"");
    assert_eq!(made.public_key().raw, csr.public_key_der());
    assert_eq!((made.version(), made.subject().as_raw()), (plain.version(), plain.subject().as_raw()));
    assert_eq!((made.issuer().as_raw(), made.validity()), (plain.issuer().as_raw(), plain.validity()));
    assert!(made.issuer_uid.is_none() && made.subject_uid.is_none());
    assert_eq!(made.raw_serial().len(), 16);
    assert_eq!(made.extensions().len(), plain.extensions().len());
    for (made, plain) in made.extensions().iter().zip(plain.extensions()) {
        assert_eq!((&made.oid, made.critical), (&plain.oid, plain.critical));
        if made.oid.to_id_string() != "2.5.29.14" {
            assert_eq!(made.value, plain.value, "{}", made.oid);
        }
    }
    made.verify_signature(Some(&fixture.root_public_key())).expect("the signature of the CA");
}

/// An issuer, and a certificate for a CSR that wishes for nothing.
struct Fixture {
    issuer: Issuer,
    profile: Profile,
    fingerprint: Fingerprint,
    plain: Vec<u8>,
}

impl Fixture {
    fn issue(&self, csr: &VerifiedCsr) -> Vec<u8> {
        let subject = Subject {
            customer_id: CustomerId::from_raw(7),
            customer_name: "Acme",
            group_name: "Branch",
            kind: Kind::ServiceEdge,
            component_id: ComponentId::from_raw(authority::COMPONENT),
            fingerprint: &self.fingerprint,
        };
        self.issuer.issue(csr, &subject, &self.profile, NOW).expect("a certificate").der
    }

    fn root_public_key(&self) -> x509_parser::x509::SubjectPublicKeyInfo<'static> {
        let (_, root) = X509Certificate::from_der(&authority::get().root).expect("the root");
        root.tbs_certificate.subject_pki
    }
}

fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let authority = authority::get();
        let id = SigningCertificateId::from_raw(9);
        let mut fixture = Fixture {
            issuer: Issuer::new(id, &authority.root, &[], &authority.root_key, 86_400).expect("an issuer"),
            profile: Profile {
                trust_domain: "example.com".into(),
                dns_suffix: Some("example.com".into()),
                svid_eku: true,
                public_url: Some("https://example.com".into()),
            },
            fingerprint: Fingerprint::new("0123456789abcdef").expect("a fingerprint"),
            plain: Vec::new(),
        };
        let csr = verdict(&authority.request_of(&[], None)).expect("a plain CSR");
        fixture.plain = fixture.issue(&csr);
        fixture
    })
}

pub fn seeds_of_any() -> Vec<Vec<u8>> {
    let authority = authority::get();
    vec![
        authority.request_of(&[], None),
        authority.request_of(&named(SERIAL_NUMBER, 0x13, b"SN-0123456789abcdef"), Some(&[])),
    ]
}

pub fn seeds_of_signed() -> Vec<Vec<u8>> {
    let two_names = [named(&[0x55, 0x04, 0x03], 0x0c, b"72057594037927936"), named(SERIAL_NUMBER, 0x16, b"x")].concat();
    vec![
        in_pieces(&[&[]]),
        in_pieces(&[&named(SERIAL_NUMBER, 0x13, b"SN-0123456789abcdef"), &[]]),
        in_pieces(&[&two_names, &wishes()]),
    ]
}

/// A RelativeDistinguishedName of one attribute.
fn named(oid: &[u8], tag: u8, value: &[u8]) -> Vec<u8> {
    use crate::der::{element, sequence};
    element(0x31, &sequence(&[&element(0x06, oid), &element(tag, value)]))
}

/// An extensionRequest (RFC 2985 §5.4.2) that asks to be a CA and for a DNS name.
fn wishes() -> Vec<u8> {
    use crate::der::{element, sequence};
    let extension = |oid: &[u8], value: &[u8]| sequence(&[&element(0x06, oid), &[1, 1, 0xff], &element(0x04, value)]);
    let authority = extension(&[0x55, 0x1d, 0x13], &sequence(&[&[1, 1, 0xff]]));
    let name = extension(&[0x55, 0x1d, 0x11], &sequence(&[&element(0x82, b"admin.example.com")]));
    let extension_request = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e];
    sequence(&[&element(0x06, &extension_request), &element(0x31, &sequence(&[&authority, &name]))])
}
