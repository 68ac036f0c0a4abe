//! The CA above the TLS certificates of this service's own listeners. It never signs components, and
//! components' CAs never sign it: whoever holds a component certificate cannot play the endpoint.
//!
//! It is rolled by cross-signing (docs/decisions/0022): the old anchor signs the new one's key. Shown are then the
//! leaf, that *cross certificate* and the old anchor, in the order in which TLS wants them (RFC 5246 §7.4.2).
//! Whoever knows the old anchor, by its certificate or by its pin, finds a path to it. Whoever knows the new one
//! needs nothing but the leaf, or for its pin the cross certificate, which has the new anchor's public key.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use rustls_pki_types::DnsName;
use zeroize::Zeroizing;

use super::authority::{AuthorityError, KeyAlgorithm, NewAuthority, make_self_signed, new_key};
use super::certificate::AlternativeName;
use super::chain::AuthorityChain;
use super::issuer::{IssueError, IssuerError, Signer};
use super::pem::certificate_pem;
use super::profile::{self, BACKDATING, Validity};
use super::public_key::PublicKey;
use super::signer::NoRandomness;
use crate::clock::{DAY, Timestamp};
use crate::domain::TrustPin;
use crate::secret::random_bytes;

/// How long an anchor lives: 20 years. Devices that carry its pin in a key string must still find it.
const ANCHOR_LIFETIME: Duration = DAY.saturating_mul(20 * 365);

/// How long a leaf lives: 90 days; `serve` renews it at two thirds.
const LEAF_LIFETIME: Duration = DAY.saturating_mul(90);

/// An anchor that was replaced is shown until so long before its end. A chain that has an ended certificate in it
/// would keep those out who know the new one by its pin.
const HIDDEN_BEFORE_END: Duration = DAY;

/// The anchor, parsed once.
pub struct EndpointAnchor {
    signer: Signer,
    /// While it is rolled: the cross certificate, and above it the anchor before.
    previous: Option<AuthorityChain>,
}

/// What an anchor is made of again, see [`EndpointAnchor::new`]. All are DER.
pub struct EndpointAnchorParts<'a> {
    pub certificate: &'a [u8],
    /// PKCS#8, not kept.
    pub private_key: &'a [u8],
    /// The cross certificate and the anchor that signed it, while it is rolled.
    pub previous: Option<(&'a [u8], &'a [u8])>,
}

/// An anchor to take the place of another.
pub struct NextAnchor {
    pub authority: NewAuthority,
    /// DER: its key, signed by the one whose place it takes. `None`: that one is about to end, and nobody could trust
    /// by it any more.
    pub cross: Option<Vec<u8>>,
}

/// A TLS certificate for a listener, with its key.
pub struct EndpointLeaf {
    /// DER: the leaf, then the anchor, so that a device finds what its pin names; while the anchor is rolled the leaf,
    /// the cross certificate, the anchor before.
    pub chain: Vec<Vec<u8>>,
    /// PKCS#8 DER, P-256.
    pub private_key: Zeroizing<Vec<u8>>,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// Until when this chain should be shown; the leaf may live longer.
    pub shown_until: Timestamp,
}

impl EndpointAnchor {
    /// Makes an anchor: P-256, path length 1, 20 years, named `Muster endpoint CA` and 8 random hex digits, so
    /// that two services' anchors differ in name, and those of one service as well.
    ///
    /// # Errors
    /// [`AuthorityError::Signing`] only.
    pub fn make(now: Timestamp) -> Result<NewAuthority, AuthorityError> {
        make_named(new_name(), now)
    }

    /// # Errors
    /// The first rule that is broken: what was stored is no CA with its key, not its own root, or of one roll.
    pub fn new(parts: &EndpointAnchorParts<'_>) -> Result<Self, IssuerError> {
        let signer = Signer::new(parts.certificate, parts.private_key)?;
        let anchor = &signer.certificate;
        anchor.verify_signed_by(anchor).map_err(|source| IssuerError::ChainRoot { source })?;
        let previous = match parts.previous {
            None => None,
            Some((cross, previous)) => {
                let chain = AuthorityChain::new(cross, &[previous.to_vec()])?;
                if !chain.succeeds(parts.certificate) {
                    return Err(IssuerError::PrivateKeyForeign);
                }
                Some(chain)
            }
        };
        Ok(Self { signer, previous })
    }

    /// Makes the one that takes this one's place. From the moment that its leaves are shown nothing is signed by
    /// this one any more.
    ///
    /// # Errors
    /// [`AuthorityError::Signing`] only.
    pub fn make_next(&self, now: Timestamp) -> Result<NextAnchor, AuthorityError> {
        let name = new_name();
        let authority = make_named(name.clone(), now)?;
        let old = self.signer.certificate.validity;
        if is_hidden(old.not_after, now) {
            return Ok(NextAnchor { authority, cross: None });
        }
        let validity = Validity {
            not_before: authority.not_before.max(old.not_before),
            not_after: authority.not_after.min(old.not_after),
        };
        let new = Signer::new(&authority.certificate, &authority.private_key).expect("what was just made is a CA");
        let public_key: &PublicKey = &new.certificate.public_key;
        let cross = self.signer.sign(&profile::endpoint_anchor_cross(name, validity, public_key))?;
        Ok(NextAnchor { authority, cross: Some(cross) })
    }

