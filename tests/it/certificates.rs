//! Certificates as openssl sees them: the strictest verifier that operators have at hand, and none of ours.

use std::fs;
use std::path::Path;
use std::process::Command;

use muster::ca::{
    AuthoritySubject, CaCertificateError, CsrError, EndpointAnchor, EndpointAnchorParts, Issuer, IssuerError,
    KeyAlgorithm, NewAuthority, Profile, Subject, VerifiedCsr, certificate_pem, make_below, make_root, try_out,
};
use muster::clock::{Clock as _, SystemClock, Timestamp};
use muster::domain::revocation::{CrlHead, CrlNumber, RevokedCertificate};
use muster::domain::{Fingerprint, Kind, RevocationReason, SerialNumber};
use muster::id::{ComponentId, CustomerId, Id as _, SigningCertificateId};
use zeroize::Zeroizing;

use crate::support::Openssl;

const FINGERPRINT: &str = "oXaN4RRiMc+/='(),-.:?";
const LIFETIME_SECONDS: u32 = 90 * 86_400;
const ALGORITHMS: [KeyAlgorithm; 3] = [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384, KeyAlgorithm::Ed25519];

impl Openssl {
    /// Makes `name.pem` by `openssl req -x509` from a configuration, key in PKCS#8 DER.
    fn make_root(&self, name: &str, new_key: &str, configuration: &str) -> NewAuthority {
        self.write("root.cnf", configuration);
        self.run(&format!(
            "req -x509 -newkey {new_key} -nodes -days 30 -config @root.cnf -keyout @{name}.key -out @{name}.pem"
        ));
        self.run(&format!("pkcs8 -topk8 -nocrypt -in @{name}.key -outform DER -out @{name}.key.der"));
        self.run(&format!("x509 -in @{name}.pem -outform DER -out @{name}.der"));
        NewAuthority {
            certificate: self.read(&format!("{name}.der")),
            private_key: Zeroizing::new(self.read(&format!("{name}.key.der"))),
            not_before: now(),
            not_after: now(),
        }
    }
}

fn now() -> Timestamp {
    SystemClock.now() // openssl looks at the real one too
}

fn corpus(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("certs/csr").join(name)).unwrap()
}

fn profile() -> Profile {
    Profile {
        trust_domain: "cloud.example.com".to_owned(),
        dns_suffix: Some("cloud.example.com".to_owned()),
        svid_eku: false,
        public_url: Some("https://cloud.example.com".to_owned()),
    }
}

fn authority_subject(common_name: &str) -> AuthoritySubject<'_> {
    AuthoritySubject { common_name, customer_id: CustomerId::from_raw(7), customer_name: "Example Ltd" }
}

fn load(authority: &NewAuthority, chain: &[&NewAuthority]) -> Result<Issuer, IssuerError> {
    let chain: Vec<Vec<u8>> = chain.iter().map(|authority| authority.certificate.clone()).collect();
    let id = SigningCertificateId::from_raw(42);
    Issuer::new(id, &authority.certificate, &chain, &authority.private_key, LIFETIME_SECONDS)
}

/// Root and a CA below it.
fn chain_of_two(algorithm: KeyAlgorithm) -> (Issuer, Issuer) {
    let root = make_root(&authority_subject("Root"), algorithm, 3_650, now()).unwrap();
    let root_issuer = load(&root, &[]).unwrap();
    let below = make_below(&root_issuer, &authority_subject("Connector"), algorithm, 365, now()).unwrap();
    let issuer = load(&below, &[&root]).unwrap();
    (root_issuer, issuer)
}

struct Names<'a> {
    customer: &'a str,
    group: &'a str,
}

