//! How long component certificates live is the signing certificate's to say, and the configuration's
//! when one is made.

use serde_json::json;

use super::support::{Client, id, string};
use crate::support::{Device, Service};

/// A certificate counts from five minutes before it was issued.
const BACKDATING_SECONDS: i64 = 300;
const DAY_SECONDS: i64 = 86_400;

/// What the certificate itself says, in seconds from its issue.
async fn lifetime(service: &Service, key: &str, device: &str) -> i64 {
    let enrolled = Device::new(device).enroll(&service.endpoint(), key).await;
    assert_eq!(enrolled.status, 200, "{}", enrolled.body);
    let pem = enrolled.text("certificate");
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).expect("PEM");
    let validity = pem.parse_x509().expect("a certificate").validity().clone();
    validity.not_after.timestamp() - validity.not_before.timestamp() - BACKDATING_SECONDS
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_certificates_give_the_lifetime_that_was_configured_when_they_were_made() {
    let mut service = Service::start_with("[certificates]\nlifetime_days = 1\n");
    let client = Client::sign_in(&service).await;
    let certificates = client.get("enrollmentCert?search=name+EQ+Root").await.json();
    let root = id(&certificates["list"][0]).to_owned();
    let make_signer = async |client: &Client, name: &str| {
        let body = json!({ "name": name, "parentCertId": root });
        id(&client.make("enrollmentCert/generate", &body).await).to_owned()
    };
    let group = client.make_group("appConnectorGroup", "HQ").await;
    let (preset, _) = client.make_key(&group, "preset", json!({})).await;
    let later = make_signer(&client, "later").await;
    let (later, _) = client.make_key(&group, "later", json!({ "enrollmentCertId": later })).await;
    assert_eq!(lifetime(&service, string(&preset), "first").await, DAY_SECONDS);
    assert_eq!(lifetime(&service, string(&later), "first").await, DAY_SECONDS);

    service.stop();
    std::fs::write(service.dir().join("config.toml"), "[certificates]\nlifetime_days = 7\n").expect("a file");
    service.launch();
    let client = Client::sign_in(&service).await;
    let new = make_signer(&client, "new").await;
    let (new, _) = client.make_key(&group, "new", json!({ "enrollmentCertId": new })).await;
    assert_eq!(lifetime(&service, string(&new), "second").await, 7 * DAY_SECONDS);
    assert_eq!(lifetime(&service, string(&preset), "second").await, DAY_SECONDS, "what was made before stays");
    service.assert_healthy();
}
