//! CAs made here, and the trial that every CA passes before it may sign for someone.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::{EndEntityCert, KeyUsage};
use zeroize::Zeroizing;

use super::certificate::{Attribute, Contents};
use super::csr::VerifiedCsr;
use super::issuer::{IssueError, Issuer};
use super::profile::{self, BACKDATING, Profile, Subject, Validity};
use super::public_key::PublicKey;
use super::request::write_request;
use super::signer::{NoRandomness, PrivateKey};
use crate::clock::{DAY, Timestamp};
use crate::domain::{Fingerprint, Kind};
use crate::id::{ComponentId, CustomerId, Id as _};
use crate::tls_provider;

/// How long a root of this service lives unless told otherwise: 30 years.
pub const ROOT_LIFETIME_DAYS_DEFAULT: u32 = 30 * 365;

/// How long a CA below a root lives unless told otherwise: 15 years.
pub const BELOW_LIFETIME_DAYS_DEFAULT: u32 = 15 * 365;

/// A CA made here. The private key is for sealing; it is wiped when this is dropped.
pub struct NewAuthority {
    /// DER.
    pub certificate: Vec<u8>,
    /// PKCS#8 DER.
    pub private_key: Zeroizing<Vec<u8>>,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

/// What keys of CAs made here can be; RSA can only be imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyAlgorithm {
    #[default]
    EcdsaP256,
    EcdsaP384,
    Ed25519,
}

/// Names in a CA's subject: CN as given, OU `customer <id>`, O the customer's name; each shortened
/// to 64 characters like those of components.
pub struct AuthoritySubject<'a> {
    pub common_name: &'a str,
    pub customer_id: CustomerId,
    pub customer_name: &'a str,
}

/// Why a CA was not made, or does not pass the trial.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    #[error("the CA above may not have another CA below it (its path length does not allow one)")]
    ParentPathLength,
    #[error("the CA above is outside its validity")]
    ParentUnavailable,
    #[error("a trial certificate for {kind} could not be signed: {source}")]
    TrialRefused { kind: Kind, source: IssueError },
    #[error("a trial certificate for {kind} does not verify for {usage}: {reason}")]
    TrialFailed { kind: Kind, usage: &'static str, reason: String },
    #[error("the system gives no random bytes to make a key or to sign with")]
    Signing,
}

/// A self-signed CA with path length 1: CAs below it, none below those.
///
/// # Errors
/// [`AuthorityError::Signing`] only.
pub fn make_root(
    subject: &AuthoritySubject<'_>,
    algorithm: KeyAlgorithm,
    lifetime_days: u32,
    now: Timestamp,
) -> Result<NewAuthority, AuthorityError> {
    let validity =
        Validity { not_before: now.saturating_sub(BACKDATING), not_after: now.saturating_add(days(lifetime_days)) };
    make_self_signed(algorithm, validity, |public_key| profile::authority(subject, 1, validity, public_key))
}

/// A CA with path length 0, signed by `parent`. It ends with the first of its chain, however long
/// `lifetime_days` is.
///
/// # Errors
/// [`AuthorityError::ParentPathLength`], [`AuthorityError::ParentUnavailable`]: choose another parent.
/// [`AuthorityError::Signing`]: an internal error.
pub fn make_below(
    parent: &Issuer,
    subject: &AuthoritySubject<'_>,
    algorithm: KeyAlgorithm,
    lifetime_days: u32,
    now: Timestamp,
) -> Result<NewAuthority, AuthorityError> {
    if !parent.permits_authority_below() {
        return Err(AuthorityError::ParentPathLength);
    }
    if now < parent.latest_not_before() || parent.earliest_not_after() <= now {
        return Err(AuthorityError::ParentUnavailable);
    }
    let validity = Validity {
        not_before: now.saturating_sub(BACKDATING).max(parent.latest_not_before()),
        not_after: now.saturating_add(days(lifetime_days)).min(parent.earliest_not_after()),
    };
    let (private_key, public_key) = new_key(algorithm)?;
    let contents = profile::authority(subject, 0, validity, &public_key);
    let certificate = parent.signer().sign(&contents)?;
    Ok(NewAuthority { certificate, private_key, not_before: validity.not_before, not_after: validity.not_after })
}

