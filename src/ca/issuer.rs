//! A signing certificate that was parsed once, and the certificates it signs.

use super::ca_certificate::{CaCertificate, CaCertificateError};
use super::certificate::{Contents, Signatory};
use super::chain::AuthorityChain;
use super::crl;
use super::csr::VerifiedCsr;
use super::pem::certificate_pem;
use super::profile::{self, Profile, Subject, Validity};
use super::public_key::{KeyType, SignatureError};
use super::signer::{NoRandomness, PrivateKey};
use crate::clock::Timestamp;
use crate::domain::certificate::PublicKeyHash;
use crate::domain::revocation::{CrlHead, RevokedCertificate};
use crate::domain::{IssuedCertificate, SerialNumber};
use crate::id::SigningCertificateId;

/// A signing certificate with its private key, ready to sign. Share it in an `Arc`: no method locks.
pub struct Issuer {
    id: SigningCertificateId,
    signer: Signer,
    /// The certificates above, nearest first, root last; empty for a root.
    above: Vec<CaCertificate>,
    lifetime_seconds: u32,
    /// From when on the whole chain counts.
    latest_not_before: Timestamp,
    earliest_not_after: Timestamp,
    chain_pem: String,
    root_pem: String,
}

/// Why a signing certificate cannot be loaded: always what was stored or uploaded, never our state.
///
/// `index` counts up the chain: 0 is the signing certificate itself, 1 the one above it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssuerError {
    #[error("certificate {index} of the chain cannot be used: {source}")]
    Certificate { index: usize, source: CaCertificateError },
    #[error("certificate {index} of the chain does not name the key of the next one as its authority's")]
    ChainKeyIdentifier { index: usize },
    #[error(
        "certificate {index} of the chain was not signed by the next one (the CA comes first, each issuer after what \
         it signed): {source}"
    )]
    ChainLink { index: usize, source: SignatureError },
    #[error("the last certificate of the chain is not a root (signed by itself): {source}")]
    ChainRoot { source: SignatureError },
    #[error("certificate {index} of the chain allows {permitted} CAs below it, there are {found}")]
    PathLength { index: usize, permitted: u32, found: usize },
    #[error("the private key is not PKCS#8 DER of a P-256, P-384, Ed25519 or RSA key of 2048 to 4096 bits")]
    PrivateKey,
    #[error("the private key does not belong to the certificate")]
    PrivateKeyForeign,
}

impl IssuerError {
    /// Which certificate of the chain is at fault; `None`: the last one, or the private key.
    pub fn index(&self) -> Option<usize> {
        match *self {
            Self::Certificate { index, .. } | Self::ChainKeyIdentifier { index } | Self::PathLength { index, .. } => {
                Some(index)
            }
            Self::ChainLink { index, .. } => Some(index + 1),
            Self::ChainRoot { .. } | Self::PrivateKey | Self::PrivateKeyForeign => None,
        }
    }
}

/// Why nothing was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// The chain is not in validity, or less than a tenth of min(lifetime, 24 h) of it is left.
    #[error("the signing certificate is outside its validity or about to end")]
    Unavailable,
    /// The system gives no random bytes.
    #[error("signing failed")]
    Signing,
}

impl Issuer {
    /// Parses and checks: key and certificate belong together, all of the chain are CAs that each signed the
    /// one before, path lengths allow it, the last is its own root. An expired one loads; [`issue`](Self::issue)
    /// then says [`Unavailable`](IssueError::Unavailable).
    ///
    /// `certificate`: DER. `chain`: DER of the issuers above it, nearest first, root last; empty for a root.
    /// `private_key`: PKCS#8 DER, not kept. `lifetime_seconds`: of what it signs.
    ///
    /// Costs a signature verification per certificate and the parsing of the key: do it once.
    ///
    /// # Errors
    /// The first rule that is broken; all are for the operator who brought the certificate.
    pub fn new(
        signing_certificate_id: SigningCertificateId,
        certificate: &[u8],
        chain: &[Vec<u8>],
        private_key: &[u8],
        lifetime_seconds: u32,
    ) -> Result<Self, IssuerError> {
        let chain = AuthorityChain::new(certificate, chain)?;
        let (latest_not_before, earliest_not_after) = (chain.not_before(), chain.not_after());
        let (certificate, above) = chain.into_parts();
        let signer = Signer::of(certificate, private_key)?;
        let whole: Vec<&CaCertificate> = std::iter::once(&signer.certificate).chain(&above).collect();
        let (root, below_root) = whole.split_last().expect("there is at least the signing certificate");
        let chain_pem = below_root.iter().map(|authority| certificate_pem(&authority.der)).collect();
        let root_pem = certificate_pem(&root.der);
        Ok(Self {
            id: signing_certificate_id,
            lifetime_seconds,
            latest_not_before,
            earliest_not_after,
            chain_pem,
            root_pem,
            above,
            signer,
        })
    }

    /// Signs a component's certificate with a new random serial. Nothing of it may leave the process
    /// before the commit that records it.
    ///
    /// Parses nothing and locks nothing; costs one signature and the encoding (see `benches/ca.rs`).
    ///
    /// # Errors
    /// [`IssueError::Unavailable`]: refuse with `signing-certificate-unavailable`.
    /// [`IssueError::Signing`]: an internal error.
    pub fn issue(
        &self,
        csr: &VerifiedCsr,
        subject: &Subject<'_>,
        profile: &Profile,
        now: Timestamp,
    ) -> Result<IssuedCertificate, IssueError> {
        let validity = self.validity_at(now).ok_or(IssueError::Unavailable)?;
        let serial = SerialNumber::random();
        let crl = self.signs_crls().then_some(self.id);
        let contents = profile::component(subject, profile, serial, validity, csr.public_key(), crl);
        let der = self.signer.sign(&contents).map_err(|NoRandomness| IssueError::Signing)?;
        Ok(IssuedCertificate {
            serial,
            der,
            public_key_hash: *csr.public_key_hash(),
            issued_at: now,
            not_before: validity.not_before,
            not_after: validity.not_after,
        })
    }

