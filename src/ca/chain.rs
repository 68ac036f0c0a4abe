//! A CA with everything above it, as it is loaded from the store or brought by an operator.

use super::ca_certificate::CaCertificate;
use super::issuer::IssuerError;
use super::pem::{self, PemError};
use crate::clock::Timestamp;
use crate::domain::certificate::PublicKeyHash;

/// Most certificates that one text may hold: the CA, and far more above it than is ever seen.
const CERTIFICATES_MAX: usize = 10;

/// A CA certificate and its issuers up to a root: all are CAs that each signed the one before, path lengths
/// allow it, the last signed itself. Says nothing about dates: an ended chain is still one.
pub struct AuthorityChain {
    /// The CA first, the root last. Not empty.
    certificates: Vec<CaCertificate>,
}

/// Why a text is not the certificates that it should be. Says it without a subject; may be shown to
/// whoever sent it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificatesError {
    #[error("has a PEM block whose contents are not base64")]
    Base64,
    #[error("has no certificate")]
    Empty,
    #[error("has a PEM block {found:?}; expected CERTIFICATE")]
    Label { found: String },
    #[error(transparent)]
    Pem(#[from] PemError),
    #[error("has {found} certificates; at most {CERTIFICATES_MAX} are accepted")]
    TooMany { found: usize },
}

/// DER of the PEM certificates in `text`, in its order; 1 to [`CERTIFICATES_MAX`] of them. Nothing is said
/// about their contents yet.
///
/// # Errors
/// The first fault; all are the sender's to mend.
pub fn certificates_of_pem(text: &str) -> Result<Vec<Vec<u8>>, CertificatesError> {
    let blocks = pem::blocks(text)?;
    match blocks.len() {
        0 => return Err(CertificatesError::Empty),
        1..=CERTIFICATES_MAX => {}
        found => return Err(CertificatesError::TooMany { found }),
    }
    let decode = |block: &pem::Block<'_>| match block.label {
        "CERTIFICATE" => pem::decode_base64(block.body).ok_or(CertificatesError::Base64),
        label => Err(CertificatesError::Label { found: label.chars().take(40).collect() }),
    };
    blocks.iter().map(decode).collect()
}

impl AuthorityChain {
    /// `certificate`: DER. `above`: DER of its issuers, nearest first, root last; empty for a root.
    ///
    /// Costs a signature verification per certificate.
    ///
    /// # Errors
    /// The first rule that is broken: any [`IssuerError`] but those of private keys.
    pub fn new(certificate: &[u8], above: &[Vec<u8>]) -> Result<Self, IssuerError> {
        let certificates = std::iter::once(certificate)
            .chain(above.iter().map(Vec::as_slice))
            .enumerate()
            .map(|(index, der)| CaCertificate::parse(der).map_err(|source| IssuerError::Certificate { index, source }))
            .collect::<Result<Vec<_>, _>>()?;
        for (index, pair) in certificates.windows(2).enumerate() {
            pair[0].verify_signed_by(&pair[1]).map_err(|source| IssuerError::ChainLink { index, source })?;
            if pair[0].authority_key_identifier.as_ref() != Some(&pair[1].key_identifier) {
                return Err(IssuerError::ChainKeyIdentifier { index });
            }
        }
        for (index, authority) in certificates.iter().enumerate() {
            match authority.path_length {
                Some(permitted) if index > permitted as usize => {
                    return Err(IssuerError::PathLength { index, permitted, found: index });
                }
                _ => {}
            }
        }
        let root = &certificates[certificates.len() - 1]; // there is at least the CA itself
        root.verify_signed_by(root).map_err(|source| IssuerError::ChainRoot { source })?;
        Ok(Self { certificates })
    }

    /// From when on all of it counts.
    pub fn not_before(&self) -> Timestamp {
        let starts = self.certificates.iter().map(|one| one.validity.not_before);
        starts.fold(self.authority().validity.not_before, Ord::max)
    }

    /// When the first of it ends.
    pub fn not_after(&self) -> Timestamp {
        let ends = self.certificates.iter().map(|one| one.validity.not_after);
        ends.fold(self.authority().validity.not_after, Ord::min)
    }

    /// DER of the CA's certificate.
    pub fn certificate(&self) -> &[u8] {
        &self.authority().der
    }

    /// DER of the issuers, nearest first, root last; empty for a root.
    pub fn above(&self) -> Vec<Vec<u8>> {
        self.certificates[1..].iter().map(|authority| authority.der.to_vec()).collect()
    }

    /// Of the CA's public key.
    pub fn public_key_hash(&self) -> &PublicKeyHash {
        self.authority().public_key.hash()
    }

    /// Whether what `before` (a CA certificate in DER) signed verifies below this CA as well: it has the same
    /// public key, subject and key identifier.
    pub fn succeeds(&self, before: &[u8]) -> bool {
        let after = self.authority();
        CaCertificate::parse(before).is_ok_and(|before| {
            before.public_key.der() == after.public_key.der()
                && before.subject == after.subject
                && before.key_identifier == after.key_identifier
        })
    }

    pub(super) fn authority(&self) -> &CaCertificate {
        &self.certificates[0]
    }

    /// The CA, and those above it.
    pub(super) fn into_parts(mut self) -> (CaCertificate, Vec<CaCertificate>) {
        let above = self.certificates.split_off(1);
        (self.certificates.remove(0), above)
    }
}