/// Leaves `leaf.pem`, `chain.pem` and `root.pem` in the folder. Answers the leaf's serial number.
fn enroll(openssl: &Openssl, issuer: &Issuer, csr: &str, kind: Kind, names: &Names<'_>) -> SerialNumber {
    let csr = VerifiedCsr::verify(csr).unwrap();
    let fingerprint = Fingerprint::new(FINGERPRINT).unwrap();
    let subject = Subject {
        customer_id: CustomerId::from_raw(7),
        customer_name: names.customer,
        group_name: names.group,
        kind,
        component_id: ComponentId::from_raw(1234),
        fingerprint: &fingerprint,
    };
    let issued = issuer.issue(&csr, &subject, &profile(), now()).unwrap();
    openssl.write("leaf.pem", certificate_pem(&issued.der));
    openssl.write("chain.pem", issuer.chain_pem());
    openssl.write("root.pem", issuer.root_pem());
    issued.serial
}

const NAMES: Names<'_> = Names { customer: "Example Ltd", group: "HQ" };

#[test]
fn openssl_accepts_every_kind_under_every_algorithm() {
    let openssl = Openssl::new();
    for algorithm in ALGORITHMS {
        let (root, below) = chain_of_two(algorithm);
        for issuer in [&root, &below] {
            for kind in Kind::ALL {
                enroll(&openssl, issuer, &corpus("p256-sha256.pem"), kind, &NAMES);
                openssl.verify_strictly("-purpose sslclient");
                if kind.is_server() {
                    let host = format!("1234.{kind}.cloud.example.com");
                    openssl.verify_strictly(&format!("-purpose sslserver -verify_hostname {host}"));
                }
            }
        }
    }
}

#[test]
fn a_component_without_server_usage_is_no_server_to_openssl() {
    let openssl = Openssl::new();
    let (_, issuer) = chain_of_two(KeyAlgorithm::EcdsaP256);
    enroll(&openssl, &issuer, &corpus("p256-sha256.pem"), Kind::AppConnector, &NAMES);
    let output = openssl.output("verify -purpose sslserver -CAfile @root.pem -untrusted @chain.pem @leaf.pem");
    assert!(!output.status.success());
}

#[test]
fn every_accepted_request_enrolls_with_its_own_key() {
    let openssl = Openssl::new();
    let (_, issuer) = chain_of_two(KeyAlgorithm::EcdsaP256);
    let index = corpus("index.tsv");
    let accepted = index.lines().filter_map(|line| line.strip_suffix("\taccept"));
    let mut enrolled = 0;
    for file in accepted.filter(|file| file.ends_with(".pem")) {
        enroll(&openssl, &issuer, &corpus(file), Kind::Machine, &NAMES);
        openssl.verify_strictly("-purpose sslclient");
        openssl.write("request.pem", corpus(file));
        let in_certificate = openssl.run("x509 -in @leaf.pem -noout -pubkey");
        let in_request = openssl.run("req -in @request.pem -noout -pubkey");
        assert_eq!(in_certificate, in_request, "{file}");
        enrolled += 1;
    }
    assert!(enrolled >= 12, "{enrolled}");
}

#[test]
fn nothing_of_a_hostile_request_is_in_the_certificate() {
    let openssl = Openssl::new();
    let (_, issuer) = chain_of_two(KeyAlgorithm::EcdsaP256);
    enroll(&openssl, &issuer, &corpus("hostile-wishes.pem"), Kind::AppConnector, &NAMES);
    let text = openssl.run("x509 -in @leaf.pem -noout -text");
    for wish in ["hostile", "HOSTILE", "192.0.2.66", "CA:TRUE", "Certificate Sign", "Code Signing", "1.2.3.4", "OCSP"] {
        assert!(!text.contains(wish), "{wish} in {text}");
    }
    for line in [
        "X509v3 Basic Constraints: critical\n                CA:FALSE",
        "X509v3 Key Usage: critical\n                Digital Signature\n",
        "X509v3 Extended Key Usage: \n                TLS Web Client Authentication\n",
        "X509v3 Subject Alternative Name: \n                URI:spiffe://cloud.example.com/customer/7/app-connector/1234\n",
        "URI:https://cloud.example.com/crl/42.crl",
    ] {
        assert!(text.contains(line), "{line} not in {text}");
    }
    let subject = openssl.run("x509 -in @leaf.pem -noout -subject -nameopt RFC2253,sep_multiline,show_type");
    let expected = [
        &format!("serialNumber=PRINTABLESTRING:{}", FINGERPRINT.replace('+', "\\+").replace(',', "\\,"))[..],
        "CN=UTF8STRING:1234",
        "OU=UTF8STRING:HQ",
        "O=UTF8STRING:Example Ltd",
    ];
    let found: Vec<&str> = subject.lines().skip(1).map(str::trim).collect();
    assert_eq!(found, expected);
}

