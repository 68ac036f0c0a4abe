//! What stands in a certificate: names, extensions, validity. The one place to read for "which field
//! has which value"; docs/contract.md, "Certificates", says which they are to be.

use std::time::Duration;

use ring::digest::{SHA256, digest};

use super::AuthoritySubject;
use super::certificate::{AlternativeName, Attribute, Contents, ExtendedKeyUsage, Role};
use super::public_key::PublicKey;
use crate::clock::Timestamp;
use crate::domain::{Fingerprint, Kind, SerialNumber};
use crate::id::{ComponentId, CustomerId, SigningCertificateId};

/// What is the same for every component certificate of this service.
#[derive(Clone, Debug)]
pub struct Profile {
    /// A DNS name (ASCII), in front of the path of every SPIFFE id.
    pub trust_domain: String,
    /// The cloud's host if it is a DNS name (ASCII).
    pub dns_suffix: Option<String>,
    /// clientAuth and serverAuth for all kinds, as X509-SVIDs have them.
    pub svid_eku: bool,
    /// `https://host` (ASCII) in front of `/crl/<id>.crl`; `None`: no CRL distribution point.
    pub public_url: Option<String>,
}

impl Profile {
    /// Where the CRL of a signing certificate is fetched, if that is known.
    pub fn crl_uri(&self, issuer: SigningCertificateId) -> Option<String> {
        self.public_url.as_ref().map(|url| format!("{}{}", url.trim_end_matches('/'), crl_path(issuer)))
    }
}

/// The path of a signing certificate's CRL on the enrollment listener.
pub fn crl_path(issuer: SigningCertificateId) -> String {
    format!("/crl/{issuer}.crl")
}

/// Whom a certificate is for. All of it comes from the store, but for the fingerprint, whose alphabet is
/// that of a PrintableString.
pub struct Subject<'a> {
    pub customer_id: CustomerId,
    pub customer_name: &'a str,
    pub group_name: &'a str,
    pub kind: Kind,
    pub component_id: ComponentId,
    pub fingerprint: &'a Fingerprint,
}

/// From when to when a certificate counts, both inclusive (RFC 5280 §4.1.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

/// How far back certificates start, for verifiers whose clock is behind.
pub(super) const BACKDATING: Duration = Duration::from_secs(5 * 60);

/// Upper bound on the "tenth of a lifetime" that must be left.
const REMAINDER_BASE_SECONDS: u64 = 24 * 3_600;

impl Validity {
    /// Of a component's certificate: from five minutes ago (not before its issuer began) until
    /// `lifetime_seconds` from now or `chain_end`, whichever comes first.
    ///
    /// `None` when less than a tenth of min(lifetime, 24 h) would be left: a certificate that ends at
    /// once only moves the failure to the device.
    pub fn of_component(
        now: Timestamp,
        lifetime_seconds: u32,
        issuer_not_before: Timestamp,
        chain_end: Timestamp,
    ) -> Option<Self> {
        let lifetime = u64::from(lifetime_seconds);
        let not_after = now.saturating_add(Duration::from_secs(lifetime)).min(chain_end);
        let left = not_after.since(now).as_secs();
        if left == 0 || left * 10 < lifetime.min(REMAINDER_BASE_SECONDS) {
            return None;
        }
        Some(Self { not_before: now.saturating_sub(BACKDATING).max(issuer_not_before), not_after })
    }
}

/// The certificate of a component. Of the device it carries the public key and the fingerprint. `crl_of`: whose CRL
/// tells of it, if one does.
pub(super) fn component<'a>(
    subject: &Subject<'_>,
    profile: &Profile,
    serial: SerialNumber,
    validity: Validity,
    public_key: &'a PublicKey,
    crl_of: Option<SigningCertificateId>,
) -> Contents<'a> {
    let spiffe_id = format!(
        "spiffe://{}/customer/{}/{}/{}",
        profile.trust_domain, subject.customer_id, subject.kind, subject.component_id
    );
    let mut alternative_names = vec![AlternativeName::Uri(spiffe_id)];
    if let (true, Some(suffix)) = (subject.kind.is_server(), &profile.dns_suffix) {
        alternative_names.push(AlternativeName::Dns(format!("{}.{}.{suffix}", subject.component_id, subject.kind)));
    }
    let serves = subject.kind.is_server() || profile.svid_eku;
    Contents {
        serial,
        validity,
        subject: vec![
            (Attribute::Organization, at_most_64_characters(subject.customer_name)),
            (Attribute::OrganizationalUnit, at_most_64_characters(subject.group_name)),
            (Attribute::CommonName, subject.component_id.to_string()),
            // where IEEE 802.1AR §8.6 puts a device's identity; a PrintableString by its alphabet
            (Attribute::SerialNumber, subject.fingerprint.as_str().to_owned()),
        ],
        public_key,
        role: Role::EndEntity,
        alternative_names,
        extended_key_usages: match serves {
            true => &[ExtendedKeyUsage::ClientAuth, ExtendedKeyUsage::ServerAuth],
            false => &[ExtendedKeyUsage::ClientAuth],
        },
        crl_uri: crl_of.and_then(|issuer| profile.crl_uri(issuer)),
    }
}

