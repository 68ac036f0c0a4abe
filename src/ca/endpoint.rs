//! The CA above the TLS certificates of this service's own listeners. It never signs components, and
//! components' CAs never sign it: whoever holds a component certificate cannot play the endpoint.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use rustls_pki_types::DnsName;
use zeroize::Zeroizing;

use super::authority::{AuthorityError, KeyAlgorithm, NewAuthority, make_self_signed, new_key};
use super::certificate::AlternativeName;
use super::issuer::{IssueError, IssuerError, Signer};
use super::pem::certificate_pem;
use super::profile::{self, BACKDATING, Validity};
use super::signer::NoRandomness;
use crate::clock::{DAY, Timestamp};
use crate::domain::TrustPin;
use crate::secret::random_bytes;

/// How long an anchor lives: 20 years. Devices that carry its pin in a key string must still find it.
const ANCHOR_LIFETIME: Duration = DAY.saturating_mul(20 * 365);

/// How long a leaf lives: 90 days; `serve` renews it at two thirds.
const LEAF_LIFETIME: Duration = DAY.saturating_mul(90);

/// The anchor, parsed once.
pub struct EndpointAnchor {
    signer: Signer,
    certificate_pem: String,
}

/// A TLS certificate for a listener, with its key.
pub struct EndpointLeaf {
    /// DER: the leaf, then the anchor. The anchor is shown so that a device finds what its pin names.
    pub chain: Vec<Vec<u8>>,
    /// PKCS#8 DER, P-256.
    pub private_key: Zeroizing<Vec<u8>>,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

impl EndpointAnchor {
    /// Makes an anchor: P-256, path length 0, 20 years, named `Muster endpoint CA` and 8 random hex digits, so
    /// that two services' anchors differ in name.
    ///
    /// # Errors
    /// [`AuthorityError::Signing`] only.
    pub fn make(now: Timestamp) -> Result<NewAuthority, AuthorityError> {
        let tag = u32::from_be_bytes(*random_bytes::<4>());
        let name = format!("Muster endpoint CA {tag:08x}");
        let validity =
            Validity { not_before: now.saturating_sub(BACKDATING), not_after: now.saturating_add(ANCHOR_LIFETIME) };
        make_self_signed(KeyAlgorithm::EcdsaP256, validity, |public_key| {
            profile::endpoint_anchor(name, validity, public_key)
        })
    }

    /// `certificate`: DER. `private_key`: PKCS#8 DER, not kept.
    ///
    /// # Errors
    /// The first rule that is broken: what was stored is no CA with its key, or not its own root.
    pub fn new(certificate: &[u8], private_key: &[u8]) -> Result<Self, IssuerError> {
        let signer = Signer::new(certificate, private_key)?;
        let anchor = &signer.certificate;
        anchor.verify_signed_by(anchor).map_err(|source| IssuerError::ChainRoot { source })?;
        let certificate_pem = certificate_pem(certificate);
        Ok(Self { signer, certificate_pem })
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
        Ok(EndpointLeaf {
            chain: vec![leaf, anchor.der.to_vec()],
            private_key,
            not_before: validity.not_before,
            not_after: validity.not_after,
        })
    }

    /// What new key strings carry: SHA-256 of the anchor's SubjectPublicKeyInfo.
    pub fn pin(&self) -> TrustPin {
        TrustPin::of_public_key(self.signer.certificate.public_key.der())
    }

    /// One PEM block.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }
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