#[test]
fn names_longer_than_openssl_takes_are_shortened() {
    let openssl = Openssl::new();
    let (_, issuer) = chain_of_two(KeyAlgorithm::EcdsaP256);
    let (customer, group) = ("ß漢🦀".repeat(100), "a".repeat(255));
    enroll(&openssl, &issuer, &corpus("p256-sha256.pem"), Kind::Machine, &Names { customer: &customer, group: &group });
    openssl.verify_strictly("-purpose sslclient");
    let subject = openssl.run("x509 -in @leaf.pem -noout -subject -nameopt utf8,sep_multiline");
    let kept: String = customer.chars().take(47).collect();
    assert!(subject.contains(&format!("O={kept}~")), "{subject}");
    assert!(subject.contains(&format!("OU={}~", "a".repeat(47))), "{subject}");
}

#[test]
fn the_endpoint_is_a_server_to_openssl_and_nothing_else() {
    let openssl = Openssl::new();
    let NewAuthority { certificate, private_key, .. } = EndpointAnchor::make(now()).unwrap();
    let parts = EndpointAnchorParts { certificate: &certificate, private_key: &private_key, previous: None };
    let anchor = EndpointAnchor::new(&parts).unwrap();
    let leaf = anchor.issue_leaf(&["localhost".to_owned()], &["127.0.0.1".parse().unwrap()], now()).unwrap();
    openssl.write("root.pem", anchor.trust_anchors_pem(now()));
    openssl.write("leaf.pem", certificate_pem(&leaf.chain[0]));
    openssl.write("chain.pem", "");
    openssl.verify_strictly("-purpose sslserver -verify_hostname localhost");
    openssl.verify_strictly("-purpose sslserver -verify_ip 127.0.0.1");
    assert!(!openssl.output("verify -purpose sslclient -CAfile @root.pem @leaf.pem").status.success());
    // The private key is one that openssl reads, and the leaf's.
    openssl.write("leaf.key", leaf.private_key.as_slice());
    let of_key = openssl.run("pkey -inform DER -in @leaf.key -pubout");
    assert_eq!(of_key, openssl.run("x509 -in @leaf.pem -noout -pubkey"));
}

/// The old anchor alone, or the new one alone, with what a listener shows in the midst of a roll.
#[test]
fn a_rolled_anchor_is_good_to_openssl_by_either_end() {
    let openssl = Openssl::new();
    let old = EndpointAnchor::make(now()).unwrap();
    let (certificate, private_key) = (&old.certificate, &old.private_key);
    let next = EndpointAnchor::new(&EndpointAnchorParts { certificate, private_key, previous: None })
        .unwrap()
        .make_next(now())
        .unwrap();
    let cross = next.cross.as_deref().unwrap();
    let NewAuthority { certificate, private_key, .. } = &next.authority;
    let previous = Some((cross, &*old.certificate));
    let anchor = EndpointAnchor::new(&EndpointAnchorParts { certificate, private_key, previous }).unwrap();
    let leaf = anchor.issue_leaf(&["localhost".to_owned()], &[], now()).unwrap();
    openssl.write("leaf.pem", certificate_pem(&leaf.chain[0]));
    openssl.write("chain.pem", leaf.chain[1..].iter().map(|der| certificate_pem(der)).collect::<String>());
    for root in [&old.certificate, certificate] {
        openssl.write("root.pem", certificate_pem(root));
        openssl.verify_strictly("-purpose sslserver -verify_hostname localhost");
    }
    // Without the cross certificate nothing leads to the old one.
    openssl.write("root.pem", certificate_pem(&old.certificate));
    assert!(!openssl.output("verify -CAfile @root.pem @leaf.pem").status.success());
}

