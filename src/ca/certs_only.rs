//! Certificates without order or PEM, as EST answers them: a CMS SignedData that nobody signed.

use super::der::{self, Writer};

/// 1.2.840.113549.1.7.1
const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
/// 1.2.840.113549.1.7.2
const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];

/// A "certs-only" message in DER (RFC 5652 §5.1, RFC 8551 §3.8) of certificates in DER. They stand in it in the
/// order of their bytes, as DER wants of a SET, and once each.
pub fn certs_only<'a>(certificates: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut certificates: Vec<&[u8]> = certificates.into_iter().collect();
    certificates.sort_unstable();
    certificates.dedup();
    Writer::collect(|message| {
        message.nested(der::SEQUENCE, |content| {
            content.element(der::OBJECT_IDENTIFIER, SIGNED_DATA);
            content.nested(der::context_constructed(0), |explicit| {
                explicit.nested(der::SEQUENCE, |signed_data| {
                    signed_data.element(der::INTEGER, &[1]);
                    signed_data.element(der::SET, &[]); // digest algorithms
                    signed_data.nested(der::SEQUENCE, |data| data.element(der::OBJECT_IDENTIFIER, DATA));
                    signed_data.nested(der::context_constructed(0), |set| {
                        certificates.iter().for_each(|certificate| set.raw(certificate));
                    });
                    signed_data.element(der::SET, &[]); // signers
                });
            });
        });
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What RFC 5652's ASN.1 gives for it, byte by byte.
    #[test]
    fn a_message_is_its_certificates_in_a_frame() {
        let certificates: [&[u8]; 3] = [&[0x30, 0x01, 0x02], &[0x30, 0x01, 0x01], &[0x30, 0x01, 0x02]];
        let frame = [
            &[0x30, 0x2b, 0x06, 0x09][..],
            SIGNED_DATA,
            &[0xa0, 0x1e, 0x30, 0x1c, 0x02, 0x01, 0x01, 0x31, 0x00, 0x30, 0x0b, 0x06, 0x09],
            DATA,
            &[0xa0, 0x06, 0x30, 0x01, 0x01, 0x30, 0x01, 0x02, 0x31, 0x00],
        ];
        assert_eq!(certs_only(certificates), frame.concat());
    }
}