/// Signs a leaf of each kind and has rustls-webpki, which shares no code with what signed it, read the chain and verify
/// each with the root as the only anchor: for client authentication, and where a kind has serverAuth also for that and by
/// its DNS name.
///
/// Costs about four signatures and a dozen verifications.
///
/// # Errors
/// [`AuthorityError::TrialRefused`], [`AuthorityError::TrialFailed`]: the CA must not be used; both say why.
pub fn try_out(issuer: &Issuer, profile: &Profile, now: Timestamp) -> Result<(), AuthorityError> {
    let csr = trial_csr()?;
    let fingerprint = Fingerprint::new("trial+certificate/of+muster=").expect("28 characters of the alphabet");
    for kind in Kind::ALL {
        let subject = Subject {
            customer_id: CustomerId::from_raw(i64::MAX as u64), // as long as ids get
            customer_name: "Trial",
            group_name: "Trial",
            kind,
            component_id: ComponentId::from_raw(i64::MAX as u64),
            fingerprint: &fingerprint,
        };
        let leaf = issuer
            .issue(&csr, &subject, profile, now)
            .map_err(|source| AuthorityError::TrialRefused { kind, source })?;
        let failed = |usage| {
            move |reason: webpki::Error| AuthorityError::TrialFailed { kind, usage, reason: reason.to_string() }
        };
        verify(issuer, &leaf.der, KeyUsage::client_auth(), None, now).map_err(failed("client authentication"))?;
        if kind.is_server() {
            let name = profile.dns_suffix.as_ref().map(|suffix| format!("{}.{kind}.{suffix}", subject.component_id));
            verify(issuer, &leaf.der, KeyUsage::server_auth(), name.as_deref(), now)
                .map_err(failed("server authentication"))?;
        }
    }
    Ok(())
}

/// Self-signs what `contents` makes of the new public key. Shared with the endpoint's anchor.
pub(super) fn make_self_signed(
    algorithm: KeyAlgorithm,
    validity: Validity,
    contents: impl FnOnce(&PublicKey) -> Contents<'_>,
) -> Result<NewAuthority, AuthorityError> {
    let (private_key, public_key) = new_key(algorithm)?;
    let signer = PrivateKey::from_pkcs8(&private_key).expect("a key that was just made parses");
    let certificate = contents(&public_key).self_signed(&signer)?;
    Ok(NewAuthority { certificate, private_key, not_before: validity.not_before, not_after: validity.not_after })
}

/// PKCS#8 DER of a new key, and its public half.
pub(super) fn new_key(algorithm: KeyAlgorithm) -> Result<(Zeroizing<Vec<u8>>, PublicKey), NoRandomness> {
    let pkcs8 = PrivateKey::generate(algorithm)?;
    let parsed = PrivateKey::from_pkcs8(&pkcs8).expect("a key that was just made parses");
    let public_key =
        PublicKey::from_der(&parsed.public_key_der()).expect("keys that are made here are of an accepted type");
    Ok((pkcs8, public_key))
}

/// What a device would send. It takes the way of every CSR, so that the trial is a whole one.
fn trial_csr() -> Result<VerifiedCsr, NoRandomness> {
    let (pkcs8, public_key) = new_key(KeyAlgorithm::EcdsaP256)?;
    let key = PrivateKey::from_pkcs8(&pkcs8).expect("a key that was just made parses");
    let text = STANDARD.encode(write_request(&[(Attribute::CommonName, "trial".to_owned())], &public_key, &key, None)?);
    Ok(VerifiedCsr::verify(&text).expect("a request made here is one that is accepted here"))
}

fn verify(
    issuer: &Issuer,
    leaf: &[u8],
    usage: KeyUsage,
    name: Option<&str>,
    now: Timestamp,
) -> Result<(), webpki::Error> {
    let chain: Vec<&CertificateDer<'_>> = issuer.whole_chain().map(|authority| &authority.der).collect();
    let (root, between) = chain.split_last().expect("a chain has its issuer");
    let between: Vec<CertificateDer<'_>> = between.iter().map(|&der| der.clone()).collect();
    // One that cannot be read is passed by where the one above it has its name and key.
    for authority in &between {
        webpki::anchor_from_trusted_cert(authority)?;
    }
    let anchors = [webpki::anchor_from_trusted_cert(root)?];
    let leaf = CertificateDer::from(leaf);
    let leaf = EndEntityCert::try_from(&leaf)?;
    let time = UnixTime::since_unix_epoch(now.since(Timestamp::from_unix_seconds(0)));
    let algorithms = tls_provider::provider().signature_verification_algorithms.all;
    leaf.verify_for_usage(algorithms, &anchors, &between, time, usage, None, None)?;
    match name {
        Some(name) => {
            let name = ServerName::try_from(name).map_err(|_| webpki::Error::MalformedDnsIdentifier)?;
            leaf.verify_is_valid_for_subject_name(&name)
        }
        None => Ok(()),
    }
}

fn days(days: u32) -> Duration {
    DAY * days
}

impl From<NoRandomness> for AuthorityError {
    fn from(NoRandomness: NoRandomness) -> Self {
        Self::Signing
    }
}

#[cfg(test)]
mod tests;
