use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::super::certificate::ExtendedKeyUsage;
use super::*;
use crate::id::SigningCertificateId;

const ALGORITHMS: [KeyAlgorithm; 3] = [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384, KeyAlgorithm::Ed25519];

fn now() -> Timestamp {
    Timestamp::from_rfc3339("2026-11-20T16:06:00Z").unwrap()
}

fn subject(common_name: &str) -> AuthoritySubject<'_> {
    AuthoritySubject { common_name, customer_id: CustomerId::from_raw(7), customer_name: "Example Ltd" }
}

fn profile() -> Profile {
    Profile {
        trust_domain: "muster.internal".to_owned(),
        dns_suffix: Some("cloud.example.com".to_owned()),
        svid_eku: false,
        public_url: None,
    }
}

fn load(authority: &NewAuthority, chain: &[&NewAuthority]) -> Issuer {
    let chain: Vec<Vec<u8>> = chain.iter().map(|authority| authority.certificate.clone()).collect();
    let id = SigningCertificateId::from_raw(42);
    Issuer::new(id, &authority.certificate, &chain, &authority.private_key, 90 * 86_400).unwrap()
}

#[test]
fn roots_and_those_below_pass_the_trial_with_every_algorithm() {
    for algorithm in ALGORITHMS {
        let root = make_root(&subject("Root"), algorithm, ROOT_LIFETIME_DAYS_DEFAULT, now()).unwrap();
        let root_issuer = load(&root, &[]);
        try_out(&root_issuer, &profile(), now()).unwrap();
        for below_algorithm in ALGORITHMS {
            let lifetime = BELOW_LIFETIME_DAYS_DEFAULT;
            let below = make_below(&root_issuer, &subject("Client"), below_algorithm, lifetime, now()).unwrap();
            try_out(&load(&below, &[&root]), &profile(), now()).unwrap();
        }
    }
}

#[test]
fn the_trial_finds_a_ca_that_must_not_sign_clients() {
    let root = make_root(&subject("Root"), KeyAlgorithm::EcdsaP256, 100, now()).unwrap();
    let root_issuer = load(&root, &[]);
    let (private_key, public_key) = new_key(KeyAlgorithm::EcdsaP256).ok().unwrap();
    let validity = Validity { not_before: root.not_before, not_after: root.not_after };
    let mut contents = profile::authority(&subject("Servers only"), 0, validity, &public_key);
    contents.extended_key_usages = &[ExtendedKeyUsage::ServerAuth];
    let certificate = root_issuer.signer().sign(&contents).ok().unwrap();
    let below = NewAuthority { certificate, private_key, not_before: now(), not_after: now() };
    let refused = try_out(&load(&below, &[&root]), &profile(), now()).unwrap_err();
    assert!(
        matches!(
            &refused,
            AuthorityError::TrialFailed { kind: Kind::AppConnector, usage: "client authentication", .. }
        ),
        "{refused}"
    );
}

#[test]
fn the_trial_refuses_an_expired_ca() {
    let long_ago = now().saturating_sub(days(1_000));
    let root = make_root(&subject("Root"), KeyAlgorithm::EcdsaP256, 10, long_ago).unwrap();
    let refused = try_out(&load(&root, &[]), &profile(), now()).unwrap_err();
    assert!(matches!(refused, AuthorityError::TrialRefused { source: IssueError::Unavailable, .. }));
}

#[test]
fn a_ca_carries_its_customer_and_its_limits() {
    let root = make_root(&subject("Root"), KeyAlgorithm::EcdsaP256, 100, now()).unwrap();
    let below = make_below(&load(&root, &[]), &subject("Client"), KeyAlgorithm::EcdsaP256, 10, now()).unwrap();
    for (authority, name, path_length) in [(&root, "Root", 1), (&below, "Client", 0)] {
        let (_, certificate) = X509Certificate::from_der(&authority.certificate).unwrap();
        assert_eq!(certificate.subject().to_string(), format!("O=Example Ltd, OU=customer 7, CN={name}"));
        assert_eq!(certificate.issuer().to_string(), "O=Example Ltd, OU=customer 7, CN=Root");
        let constraints = certificate.basic_constraints().unwrap().unwrap();
        assert!(constraints.critical && constraints.value.ca);
        assert_eq!(constraints.value.path_len_constraint, Some(path_length));
        let usage = certificate.key_usage().unwrap().unwrap();
        assert!(usage.critical);
        assert_eq!(usage.value.flags, 0b110_0000, "keyCertSign and cRLSign");
        assert_eq!(certificate.tbs_certificate.raw_serial().len(), 16);
        assert_eq!(Timestamp::from(certificate.validity().not_after.to_datetime()), authority.not_after);
    }
    assert_eq!(below.not_after, now().saturating_add(days(10)));
}

#[test]
fn no_ca_is_made_below_one_that_may_not_have_any() {
    let root = make_root(&subject("Root"), KeyAlgorithm::EcdsaP256, 100, now()).unwrap();
    let below = make_below(&load(&root, &[]), &subject("Client"), KeyAlgorithm::EcdsaP256, 10, now()).unwrap();
    let issuer = load(&below, &[&root]);
    let refused = make_below(&issuer, &subject("Client 2"), KeyAlgorithm::EcdsaP256, 10, now());
    assert!(matches!(refused, Err(AuthorityError::ParentPathLength)));
}

#[test]
fn no_ca_is_made_below_an_ended_one() {
    let root = make_root(&subject("Root"), KeyAlgorithm::EcdsaP256, 100, now()).unwrap();
    let issuer = load(&root, &[]);
    let make = |now| make_below(&issuer, &subject("Client"), KeyAlgorithm::EcdsaP256, 10, now);
    let one_second = Duration::from_secs(1);
    assert!(make(root.not_after.saturating_sub(one_second)).is_ok());
    assert!(matches!(make(root.not_after), Err(AuthorityError::ParentUnavailable)));
    assert!(matches!(make(root.not_before.saturating_sub(one_second)), Err(AuthorityError::ParentUnavailable)));
}

#[test]
fn an_endless_lifetime_ends_with_four_digit_years() {
    let root = make_root(&subject("Root"), KeyAlgorithm::EcdsaP256, u32::MAX, now()).unwrap();
    assert_eq!(root.not_after.to_string(), "9999-12-31T23:59:59Z");
    try_out(&load(&root, &[]), &profile(), now()).unwrap();
}
