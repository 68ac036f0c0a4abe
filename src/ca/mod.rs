//! Certificates: what a CSR must be, what stands in a certificate, and the keys that sign.
//!
//! | file | holds |
//! |---|---|
//! | `crl` | which certificates count no more, as a CA tells |
//! | `csr` | bytes of a stranger → [`VerifiedCsr`] |
//! | `public_key` | which keys and signature algorithms count, for CSRs and CA certificates alike |
//! | `presented` | client certificates as strangers show them, and which signing certificate made one |
//! | `profile` | what a component's certificate says |
//! | `certificate` | how that is written |
//! | `issuer` | a signing certificate that was parsed once → [`IssuedCertificate`](crate::domain::IssuedCertificate) |
//! | `ca_certificate` | a CA certificate, parsed and checked once |
//! | `chain` | a CA with everything above it, checked as a whole; PEM as operators send it |
//! | `certs_only` | certificates in one CMS message, as EST answers them |
//! | `imported_key` | private keys that operators bring |
//! | `authority` | CAs made here; a trial by a verifier that is not ours |
//! | `request` | CSRs made here, for CAs that an operator's CA signs |
//! | `endpoint` | the CA above this service's own TLS certificates, and their leaves |
//! | `facts` | what people are shown of a certificate |
//! | `describe` | all of it, decoded |
//! | `signer` | private keys in memory |
//! | `pem`, `der` | the two encodings |
//!
//! What this room deliberately does not do: it knows no store, no key string and no component's
//! history. It never decides *whether* someone gets a certificate; it makes the one that was decided.
//! It opens no sealed key (private keys come in as PKCS#8 or an operator's PEM and are not kept in that form). It reads
//! no clock. It does not remember what it signed: a certificate that no commit records must be
//! dropped by the caller. Of a CSR it signs the public key and nothing else.

mod authority;
mod ca_certificate;
mod certificate;
mod certs_only;
mod chain;
mod crl;
mod csr;
mod der;
mod describe;
mod endpoint;
mod facts;
mod imported_key;
mod issuer;
mod pem;
mod presented;
mod profile;
mod public_key;
mod request;
mod signer;

pub use authority::{
    AuthorityError, AuthoritySubject, BELOW_LIFETIME_DAYS_DEFAULT, KeyAlgorithm, NewAuthority,
    ROOT_LIFETIME_DAYS_DEFAULT, make_below, make_root, try_out,
};
pub use ca_certificate::CaCertificateError;
pub use certs_only::certs_only;
pub use chain::{AuthorityChain, CertificatesError, certificates_of_pem};
pub use crl::CRL_BACKDATING;
pub use csr::{CsrError, VerifiedCsr, claimed_serial_number};
pub use describe::{AlternativeNameText, AuthorityRole, CertificateDescription};
pub use endpoint::{EndpointAnchor, EndpointAnchorParts, EndpointLeaf, NextAnchor};
pub use facts::CertificateFacts;
pub use imported_key::{ImportedKey, ImportedKeyError, PrivateKeyForeign};
pub use issuer::{IssueError, Issuer, IssuerError};
pub use pem::{PemError, certificate_pem, request_pem};
pub use presented::{PresentedCertificate, PresentedError, SigningAuthority};
pub use profile::{Profile, Subject, crl_path};
pub use public_key::{KeyType, PublicKeyError, SignatureError};
pub use request::{NewRequest, RequestSubject, make_request};