/// An enrollment CA. `path_length`: how many CAs may stand between it and a component's certificate.
pub(super) fn authority<'a>(
    subject: &AuthoritySubject<'_>,
    path_length: u8,
    validity: Validity,
    public_key: &'a PublicKey,
) -> Contents<'a> {
    let subject = vec![
        (Attribute::Organization, at_most_64_characters(subject.customer_name)),
        (Attribute::OrganizationalUnit, format!("customer {}", subject.customer_id)),
        (Attribute::CommonName, at_most_64_characters(subject.common_name)),
    ];
    certificate_authority(subject, path_length, validity, public_key)
}

/// The CA above this service's own TLS certificates. Its path length lets it vouch for the one that takes its
/// place.
pub(super) fn endpoint_anchor(common_name: String, validity: Validity, public_key: &PublicKey) -> Contents<'_> {
    certificate_authority(vec![(Attribute::CommonName, common_name)], 1, validity, public_key)
}

/// The same CA as the one before it vouches for it: nothing but leaves below.
pub(super) fn endpoint_anchor_cross(common_name: String, validity: Validity, public_key: &PublicKey) -> Contents<'_> {
    certificate_authority(vec![(Attribute::CommonName, common_name)], 0, validity, public_key)
}

/// A TLS certificate of this service. `alternative_names` is not empty.
pub(super) fn endpoint_leaf(
    common_name: String,
    alternative_names: Vec<AlternativeName>,
    validity: Validity,
    public_key: &PublicKey,
) -> Contents<'_> {
    Contents {
        serial: SerialNumber::random(),
        validity,
        subject: vec![(Attribute::CommonName, common_name)],
        public_key,
        role: Role::EndEntity,
        alternative_names,
        extended_key_usages: &[ExtendedKeyUsage::ServerAuth],
        crl_uri: None,
    }
}

fn certificate_authority(
    subject: Vec<(Attribute, String)>,
    path_length: u8,
    validity: Validity,
    public_key: &PublicKey,
) -> Contents<'_> {
    Contents {
        serial: SerialNumber::random(),
        validity,
        subject,
        public_key,
        role: Role::Authority { path_length },
        alternative_names: Vec::new(),
        extended_key_usages: &[],
        crl_uri: None,
    }
}

/// O, OU and CN have at most 64 characters (RFC 5280 appendix A.1, `ub-common-name` and its like). A longer
/// text becomes its first 47, `~`, and 16 lower-case hex digits of the SHA-256 of the whole: still
/// readable, still different where the wholes differ.
pub(super) fn at_most_64_characters(text: &str) -> String {
    const CHARACTERS_MAX: usize = 64;
    const CHARACTERS_KEPT: usize = 47;
    if text.chars().nth(CHARACTERS_MAX).is_none() {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(CHARACTERS_KEPT).collect();
    short.push('~');
    for byte in &digest(&SHA256, text.as_bytes()).as_ref()[..8] {
        short.push_str(&format!("{byte:02x}"));
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(1_800_000_000 + seconds)
    }

    #[test]
    fn names_keep_64_characters_and_shorten_65() {
        for character in ["a", "ß", "漢", "🦀"] {
            let whole = character.repeat(64);
            assert_eq!(at_most_64_characters(&whole), whole);
            let long = character.repeat(65);
            let short = at_most_64_characters(&long);
            assert_eq!(short.chars().count(), 64);
            assert!(short.starts_with(&format!("{}~", character.repeat(47))), "{short}");
        }
        // printf '%065d' 0 | sha256sum
        assert_eq!(at_most_64_characters(&"0".repeat(65)), format!("{}~e531ef0f96240917", "0".repeat(47)));
        assert_ne!(at_most_64_characters(&"a".repeat(65)), at_most_64_characters(&"a".repeat(66)));
    }

    #[test]
    fn validity_starts_five_minutes_ago_but_not_before_the_issuer() {
        let validity = Validity::of_component(at(0), 7_776_000, at(-301), at(100_000_000)).unwrap();
        assert_eq!(validity, Validity { not_before: at(-300), not_after: at(7_776_000) });
        let validity = Validity::of_component(at(0), 7_776_000, at(-299), at(100_000_000)).unwrap();
        assert_eq!(validity.not_before, at(-299));
    }

    #[test]
    fn validity_ends_with_the_chain() {
        for (chain_end, not_after) in [(86_399, 86_399), (86_400, 86_400), (86_401, 86_400)] {
            let validity = Validity::of_component(at(0), 86_400, at(-1_000), at(chain_end)).unwrap();
            assert_eq!(validity.not_after, at(not_after));
        }
    }

    #[test]
    fn a_tenth_of_the_lifetime_or_of_a_day_must_be_left() {
        for (lifetime, left, issues) in [
            (7_776_000, 8_640, true), // 90 days: a tenth of a day
            (7_776_000, 8_639, false),
            (86_400, 8_640, true),
            (86_400, 8_639, false),
            (3_600, 360, true), // an hour: six minutes
            (3_600, 359, false),
            (7_776_000, 0, false),
            (7_776_000, -1, false),
            (0, 1_000, false),
            (5, 1, true),
        ] {
            let validity = Validity::of_component(at(0), lifetime, at(-1_000), at(left));
            assert_eq!(validity.is_some(), issues, "lifetime {lifetime}, left {left}");
        }
    }
}
