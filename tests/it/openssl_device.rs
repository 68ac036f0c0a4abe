//! A device made with nothing but openssl and curl, and its certificates looked at with openssl.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::Service;
use crate::support::guide::{recipe, run_recipe};

const GUIDE: &str = include_str!("../../docs/enrolling-a-device.md");

/// Runs a program that the tests need; it must be there and succeed.
fn run(dir: &Path, program: &str, args: &[&str]) -> String {
    let output = Command::new(program)
        .args(args)
        .current_dir(dir)
        .output()
        .unwrap_or_else(|error| panic!("{program} is needed (tests/run installs it): {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{program} {args:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn pem(answer: &Value, member: &str) -> String {
    answer[member].as_str().unwrap_or_else(|| panic!("no {member} in {answer}")).to_owned()
}

#[test]
fn each_kind_enrolls_with_openssl_and_curl_and_verifies_strictly() {
    let service = Service::start();
    fs::write(service.dir().join("anchor.pem"), service.trust_anchor_pem()).expect("a file");
    for (kind, purpose) in [
        ("app-connector", "sslclient"),
        ("service-edge", "sslserver"),
        ("network-connector", "sslserver"),
        ("machine", "sslclient"),
    ] {
        let dir = service.dir().join(kind);
        fs::create_dir(&dir).expect("a directory");
        service.create_group(kind, "Büro".replace('ü', "ue").as_str());
        let key = service.create_key(kind, "Buero", "k", &["--max-uses", "1"]);

        // The CSR wishes for everything that it must not get.
        run(&dir, "openssl", &["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "key.pem"]);
        let wishes = "[req]\ndistinguished_name=dn\nreq_extensions=ext\nprompt=no\n[dn]\nCN=evil.example\nO=Evil\n\
            [ext]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\nextendedKeyUsage=codeSigning\n\
            subjectAltName=DNS:evil.example,URI:spiffe://muster.internal/customer/1/machine/1\n";
        fs::write(dir.join("wishes.cnf"), wishes).expect("a file");
        run(&dir, "openssl", &["req", "-new", "-key", "key.pem", "-config", "wishes.cnf", "-out", "csr.pem"]);
        let csr = fs::read_to_string(dir.join("csr.pem")).expect("a CSR");
        let fingerprint = format!("curl-{kind}-0001");
        let request = serde_json::json!({ "provisioningKey": key, "fingerprint": fingerprint, "csr": csr });
        fs::write(dir.join("request.json"), request.to_string()).expect("a file");
        let url = format!("https://localhost:{}/v1/enroll", service.enroll.port());
        let json = "content-type: application/json";
        let text = run(
            &dir,
            "curl",
            &[
                "-sS",
                "--fail-with-body",
                "--cacert",
                "../anchor.pem",
                "-H",
                json,
                "--data-binary",
                "@request.json",
                &url,
            ],
        );
        let answer: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(answer["outcome"], "enrolled");
        assert_eq!(answer["kind"], kind);

        fs::write(dir.join("cert.pem"), pem(&answer, "certificate")).expect("a file");
        fs::write(dir.join("chain.pem"), pem(&answer, "chain")).expect("a file");
        fs::write(dir.join("roots.pem"), pem(&answer, "trustAnchors")).expect("a file");
        for purpose in ["sslclient", purpose] {
            let args = ["verify", "-x509_strict", "-check_ss_sig", "-purpose", purpose];
            let files = ["-CAfile", "roots.pem", "-untrusted", "chain.pem", "cert.pem"];
            assert_eq!(run(&dir, "openssl", &[&args[..], &files].concat()).trim(), "cert.pem: OK", "{kind}");
        }
        let text = run(&dir, "openssl", &["x509", "-in", "cert.pem", "-noout", "-text", "-nameopt", "RFC2253"]);
        for absent in ["evil", "Evil", "CA:TRUE", "Certificate Sign", "Code Signing"] {
            assert!(!text.contains(absent), "{kind}: {absent} in\n{text}");
        }
        let component = answer["componentId"].as_str().expect("an id");
        let customer = answer["customerId"].as_str().expect("an id");
        for present in [
            format!("CN={component}"),
            "OU=Buero".to_owned(),
            format!("serialNumber={fingerprint}"),
            format!("URI:spiffe://localhost/customer/{customer}/{kind}/{component}"),
            "CA:FALSE".to_owned(),
            "Digital Signature".to_owned(),
            "TLS Web Client Authentication".to_owned(),
        ] {
            assert!(text.contains(&present), "{kind}: no {present} in\n{text}");
        }
        assert_eq!(text.contains("TLS Web Server Authentication"), purpose == "sslserver", "{kind}\n{text}");
        let dns = format!("DNS:{component}.{kind}.localhost");
        assert_eq!(text.contains(&dns), purpose == "sslserver", "{kind}\n{text}");
        let serial = run(&dir, "openssl", &["x509", "-in", "cert.pem", "-noout", "-serial"]);
        assert_eq!(serial.trim().to_lowercase(), format!("serial={}", answer["serialNumber"].as_str().expect("hex")));
        // The device's key pair is the certificate's.
        let of_key = run(&dir, "openssl", &["pkey", "-in", "key.pem", "-pubout"]);
        let of_certificate = run(&dir, "openssl", &["x509", "-in", "cert.pem", "-noout", "-pubkey"]);
        assert_eq!(of_key, of_certificate);
        assert_eq!(answer["serverTrustAnchors"].as_str(), Some(service.trust_anchor_pem().as_str()));
    }
}

#[test]
fn the_recipe_of_the_guide_enrolls_with_openssl_and_curl_alone() {
    let service = Service::start();
    service.create_group("machine", "Shop floor");
    let key = service.create_key("machine", "Shop floor", "k", &["--max-uses", "1"]);
    let dir = service.dir().join("device");
    fs::create_dir(&dir).expect("a directory");
    fs::write(dir.join("provision_key"), format!("{key}\n")).expect("a file");
    fs::write(dir.join("tls-trust-anchor.pem"), service.trust_anchor_pem()).expect("a file");
    let commands = recipe(GUIDE, "## With openssl and curl");
    let output = run_recipe(&service, &commands, &dir, &["cat", "curl", "openssl", "sed"]);

    let trace = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{trace}");
    assert!(trace.contains("--data-binary @request.json"), "{trace}");
    assert!(!trace.contains(&key), "the key became an argument: {trace}");
    let files = ["-CAfile", "trust-anchors.pem", "-untrusted", "chain.pem", "cert.pem"];
    let args = ["verify", "-x509_strict", "-check_ss_sig", "-purpose", "sslclient"];
    assert_eq!(run(&dir, "openssl", &[&args[..], &files].concat()).trim(), "cert.pem: OK");
    let of_key = run(&dir, "openssl", &["pkey", "-in", "key.pem", "-pubout"]);
    assert_eq!(of_key, run(&dir, "openssl", &["x509", "-in", "cert.pem", "-noout", "-pubkey"]));

    let serial = || run(&dir, "openssl", &["x509", "-in", "cert.pem", "-noout", "-serial"]);
    let before = serial();
    fs::remove_file(dir.join("provision_key")).expect("it was there");
    let commands = recipe(GUIDE, "## Renewing with openssl and curl");
    let renew = || {
        let output = run_recipe(&service, &commands, &dir, &["curl", "mv", "openssl", "sed"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let answer: Value = serde_json::from_slice(&fs::read(dir.join("answer.json")).expect("it")).expect("JSON");
        answer["outcome"].as_str().expect("an outcome").to_owned()
    };
    let old = fs::read(dir.join("cert.pem")).expect("a certificate");
    assert_eq!(renew(), "renewed");
    let after = serial();
    assert_ne!(after, before);
    assert_eq!(run(&dir, "openssl", &[&args[..], &files].concat()).trim(), "cert.pem: OK");
    fs::write(dir.join("cert.pem"), old).expect("a file");
    assert_eq!(renew(), "replayed", "the answer was lost");
    assert_eq!(serial(), after);
    assert_eq!(renew(), "renewed");
    assert_eq!(service.uses("machine", "k"), 1);
}

#[test]
fn the_endpoint_shows_its_chain_and_speaks_tls_1_3_and_1_2_only() {
    let service = Service::start();
    fs::write(service.dir().join("anchor.pem"), service.trust_anchor_pem()).expect("a file");
    let address = service.enroll.to_string();
    let s_client = |more: &[&str]| {
        let args = ["s_client", "-connect", &address, "-CAfile", "anchor.pem", "-showcerts"];
        let output = Command::new("openssl")
            .args([&args[..], more].concat())
            .current_dir(service.dir())
            .stdin(std::process::Stdio::null())
            .output()
            .expect("openssl is needed (tests/run installs it)");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for (group, shown) in [("X25519", "X25519, "), ("P-256", "ECDH, prime256v1")] {
        let text = s_client(&["-tls1_3", "-groups", group]);
        assert!(text.contains("Verify return code: 0 (ok)") && text.contains(shown), "{group}: {text}");
    }
    for (version, name) in [("-tls1_3", "TLSv1.3"), ("-tls1_2", "TLSv1.2")] {
        let text = s_client(&[version, "-servername", "localhost", "-verify_hostname", "localhost"]);
        assert!(text.contains("Verify return code: 0 (ok)"), "{text}");
        assert!(text.contains(name), "{text}");
        assert_eq!(text.matches("BEGIN CERTIFICATE").count(), 2, "leaf and anchor: {text}");
        assert!(!text.contains("Acceptable client certificate CA names"), "{text}");
    }
    // No name, an unknown name: the same certificate.
    assert!(s_client(&["-noservername"]).contains("Verify return code: 0 (ok)"));
    assert!(s_client(&["-servername", "unknown.example"]).contains("Verify return code: 0 (ok)"));
    let old = s_client(&["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"]);
    assert!(!old.contains("BEGIN CERTIFICATE"), "{old}");
}
