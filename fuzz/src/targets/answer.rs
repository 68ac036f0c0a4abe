//! What a device is answered: by the service, or by whoever stands in its place.

use muster::client::endpoint::verify;
use muster::client::state::Record;
use muster::clock::Timestamp;
use muster::protocol::enroll::EnrollResponse;
use muster::protocol::problem::Problem;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use crate::authority;

/// Holds: an answer is written as it was read; one that is taken has a certificate for the device's own key, and one that
/// is for another key never is; the record that is kept of it is read again as the same.
pub fn run(bytes: &[u8]) {
    let _ = serde_json::from_slice::<Problem>(bytes);
    let Ok(answer) = serde_json::from_slice::<EnrollResponse>(bytes) else { return };
    let written = serde_json::to_vec(&answer).expect("texts serialize");
    assert_eq!(serde_json::from_slice::<EnrollResponse>(&written).ok().as_ref(), Some(&answer));
    let now = Timestamp::from_unix_seconds(1_795_190_760);
    let record = Record::of(&answer, "localhost:8443", "0123456789abcdef", now);
    let kept = serde_json::to_string(&record).expect("texts serialize");
    assert_eq!(serde_json::from_str::<Record>(&kept).ok(), Some(record));

    let own = authority::get().leaf_public_key();
    assert!(verify(&answer, b"another key").is_err());
    if verify(&answer, own).is_ok() {
        let leaf = CertificateDer::from_pem_slice(answer.certificate.as_bytes()).expect("a certificate");
        let (_, leaf) = X509Certificate::from_der(&leaf).expect("a certificate");
        assert_eq!(leaf.public_key().raw, own);
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let authority = authority::get();
    let pem = |der: &[u8]| muster::ca::certificate_pem(der);
    let of = |outcome: &str, certificate: &[u8], anchor: &[u8]| {
        serde_json::json!({
            "outcome": outcome, "componentId": "72057594037927999", "componentName": "probe-1", "kind": "machine",
            "customerId": "7", "groupId": "8", "groupName": "Branch", "certificate": pem(certificate), "chain": "",
            "trustAnchors": pem(anchor), "serverTrustAnchors": pem(anchor),
            "serialNumber": "07070707070707070707070707070707", "notBefore": "2020-01-01T00:00:00Z",
            "notAfter": "2049-12-31T00:00:00Z", "renewAfter": "2040-01-01T00:00:00Z", "serverTime": "2026-11-20T16:06:00Z",
        })
    };
    let all = [
        of("enrolled", &authority.leaf, &authority.root),
        of("replayed", &authority.leaf, &authority.root),
        of("enrolled", &authority.root, &authority.leaf),
    ];
    all.iter().map(|answer| answer.to_string().into_bytes()).collect()
}
