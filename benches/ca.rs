//! What a CSR, a certificate and a CRL cost, beside the bare cryptography that neither can do without.
//!
//! `cargo bench --bench ca`. The floor of each group is named `floor`: the same operation of `ring` alone on
//! bytes of the same length.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use muster::ca::{AuthoritySubject, Issuer, KeyAlgorithm, Profile, Subject, VerifiedCsr, make_below, make_root};
use muster::clock::Timestamp;
use muster::domain::revocation::{CrlHead, CrlNumber, RevokedCertificate};
use muster::domain::{Fingerprint, Kind, RevocationReason, SerialNumber};
use muster::id::{ComponentId, CustomerId, Id as _, SigningCertificateId};
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

/// Files of `certs/csr`.
const CSRS: [(&str, &str); 5] = [
    ("ecdsa-p256", include_str!("../certs/csr/p256-sha256.pem")),
    ("ecdsa-p384", include_str!("../certs/csr/p384-sha384.pem")),
    ("ed25519", include_str!("../certs/csr/ed25519.pem")),
    ("rsa-2048", include_str!("../certs/csr/rsa-2048-sha256.pem")),
    ("rsa-4096", include_str!("../certs/csr/rsa-4096.pem")),
];

/// About what is signed in a CSR, and in a certificate.
const CSR_INFO_BYTES: usize = 160;
const TBS_BYTES: usize = 470;

fn now() -> Timestamp {
    Timestamp::from_unix_seconds(1_795_000_000)
}

fn csr_verify(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("csr_verify");
    for (key, csr) in CSRS {
        group.bench_function(key, |bencher| bencher.iter(|| VerifiedCsr::verify(black_box(csr)).unwrap()));
    }
    let refused = include_str!("../certs/csr/headers.pem");
    group.bench_function("refused_before_cryptography", |bencher| {
        bencher.iter(|| VerifiedCsr::verify(black_box(refused)).unwrap_err());
    });

    let random = SystemRandom::new();
    let message = vec![0x5a; CSR_INFO_BYTES];
    let signing = &signature::ECDSA_P256_SHA256_ASN1_SIGNING;
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(signing, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(signing, pkcs8.as_ref(), &random).unwrap();
    let signed = pair.sign(&random, &message).unwrap();
    let public_key = UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_ASN1, pair.public_key().as_ref());
    group.bench_function("floor/ecdsa-p256", |bencher| {
        bencher.iter(|| public_key.verify(black_box(&message), signed.as_ref()).unwrap());
    });
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
    let signed = pair.sign(&message);
    let public_key = UnparsedPublicKey::new(&signature::ED25519, pair.public_key().as_ref());
    group.bench_function("floor/ed25519", |bencher| {
        bencher.iter(|| public_key.verify(black_box(&message), signed.as_ref()).unwrap());
    });
    group.finish();
}

fn prepare_and_sign(criterion: &mut Criterion) {
    let csr = VerifiedCsr::verify(CSRS[0].1).unwrap();
    let fingerprint = Fingerprint::new("oXaN4RRiMcMd0kWfMf2cXl0q1Jm8n3m3Lz8y0r9mT5U=").unwrap();
    let subject = Subject {
        customer_id: CustomerId::from_raw(7),
        customer_name: "Example Ltd",
        group_name: "HQ east",
        kind: Kind::AppConnector,
        component_id: ComponentId::from_raw(9_007_199_254_740_991),
        fingerprint: &fingerprint,
    };
    let profile = Profile {
        trust_domain: "cloud.example.com".to_owned(),
        dns_suffix: Some("cloud.example.com".to_owned()),
        svid_eku: false,
        public_url: Some("https://cloud.example.com".to_owned()),
    };

    let mut group = criterion.benchmark_group("prepare_and_sign");
    for (name, algorithm) in [
        ("ecdsa-p256", KeyAlgorithm::EcdsaP256),
        ("ecdsa-p384", KeyAlgorithm::EcdsaP384),
        ("ed25519", KeyAlgorithm::Ed25519),
    ] {
        let issuer = issuer(algorithm);
        group.bench_function(name, |bencher| {
            bencher.iter(|| issuer.issue(black_box(&csr), &subject, &profile, now()).unwrap());
        });
    }

    let random = SystemRandom::new();
    let message = vec![0x5a; TBS_BYTES];
    for (name, signing) in [
        ("floor/ecdsa-p256", &signature::ECDSA_P256_SHA256_ASN1_SIGNING),
        ("floor/ecdsa-p384", &signature::ECDSA_P384_SHA384_ASN1_SIGNING),
    ] {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(signing, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(signing, pkcs8.as_ref(), &random).unwrap();
        group.bench_function(name, |bencher| bencher.iter(|| pair.sign(&random, black_box(&message)).unwrap()));
    }
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
    group.bench_function("floor/ed25519", |bencher| bencher.iter(|| pair.sign(black_box(&message))));
    group.finish();
}

/// From entries in memory to DER; off every request's way, on a thread of its own.
fn sign_crl(criterion: &mut Criterion) {
    let issuer = issuer(KeyAlgorithm::EcdsaP256);
    let mut group = criterion.benchmark_group("sign_crl");
    group.sample_size(20);
    for entries in [0, 1_000, 100_000] {
        let head = CrlHead {
            customer_id: CustomerId::from_raw(7),
            signing_certificate_id: SigningCertificateId::from_raw(42),
            number: CrlNumber(1_795_190_760_000),
            this_update: now(),
            next_update: now(),
            entries,
        };
        let entry = |_| RevokedCertificate {
            serial: SerialNumber::random(),
            at: now(),
            reason: RevocationReason::CessationOfOperation,
        };
        let revoked: Vec<_> = (0..entries).map(entry).collect();
        group.bench_function(format!("ecdsa-p256/{entries} entries"), |bencher| {
            bencher.iter(|| issuer.sign_crl(black_box(&head), black_box(&revoked)).unwrap());
        });
    }
    group.finish();
}

fn issuer(algorithm: KeyAlgorithm) -> Issuer {
    let subject = |common_name| AuthoritySubject {
        common_name,
        customer_id: CustomerId::from_raw(7),
        customer_name: "Example Ltd",
    };
    let load = |certificate: &[u8], chain: &[Vec<u8>], private_key: &[u8]| {
        Issuer::new(SigningCertificateId::from_raw(42), certificate, chain, private_key, 90 * 86_400).unwrap()
    };
    let root = make_root(&subject("Root"), algorithm, 3_650, now()).unwrap();
    let root_issuer = load(&root.certificate, &[], &root.private_key);
    let below = make_below(&root_issuer, &subject("Connector"), algorithm, 3_650, now()).unwrap();
    load(&below.certificate, &[root.certificate], &below.private_key)
}

criterion_group!(benches, csr_verify, prepare_and_sign, sign_crl);
criterion_main!(benches);
