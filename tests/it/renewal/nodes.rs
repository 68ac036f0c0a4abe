//! Renewals on several nodes of one service: what one changed holds on the other with the next request.

use serde_json::json;

use crate::api::support::{Client, id, string};
use crate::nodes::support::Nodes;
use crate::support::device::{Identity, csr, key_pair, renew};
use crate::support::postgres::Cluster;
use crate::support::{Device, Service};

const KIND: &str = "machine";

async fn enrolled(node: &Service, name: &str, key: &str) -> Identity {
    let device = Device::new(name);
    let answer = device.enroll(&node.endpoint(), key).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    Identity::of(&answer, &device.key_pair)
}

/// What this node answers, and what the device holds then.
async fn told(node: &Service, held: &Identity) -> (String, Option<Identity>) {
    let key_pair = held.key_pair();
    let answer = renew(&node.endpoint(), held, &csr(&key_pair)).await.expect("an answer");
    match answer.status {
        200 => (answer.text("outcome"), Some(Identity::of(&answer, &key_pair))),
        _ => (answer.code(), None),
    }
}

async fn code(node: &Service, held: &Identity) -> String {
    told(node, held).await.0
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_node_ended_the_other_renews_no_more() {
    let database = Cluster::shared().database();
    let nodes = Nodes::start(&database.url(), 2);
    let (a, b) = (&nodes[0], &nodes[1]);
    a.create_group(KIND, "HQ");
    let key = a.create_key(KIND, "HQ", "k", &["--allow-re-enrollment"]);
    for n in 1..=5 {
        let held = enrolled(b, &format!("d-{n}"), &key).await;
        let (outcome, held) = told(b, &held).await;
        assert_eq!(outcome, "renewed");
        let held = held.expect("a certificate");
        let name = format!("k-{n}");
        a.cli_ok(&["component", "disable", "--kind", KIND, &name]);
        assert_eq!(code(b, &held).await, "component-disabled");
        a.cli_ok(&["component", "enable", "--kind", KIND, &name]);
        a.cli_ok(&["group", "edit", "--disable", "--kind", KIND, "HQ"]);
        assert_eq!(code(b, &held).await, "group-disabled");
        a.cli_ok(&["group", "edit", "--enable", "--kind", KIND, "HQ"]);
        let end = if n % 2 == 0 { "delete" } else { "revoke" };
        a.cli_ok(&["component", end, "--yes", "--kind", KIND, &name]);
        assert_eq!(code(b, &held).await, "client-certificate-refused", "{end}");
    }
    a.assert_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signing_certificate_that_one_node_changed_signs_on_the_other() {
    let database = Cluster::shared().database();
    let nodes = Nodes::start(&database.url(), 2);
    let (a, b) = (&nodes[0], &nodes[1]);
    let client = Client::sign_in(a).await;
    let group = client.make_group("appConnectorGroup", "HQ").await;
    let (made, path) = client.make_key(&group, "k", json!({})).await;
    let mut held = enrolled(b, "d", string(&made)).await;
    let root = id(&client.get("enrollmentCert?search=name+EQ+Root").await.json()["list"][0]).to_owned();
    for n in 0..4 {
        // It is made, and in use, and nobody told the other node.
        let body = json!({ "name": format!("Next {n}"), "parentCertId": root });
        let signer = id(&client.make("enrollmentCert/generate", &body).await).to_owned();
        client.edit(&path, &json!({ "enrollmentCertId": signer })).await;
        let (outcome, next) = told(b, &held).await;
        assert_eq!(outcome, "renewed");
        let next = next.expect("a certificate");
        let shown = |der: &[u8]| {
            let (_, certificate) = x509_parser::parse_x509_certificate(der).expect("a certificate");
            certificate.issuer().iter_common_name().next().expect("a name").as_str().expect("text").to_owned()
        };
        assert_eq!(shown(next.certificate()), format!("Next {n}"));
        held = next;
    }
    // One that the other node enrolled with is known here as soon.
    let body = json!({ "name": "Elsewhere", "parentCertId": root });
    let signer = id(&client.make("enrollmentCert/generate", &body).await).to_owned();
    let (made, _) = client.make_key(&group, "elsewhere", json!({ "enrollmentCertId": signer })).await;
    let elsewhere = enrolled(a, "elsewhere", string(&made)).await;
    assert_eq!(code(b, &elsewhere).await, "renewed");
    a.assert_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_renewals_on_two_nodes_get_one_certificate() {
    let database = Cluster::shared().database();
    let nodes = Nodes::start(&database.url(), 2);
    nodes[0].create_group(KIND, "HQ");
    let key = nodes[0].create_key(KIND, "HQ", "k", &[]);
    for round in 0..3 {
        let held = enrolled(&nodes[0], &format!("d-{round}"), &key).await;
        let key_pair = if round % 2 == 0 { held.key_pair() } else { key_pair() };
        let csr = csr(&key_pair);
        let racing: Vec<_> = (0..16)
            .map(|n| {
                let (endpoint, held, csr) = (nodes[n % 2].endpoint(), held.clone(), csr.clone());
                tokio::spawn(async move { renew(&endpoint, &held, &csr).await.expect("an answer") })
            })
            .collect();
        let (mut winners, mut serials) = (0, std::collections::BTreeSet::new());
        for racer in racing {
            let answer = racer.await.expect("a device ends well");
            assert_eq!(answer.status, 200, "{}", answer.body);
            winners += usize::from(answer.text("outcome") != "replayed");
            serials.insert(answer.text("serialNumber"));
        }
        assert_eq!((winners, serials.len()), (1, 1));
    }
    nodes[0].assert_healthy();
}