    pub fn id(&self) -> SigningCertificateId {
        self.id
    }

    /// DER of a CRL with these entries, whose number is theirs in `head`. Whether the chain counts is not asked.
    ///
    /// Of 100,000 entries it is 4.5 MB and takes tens of milliseconds: not for a thread that serves requests.
    ///
    /// # Errors
    /// [`IssueError::Unavailable`] unless [`signs_crls`](Self::signs_crls). [`IssueError::Signing`]: an internal error.
    pub fn sign_crl(&self, head: &CrlHead, entries: &[RevokedCertificate]) -> Result<Vec<u8>, IssueError> {
        if !self.signs_crls() {
            return Err(IssueError::Unavailable);
        }
        self.signer.sign_crl(head, entries).map_err(|NoRandomness| IssueError::Signing)
    }

    /// Whether its certificate lets it sign CRLs. Imported ones may not; what they sign names no CRL then.
    pub fn signs_crls(&self) -> bool {
        self.signer.certificate.signs_crls
    }

    /// PEM of this CA and the issuers above it without the root, this one first; empty if this is the root.
    pub fn chain_pem(&self) -> &str {
        &self.chain_pem
    }

    /// PEM of the root.
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// DER of this CA and of those above it, the root last.
    pub fn certificates(&self) -> impl Iterator<Item = &[u8]> {
        self.whole_chain().map(|authority| &*authority.der)
    }

    /// `ecdsa-p256`, `ecdsa-p384`, `ed25519` or `rsa`: a metric label.
    pub fn algorithm(&self) -> &'static str {
        self.signer.key_type().as_str()
    }

    /// Of this CA's public key.
    pub fn public_key_hash(&self) -> &PublicKeyHash {
        self.signer.certificate.public_key.hash()
    }

    /// Of the public keys of this CA and of those above it: a CSR must not bring one of them.
    pub fn key_hashes(&self) -> impl Iterator<Item = &PublicKeyHash> {
        self.whole_chain().map(|authority| authority.public_key.hash())
    }

    /// Whether [`issue`](Self::issue) would sign at `now`: the whole chain counts, and enough of it is left.
    pub fn is_available(&self, now: Timestamp) -> bool {
        self.validity_at(now).is_some()
    }

    /// When the first certificate of the chain ends: nothing signed here lives longer.
    pub fn earliest_not_after(&self) -> Timestamp {
        self.earliest_not_after
    }

    fn validity_at(&self, now: Timestamp) -> Option<Validity> {
        let issuer_not_before = self.signer.certificate.validity.not_before;
        (now >= self.latest_not_before)
            .then(|| Validity::of_component(now, self.lifetime_seconds, issuer_not_before, self.earliest_not_after))
            .flatten()
    }

    pub(super) fn latest_not_before(&self) -> Timestamp {
        self.latest_not_before
    }

    pub(super) fn signer(&self) -> &Signer {
        &self.signer
    }

    /// Whether another CA may stand below this one.
    pub fn permits_authority_below(&self) -> bool {
        (1..).zip(self.whole_chain()).all(|(below, authority)| authority.path_length.is_none_or(|most| below <= most))
    }

    /// This CA first, the root last.
    pub(super) fn whole_chain(&self) -> impl Iterator<Item = &CaCertificate> {
        std::iter::once(&self.signer.certificate).chain(&self.above)
    }
}

/// A CA certificate together with its private key.
pub(super) struct Signer {
    pub certificate: CaCertificate,
    private_key: PrivateKey,
}

impl Signer {
    pub fn new(certificate: &[u8], private_key: &[u8]) -> Result<Self, IssuerError> {
        let certificate =
            CaCertificate::parse(certificate).map_err(|source| IssuerError::Certificate { index: 0, source })?;
        Self::of(certificate, private_key)
    }

    fn of(certificate: CaCertificate, private_key: &[u8]) -> Result<Self, IssuerError> {
        let private_key = PrivateKey::from_pkcs8(private_key).map_err(|_| IssuerError::PrivateKey)?;
        if private_key.public_key_der() != certificate.public_key.der() {
            return Err(IssuerError::PrivateKeyForeign);
        }
        Ok(Self { certificate, private_key })
    }

    pub fn key_type(&self) -> KeyType {
        self.certificate.public_key.key_type()
    }

    /// DER of the certificate, below this one.
    pub fn sign(&self, contents: &Contents<'_>) -> Result<Vec<u8>, NoRandomness> {
        contents.signed_by(&self.signatory())
    }

    /// DER of the CRL.
    fn sign_crl(&self, head: &CrlHead, entries: &[RevokedCertificate]) -> Result<Vec<u8>, NoRandomness> {
        crl::signed_by(&self.signatory(), head, entries)
    }

    fn signatory(&self) -> Signatory<'_> {
        Signatory {
            name: &self.certificate.subject,
            key_identifier: &self.certificate.key_identifier,
            private_key: &self.private_key,
        }
    }
}

#[cfg(test)]
mod tests;
