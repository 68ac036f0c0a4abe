//! How a certificate revocation list is written (RFC 5280 §5): version 2, all of a CA's revoked certificates, values in,
//! DER out.
//!
//! Ours for the reason that certificates are (`docs/decisions/0002-certificates-encoded-here.md`): the issuer's name must
//! be the bytes that stand in the certificates.

use std::time::Duration;

use super::certificate::{Signatory, write_authority_key_identifier, write_extension, write_time};
use super::der::{self, Writer};
use super::profile::BACKDATING;
use super::signer::NoRandomness;
use crate::domain::RevocationReason;
use crate::domain::revocation::{CrlHead, RevokedCertificate};

/// How far back a CRL starts, for verifiers whose clock is behind: most refuse one from the future, and with it every
/// certificate.
pub const CRL_BACKDATING: Duration = BACKDATING;

const CRL_NUMBER: &[u8] = &[0x55, 0x1d, 0x14];
const REASON_CODE: &[u8] = &[0x55, 0x1d, 0x15];

/// Of an entry with a reason; without one it is 12 less.
const ENTRY_BYTES: usize = 49;

/// What is not entries.
const FRAME_BYTES: usize = 2_048;

/// DER of a CRL with these entries.
pub(super) fn signed_by(
    signatory: &Signatory<'_>,
    head: &CrlHead,
    entries: &[RevokedCertificate],
) -> Result<Vec<u8>, NoRandomness> {
    let mut writer = Writer::with_capacity(entries.len() * ENTRY_BYTES + FRAME_BYTES);
    writer.nested(der::SEQUENCE, |tbs| {
        tbs.unsigned(1); // version 2
        tbs.raw(signatory.private_key.signature_algorithm());
        tbs.raw(signatory.name);
        write_time(tbs, head.this_update);
        write_time(tbs, head.next_update);
        // An empty list is left out (§5.1.2.6).
        if !entries.is_empty() {
            tbs.nested(der::SEQUENCE, |list| entries.iter().for_each(|entry| write_entry(list, entry)));
        }
        tbs.nested(der::context_constructed(0), |tagged| {
            tagged.nested(der::SEQUENCE, |extensions| {
                write_authority_key_identifier(extensions, signatory.key_identifier);
                write_extension(extensions, CRL_NUMBER, false, |value| value.unsigned(head.number.0));
            });
        });
    });
    signatory.private_key.sign_in_frame(&writer.into_bytes())
}

/// The reason is left out where nobody gave one (§5.3.1).
fn write_entry(writer: &mut Writer, entry: &RevokedCertificate) {
    writer.nested(der::SEQUENCE, |fields| {
        fields.element(der::INTEGER, entry.serial.as_bytes());
        write_time(fields, entry.at);
        if entry.reason != RevocationReason::Unspecified {
            fields.nested(der::SEQUENCE, |extensions| {
                write_extension(extensions, REASON_CODE, false, |value| {
                    value.element(der::ENUMERATED, &[entry.reason.code()]);
                });
            });
        }
    });
}
