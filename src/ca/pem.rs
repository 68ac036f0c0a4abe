//! PEM (RFC 7468): the text form of certificates, requests and private keys, strictly written and read:
//! nothing but white space stands around the blocks.

use base64::Engine as _;
use base64::alphabet::STANDARD as STANDARD_ALPHABET;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use zeroize::Zeroizing;

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
    if !text.starts_with(BEGIN) {
        return PemShape::NotPem;
    }
    match first_block(text) {
        Some((Block { label, body }, "")) => PemShape::Block { label, body },
        Some(_) => PemShape::MoreBehind,
        None => PemShape::Unclosed,
    }
}

/// One block's label, and what stands between its two lines, white space included.
pub(super) struct Block<'a> {
    pub label: &'a str,
    pub body: &'a str,
}

/// Why a text is not the PEM blocks that it should be. May be shown to whoever sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    #[error("is not PEM, or has a block that its own end line does not close")]
    Malformed,
    #[error("has something other than white space before, between or behind its PEM blocks")]
    TextAround,
}

/// All blocks of `text`, in its order; empty when there is nothing but white space.
pub(super) fn blocks(text: &str) -> Result<Vec<Block<'_>>, PemError> {
    let mut blocks = Vec::new();
    let mut rest = text.trim_ascii();
    while !rest.is_empty() {
        if !rest.starts_with(BEGIN) {
            return Err(if text.contains(BEGIN) { PemError::TextAround } else { PemError::Malformed });
        }
        let (block, behind) = first_block(rest).ok_or(PemError::Malformed)?;
        blocks.push(block);
        rest = behind.trim_ascii_start();
    }
    Ok(blocks)
}

/// The block that `text` begins with, and what stands behind it. `None`: it is not closed by its own end line.
fn first_block(text: &str) -> Option<(Block<'_>, &str)> {
    let (label, after) = text.strip_prefix(BEGIN)?.split_once(DASHES)?;
    let (body, end) = after.split_once(END)?;
    let behind = end.strip_prefix(label)?.strip_prefix(DASHES)?;
    Some((Block { label, body }, behind))
}

/// Base64 of the standard alphabet with or without padding; ASCII white space may stand anywhere.
pub(super) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let mut dense = Vec::with_capacity(text.len());
    text.split_ascii_whitespace().for_each(|part| dense.extend_from_slice(part.as_bytes()));
    LENIENT.decode(dense).ok()
}

/// The same for a secret: every copy made here is wiped.
pub(super) fn decode_secret_base64(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut dense = Zeroizing::new(Vec::with_capacity(text.len()));
    dense.extend(text.bytes().filter(|byte| !byte.is_ascii_whitespace()));
    // As large as can be needed: a Vec that grows would leave its earlier bytes behind.
    let mut decoded = Zeroizing::new(Vec::with_capacity(dense.len()));
    LENIENT.decode_vec(&*dense, &mut decoded).ok()?;
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_stand_alone_and_in_order() {
        let (one, two) = (certificate_pem(b"one"), request_pem(b"two"));
        let labels = |text: &str| blocks(text).map(|all| all.iter().map(|block| block.label.to_owned()).collect());
        assert_eq!(
            labels(&format!("\n {one}\r\n\n{two} ")),
            Ok(vec!["CERTIFICATE".into(), "CERTIFICATE REQUEST".into()])
        );
        assert_eq!(labels(" \n"), Ok(vec![]));
        for text in [format!("x{one}"), format!("{one}x"), format!("{one}x{two}"), format!("{one}-----BEGIN")] {
            assert_eq!(labels(&text), Err(PemError::TextAround), "{text}");
        }
        for text in ["x".to_owned(), one.replace("END CERT", "END CART"), one[..one.len() - 7].to_owned()] {
            assert_eq!(labels(&text), Err(PemError::Malformed), "{text}");
        }
    }

    #[test]
    fn a_secret_is_decoded_without_growing() {
        for bytes in [0, 1, 2, 3, 500] {
            let text = STANDARD.encode(vec![0xa5; bytes]);
            let decoded = decode_secret_base64(&text).unwrap();
            assert_eq!((&**decoded, decoded.capacity()), (&vec![0xa5; bytes][..], text.len()));
        }
        assert!(decode_secret_base64("a:b").is_none());
    }

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
