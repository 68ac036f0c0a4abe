use std::time::Duration;

use base64::Engine as _;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;
use zeroize::Zeroizing;

use super::super::authority::{AuthoritySubject, KeyAlgorithm, NewAuthority, make_below, make_root, new_key};
use super::*;
use crate::domain::{Fingerprint, Kind};
use crate::id::{ComponentId, CustomerId, Id as _};

const DAY: Duration = Duration::from_secs(86_400);
const LIFETIME_SECONDS: u32 = 90 * 86_400;

fn now() -> Timestamp {
    Timestamp::from_rfc3339("2026-11-20T16:06:00Z").unwrap()
}

fn authority_subject(common_name: &str) -> AuthoritySubject<'_> {
    AuthoritySubject { common_name, customer_id: CustomerId::from_raw(7), customer_name: "Example Ltd" }
}

fn root() -> NewAuthority {
    make_root(&authority_subject("Root"), KeyAlgorithm::EcdsaP256, 3_650, now()).unwrap()
}

fn load(authority: &NewAuthority, chain: &[&NewAuthority]) -> Result<Issuer, IssuerError> {
    let chain: Vec<Vec<u8>> = chain.iter().map(|authority| authority.certificate.clone()).collect();
    let id = SigningCertificateId::from_raw(42);
    Issuer::new(id, &authority.certificate, &chain, &authority.private_key, LIFETIME_SECONDS)
}

fn below(parent: &Issuer, lifetime_days: u32) -> NewAuthority {
    make_below(parent, &authority_subject("Connector"), KeyAlgorithm::EcdsaP256, lifetime_days, now()).unwrap()
}

fn csr() -> VerifiedCsr {
    let key = KeyPair::generate().unwrap();
    let mut wishes = CertificateParams::new(vec!["wished.example.com".to_owned()]).unwrap();
    wishes.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    wishes.distinguished_name.push(DnType::OrganizationName, "Wished");
    let request = wishes.serialize_request(&key).unwrap();
    VerifiedCsr::verify(&base64::engine::general_purpose::STANDARD.encode(request.der())).unwrap()
}

fn profile() -> Profile {
    Profile {
        trust_domain: "cloud.example.com".to_owned(),
        dns_suffix: Some("cloud.example.com".to_owned()),
        svid_eku: false,
        public_url: Some("https://cloud.example.com/".to_owned()),
    }
}

fn issue(issuer: &Issuer, kind: Kind, profile: &Profile, now: Timestamp) -> Result<IssuedCertificate, IssueError> {
    let fingerprint = Fingerprint::new("oXaN4RRiMc+/='(),-.:?").unwrap();
    let subject = Subject {
        customer_id: CustomerId::from_raw(7),
        customer_name: "Example Ltd",
        group_name: "HQ",
        kind,
        component_id: ComponentId::from_raw(1234),
        fingerprint: &fingerprint,
    };
    issuer.issue(&csr(), &subject, profile, now)
}

#[test]
fn a_certificate_says_what_the_profile_says_and_nothing_else() {
    let root = load(&root(), &[]).unwrap();
    for kind in Kind::ALL {
        let issued = issue(&root, kind, &profile(), now()).unwrap();
        let (rest, certificate) = X509Certificate::from_der(&issued.der).unwrap();
        assert!(rest.is_empty());

        let subject = "O=Example Ltd, OU=HQ, CN=1234, serialNumber=oXaN4RRiMc+/='(),-.:?";
        assert_eq!(certificate.subject().to_string(), subject);
        assert_eq!(certificate.issuer().as_raw(), root.signer.certificate.subject);
        assert_eq!(certificate.tbs_certificate.raw_serial(), issued.serial.as_bytes());
        assert_eq!(Timestamp::from(certificate.validity().not_before.to_datetime()), issued.not_before);
        assert_eq!(Timestamp::from(certificate.validity().not_after.to_datetime()), issued.not_after);
        assert_eq!(issued.not_before, now().saturating_sub(Duration::from_secs(300)));
        assert_eq!(issued.not_after, now().saturating_add(90 * DAY));
        assert_eq!(issued.issued_at, now());

        let names = &certificate.subject_alternative_name().unwrap().unwrap().value.general_names;
        let uri = format!("spiffe://cloud.example.com/customer/7/{kind}/1234");
        let host = format!("1234.{kind}.cloud.example.com");
        let expected = match kind.is_server() {
            true => vec![GeneralName::URI(&uri), GeneralName::DNSName(&host)],
            false => vec![GeneralName::URI(&uri)],
        };
        assert_eq!(*names, expected);

        let usage = certificate.key_usage().unwrap().unwrap();
        assert!(usage.critical);
        assert_eq!(usage.value.flags, 1, "digitalSignature alone");
        let extended = certificate.extended_key_usage().unwrap().unwrap().value;
        assert!(extended.client_auth && extended.server_auth == kind.is_server());
        assert!(!extended.any && !extended.code_signing && extended.other.is_empty());
        let constraints = certificate.basic_constraints().unwrap().unwrap();
        assert!(constraints.critical && !constraints.value.ca);
        // authority and subject key identifier, SAN, both key usages, CRL, basic constraints
        assert_eq!(certificate.extensions().len(), 7);
        let crl = b"https://cloud.example.com/crl/42.crl";
        assert!(issued.der.windows(crl.len()).any(|window| window == crl));
    }
}

