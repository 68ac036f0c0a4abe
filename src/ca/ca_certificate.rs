//! CA certificates as they come from the store or an operator: parsed once, checked for what a chain
//! needs.

use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::{AlgorithmIdentifier, X509Version};

use super::profile::Validity;
use super::public_key::{PublicKey, PublicKeyError, SignatureAlgorithm, SignatureError};

/// Why a certificate cannot be a CA here. What `openssl verify -x509_strict` asks of a CA is asked here
/// already, so that no component gets a chain that strict verifiers refuse.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaCertificateError {
    #[error("its basic constraints are not marked critical")]
    ConstraintsNotCritical,
    #[error("it is not allowed to sign certificates: keyCertSign is missing from its key usage")]
    KeyUsage,
    #[error("it is not an X.509 version 3 certificate in DER")]
    Malformed,
    #[error("it is not a CA: basic constraints with cA true are missing")]
    NotAuthority,
    #[error(transparent)]
    PublicKey(#[from] PublicKeyError),
    #[error("its subject is empty")]
    SubjectEmpty,
    #[error("it has no subject key identifier")]
    SubjectKeyIdentifier,
    #[error("{found} bytes stand behind it")]
    TrailingBytes { found: usize },
}

/// A certificate that may sign certificates. Says nothing about dates: an expired one is still one.
pub(super) struct CaCertificate {
    pub der: CertificateDer<'static>,
    /// DER of the Name.
    pub subject: Vec<u8>,
    /// DER of the Name.
    pub issuer: Vec<u8>,
    pub public_key: PublicKey,
    /// Its subject key identifier: the authority key identifier of what it signs.
    pub key_identifier: Vec<u8>,
    pub validity: Validity,
    /// Key identifier of its authority key identifier, if it has one.
    pub authority_key_identifier: Option<Vec<u8>>,
    /// Whether cRLSign is among its key usages (RFC 5280 §4.2.1.3).
    pub signs_crls: bool,
    /// How many CAs may stand between this one and an end entity; `None`: any number.
    pub path_length: Option<u32>,
    /// TBSCertificate, header included.
    signed: Vec<u8>,
    signature: Vec<u8>,
    signature_algorithm: Result<SignatureAlgorithm, SignatureError>,
}

impl CaCertificate {
    pub fn parse(der: &[u8]) -> Result<Self, CaCertificateError> {
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| CaCertificateError::Malformed)?;
        if !rest.is_empty() {
            return Err(CaCertificateError::TrailingBytes { found: rest.len() });
        }
        let tbs = &certificate.tbs_certificate;
        if tbs.version() != X509Version::V3 || tbs.signature != certificate.signature_algorithm {
            return Err(CaCertificateError::Malformed);
        }
        // Fails when an extension is there twice or does not parse.
        let constraints = tbs.basic_constraints().map_err(|_| CaCertificateError::Malformed)?;
        let key_usage = tbs.key_usage().map_err(|_| CaCertificateError::Malformed)?;
        let constraints = constraints.filter(|found| found.value.ca).ok_or(CaCertificateError::NotAuthority)?;
        if !constraints.critical {
            return Err(CaCertificateError::ConstraintsNotCritical);
        }
        let key_usage = key_usage.filter(|found| found.value.key_cert_sign()).ok_or(CaCertificateError::KeyUsage)?;
        let (mut key_identifier, mut authority_key_identifier) = (None, None);
        for extension in tbs.iter_extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(found) => key_identifier = Some(found.0.to_vec()),
                ParsedExtension::AuthorityKeyIdentifier(found) => {
                    authority_key_identifier = found.key_identifier.as_ref().map(|found| found.0.to_vec());
                }
                _ => {}
            }
        }
        let key_identifier = key_identifier.ok_or(CaCertificateError::SubjectKeyIdentifier)?;
        if tbs.subject().iter_rdn().next().is_none() {
            return Err(CaCertificateError::SubjectEmpty);
        }
        let validity = Validity {
            not_before: tbs.validity().not_before.to_datetime().into(),
            not_after: tbs.validity().not_after.to_datetime().into(),
        };
        Ok(Self {
            subject: tbs.subject().as_raw().to_vec(),
            issuer: tbs.issuer().as_raw().to_vec(),
            public_key: PublicKey::from_der(tbs.public_key().raw)?,
            key_identifier,
            authority_key_identifier,
            validity,
            signs_crls: key_usage.value.crl_sign(),
            path_length: constraints.value.path_len_constraint,
            signed: tbs.as_ref().to_vec(),
            signature: certificate.signature_value.data.to_vec(),
            signature_algorithm: signature_algorithm(&certificate.signature_algorithm),
            der: CertificateDer::from(der.to_vec()),
        })
    }

    /// Whether `above` made this certificate: names meet and the signature verifies.
    pub fn verify_signed_by(&self, above: &Self) -> Result<(), SignatureError> {
        if self.issuer != above.subject {
            return Err(SignatureError::DoesNotVerify);
        }
        above.public_key.verify(self.signature_algorithm.clone()?, &self.signed, &self.signature)
    }
}

pub(super) fn signature_algorithm(found: &AlgorithmIdentifier<'_>) -> Result<SignatureAlgorithm, SignatureError> {
    use x509_parser::der_parser::asn1_rs::Tag;
    let parameters: &[u8] = match &found.parameters {
        None => &[],
        Some(any) if any.tag() == Tag::Null && any.data.is_empty() => super::der::NULL,
        Some(any) => any.data,
    };
    SignatureAlgorithm::from_parts(found.algorithm.as_bytes(), parameters)
}
