//! Signing certificates and the TLS trust anchor as they come to their end: the guide's commands, and what the log says.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use super::{asked, enroll_device, error, question, stderr};
use crate::support::guide::recipes;
use crate::support::{Service, eventually};

const GUIDE: &str = include_str!("../../../docs/certificates.md");
const KIND: &str = "app-connector";

/// The name of the signing certificate that a key has.
fn signer_of(service: &Service, key: &str) -> String {
    service.key(KIND, key)["enrollmentCertName"].as_str().expect("a name").to_owned()
}

#[test]
fn the_commands_of_the_guide_replace_and_roll() {
    let service = Service::start();
    service.create_group(KIND, "HQ");
    let key = service.create_key(KIND, "HQ", "k", &["--max-uses", "9"]);
    enroll_device(&service, &key, "before");
    let programs = service.dir().join("bin");
    fs::create_dir(&programs).unwrap();
    symlink(env!("CARGO_BIN_EXE_muster"), programs.join("muster")).unwrap();
    let run = |commands: &str| {
        let mut shell = Command::new("/bin/sh");
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MUSTER_")) {
            shell.env_remove(name);
        }
        shell.args(["-eux", "-c", commands]).env("PATH", &programs).env("MUSTER_DATA_DIR", service.data_dir());
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{commands}: {}", stderr(&output));
    };

    assert_eq!(signer_of(&service, "k"), "Connector");
    recipes(GUIDE, "## Replacing a signing certificate").iter().for_each(|commands| run(commands));
    assert_eq!(signer_of(&service, "k"), "Connector 2041");
    assert_eq!(asked(&service, &["group", "show", "--kind", KIND, "HQ"])["enrollmentCertName"], "Connector 2041");
    enroll_device(&service, &key, "after");

    let old = service.trust_anchor_pem();
    let rolling = recipes(GUIDE, "## Rolling the TLS trust anchor");
    let [roll, finish] = &rolling[..] else { panic!("{rolling:?}") };
    run(roll);
    assert!(service.trust_anchor_pem().ends_with(&old));
    enroll_device(&service, &key, "rolling");
    run(finish);
    assert!(!service.trust_anchor_pem().contains(&old));
    let new = service.create_key(KIND, "HQ", "new", &["--max-uses", "9"]);
    enroll_device(&service, &new, "finished");
    service.assert_healthy();
}

#[test]
fn a_signing_certificate_is_replaced_by_one_that_can_sign() {
    let service = Service::start();
    service.create_group(KIND, "HQ");
    let key = service.create_key(KIND, "HQ", "k", &["--max-uses", "9"]);
    enroll_device(&service, &key, "device");
    service.cli_ok(&["signing-cert", "create", "--name", "Next", "--parent", "Root"]);
    let asked = question(&service, &["signing-cert", "replace", "Connector", "Next"]);
    assert!(asked.contains("1 keys and 1 groups change from Connector to"), "{asked}");

    let told = error(&service, &["signing-cert", "replace", "--yes", "Connector", "Connector"]);
    assert!(told.contains("is the one that is to be replaced"), "{told}");
    service.cli_ok(&["signing-cert", "edit", "Next", "--refuse-signing"]);
    let told = error(&service, &["signing-cert", "replace", "--yes", "Connector", "Next"]);
    assert!(told.contains("cannot sign"), "{told}");
    assert_eq!(signer_of(&service, "k"), "Connector");
    service.cli_ok(&["signing-cert", "edit", "Next", "--allow-signing"]);
    service.cli_ok(&["signing-cert", "replace", "--yes", "Connector", "Next"]);
    assert_eq!(signer_of(&service, "k"), "Next");
    let told = error(&service, &["signing-cert", "delete", "--yes", "Connector"]);
    assert!(told.contains("component certificates that have not ended"), "{told}");
    let audit = service.cli_ok(&["audit", "list", "--json"]);
    assert!(audit.contains("\"replace\"") && audit.contains("\"replacedByName\""), "{audit}");
    service.assert_healthy();
}

#[test]
fn the_log_tells_what_ends_soon_if_somebody_uses_it() {
    let mut service = Service::start();
    for name in ["Soon", "Unused"] {
        service.cli_ok(&["signing-cert", "create", "--name", name, "--valid-for", "20"]);
    }
    service.create_group(KIND, "HQ");
    service.cli_ok(&["signing-cert", "replace", "--yes", "Connector", "Soon"]);
    assert!(service.stop().success());
    service.launch();
    let told = eventually("the reminder", || {
        let log = service.log();
        log.lines().find(|line| line.contains("A signing certificate ends in ")).map(str::to_owned)
    });
    assert!(told.contains("WARN") && told.contains("Soon"), "{told}");
    assert!(!service.log().contains("Unused"), "{}", service.log());
}
