//! What openssl makes of our CRLs, by the recipe of docs/relying-services.md.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use super::support::{KIND, enrolled, fetch_with, service, signer};
use crate::support::guide::recipe;
use crate::support::{Answer, Device, Service};

const GUIDE: &str = include_str!("../../../docs/relying-services.md");

/// A relying service's folder for one caller.
fn relying(service: &Service, name: &str, caller: &Answer) -> std::path::PathBuf {
    let dir = service.dir().join(name);
    fs::create_dir_all(&dir).expect("a directory");
    for (file, contents) in [
        ("cert.pem", caller.text("certificate")),
        ("chain.pem", caller.text("chain")),
        ("trust-anchors.pem", caller.text("trustAnchors")),
        ("tls-trust-anchor.pem", service.trust_anchor_pem()),
    ] {
        fs::write(dir.join(file), contents).expect("a file");
    }
    dir
}

/// The commands of the guide, as they stand there.
fn check(dir: &Path) -> Output {
    let commands = recipe(GUIDE, "## With openssl");
    Command::new("/bin/sh").args(["-eu", "-c", &commands]).current_dir(dir).output().expect("a shell")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recipe_of_the_guide_takes_what_is_live_and_refuses_the_rest() {
    let (service, key) = service();
    let connector = signer(&service, "Connector");
    let [live, revoked, deleted, reinstalled] = ["live", "revoked", "deleted", "reinstalled"].map(Device::new);
    let live = enrolled(&service, &key, &live).await;
    let revoked = enrolled(&service, &key, &revoked).await;
    let deleted = enrolled(&service, &key, &deleted).await;
    let superseded = enrolled(&service, &key, &reinstalled).await;
    let cases = [("revoked", &revoked), ("deleted", &deleted), ("superseded", &superseded), ("live", &live)];
    for (name, caller) in cases {
        let output = check(&relying(&service, name, caller));
        assert!(output.status.success(), "{name} at first: {}", said(&output));
        let id = caller.text("componentId");
        assert!(said(&output).contains(&format!("/{KIND}/{id}")), "{name}: {}", said(&output));
    }

    let again = enrolled(&service, &key, &reinstalled.reinstalled()).await;
    service.cli_ok(&["component", "revoke", &revoked.text("componentId"), "--yes", "--reason", "keyCompromise"]);
    service.cli_ok(&["component", "delete", &deleted.text("componentId"), "--yes"]);
    let gone = [&revoked, &deleted, &superseded].map(|answer| answer.text("serialNumber"));
    let crl = fetch_with(&service.endpoint(), &connector, &gone.each_ref().map(String::as_str)).await;
    let reason = |answer: &Answer| {
        let serial = answer.text("serialNumber");
        crl.entries.iter().find(|(found, _)| *found == serial).expect("an entry").1
    };
    assert_eq!([&revoked, &superseded, &deleted].map(reason), [Some(1), Some(4), Some(5)]);

    for (name, caller) in cases {
        let output = check(&relying(&service, name, caller));
        assert_eq!(output.status.success(), name == "live", "{name}: {}", said(&output));
        assert_eq!(said(&output).contains("certificate revoked"), name != "live", "{name}: {}", said(&output));
    }
    let output = check(&relying(&service, "again", &again));
    assert!(output.status.success(), "{}", said(&output));
    // Up to the root, with the root's own CRL.
    let root = signer(&service, "Root");
    let dir = service.dir().join("again");
    fs::write(dir.join("root.der"), super::support::fetch(&service.endpoint(), &root).await).expect("a file");
    let commands = "openssl crl -inform DER -in root.der >> crl.pem\n\
        openssl verify -x509_strict -crl_check_all -CAfile trust-anchors.pem -untrusted chain.pem -CRLfile crl.pem cert.pem";
    let output = Command::new("/bin/sh").args(["-eu", "-c", commands]).current_dir(&dir).output().expect("a shell");
    assert!(output.status.success(), "{}", said(&output));
}