#[test]
fn svid_eku_gives_both_usages_to_all_kinds() {
    let root = load(&root(), &[]).unwrap();
    for kind in Kind::ALL {
        let issued = issue(&root, kind, &Profile { svid_eku: true, ..profile() }, now()).unwrap();
        let (_, certificate) = X509Certificate::from_der(&issued.der).unwrap();
        let extended = certificate.extended_key_usage().unwrap().unwrap().value;
        assert!(extended.client_auth && extended.server_auth, "{kind}");
    }
}

#[test]
fn without_a_dns_name_or_public_url_nothing_stands_in_their_place() {
    let root = load(&root(), &[]).unwrap();
    let profile = Profile { dns_suffix: None, public_url: None, ..profile() };
    let issued = issue(&root, Kind::ServiceEdge, &profile, now()).unwrap();
    let (_, certificate) = X509Certificate::from_der(&issued.der).unwrap();
    let names = &certificate.subject_alternative_name().unwrap().unwrap().value.general_names;
    assert!(matches!(names[..], [GeneralName::URI(_)]));
    assert_eq!(certificate.extensions().len(), 6);
}

#[test]
fn serials_differ() {
    let root = load(&root(), &[]).unwrap();
    let serial = || issue(&root, Kind::Machine, &profile(), now()).unwrap().serial;
    assert_ne!(serial(), serial());
}

#[test]
fn issuing_ends_when_too_little_of_the_chain_is_left() {
    let root = load(&root(), &[]).unwrap();
    let end = root.earliest_not_after();
    let at = |seconds_before_end| end.saturating_sub(Duration::from_secs(seconds_before_end));
    let issued = issue(&root, Kind::Machine, &profile(), at(8_640)).unwrap();
    assert_eq!(issued.not_after, end);
    for seconds_before_end in [8_639, 1, 0] {
        let refused = issue(&root, Kind::Machine, &profile(), at(seconds_before_end));
        assert_eq!(refused.unwrap_err(), IssueError::Unavailable, "{seconds_before_end} s before the end");
    }
    let after = end.saturating_add(DAY);
    assert_eq!(issue(&root, Kind::Machine, &profile(), after).unwrap_err(), IssueError::Unavailable);
}

#[test]
fn issuing_begins_with_the_chain() {
    let root = root();
    let issuer = load(&root, &[]).unwrap();
    let just_before = root.not_before.saturating_sub(Duration::from_secs(1));
    assert_eq!(issue(&issuer, Kind::Machine, &profile(), just_before).unwrap_err(), IssueError::Unavailable);
    let issued = issue(&issuer, Kind::Machine, &profile(), root.not_before).unwrap();
    assert_eq!(issued.not_before, root.not_before);
}

#[test]
fn the_chain_decides_the_end() {
    let root = make_root(&authority_subject("Root"), KeyAlgorithm::EcdsaP256, 30, now()).unwrap();
    let root_issuer = load(&root, &[]).unwrap();
    let below = below(&root_issuer, 3_650);
    assert_eq!(below.not_after, root.not_after);
    let issuer = load(&below, &[&root]).unwrap();
    assert_eq!(issue(&issuer, Kind::Machine, &profile(), now()).unwrap().not_after, root.not_after);
}

#[test]
fn chain_texts_leave_the_root_out() {
    let root = root();
    let root_issuer = load(&root, &[]).unwrap();
    let below = below(&root_issuer, 100);
    let issuer = load(&below, &[&root]).unwrap();
    assert_eq!(root_issuer.chain_pem(), "");
    assert_eq!(root_issuer.root_pem(), certificate_pem(&root.certificate));
    assert_eq!(issuer.chain_pem(), certificate_pem(&below.certificate));
    assert_eq!(issuer.root_pem(), root_issuer.root_pem());
    assert_eq!(issuer.algorithm(), "ecdsa-p256");
}

#[test]
fn keys_of_the_whole_chain_are_issuer_keys() {
    let root = root();
    let root_issuer = load(&root, &[]).unwrap();
    let issuer = load(&below(&root_issuer, 100), &[&root]).unwrap();
    let hash = |issuer: &Issuer| *issuer.signer.certificate.public_key.hash();
    let hashes = |issuer: &Issuer| issuer.key_hashes().copied().collect::<Vec<_>>();
    assert_eq!(hashes(&issuer), [hash(&issuer), hash(&root_issuer)]);
    assert_eq!(hashes(&root_issuer), [hash(&root_issuer)]);
}