    /// A leaf with a new P-256 key, for 90 days or until the anchor ends.
    ///
    /// `names`: host names as found in configuration and on the machine. They are written in lower case without
    /// a final dot; one that is an address in text (also `[::1]`) counts as an address; what is no DNS name
    /// is left out, since a certificate with it would only help nobody; each stands once. With nothing
    /// left the leaf is for `localhost`.
    ///
    /// # Errors
    /// [`IssueError::Unavailable`]: the anchor is outside its validity. [`IssueError::Signing`]: an internal error.
    pub fn issue_leaf(
        &self,
        names: &[String],
        addresses: &[IpAddr],
        now: Timestamp,
    ) -> Result<EndpointLeaf, IssueError> {
        let anchor = &self.signer.certificate;
        if now < anchor.validity.not_before || anchor.validity.not_after <= now {
            return Err(IssueError::Unavailable);
        }
        let validity = Validity {
            not_before: now.saturating_sub(BACKDATING).max(anchor.validity.not_before),
            not_after: now.saturating_add(LEAF_LIFETIME).min(anchor.validity.not_after),
        };
        let (common_name, alternative_names) = alternative_names(names, addresses);
        let (private_key, public_key) = new_key(KeyAlgorithm::EcdsaP256).map_err(|NoRandomness| IssueError::Signing)?;
        let contents = profile::endpoint_leaf(common_name, alternative_names, validity, &public_key);
        let leaf = self.signer.sign(&contents).map_err(|NoRandomness| IssueError::Signing)?;
        let (chain, shown_until) = match self.previous(now) {
            None => (vec![leaf, anchor.der.to_vec()], validity.not_after),
            Some(previous) => {
                let chain = [vec![leaf, previous.certificate().to_vec()], previous.above()].concat();
                (chain, validity.not_after.min(previous.not_after().saturating_sub(HIDDEN_BEFORE_END)))
            }
        };
        Ok(EndpointLeaf {
            chain,
            private_key,
            not_before: validity.not_before,
            not_after: validity.not_after,
            shown_until,
        })
    }

    /// What new key strings carry: SHA-256 of the anchor's SubjectPublicKeyInfo.
    pub fn pin(&self) -> TrustPin {
        TrustPin::of_public_key(self.signer.certificate.public_key.der())
    }

    /// PEM of what a device may trust at `now`: the anchor, and behind it the one before while that is shown, too.
    pub fn trust_anchors_pem(&self, now: Timestamp) -> String {
        let previous = self.previous(now).map(AuthorityChain::above).unwrap_or_default();
        let anchor = certificate_pem(&self.signer.certificate.der);
        previous.iter().fold(anchor, |pem, der| pem + &certificate_pem(der))
    }

    /// When it ends.
    pub fn not_after(&self) -> Timestamp {
        self.signer.certificate.validity.not_after
    }

    /// When the one before it ends, while it is rolled and that one is shown.
    pub fn previous_not_after(&self, now: Timestamp) -> Option<Timestamp> {
        self.previous(now).map(AuthorityChain::not_after)
    }

    /// Whether both are the same anchor in the same stage of a roll.
    pub fn is(&self, other: &Self) -> bool {
        let cross = |anchor: &Self| anchor.previous.as_ref().map(|previous| previous.certificate().to_vec());
        self.signer.certificate.der == other.signer.certificate.der && cross(self) == cross(other)
    }

    fn previous(&self, now: Timestamp) -> Option<&AuthorityChain> {
        self.previous.as_ref().filter(|previous| !is_hidden(previous.not_after(), now))
    }
}

fn is_hidden(not_after: Timestamp, now: Timestamp) -> bool {
    not_after <= now.saturating_add(HIDDEN_BEFORE_END)
}

fn new_name() -> String {
    format!("Muster endpoint CA {:08x}", u32::from_be_bytes(*random_bytes::<4>()))
}

fn make_named(name: String, now: Timestamp) -> Result<NewAuthority, AuthorityError> {
    let validity =
        Validity { not_before: now.saturating_sub(BACKDATING), not_after: now.saturating_add(ANCHOR_LIFETIME) };
    make_self_signed(KeyAlgorithm::EcdsaP256, validity, |public_key| {
        profile::endpoint_anchor(name, validity, public_key)
    })
}

/// The common name, and the SAN: names first, then addresses, each sorted and once.
fn alternative_names(names: &[String], addresses: &[IpAddr]) -> (String, Vec<AlternativeName>) {
    let mut hosts = BTreeSet::new();
    let mut addresses: BTreeSet<IpAddr> = addresses.iter().copied().collect();
    for name in names {
        let name = name.trim().trim_end_matches('.').to_ascii_lowercase();
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(&name);
        if let Ok(address) = bare.parse() {
            addresses.insert(address);
        } else if DnsName::try_from(name.as_str()).is_ok() {
            hosts.insert(name);
        }
    }
    if hosts.is_empty() && addresses.is_empty() {
        hosts.insert("localhost".to_owned());
    }
    let is_short = |host: &&String| host.len() <= 64; // the bound of a common name; the SAN has none
    let common_name = hosts.iter().find(is_short).map_or("Muster endpoint", String::as_str).to_owned();
    let hosts = hosts.into_iter().map(AlternativeName::Dns);
    let addresses = addresses.into_iter().map(AlternativeName::Address);
    (common_name, hosts.chain(addresses).collect())
}

#[cfg(test)]
mod tests;