const CA_EXTENSIONS: &str = "\
    [ca]\n\
    basicConstraints = critical, CA:TRUE\n\
    keyUsage = critical, keyCertSign, cRLSign\n\
    subjectKeyIdentifier = hash\n";

/// Names that a library which takes names apart would not put together again: an attribute twice, two in one
/// set, a string type of old.
#[test]
fn imported_roots_of_every_algorithm_and_odd_name_sign() {
    let openssl = Openssl::new();
    let configuration = format!(
        "[req]\ndistinguished_name = name\nx509_extensions = ca\nprompt = no\nstring_mask = default\n\
         [name]\n0.DC = com\n1.DC = example\n0.OU = One\n1.OU = Two\nCN = Imported Root\n+UID = u1\n{CA_EXTENSIONS}"
    );
    for (new_key, algorithm) in [
        ("rsa:2048", "rsa"),
        ("rsa:4096", "rsa"),
        ("ec -pkeyopt ec_paramgen_curve:P-256", "ecdsa-p256"),
        ("ec -pkeyopt ec_paramgen_curve:P-384", "ecdsa-p384"),
        ("ed25519", "ed25519"),
    ] {
        let root = openssl.make_root("imported", new_key, &configuration);
        let issuer = load(&root, &[]).unwrap();
        assert_eq!(issuer.algorithm(), algorithm);
        try_out(&issuer, &profile(), now()).unwrap();
        let serial = enroll(&openssl, &issuer, &corpus("p256-sha256.pem"), Kind::ServiceEdge, &NAMES);
        openssl.verify_strictly("-purpose sslclient");
        assert_crls_tell(&openssl, &issuer, serial);
        let below = make_below(&issuer, &authority_subject("Below"), KeyAlgorithm::EcdsaP256, 10, now()).unwrap();
        let issuer = load(&below, &[&root]).unwrap();
        enroll(&openssl, &issuer, &corpus("p256-sha256.pem"), Kind::ServiceEdge, &NAMES);
        openssl.verify_strictly("-purpose sslserver");
    }
}

/// openssl takes `leaf.pem` by a CRL without it, and not by one with it; webpki finds it there.
fn assert_crls_tell(openssl: &Openssl, issuer: &Issuer, serial: SerialNumber) {
    let entry = |serial| RevokedCertificate { serial, at: now(), reason: RevocationReason::KeyCompromise };
    let others: Vec<_> = (0..1_000).map(|_| entry(SerialNumber::random())).collect();
    let with = [&others[..], &[entry(serial)]].concat();
    for (entries, is_live) in [(&[][..], true), (&others, true), (&with, false)] {
        let crl = issuer.sign_crl(&crl_head(entries.len(), "2049-12-31T23:59:59Z"), entries).unwrap();
        let read = webpki::BorrowedCertRevocationList::from_der(&crl).unwrap().to_owned().unwrap();
        let read = webpki::CertRevocationList::from(read);
        assert_eq!(read.find_serial(serial.as_bytes()).unwrap().is_none(), is_live);
        openssl.write("crl.der", &crl);
        openssl.run("crl -inform DER -in @crl.der -out @crl.pem");
        let verified = openssl.output("verify -x509_strict -crl_check -CRLfile @crl.pem -CAfile @root.pem @leaf.pem");
        let said = String::from_utf8_lossy(&verified.stderr);
        assert_eq!((verified.status.success(), said.contains("certificate revoked")), (is_live, !is_live), "{said}");
    }
}