#[test]
fn a_foreign_or_broken_private_key_is_refused() {
    let (one, other) = (root(), root());
    let foreign = NewAuthority { private_key: other.private_key, ..root() };
    assert_eq!(load(&foreign, &[]).err(), Some(IssuerError::PrivateKeyForeign));
    for bytes in [vec![], vec![0x30, 0x00], one.private_key[..one.private_key.len() - 1].to_vec()] {
        let broken = NewAuthority { private_key: Zeroizing::new(bytes), ..root() };
        assert_eq!(load(&broken, &[]).err(), Some(IssuerError::PrivateKey));
    }
}

#[test]
fn a_chain_that_does_not_link_is_refused() {
    let (root, other) = (root(), root());
    let root_issuer = load(&root, &[]).unwrap();
    let below = below(&root_issuer, 100);
    // same name, other key
    assert!(matches!(load(&below, &[&other]), Err(IssuerError::ChainLink { index: 0, .. })));
    assert!(matches!(load(&below, &[]), Err(IssuerError::ChainRoot { .. })));
    assert!(matches!(load(&below, &[&root, &other]), Err(IssuerError::ChainLink { index: 1, .. })));
    assert!(matches!(load(&root, &[&below]), Err(IssuerError::ChainLink { index: 0, .. })));
}

/// A self-made CA that differs from ours by what `change` does.
fn odd_authority(change: impl FnOnce(&mut CertificateParams)) -> NewAuthority {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.not_after = now().saturating_add(100 * DAY).to_offset_date_time();
    change(&mut params);
    let certificate = params.self_signed(&key).unwrap().der().to_vec();
    let private_key = Zeroizing::new(key.serialize_der());
    NewAuthority { certificate, private_key, not_before: now(), not_after: now() }
}

#[test]
fn what_is_no_ca_is_refused_with_the_reason() {
    assert!(load(&odd_authority(|_| {}), &[]).is_ok());
    let reason = |authority: &NewAuthority| match load(authority, &[]) {
        Err(IssuerError::Certificate { index: 0, source }) => source,
        Err(refused) => panic!("{refused}"),
        Ok(_) => panic!("accepted"),
    };
    let not_a_ca = odd_authority(|params| params.is_ca = IsCa::ExplicitNoCa);
    assert_eq!(reason(&not_a_ca), CaCertificateError::NotAuthority);
    let silent = odd_authority(|params| params.is_ca = IsCa::NoCa);
    assert_eq!(reason(&silent), CaCertificateError::NotAuthority);
    let no_usage = odd_authority(|params| params.key_usages.clear());
    assert_eq!(reason(&no_usage), CaCertificateError::KeyUsage);
    let only_crls = odd_authority(|params| params.key_usages = vec![KeyUsagePurpose::CrlSign]);
    assert_eq!(reason(&only_crls), CaCertificateError::KeyUsage);
    let nameless = odd_authority(|params| params.distinguished_name = rcgen::DistinguishedName::new());
    assert_eq!(reason(&nameless), CaCertificateError::SubjectEmpty);
    let mut longer = odd_authority(|_| {});
    longer.certificate.push(0);
    assert_eq!(reason(&longer), CaCertificateError::TrailingBytes { found: 1 });
    longer.certificate.truncate(100);
    assert_eq!(reason(&longer), CaCertificateError::Malformed);
}

#[test]
fn a_chain_longer_than_a_path_length_is_refused() {
    // root (path length 1) → middle → bottom, where middle was made to allow CAs below it against the root's word
    let root = root();
    let root_issuer = load(&root, &[]).unwrap();
    let authority = |parent: &Issuer, path_length| {
        let (private_key, public_key) = new_key(KeyAlgorithm::EcdsaP256).ok().unwrap();
        let validity = Validity { not_before: now(), not_after: now().saturating_add(DAY) };
        let contents = profile::authority(&authority_subject("Middle"), path_length, validity, &public_key);
        let certificate = parent.signer.sign(&contents).ok().unwrap();
        NewAuthority { certificate, private_key, not_before: now(), not_after: now() }
    };
    let middle = authority(&root_issuer, 3);
    let middle_issuer = load(&middle, &[&root]).unwrap();
    assert!(root_issuer.permits_authority_below());
    assert!(!middle_issuer.permits_authority_below());
    let bottom = authority(&middle_issuer, 0);
    let refused = load(&bottom, &[&middle, &root]).err();
    assert_eq!(refused, Some(IssuerError::PathLength { index: 2, permitted: 1, found: 2 }));
}

#[test]
fn an_expired_authority_loads_and_issues_nothing() {
    let long_ago = now().saturating_sub(1_000 * DAY);
    let expired = make_root(&authority_subject("Root"), KeyAlgorithm::EcdsaP256, 10, long_ago).unwrap();
    let issuer = load(&expired, &[]).unwrap();
    assert_eq!(issue(&issuer, Kind::Machine, &profile(), now()).unwrap_err(), IssueError::Unavailable);
}
