//! CRLs that are made from rows: what we write must be what others read.

use std::sync::OnceLock;

use muster::ca::Issuer;
use muster::clock::Timestamp;
use muster::domain::revocation::{CrlHead, CrlNumber, RevokedCertificate};
use muster::domain::{RevocationReason, SerialNumber};
use muster::id::{CustomerId, Id as _, SigningCertificateId};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::authority;

/// Of an entry: serial 16, reason 1, seconds after 1970 5.
const ENTRY_BYTES: usize = 22;

/// The number in 8 bytes, two instants in 5 each, then entries.
///
/// Holds: x509-parser reads every CRL to its end, finds the same number, instants and entries, and ring verifies it.
pub fn run(bytes: &[u8]) {
    let Some((head, rest)) = bytes.split_first_chunk::<18>() else { return };
    let issuer = issuer();
    let entries: Vec<RevokedCertificate> = rest.chunks_exact(ENTRY_BYTES).map(entry).collect();
    let head = CrlHead {
        customer_id: CustomerId::from_raw(7),
        signing_certificate_id: issuer.id(),
        number: CrlNumber(u64::from_be_bytes(*head.first_chunk().expect("8 bytes"))),
        this_update: instant(&head[8..13]),
        next_update: instant(&head[13..]),
        entries: entries.len() as u64,
    };
    let der = issuer.sign_crl(&head, &entries).expect("a CRL");
    let (rest, theirs) = CertificateRevocationList::from_der(&der).expect("a CRL");
    assert_eq!(rest, b"");
    assert_eq!(theirs.crl_number().map(ToString::to_string), Some(head.number.0.to_string()));
    assert_eq!(theirs.last_update().timestamp(), head.this_update.unix_seconds());
    assert_eq!(theirs.next_update().map(|at| at.timestamp()), Some(head.next_update.unix_seconds()));
    let found: Vec<_> = theirs.iter_revoked_certificates().collect();
    assert_eq!(found.len(), entries.len());
    for (found, entry) in found.iter().zip(&entries) {
        assert_eq!(found.raw_serial(), entry.serial.as_bytes());
        assert_eq!(found.revocation_date.timestamp(), entry.at.unix_seconds());
        assert_eq!(found.reason_code().map_or(0, |(_, reason)| reason.0), entry.reason.code());
    }
    let (_, root) = X509Certificate::from_der(&authority::get().root).expect("a CA");
    theirs.verify_signature(root.public_key()).expect("ring's verdict");
}

fn entry(bytes: &[u8]) -> RevokedCertificate {
    // As they are made: positive, and of 16 octets in their shortest form.
    let mut serial: [u8; 16] = *bytes.first_chunk().expect("16 bytes");
    serial[0] = serial[0] & 0x7f | 1;
    let reason = RevocationReason::from_code(bytes[16] % 10).unwrap_or_default();
    RevokedCertificate { serial: SerialNumber::from_bytes(serial), at: instant(&bytes[17..]), reason }
}

/// 1970 to 9999.
fn instant(bytes: &[u8]) -> Timestamp {
    Timestamp::from_unix_seconds(bytes.iter().fold(0, |seconds, byte| seconds << 8 | i64::from(*byte)))
}

fn issuer() -> &'static Issuer {
    static ISSUER: OnceLock<Issuer> = OnceLock::new();
    ISSUER.get_or_init(|| {
        let authority = authority::get();
        let id = SigningCertificateId::from_raw(9);
        Issuer::new(id, &authority.root, &[], &authority.root_key, 86_400).expect("an issuer")
    })
}

pub fn seeds() -> Vec<Vec<u8>> {
    let head = [&1_795_190_760_000_u64.to_be_bytes()[..], &[0, 0x6b, 0, 0, 0], &[0, 0x6b, 0, 1, 0]].concat();
    let entry = |reason: u8| [&authority::SERIAL[..], &[reason, 0, 0x6a, 0, 0, 0]].concat();
    vec![head.clone(), [&*head, &*entry(0), &*entry(1), &*entry(5)].concat()]
}
