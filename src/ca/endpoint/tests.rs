use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::*;

fn now() -> Timestamp {
    Timestamp::from_rfc3339("2026-11-20T16:06:00Z").unwrap()
}

fn anchor() -> EndpointAnchor {
    let made = EndpointAnchor::make(now()).unwrap();
    EndpointAnchor::new(&made.certificate, &made.private_key).unwrap()
}

fn leaf(anchor: &EndpointAnchor, names: &[&str], addresses: &[&str], now: Timestamp) -> EndpointLeaf {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
    anchor.issue_leaf(&names, &addresses, now).unwrap()
}

/// What a device with the pin does: the anchor from the shown chain, full path validation, the name.
fn verify(leaf: &EndpointLeaf, name: &str, now: Timestamp) -> Result<(), webpki::Error> {
    let chain: Vec<CertificateDer<'_>> = leaf.chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let anchors = [webpki::anchor_from_trusted_cert(&chain[1])?];
    let time = UnixTime::since_unix_epoch(Duration::from_secs(now.unix_seconds() as u64));
    let certificate = EndEntityCert::try_from(&chain[0])?;
    let usage = KeyUsage::server_auth();
    let algorithms = crate::tls_provider::provider().signature_verification_algorithms.all;
    certificate.verify_for_usage(algorithms, &anchors, &[], time, usage, None, None)?;
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
    assert_eq!(anchor.certificate_pem(), certificate_pem(&leaf.chain[1]));
}

#[test]
fn a_leaf_lives_90_days_and_not_past_the_anchor() {
    let anchor = anchor();
    let first = leaf(&anchor, &["localhost"], &[], now());
    assert_eq!(first.not_before, now().saturating_sub(Duration::from_secs(300)));
    assert_eq!(first.not_after, now().saturating_add(Duration::from_secs(90 * 86_400)));
    let end = anchor.signer.certificate.validity.not_after;
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
    let refused = EndpointAnchor::new(&one.certificate, &other.private_key).err();
    assert_eq!(refused, Some(IssuerError::PrivateKeyForeign));
}
