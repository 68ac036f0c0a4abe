//! A device's state directory, in which something was damaged.

use std::fs;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use muster::ca::certificate_pem;
use muster::client::state::{StateDir, StateError};
use muster::clock::Timestamp;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::chosen_by;
use crate::{authority, world};

/// By the first byte.
const FILES: [&str; 8] = [
    "cert.pem",
    "chain.pem",
    "enrollment.json",
    "key.next.pem",
    "key.pem",
    "on-change-done",
    "server-trust-anchors.pem",
    "trust-anchors.pem",
];

/// One file's contents, behind a byte that says which.
///
/// Holds: a damaged key stays where it is, byte for byte, and is said to be damaged; a certificate that is told of belongs
/// to the key beside it; nothing that is read makes anything else be written than a move of the next key.
pub fn run(bytes: &[u8]) {
    let (choice, rest) = chosen_by(bytes);
    let folder = world::folder();
    for (name, contents) in whole() {
        fs::write(folder.path().join(name), contents).expect("a file");
    }
    let damaged = FILES[usize::from(choice) % FILES.len()];
    fs::write(folder.path().join(damaged), rest).expect("a file");
    let read = |name: &str| fs::read(folder.path().join(name)).ok();

    let Ok(state) = StateDir::open(folder.path()) else {
        assert!(damaged.starts_with("key"), "{damaged}");
        assert_eq!(read(damaged).as_deref(), Some(rest));
        return;
    };
    let key = state.key_pair();
    if let Err(StateError::DamagedKey { path }) = &key {
        assert!(path.ends_with(damaged));
        assert_eq!(read(damaged).as_deref(), Some(rest));
    }
    if let (Ok(key), Ok(Some(current))) = (&key, state.certificate()) {
        let (_, certificate) = X509Certificate::from_der(&current.certificate).expect("a certificate");
        assert_eq!(certificate.public_key().raw, rcgen::PublicKeyData::subject_public_key_info(key));
        assert_eq!(current.serial_number.len() % 2, 0);
        assert_eq!(current.not_after.unix_seconds(), certificate.validity().not_after.timestamp());
        let now = Timestamp::from_unix_seconds(1_795_190_760);
        assert_eq!(state.current(now).expect("read before").is_some(), current.not_after > now);
    }
    let _ = (state.server_trust(), state.is_on_change_done("07"));
    for (name, contents) in whole().iter().filter(|(name, _)| *name != damaged) {
        assert!(read(name).as_ref() == Some(contents) || damaged == "key.next.pem", "{name} was changed");
    }
}

/// What an enrollment leaves.
fn whole() -> &'static [(&'static str, Vec<u8>)] {
    static WHOLE: OnceLock<Vec<(&str, Vec<u8>)>> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let authority = authority::get();
        let anchors = certificate_pem(&authority.root).into_bytes();
        vec![
            ("cert.pem", certificate_pem(&authority.leaf).into_bytes()),
            ("chain.pem", Vec::new()),
            ("enrollment.json", RECORD.into()),
            ("key.pem", key_pem(&authority.leaf_key)),
            ("on-change-done", b"07\n".into()),
            ("server-trust-anchors.pem", anchors.clone()),
            ("trust-anchors.pem", anchors),
        ]
    })
}

fn key_pem(pkcs8: &[u8]) -> Vec<u8> {
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(pkcs8)).into_bytes()
}

const RECORD: &str = r#"{"cloud":"localhost:8443","outcome":"enrolled","componentId":"72057594037927999",
"componentName":"probe-1","kind":"machine","customerId":"7","groupId":"8","groupName":"Branch",
"fingerprint":"0123456789abcdef","serialNumber":"07070707070707070707070707070707","notBefore":"2020-01-01T00:00:00Z",
"notAfter":"2049-12-31T00:00:00Z","renewAfter":"2040-01-01T00:00:00Z","clockDifference":-3}"#;

pub fn seeds() -> Vec<Vec<u8>> {
    let of = |name: &str, contents: &[u8]| {
        let choice = FILES.iter().position(|file| *file == name).expect("a file");
        [&[choice as u8], contents].concat()
    };
    let authority = authority::get();
    let mut seeds: Vec<_> = whole().iter().map(|(name, contents)| of(name, contents)).collect();
    seeds.push(of("key.next.pem", &key_pem(&authority.root_key)));
    seeds.push(of("key.next.pem", &key_pem(&authority.leaf_key)));
    seeds.push(of("cert.pem", certificate_pem(&authority.root).as_bytes()));
    seeds
}
