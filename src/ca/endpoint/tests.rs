use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::*;

fn now() -> Timestamp {
    Timestamp::from_rfc3339("2026-11-20T16:06:00Z").unwrap()
}

fn anchor() -> EndpointAnchor {
    of(&EndpointAnchor::make(now()).unwrap(), None).unwrap()
}

fn of(made: &NewAuthority, previous: Option<(&[u8], &[u8])>) -> Result<EndpointAnchor, IssuerError> {
    let NewAuthority { certificate, private_key, .. } = made;
    EndpointAnchor::new(&EndpointAnchorParts { certificate, private_key, previous })
}

/// The one that takes this one's place at `at`.
fn rolled(old: &EndpointAnchor, at: Timestamp) -> EndpointAnchor {
    let next = old.make_next(at).unwrap();
    let previous = next.cross.as_deref().map(|cross| (cross, &*old.signer.certificate.der));
    of(&next.authority, previous).unwrap()
}

fn leaf(anchor: &EndpointAnchor, names: &[&str], addresses: &[&str], now: Timestamp) -> EndpointLeaf {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
    anchor.issue_leaf(&names, &addresses, now).unwrap()
}

/// What a device with the pin does: the anchor from the shown chain, full path validation, the name.
fn verify(leaf: &EndpointLeaf, name: &str, now: Timestamp) -> Result<(), webpki::Error> {
    verify_by(leaf.chain.last().unwrap(), leaf, name, now)
}

/// The same with this anchor, wherever it comes from.
fn verify_by(anchor: &[u8], leaf: &EndpointLeaf, name: &str, now: Timestamp) -> Result<(), webpki::Error> {
    let chain: Vec<CertificateDer<'_>> = leaf.chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let anchor = CertificateDer::from(anchor);
    let anchors = [webpki::anchor_from_trusted_cert(&anchor)?];
    let time = UnixTime::since_unix_epoch(Duration::from_secs(now.unix_seconds() as u64));
    let certificate = EndEntityCert::try_from(&chain[0])?;
    let usage = KeyUsage::server_auth();
    let algorithms = crate::tls_provider::provider().signature_verification_algorithms.all;
    certificate.verify_for_usage(algorithms, &anchors, &chain[1..], time, usage, None, None)?;
    certificate.verify_is_valid_for_subject_name(&ServerName::try_from(name).unwrap())
}