fn crl_head(entries: usize, next_update: &str) -> CrlHead {
    CrlHead {
        customer_id: CustomerId::from_raw(7),
        signing_certificate_id: SigningCertificateId::from_raw(42),
        number: CrlNumber(1_795_190_760_000),
        this_update: now(),
        next_update: Timestamp::from_rfc3339(next_update).unwrap(),
        entries: entries as u64,
    }
}

#[test]
fn a_crl_says_to_openssl_what_it_was_given() {
    let openssl = Openssl::new();
    let (_, issuer) = chain_of_two(KeyAlgorithm::EcdsaP256);
    let at = Timestamp::from_rfc3339("2026-11-20T16:06:00Z").unwrap();
    let entries = [
        (RevocationReason::Unspecified, None),
        (RevocationReason::KeyCompromise, Some("Key Compromise")),
        (RevocationReason::Superseded, Some("Superseded")),
        (RevocationReason::CessationOfOperation, Some("Cessation Of Operation")),
        (RevocationReason::PrivilegeWithdrawn, Some("Privilege Withdrawn")),
    ]
    .map(|(reason, told)| (RevokedCertificate { serial: SerialNumber::random(), at, reason }, told));
    // Beyond 2049 times are of another type (RFC 5280 §5.1.2.5).
    let head = crl_head(entries.len(), "2050-01-01T00:00:00Z");
    openssl.write("crl.der", issuer.sign_crl(&head, &entries.map(|(entry, _)| entry)).unwrap());
    let text = openssl.run("crl -inform DER -in @crl.der -noout -text -nameopt RFC2253");
    for line in [
        "Version 2 (0x1)".to_owned(),
        "Signature Algorithm: ecdsa-with-SHA256".to_owned(),
        "Issuer: CN=Connector,OU=customer 7,O=Example Ltd".to_owned(),
        "Next Update: Jan  1 00:00:00 2050 GMT".to_owned(),
        "Revocation Date: Nov 20 16:06:00 2026 GMT".to_owned(),
    ] {
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
    assert_eq!(openssl.run("crl -inform DER -in @crl.der -noout -crlnumber").trim(), "crlNumber=0x01A1F9B52240");
    let mut told = text.split("Serial Number: ").skip(1);
    for (entry, reason) in entries {
        let told = told.next().unwrap();
        assert!(told.to_lowercase().starts_with(&entry.serial.to_string()), "{told}");
        assert_eq!(told.contains("Reason Code"), reason.is_some(), "{told}");
        assert!(told.contains(reason.unwrap_or_default()), "{told}");
    }
    let bare = issuer.sign_crl(&crl_head(0, "2027-01-01T00:00:00Z"), &[]).unwrap();
    openssl.write("crl.der", bare);
    assert!(openssl.run("crl -inform DER -in @crl.der -noout -text").contains("No Revoked Certificates."));
}

#[test]
fn an_imported_root_without_crl_sign_signs_none_and_its_leaves_name_none() {
    let openssl = Openssl::new();
    for (usage, signs_crls) in [("keyCertSign", false), ("keyCertSign, cRLSign", true)] {
        let configuration = format!(
            "[req]\ndistinguished_name = name\nx509_extensions = ca\nprompt = no\n[name]\nCN = Odd\n[ca]\n\
             basicConstraints = critical, CA:TRUE\nkeyUsage = critical, {usage}\nsubjectKeyIdentifier = hash\n"
        );
        let issuer =
            load(&openssl.make_root("odd", "ec -pkeyopt ec_paramgen_curve:P-256", &configuration), &[]).unwrap();
        assert_eq!(issuer.signs_crls(), signs_crls);
        assert_eq!(issuer.sign_crl(&crl_head(0, "2027-01-01T00:00:00Z"), &[]).is_ok(), signs_crls);
        enroll(&openssl, &issuer, &corpus("p256-sha256.pem"), Kind::Machine, &NAMES);
        openssl.verify_strictly("-purpose sslclient");
        let text = openssl.run("x509 -in @leaf.pem -noout -text");
        assert_eq!(text.contains("URI:https://cloud.example.com/crl/42.crl"), signs_crls, "{text}");
    }
}

#[test]
fn imported_roots_that_strict_verifiers_refuse_are_refused() {
    let openssl = Openssl::new();
    let root = |new_key: &str, extensions: &str| {
        let configuration = format!(
            "[req]\ndistinguished_name = name\nx509_extensions = ca\nprompt = no\n[name]\nCN = Odd\n[ca]\n{extensions}"
        );
        load(&openssl.make_root("odd", new_key, &configuration), &[]).err().unwrap()
    };
    let p256 = "ec -pkeyopt ec_paramgen_curve:P-256";
    let refused = |source| IssuerError::Certificate { index: 0, source };
    let no_identifier = "basicConstraints = critical, CA:TRUE\nkeyUsage = keyCertSign\nsubjectKeyIdentifier = none\n";
    assert_eq!(root(p256, no_identifier), refused(CaCertificateError::SubjectKeyIdentifier));
    assert_eq!(root(p256, "basicConstraints = critical, CA:TRUE\n"), refused(CaCertificateError::KeyUsage));
    assert_eq!(root(p256, "keyUsage = keyCertSign\n"), refused(CaCertificateError::NotAuthority));
    let fine = "basicConstraints = critical, CA:TRUE\nkeyUsage = keyCertSign\nsubjectKeyIdentifier = hash\n";
    assert_eq!(root(p256, &fine.replace("critical, ", "")), refused(CaCertificateError::ConstraintsNotCritical));
    for new_key in ["rsa:1024", "ec -pkeyopt ec_paramgen_curve:P-521"] {
        let reason = root(new_key, fine);
        assert!(
            matches!(reason, IssuerError::Certificate { index: 0, source: CaCertificateError::PublicKey(_) }),
            "{new_key}: {reason}"
        );
    }
}

/// The README's way: nothing but openssl on the device.
#[test]
fn a_request_made_by_openssl_right_now_enrolls() {
    let openssl = Openssl::new();
    let (_, issuer) = chain_of_two(KeyAlgorithm::EcdsaP256);
    openssl.run("req -new -newkey rsa:2048 -nodes -subj /CN=anything -keyout @device.key -out @request.pem");
    let request = String::from_utf8(openssl.read("request.pem")).unwrap();
    enroll(&openssl, &issuer, &request, Kind::Machine, &NAMES);
    openssl.verify_strictly("-purpose sslclient");
    let doubled = format!("{request}{request}");
    assert_eq!(VerifiedCsr::verify(&doubled).unwrap_err(), CsrError::PemMoreBehind);
}

/// `certs/make-dev-pki` is what the README tells a newcomer to run: it must make what this service takes.
#[test]
fn the_development_pki_is_one_that_signs() {
    let openssl = Openssl::new();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("certs/make-dev-pki");
    let output = Command::new(script).arg(openssl.path("dev")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    openssl.run("x509 -in @dev/enrollment-ca.pem -outform DER -out @ca.der");
    openssl.run("x509 -in @dev/root.pem -outform DER -out @root.der");
    openssl.run("pkcs8 -topk8 -nocrypt -in @dev/enrollment-ca.key -outform DER -out @ca.key.der");
    let (ca, root, key) = (openssl.read("ca.der"), openssl.read("root.der"), openssl.read("ca.key.der"));
    let id = SigningCertificateId::from_raw(42);
    let issuer = Issuer::new(id, &ca, &[root], &key, LIFETIME_SECONDS).unwrap();
    try_out(&issuer, &profile(), now()).unwrap();
    enroll(&openssl, &issuer, &corpus("p256-sha256.pem"), Kind::ServiceEdge, &NAMES);
    openssl.verify_strictly("-purpose sslclient");
    openssl
        .run("verify -x509_strict -purpose sslserver -verify_hostname localhost -CAfile @dev/tls-ca.pem @dev/tls.pem");
    assert!(!openssl.output("verify -CAfile @dev/root.pem @dev/tls.pem").status.success(), "the anchors are separate");
}
