//! When CRLs are made, and what becomes of their numbers.

use serde_json::json;

use super::support::{KIND, ask_on, distribution_point, enrolled, fetch, fetch_with, read, service, signer};
use crate::api::support::Client;
use crate::support::device::connect_to;
use crate::support::{Device, Openssl, Service, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn numbers_grow_with_every_crl_and_over_restarts() {
    let (mut service, key) = service();
    service.keep_enroll_address();
    let connector = signer(&service, "Connector");
    let mut last = read(&fetch(&service.endpoint(), &connector).await).number;
    let mut gone: Vec<String> = Vec::new();
    for (name, ends) in [("a", "stop"), ("b", "kill"), ("c", "")] {
        let component = enrolled(&service, &key, &Device::new(name)).await;
        service.cli_ok(&["component", "delete", &component.text("componentId"), "--yes"]);
        gone.push(component.text("serialNumber"));
        let serials: Vec<_> = gone.iter().map(String::as_str).collect();
        let crl = fetch_with(&service.endpoint(), &connector, &serials).await;
        assert!(crl.number > last, "{} after {last}", crl.number);
        assert!(crl.entries.iter().all(|(_, reason)| *reason == Some(5)), "{:?}", crl.entries);
        last = crl.number;
        match ends {
            "stop" => assert!(service.stop().success()),
            "kill" => service.kill(),
            _ => continue,
        }
        service.launch();
        let crl = fetch_with(&service.endpoint(), &connector, &serials).await;
        assert!(crl.number > last, "a start makes them anew: {} after {last}", crl.number);
        last = crl.number;
    }
}

/// What a crash may leave: a revocation that was answered, and no CRL that has it.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_revoked_right_before_a_crash_is_on_the_first_crl_after_it() {
    let (mut service, key) = service();
    service.keep_enroll_address();
    let connector = signer(&service, "Connector");
    let component = enrolled(&service, &key, &Device::new("d")).await;
    service.cli_ok(&["component", "revoke", &component.text("componentId"), "--yes"]);
    service.kill();
    service.launch();
    let crl = read(&fetch(&service.endpoint(), &connector).await);
    assert_eq!(crl.entries, [(component.text("serialNumber"), None)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn reasons_are_those_that_administrators_give() {
    let (service, key) = service();
    let connector = signer(&service, "Connector");
    let mut expected = Vec::new();
    for (index, (reason, code)) in [
        (None, None),
        (Some("unspecified"), None),
        (Some("keyCompromise"), Some(1)),
        (Some("cessationOfOperation"), Some(5)),
        (Some("privilegeWithdrawn"), Some(9)),
    ]
    .into_iter()
    .enumerate()
    {
        let component = enrolled(&service, &key, &Device::new(&format!("d{index}"))).await;
        let id = component.text("componentId");
        let said: Vec<_> = reason.into_iter().flat_map(|reason| ["--reason", reason]).collect();
        service.cli_ok(&[&["component", "revoke", &id, "--yes"][..], &said].concat());
        expected.push((component.text("serialNumber"), code));
        // What was revoked for a reason keeps it when its component goes.
        service.cli_ok(&["component", "delete", &id, "--yes"]);
    }
    let other = service.create_key(KIND, "HQ", "other", &["--max-uses", "1"]);
    let with_key = enrolled(&service, &other, &Device::new("with-key")).await;
    service.cli_ok(&["key", "delete", "other", "--kind", KIND, "--revoke", "--yes"]);
    expected.push((with_key.text("serialNumber"), None));
    expected.sort();
    let serials: Vec<_> = expected.iter().map(|(serial, _)| serial.as_str()).collect();
    let crl = fetch_with(&service.endpoint(), &connector, &serials).await;
    assert_eq!(crl.entries, expected);
    let refused = service.cli(&["component", "revoke", "k-1", "--yes", "--reason", "superseded"]);
    assert_eq!(refused.status.code(), Some(2), "{}", String::from_utf8_lossy(&refused.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_signing_certificate_has_an_empty_crl_at_once() {
    let service = Service::start();
    service.cli_ok(&["signing-cert", "create", "--name", "Second"]);
    let second = signer(&service, "Second");
    let endpoint = service.endpoint();
    let crl = fetch_with(&endpoint, &second, &[]).await;
    let sample = format!("muster_crl_next_update_seconds{{certificate=\"{second}\"}}");
    assert_eq!(service.metric(&sample) as i64, crl.next_update.unix_seconds());
    service.cli_ok(&["signing-cert", "delete", "Second", "--yes"]);
    eventually("an end of the CRL", || {
        service.ops("/metrics").1.lines().all(|line| !line.contains(&second)).then_some(())
    });
}

/// An imported CA that may not sign CRLs gets none, and what it signs names none.
#[tokio::test(flavor = "multi_thread")]
async fn without_crl_sign_there_is_no_crl() {
    let (service, _) = service();
    let openssl = Openssl::new();
    for (name, usage) in [("without", "keyCertSign"), ("with", "keyCertSign,cRLSign")] {
        openssl.run(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN={name} -keyout @{name}.key -out \
             @{name}.pem -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,{usage}"
        ));
        let (certificate, key) = (openssl.path(&format!("{name}.pem")), openssl.path(&format!("{name}.key")));
        let (certificate, private_key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
        service.cli_ok(&[
            "signing-cert",
            "import",
            "--name",
            name,
            "--certificate-file",
            certificate,
            "--private-key-file",
            private_key,
        ]);
        let key = service.create_key(KIND, "HQ", name, &["--max-uses", "5", "--signing-cert", name]);
        let component = enrolled(&service, &key, &Device::new(name)).await;
        let id = signer(&service, name);
        let point = distribution_point(&component.text("certificate"));
        assert_eq!(point.is_some(), name == "with", "{point:?}");
        if name == "with" {
            fetch_with(&service.endpoint(), &id, &[]).await;
        } else {
            service.cli_ok(&["component", "revoke", &component.text("componentId"), "--yes"]);
            // The one made later is there by now, so this one was passed over.
            let path = format!("/crl/{id}.crl");
            assert_eq!(super::support::ask(&service.endpoint(), "GET", &path, "").await.status, 404);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_get_the_same_crl() {
    let (service, key) = service();
    let connector = signer(&service, "Connector");
    let component = enrolled(&service, &key, &Device::new("d")).await;
    let client = Client::sign_in(&service).await;
    let path = format!("connector/{}/revoke", component.text("componentId"));
    let refused = client.post(&path, &json!({ "reason": "superseded" })).await;
    assert_eq!((refused.status, &refused.json()["params"]), (400, &json!(["reason"])), "{}", refused.body);
    assert_eq!(client.post(&path, &json!({ "reason": "privilegeWithdrawn" })).await.status, 204);
    let serial = component.text("serialNumber");
    let crl = fetch_with(&service.endpoint(), &connector, &[&serial]).await;
    assert_eq!(crl.entries, [(serial, Some(9))]);

    let path = client.absolute(&format!("enrollmentCert/{connector}/crl"));
    let bearer = format!("authorization: Bearer {}\r\n", client.token.as_deref().expect("a token"));
    let stream = connect_to(service.admin, &service.trust_anchor_pem()).await.expect("a connection");
    let fetched = ask_on(stream, "GET", &path, &bearer).await;
    assert_eq!((fetched.status, fetched.header("content-type")), (200, Some("application/pkix-crl")));
    assert_eq!(fetched.body, fetch(&service.endpoint(), &connector).await);
    let missing = client.get("enrollmentCert/1/crl").await;
    assert_eq!(missing.status, 404, "{}", missing.body);
}
