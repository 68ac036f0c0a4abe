//! A balancer in front: the device's address is what is checked and kept, not the balancer's.

use std::fs;
use std::sync::Arc;

use muster::clock::SystemClock;
use muster::domain::ledger::LedgerEntry;
use muster::id::{CustomerId, ProvisioningKeyId};
use muster::store::embedded::EmbeddedStore;
use muster::store::{PageRequest, Store as _};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::block_in_place;

use super::patiently;
use crate::support::device::{connect, handshake, http_request, read_answer};
use crate::support::proxy_protocol::header;
use crate::support::{Answer, Device, Service};

async fn enroll_from(service: &Service, source: &str, device: &Device, key: &str) -> Answer {
    let mut tcp = TcpStream::connect(service.enroll).await.unwrap();
    tcp.write_all(&header(source.parse().unwrap())).await.unwrap();
    let mut stream = handshake(tcp, &service.trust_anchor_pem()).await.expect("a handshake");
    stream.write_all(&http_request(device.request(key).to_string().as_bytes())).await.unwrap();
    patiently("an answer", read_answer(&mut stream)).await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn address_lists_and_the_ledger_see_the_device() {
    let mut service = Service::start_with("[enroll]\ntrusted_proxies = [\"127.0.0.1\"]\n");
    service.create_group("machine", "HQ");
    let key = service.create_key("machine", "HQ", "k", &["--allow-from", "203.0.113.0/24"]);

    let first = enroll_from(&service, "203.0.113.9", &Device::new("first"), &key).await;
    assert_eq!(first.text("outcome"), "enrolled");
    let mapped = enroll_from(&service, "::ffff:203.0.113.10", &Device::new("mapped"), &key).await;
    assert_eq!(mapped.text("outcome"), "enrolled", "an IPv4-mapped address counts as IPv4");
    for elsewhere in ["198.51.100.1", "127.0.0.1", "2001:db8::1"] {
        let refused = enroll_from(&service, elsewhere, &Device::new("elsewhere"), &key).await;
        assert_eq!((refused.status, refused.code().as_str()), (403, "address-not-allowed"), "{elsewhere}");
    }
    assert!(connect(&service.endpoint()).await.is_none(), "the balancer must say for whom it speaks");
    assert!(service.log().contains("remote.address=198.51.100.1"), "{}", service.log());

    let key_id: ProvisioningKeyId = service.key("machine", "k")["id"].as_str().unwrap().parse().unwrap();
    let client = fs::read(service.data_dir().join("api-client.json")).unwrap();
    let client: serde_json::Value = serde_json::from_slice(&client).unwrap();
    let customer: CustomerId = client["customerId"].as_str().unwrap().parse().unwrap();
    assert!(block_in_place(|| service.stop()).success()); // and with it the tallies of refusals are written
    let store = EmbeddedStore::open_read_only(&service.data_dir(), Arc::new(SystemClock)).unwrap();
    let ledger = store.list_ledger(customer, key_id, PageRequest::first(10)).await.unwrap();
    let addresses = ledger.rows.iter().map(|used| match &used.row.entry {
        LedgerEntry::Use { device, .. } => device.address.to_string(),
        entry => panic!("{entry:?}"),
    });
    assert_eq!(addresses.collect::<Vec<_>>(), ["203.0.113.10", "203.0.113.9"], "newest first");
    let refusals = store.list_refusals(customer, key_id).await.unwrap();
    assert_eq!(refusals.iter().map(|tally| tally.count).sum::<u64>(), 3);
}
