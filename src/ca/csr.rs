//! CSRs (PKCS#10, RFC 2986): bytes of a stranger that become a [`VerifiedCsr`] or a reason.

use super::der::{self, Reader};
use super::pem::{self, PemShape};
use super::public_key::{PublicKey, PublicKeyError, SignatureAlgorithm, SignatureError};
use crate::domain::certificate::PublicKeyHash;

/// A CSR whose self-signature verified and whose key and algorithm are allowed. Only
/// [`verify`](Self::verify) makes one.
///
/// It holds the public key and nothing else: subject, extensions, attributes and the wish to be a CA were
/// stepped over unread, so they cannot find their way into a certificate.
#[derive(Clone, Debug)]
pub struct VerifiedCsr {
    public_key: PublicKey,
}

/// Why a CSR is refused: always the sender's bytes. Every text may be shown to the sender; none repeats
/// more of the input than a label, a number or an algorithm's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsrError {
    #[error("neither PEM nor base64")]
    Base64,
    #[error("empty")]
    Empty,
    #[error(transparent)]
    Key(#[from] PublicKeyError),
    #[error("not a PKCS#10 request in DER: expected {expected}")]
    Malformed { expected: &'static str },
    #[error("the PEM block is {found:?}; expected CERTIFICATE REQUEST")]
    PemLabel { found: String },
    #[error("something stands behind the PEM block; exactly one was expected")]
    PemMoreBehind,
    #[error("the PEM block is not closed by its end line")]
    PemUnclosed,
    #[error(transparent)]
    Signature(#[from] SignatureError),
    #[error("{found} characters; at most {} are accepted", VerifiedCsr::TEXT_BYTES_MAX)]
    TooLong { found: usize },
    #[error("{found} bytes stand behind the request")]
    TrailingBytes { found: usize },
    #[error("the request has a version other than 0")]
    Version,
}

impl VerifiedCsr {
    /// Longest text that is looked at. One with an RSA key of 4096 bits has about 2,300 characters.
    pub const TEXT_BYTES_MAX: usize = 16 * 1024;

    /// Reads and verifies a CSR.
    ///
    /// ```text
    /// text = *WSP ( pem / base64 ) *WSP
    /// pem  = one block "CERTIFICATE REQUEST" or "NEW CERTIFICATE REQUEST" (RFC 7468 §7), no headers
    /// base64 = standard alphabet, padding optional, ASCII white space anywhere
    /// ```
    ///
    /// Inside is a DER CertificationRequest with nothing behind it, version 0. Its `attributes` may be
    /// missing altogether, as some encoders leave an empty one out.
    ///
    /// Costs one signature verification (see `benches/ca.rs`), after everything that
    /// can be refused without it was.
    ///
    /// # Errors
    /// The first rule the text breaks. All of them are the sender's to mend.
    pub fn verify(text: &str) -> Result<Self, CsrError> {
        let der = decode(text)?;
        let request = Request::parse(&der)?;
        let public_key = PublicKey::from_der(request.public_key)?;
        let algorithm = SignatureAlgorithm::from_parts(request.algorithm, request.algorithm_parameters)?;
        public_key.verify(algorithm, request.info, request.signature)?;
        Ok(Self { public_key })
    }

    /// SHA-256 of [`public_key_der`](Self::public_key_der): how a key pair is recognised again.
    pub fn public_key_hash(&self) -> &PublicKeyHash {
        self.public_key.hash()
    }

    /// SubjectPublicKeyInfo in canonical DER, as it will stand in the certificate.
    pub fn public_key_der(&self) -> &[u8] {
        self.public_key.der()
    }

    pub(super) fn public_key(&self) -> &PublicKey {
        &self.public_key
    }
}

/// serialNumber, 2.5.4.5 (X.520 §6.2.9).
const SERIAL_NUMBER: &[u8] = &[0x55, 0x04, 0x05];

/// The first serialNumber in a CSR's subject, as its bytes, of any length and character: what the device says that
/// it is called. Nothing is verified for it.
///
/// `text` as in [`VerifiedCsr::verify`], which alone says whether it is a CSR. `None`: it is none, or its subject has
/// no serialNumber that is a PrintableString, UTF8String or IA5String.
pub fn claimed_serial_number(text: &str) -> Option<Vec<u8>> {
    let der = decode(text).ok()?;
    let mut names = Reader::new(Request::parse(&der).ok()?.subject);
    while !names.is_at_end() {
        let mut name = names.enter(der::SET)?;
        while !name.is_at_end() {
            let mut attribute = name.enter(der::SEQUENCE)?;
            if attribute.element(der::OBJECT_IDENTIFIER)?.contents == SERIAL_NUMBER {
                let of_type = |tag| Reader::clone(&attribute).element(tag);
                let value = [der::PRINTABLE_STRING, der::UTF8_STRING, der::IA5_STRING].into_iter().find_map(of_type)?;
                return Some(value.contents.to_vec());
            }
        }
    }
    None
}

fn decode(text: &str) -> Result<Vec<u8>, CsrError> {
    if text.len() > VerifiedCsr::TEXT_BYTES_MAX {
        return Err(CsrError::TooLong { found: text.len() });
    }
    let text = text.trim_ascii();
    if text.is_empty() {
        return Err(CsrError::Empty);
    }
    let body = match pem::single_block(text) {
        PemShape::Block { label: "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST", body } => body,
        PemShape::Block { label, .. } => return Err(CsrError::PemLabel { found: label.chars().take(40).collect() }),
        PemShape::MoreBehind => return Err(CsrError::PemMoreBehind),
        PemShape::NotPem => text,
        PemShape::Unclosed => return Err(CsrError::PemUnclosed),
    };
    pem::decode_base64(body).ok_or(CsrError::Base64)
}

/// The parts of a CertificationRequest (RFC 2986 §4) that are looked at.
struct Request<'a> {
    /// CertificationRequestInfo, header included: what is signed.
    info: &'a [u8],
    /// What stands in the subject's SEQUENCE.
    subject: &'a [u8],
    /// SubjectPublicKeyInfo, header included.
    public_key: &'a [u8],
    /// Contents of the signature algorithm's OID.
    algorithm: &'a [u8],
    /// Whatever follows the OID.
    algorithm_parameters: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Request<'a> {
    fn parse(der: &'a [u8]) -> Result<Self, CsrError> {
        let expected = |expected| CsrError::Malformed { expected };

        let mut outside = Reader::new(der);
        let mut request = outside.enter(der::SEQUENCE).ok_or(expected("a whole SEQUENCE"))?;
        if !outside.is_at_end() {
            return Err(CsrError::TrailingBytes { found: outside.rest().len() });
        }
        let info = request.element(der::SEQUENCE).ok_or(expected("the request information"))?;
        let mut algorithm = request.enter(der::SEQUENCE).ok_or(expected("the signature algorithm"))?;
        let algorithm_oid = algorithm.element(der::OBJECT_IDENTIFIER).ok_or(expected("the signature algorithm"))?;
        let signature = request.bytes_of_bit_string().ok_or(expected("the signature"))?;
        request.finish().ok_or(expected("nothing behind the signature"))?;

        let mut fields = Reader::new(info.contents);
        let version = fields.element(der::INTEGER).ok_or(expected("the version"))?;
        if version.contents != [0] {
            return Err(CsrError::Version);
        }
        let subject = fields.element(der::SEQUENCE).ok_or(expected("the subject"))?;
        let public_key = fields.element(der::SEQUENCE).ok_or(expected("the public key"))?;
        if !fields.is_at_end() {
            fields.element(der::context_constructed(0)).ok_or(expected("the attributes"))?;
        }
        fields.finish().ok_or(expected("nothing behind the attributes"))?;

        Ok(Self {
            info: info.raw,
            subject: subject.contents,
            public_key: public_key.raw,
            algorithm: algorithm_oid.contents,
            algorithm_parameters: algorithm.rest(),
            signature,
        })
    }
}

#[cfg(test)]
mod tests;
