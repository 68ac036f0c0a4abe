//! Certificates: what a CSR must be, what stands in a certificate, and the keys that sign.
//!
//! | file | holds |
//! |---|---|
//! | `csr` | bytes of a stranger → [`VerifiedCsr`] |
//! | `public_key` | which keys and signature algorithms count, for CSRs and CA certificates alike |
//! | `profile` | what a component's certificate says |
//! | `certificate` | how that is written |
//! | `issuer` | a signing certificate that was parsed once → [`IssuedCertificate`](crate::domain::IssuedCertificate) |
//! | `ca_certificate` | a CA certificate, parsed and checked once |
//! | `chain` | a CA with everything above it, checked as a whole; PEM as operators send it |
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
//! dropped by the caller. Of a CSR it uses the public key and nothing else.

mod authority;
mod ca_certificate;
mod certificate;
mod chain;
mod csr;
mod der;
mod describe;
mod endpoint;
mod facts;
mod imported_key;
mod issuer;
mod pem;
mod profile;
mod public_key;
mod request;
mod signer;

pub use authority::{
    AuthorityError, AuthoritySubject, BELOW_LIFETIME_DAYS_DEFAULT, KeyAlgorithm, NewAuthority,
    ROOT_LIFETIME_DAYS_DEFAULT, make_below, make_root, try_out,
};
pub use ca_certificate::CaCertificateError;
pub use chain::{AuthorityChain, CertificatesError, certificates_of_pem};
pub use csr::{CsrError, VerifiedCsr};
pub use describe::{AlternativeNameText, AuthorityRole, CertificateDescription};
pub use endpoint::{EndpointAnchor, EndpointLeaf};
pub use facts::CertificateFacts;
pub use imported_key::{ImportedKey, ImportedKeyError, PrivateKeyForeign};
pub use issuer::{IssueError, Issuer, IssuerError};
pub use pem::{PemError, certificate_pem, request_pem};
pub use profile::{Profile, Subject};
pub use public_key::{KeyType, PublicKeyError, SignatureError};
pub use request::{NewRequest, RequestSubject, make_request};