/// Names and addresses of the SAN, as text, in order.
fn names_of(leaf: &EndpointLeaf) -> Vec<String> {
    let (_, certificate) = X509Certificate::from_der(&leaf.chain[0]).unwrap();
    let names = &certificate.subject_alternative_name().unwrap().unwrap().value.general_names;
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn a_leaf_is_valid_for_its_names_and_addresses_only() {
    let leaf = leaf(&anchor(), &["localhost", "api.example.com"], &["127.0.0.1", "::1"], now());
    for name in ["localhost", "api.example.com", "127.0.0.1", "::1"] {
        verify(&leaf, name, now()).unwrap();
    }
    for name in ["example.com", "x.api.example.com", "127.0.0.2"] {
        assert!(verify(&leaf, name, now()).is_err(), "{name}");
    }
}

#[test]
fn the_pin_is_that_of_the_certificate_shown_last() {
    let anchor = anchor();
    let leaf = leaf(&anchor, &["localhost"], &[], now());
    assert_eq!(leaf.chain.len(), 2);
    let (_, shown) = X509Certificate::from_der(&leaf.chain[1]).unwrap();
    assert!(shown.is_ca());
    assert!(anchor.pin() == TrustPin::of_public_key(shown.public_key().raw));
    assert_eq!(anchor.trust_anchors_pem(now()), certificate_pem(&leaf.chain[1]));
}

#[test]
fn a_leaf_lives_90_days_and_not_past_the_anchor() {
    let anchor = anchor();
    let first = leaf(&anchor, &["localhost"], &[], now());
    assert_eq!(first.not_before, now().saturating_sub(Duration::from_secs(300)));
    assert_eq!(first.not_after, now().saturating_add(Duration::from_secs(90 * 86_400)));
    assert_eq!(first.shown_until, first.not_after);
    let end = anchor.not_after();
    let near_the_end = end.saturating_sub(Duration::from_secs(60));
    let last = leaf(&anchor, &["localhost"], &[], near_the_end);
    assert_eq!(last.not_after, end);
    verify(&last, "localhost", near_the_end).unwrap();
    assert_eq!(anchor.issue_leaf(&[], &[], end).err(), Some(IssueError::Unavailable));
}

#[test]
fn leaves_have_keys_of_their_own() {
    let anchor = anchor();
    let keys = [0; 2].map(|_| leaf(&anchor, &["localhost"], &[], now()).private_key.to_vec());
    assert_ne!(keys[0], keys[1]);
}

#[test]
fn names_are_cleaned_and_stand_once() {
    let names = ["LOCALHOST", "localhost.", " api.example.com ", "127.0.0.1", "[::1]", "", "ho st", "ä.example", "-"];
    let leaf = leaf(&anchor(), &names, &["127.0.0.1", "192.0.2.1"], now());
    let expected =
        ["DNSName(api.example.com)", "DNSName(localhost)", "IPAddress(7f:00:00:01)", "IPAddress(c0:00:02:01)"];
    let found = names_of(&leaf);
    assert_eq!(found[..4], expected);
    assert_eq!(found.len(), 5, "and [::1]: {found:?}");
    verify(&leaf, "::1", now()).unwrap();
}

#[test]
fn with_no_name_left_the_leaf_is_for_localhost() {
    verify(&leaf(&anchor(), &["not a name"], &[], now()), "localhost", now()).unwrap();
}

#[test]
fn a_name_too_long_for_a_common_name_stands_in_the_san() {
    let long = format!("{}.example.com", "a".repeat(63));
    verify(&leaf(&anchor(), &[&long], &[], now()), &long, now()).unwrap();
}

#[test]
fn an_anchor_with_a_foreign_key_is_refused() {
    let (one, other) = (EndpointAnchor::make(now()).unwrap(), EndpointAnchor::make(now()).unwrap());
    let mixed = NewAuthority { private_key: other.private_key, ..one };
    assert_eq!(of(&mixed, None).err(), Some(IssuerError::PrivateKeyForeign));
}

#[test]
fn while_it_is_rolled_the_old_anchor_and_the_new_one_are_good() {
    let old = anchor();
    let new = rolled(&old, now());
    let leaf = leaf(&new, &["localhost"], &[], now());
    let [_, cross, shown] = &leaf.chain[..] else { panic!("{} certificates", leaf.chain.len()) };
    assert_eq!(**shown, *old.signer.certificate.der);
    for anchor in [&*old.signer.certificate.der, &*new.signer.certificate.der, cross] {
        verify_by(anchor, &leaf, "localhost", now()).unwrap();
    }
    let (_, parsed) = X509Certificate::from_der(cross).unwrap();
    assert!(parsed.is_ca() && TrustPin::of_public_key(parsed.public_key().raw) == new.pin());
    assert!(new.pin() != old.pin());
    let both = certificate_pem(&new.signer.certificate.der) + &certificate_pem(shown);
    assert_eq!(new.trust_anchors_pem(now()), both);
    assert_eq!(new.previous_not_after(now()), Some(old.not_after()));
    assert!(new.is(&new) && !new.is(&old));
}

#[test]
fn an_anchor_that_is_about_to_end_is_shown_no_more() {
    let old = anchor();
    let end = old.not_after();
    let new = rolled(&old, end.saturating_sub(DAY * 30));
    let last_day = end.saturating_sub(DAY);
    let before = last_day.saturating_sub(Duration::from_secs(1));
    let rolling = leaf(&new, &["localhost"], &[], before);
    assert_eq!((rolling.chain.len(), rolling.shown_until), (3, last_day));
    assert!(rolling.not_after > end);
    let alone = leaf(&new, &["localhost"], &[], last_day);
    assert_eq!(alone.chain[1], *new.signer.certificate.der);
    assert_eq!((alone.chain.len(), alone.shown_until), (2, alone.not_after));
    verify(&alone, "localhost", last_day).unwrap();
    assert_eq!(new.trust_anchors_pem(last_day), certificate_pem(&new.signer.certificate.der));
    assert_eq!(new.previous_not_after(last_day), None);
    assert!(old.make_next(last_day).unwrap().cross.is_none(), "nobody could trust by it any more");
}

#[test]
fn an_anchor_with_a_foreign_cross_certificate_is_refused() {
    let (old, other) = (anchor(), anchor());
    let (one, two) = (old.make_next(now()).unwrap(), old.make_next(now()).unwrap());
    let cross = one.cross.as_deref().unwrap();
    assert!(of(&one.authority, Some((cross, &old.signer.certificate.der))).is_ok());
    assert!(of(&one.authority, Some((cross, &other.signer.certificate.der))).is_err());
    let refused = of(&two.authority, Some((cross, &old.signer.certificate.der))).err();
    assert_eq!(refused, Some(IssuerError::PrivateKeyForeign));
}
