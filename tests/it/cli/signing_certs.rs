//! `muster signing-cert …` against a real service.

use std::fs;
use std::process::Command;

use super::{asked, error, json, question, stderr};
use crate::support::Service;

/// Runs openssl in the service's directory; it must succeed.
fn openssl(service: &Service, arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).current_dir(service.dir()).output().expect("openssl");
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
}

/// Makes `ca.pem` and `ca.key`, a root.
fn make_root(service: &Service, algorithm: &[&str]) {
    let request =
        ["req", "-x509", "-nodes", "-days", "3650", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Ours"];
    let usage = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"];
    openssl(service, &[&request[..], &usage, algorithm].concat());
}

fn file(service: &Service, name: &str) -> String {
    service.dir().join(name).to_str().unwrap().to_owned()
}

#[test]
fn a_root_and_one_below_it_are_made_edited_and_deleted() {
    let service = Service::start();
    let root = service.cli_ok(&["signing-cert", "create", "--name", "Own Root", "--valid-for", "3650"]);
    let below = asked(
        &service,
        &["signing-cert", "create", "--name", "Own", "--parent", "own root", "--key-algorithm", "ecdsa-p384"],
    );
    assert_eq!(below["parentCertId"], root.as_str());
    let table = service.cli_ok(&["signing-cert", "list", "--sort", "name", "--name", "own"]);
    let lines: Vec<_> = table.lines().collect();
    assert!(lines[0].starts_with("ID") && lines[0].ends_with("STATE"), "{table}");
    assert!(lines[1].starts_with(below["id"].as_str().unwrap()) && lines[2].starts_with(&root), "{table}");
    assert!(lines[1].ends_with("signs") && lines.len() == 3, "{table}");

    let edit = ["signing-cert", "edit", "Own", "--name", "Own 2", "--description", "d", "--refuse-signing"];
    let edited = asked(&service, &[&edit[..], &["--component-lifetime", "30"]].concat());
    assert_eq!(
        (&edited["name"], &edited["allowSigning"], &edited["componentLifetimeInDays"]),
        (&"Own 2".into(), &false.into(), &"30".into()),
    );
    assert!(service.cli_ok(&["signing-cert", "show", "Own 2"]).contains("does not sign"));
    let pem = service.cli_ok(&["signing-cert", "certificate", "Own 2"]);
    assert!(pem.starts_with("-----BEGIN CERTIFICATE-----"), "{pem}");

    let told = error(&service, &["signing-cert", "delete", "Own Root", "--yes"]);
    assert!(told.contains("in use"), "{told}");
    assert!(question(&service, &["signing-cert", "delete", "Own 2"]).contains("nothing refers to it"));
    service.cli_ok(&["signing-cert", "delete", "Own 2", "--yes"]);
    service.cli_ok(&["signing-cert", "delete", &root, "--yes"]);
    let told = error(&service, &["signing-cert", "show", "Own"]);
    assert!(told.starts_with("there is no signing certificate \"Own\""), "{told}");
}

#[test]
fn one_is_imported_with_its_key_from_files() {
    let service = Service::start();
    make_root(&service, &["-newkey", "rsa:2048"]);
    let (certificate, key) = (file(&service, "ca.pem"), file(&service, "ca.key"));
    let import = ["signing-cert", "import", "--name", "Ours", "--certificate-file", &certificate, "--private-key-file"];
    let id = service.cli_ok(&[&import[..], &[&key]].concat());
    let shown = asked(&service, &["signing-cert", "show", &id]);
    assert_eq!((&shown["name"], &shown["privateKeyPresent"]), (&"Ours".into(), &true.into()));
    assert_eq!(shown.get("privateKey"), None);

    let told = error(&service, &[&import[..], &[&file(&service, "none.key")]].concat());
    assert!(told.contains("none.key"), "{told}");
    let told = error(&service, &[&import[..], &[&certificate]].concat());
    assert!(told.contains("privateKey"), "{told}");
}

#[test]
fn a_csr_is_signed_elsewhere_and_completed() {
    let service = Service::start();
    make_root(&service, &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    let output = service.cli(&["signing-cert", "csr", "--name", "Theirs", "--organization", "Example"]);
    assert!(stderr(&output).contains("awaits its certificate"), "{}", stderr(&output));
    fs::write(service.dir().join("theirs.csr"), &output.stdout).unwrap();
    let told = error(&service, &["signing-cert", "certificate", "Theirs"]);
    assert!(told.contains("awaits its certificate"), "{told}");

    let extensions = "basicConstraints=critical,CA:true,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n\
                      subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n";
    fs::write(service.dir().join("extensions"), extensions).unwrap();
    let sign = ["x509", "-req", "-in", "theirs.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "1000"];
    openssl(&service, &[&sign[..], &["-CAcreateserial", "-extfile", "extensions", "-out", "theirs.pem"]].concat());
    let (certificate, chain) = (file(&service, "theirs.pem"), file(&service, "ca.pem"));
    let upload = ["signing-cert", "upload", "Theirs", "--certificate-file", &certificate];
    let told = error(&service, &upload);
    assert!(told.contains("certificate") || told.contains("chain"), "{told}");
    service.cli_ok(&[&upload[..], &["--chain-file", &chain]].concat());
    let shown = json(&service.cli_ok(&["signing-cert", "show", "Theirs", "--json"]));
    assert_eq!((&shown["privateKeyPresent"], &shown["allowSigning"]), (&true.into(), &true.into()));
    let pem = service.cli_ok(&["signing-cert", "certificate", "Theirs"]);
    assert_eq!(pem.matches("BEGIN CERTIFICATE").count(), 2, "with the one above it: {pem}");
}
