//! PEM (RFC 7468): the text form of certificates, out only strictly, in only what §5 and §7 need.

use base64::Engine as _;
use base64::alphabet::STANDARD as STANDARD_ALPHABET;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};

/// What makes a line of 64 characters (RFC 7468 §2).
const LINE_BYTES: usize = 48;
const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// Padding may be there or not: `base64` writes it, URL-minded clients leave it out.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD_ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// One `CERTIFICATE` block (RFC 7468 §5) of a DER certificate. Several texts after each other are a
/// chain.
///
/// One allocation, of just the size: this is on the way of every enrollment.
pub fn certificate_pem(der: &[u8]) -> String {
    block("CERTIFICATE", der)
}

/// One `CERTIFICATE REQUEST` block (RFC 7468 §7) of a DER CSR.
pub fn request_pem(der: &[u8]) -> String {
    block("CERTIFICATE REQUEST", der)
}

/// Lines of 64 characters, a line feed after each.
fn block(label: &str, der: &[u8]) -> String {
    let frame_bytes = [BEGIN, label, DASHES, "\n", END, label, DASHES, "\n"].map(str::len).iter().sum::<usize>();
    let body_bytes = der.len().div_ceil(3) * 4 + der.len().div_ceil(LINE_BYTES);
    let mut text = String::with_capacity(frame_bytes + body_bytes);
    text.extend([BEGIN, label, DASHES, "\n"]);
    for line in der.chunks(LINE_BYTES) {
        STANDARD.encode_string(line, &mut text);
        text.push('\n');
    }
    text.extend([END, label, DASHES, "\n"]);
    text
}

/// What a text that should hold one PEM block holds instead.
pub(super) enum PemShape<'a> {
    /// The label and what stands between its two lines, white space included.
    Block { label: &'a str, body: &'a str },
    /// It does not begin with `-----BEGIN`.
    NotPem,
    /// It begins so, but the block is not closed by its own end line.
    Unclosed,
    /// Something other than white space stands behind the block.
    MoreBehind,
}

/// Reads `text`, which was trimmed, as exactly one block.
pub(super) fn single_block(text: &str) -> PemShape<'_> {
    let Some(after) = text.strip_prefix(BEGIN) else { return PemShape::NotPem };
    let Some((label, after)) = after.split_once(DASHES) else { return PemShape::Unclosed };
    let Some((body, end)) = after.split_once(END) else { return PemShape::Unclosed };
    match end.strip_prefix(label).and_then(|end| end.strip_prefix(DASHES)) {
        Some("") => PemShape::Block { label, body },
        Some(_) => PemShape::MoreBehind,
        None => PemShape::Unclosed,
    }
}

/// Base64 of the standard alphabet with or without padding; ASCII white space may stand anywhere.
pub(super) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let dense: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    LENIENT.decode(dense).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_blocks_are_read_by_the_tls_library() {
        use rustls_pki_types::pem::PemObject as _;
        for bytes in [0, 1, 47, 48, 49, 95, 96, 97, 500] {
            let der = vec![0xa5; bytes];
            let text = certificate_pem(&der);
            let read = rustls_pki_types::CertificateDer::from_pem_slice(text.as_bytes()).unwrap();
            assert_eq!(read.as_ref(), der);
            assert!(text.lines().all(|line| line.len() <= 64));
            assert_eq!(text.capacity(), text.len(), "{bytes}");

            let text = request_pem(&der);
            let read = rustls_pki_types::CertificateSigningRequestDer::from_pem_slice(text.as_bytes()).unwrap();
            assert_eq!(read.as_ref(), der);
            assert_eq!(text.capacity(), text.len(), "{bytes}");
        }
    }
}
