//! What components come to when what signed them, or whom they trust, is replaced: the next renewal brings it.

use muster::ca::CertificateFacts;
use tokio::task::block_in_place;

use crate::nodes::support::Nodes;
use crate::support::device::{Identity, renew};
use crate::support::postgres::Cluster;
use crate::support::{Answer, Device, Endpoint, Service};
use crate::tls_anchor::{pems, tls_anchor};

const KIND: &str = "machine";

/// The common name of what signed an answer's certificate.
fn issuer(answer: &Answer, device: &Device) -> String {
    let identity = Identity::of(answer, &device.key_pair);
    CertificateFacts::read(identity.certificate()).expect("a certificate").issuer
}

/// Renews with this answer's certificate; it must succeed.
async fn renewed(endpoint: &Endpoint, device: &Device, answer: &Answer) -> Answer {
    let next = renew(endpoint, &Identity::of(answer, &device.key_pair), &device.csr()).await.expect("an answer");
    assert_eq!((next.status, next.text("outcome").as_str()), (200, "renewed"), "{}", next.body);
    next
}

async fn enrolled(service: &Service, key: &str, name: &str) -> (Device, Answer) {
    let device = Device::new(name);
    let answer = device.enroll(&service.endpoint(), key).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    (device, answer)
}

fn replace(service: &Service) {
    service.cli_ok(&["signing-cert", "create", "--name", "Next", "--parent", "Root"]);
    service.cli_ok(&["signing-cert", "replace", "--yes", "Client", "Next"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_renews_into_the_successor_of_its_signing_certificate() {
    let service = Service::start();
    service.create_group(KIND, "HQ");
    let key = service.create_key(KIND, "HQ", "k", &[]);
    let gone = service.create_key(KIND, "HQ", "gone", &[]);
    let (with_key, first) = enrolled(&service, &key, "with-key").await;
    let (without, other) = enrolled(&service, &gone, "without").await;
    assert!(issuer(&first, &with_key).contains("CN=Client"), "{}", issuer(&first, &with_key));
    block_in_place(|| {
        replace(&service);
        service.cli_ok(&["key", "delete", "--yes", "--kind", KIND, "gone"]);
    });
    for (device, answer) in [(with_key, first), (without, other)] {
        let next = renewed(&service.endpoint(), &device, &answer).await;
        assert!(issuer(&next, &device).contains("CN=Next"), "{}", issuer(&next, &device));
        assert_eq!(next.text("trustAnchors"), answer.text("trustAnchors"), "below the same root");
        assert_ne!(next.text("chain"), answer.text("chain"));
        // And from there on, too.
        renewed(&service.endpoint(), &device, &next).await;
    }
    service.assert_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_node_replaced_the_other_renews_with() {
    let database = Cluster::shared().database();
    let nodes = Nodes::start(&database.url(), 2);
    nodes[0].create_group(KIND, "HQ");
    let key = nodes[0].create_key(KIND, "HQ", "k", &[]);
    let (device, answer) = enrolled(&nodes[1], &key, "device").await;
    block_in_place(|| replace(&nodes[0]));
    let next = renewed(&nodes[1].endpoint(), &device, &answer).await;
    assert!(issuer(&next, &device).contains("CN=Next"), "{}", issuer(&next, &device));
    nodes[0].assert_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_learns_the_new_tls_trust_anchor_by_renewing() {
    let service = Service::start();
    service.create_group(KIND, "HQ");
    let key = service.create_key(KIND, "HQ", "k", &[]);
    let (device, answer) = enrolled(&service, &key, "agent").await;
    let old = answer.text("serverTrustAnchors");
    assert_eq!(old, service.trust_anchor_pem());
    let (new, _) = block_in_place(|| pems(&tls_anchor(&service, &["roll"])));
    // It trusts what it has, and replaces that by what it is told.
    let knows = |anchor_pem: &str| Endpoint { address: service.enroll, anchor_pem: anchor_pem.to_owned() };
    let rolling = renewed(&knows(&old), &device, &answer).await;
    assert_eq!(rolling.text("serverTrustAnchors"), format!("{new}{old}"));
    block_in_place(|| tls_anchor(&service, &["finish", "--yes"]));
    let shown = Identity::of(&rolling, &device.key_pair);
    assert!(renew(&knows(&old), &shown, &device.csr()).await.is_none(), "an agent that slept through it");
    let finished = renewed(&knows(&rolling.text("serverTrustAnchors")), &device, &rolling).await;
    assert_eq!(finished.text("serverTrustAnchors"), new);
    service.assert_healthy();
}
