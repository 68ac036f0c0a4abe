//! Nothing that opens anything comes with the program: a first start makes all of it, each a different one.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use muster::domain::key_string::{Inspection, inspect};

use crate::api::support::Client;
use crate::support::Service;

/// Everything of a first start that is secret, or stands for something that is.
fn made(service: &Service) -> Vec<(&'static str, String)> {
    let client = service.api_client();
    let member = |name: &str| client[name].as_str().expect("a string").to_owned();
    let file = |name: &str| fs::read_to_string(service.data_dir().join(name)).expect("a file");
    let (_, password) = service.owner();
    let mut made = vec![
        ("master key", file("master.key").split_whitespace().nth(1).expect("a key").to_owned()),
        ("password", password),
        ("client id", member("clientId")),
        ("client secret", member("clientSecret")),
        ("TLS trust anchor", service.trust_anchor_pem()),
    ];
    for name in ["Root", "Client", "Connector", "Service Edge", "Isolation Client", "Network Connector"] {
        made.push(("signing certificate", service.cli_ok(&["signing-cert", "certificate", name])));
    }
    let store = rusqlite::Connection::open(service.data_dir().join("muster.db")).expect("the store");
    let mut rows = store.prepare("SELECT sealed FROM secrets").expect("a table");
    let sealed = rows.query_map([], |row| row.get::<_, Vec<u8>>(0)).expect("rows");
    made.extend(sealed.map(|sealed| ("sealed secret", format!("{:?}", sealed.expect("bytes")))));
    made
}

#[test]
fn two_first_starts_have_nothing_in_common() {
    let (one, other) = (Service::start(), Service::start());
    let mut seen = BTreeSet::new();
    for (what, value) in made(&one).into_iter().chain(made(&other)) {
        assert!(value.len() >= 12, "{what} is short");
        assert!(seen.insert(value), "{what} is there twice");
    }
    one.create_group("machine", "HQ");
    other.create_group("machine", "HQ");
    let key = |service: &Service| service.create_key("machine", "HQ", "k", &[]);
    assert_ne!(key(&one), key(&other));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_signs_in_with_a_name_and_password_that_everybody_knows() {
    let service = Service::start();
    let (owner, _) = service.owner();
    let nobody = Client::of(&service, "0");
    for password in ["", "admin", "password", "muster", "changeme", "12345678", &owner] {
        for username in [owner.as_str(), "admin", "root", "muster"] {
            let answer = nobody.sign_in_as(username, password).await;
            assert!(matches!(answer.status, 401 | 429), "{username}: {}", answer.status);
        }
    }
}

/// Whole blocks: the words alone stand in many a message and test.
fn holds_private_key(text: &str) -> bool {
    text.split("PRIVATE KEY-----\n").skip(1).any(|rest| {
        let line = rest.lines().next().unwrap_or_default();
        line.len() >= 40 && line.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='))
    })
}

/// Of our form, with a check that fits.
fn is_whole_key(word: &str) -> bool {
    let secret = word.rsplit('|').next().unwrap_or_default();
    secret.len() == 96 && matches!(inspect(word), Inspection::Usable { .. })
}

#[test]
fn the_source_holds_no_private_key_and_no_provisioning_key() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<PathBuf> =
        ["benches", "certs", "docs", "packaging", "src", "tests"].map(|folder| root.join(folder)).into();
    let mut read = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            // What `certs/make-dev-pki` leaves is ignored, and nobody's but the developer's.
            if path.is_dir() && !path.ends_with("certs/dev") {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                assert!(!holds_private_key(&text), "{} holds a private key", path.display());
                for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || "|.:-[]+/=".contains(c))) {
                    assert!(!is_whole_key(word), "{} holds a provisioning key", path.display());
                }
                read += 1;
            }
        }
    }
    assert!(read > 500, "{read}");
    let pair = rcgen::KeyPair::generate().expect("a key pair");
    assert!(holds_private_key(&pair.serialize_pem()), "this is what is looked for");
    let service = Service::start();
    service.create_group("machine", "HQ");
    assert!(is_whole_key(&service.create_key("machine", "HQ", "k", &[])), "and this");
}
