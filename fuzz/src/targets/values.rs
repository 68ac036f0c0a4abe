//! Values that stand alone in bodies, queries, files and columns.

use std::net::IpAddr;

use muster::client::http::HostPort;
use muster::clock::Timestamp;
use muster::domain::address::{AddressList, Networks, SourcePrefix};
use muster::domain::{Description, FilterName, Fingerprint, Name, PageName, QueryText, Reference, Role};
use muster::id::CustomerId;
use muster::server::http::form;

/// Holds: what is taken prints as itself, within its bound; an address list is spelt as it came and means the same
/// however often it is read; a form is what its encoding gives back.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    names(text);
    addresses(text);
    if let Ok(at) = Timestamp::from_rfc3339(text) {
        let printed = at.to_string();
        assert_eq!((printed.len(), Timestamp::from_rfc3339(&printed).ok()), (20, Some(at)));
        assert_eq!(Timestamp::checked_from_unix_seconds(at.unix_seconds()), Some(at));
    }
    if let Ok(id) = text.parse::<CustomerId>() {
        assert_eq!(id.to_string(), text);
    }
    if let Ok(HostPort { host, port }) = text.parse() {
        assert!(port != 0 && !host.is_empty());
    }
    if let Ok(role) = text.parse::<Role>() {
        assert_eq!(role.as_str(), text);
    }
    let mut encoded = String::new();
    form::encode_into(&mut encoded, text);
    let read = form::parse(&encoded).expect("its own encoding");
    let names: Vec<&str> = read.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, if text.is_empty() { vec![] } else { vec![text] });
    if let Some(pairs) = form::parse(text) {
        assert!(pairs.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() <= text.len());
    }
}

fn names(text: &str) {
    if let Ok(name) = Name::new(text) {
        assert!(name.as_str() == text && text.is_ascii() && text.trim() == text && text.len() <= Name::BYTES_MAX);
    }
    if let Ok(description) = Description::new(text) {
        assert!(description.as_str() == text && text.len() <= Description::BYTES_MAX);
    }
    match Fingerprint::new(text) {
        Ok(fingerprint) => assert!(fingerprint.as_str() == text && Fingerprint::is_valid(text) && text.is_ascii()),
        Err(_) => assert!(!Fingerprint::is_valid(text)),
    }
    assert!(Fingerprint::is_valid(Fingerprint::hashed(text.as_bytes()).as_str()));
    if let Ok(name) = FilterName::new(text) {
        assert_eq!(name.as_str(), text);
    }
    if let Ok(page) = PageName::new(text) {
        assert!(page.as_str() == text && text.len() <= PageName::BYTES_MAX);
    }
    if let Ok(query) = QueryText::new(text) {
        assert_eq!(query.as_str(), text);
    }
    if let Some(reference) = Reference::parse(text) {
        assert_eq!(reference.as_str(), text);
    }
}

fn addresses(text: &str) {
    let entries: Vec<&str> = text.split(',').collect();
    let Ok(list) = AddressList::parse(&entries) else { return };
    assert!(list.entries().eq(entries.iter().copied()) && entries.len() <= AddressList::ENTRIES_MAX);
    let networks = Networks::from(&list);
    for network in list.networks() {
        assert_eq!(network, network.trunc());
        for edge in [network.network(), network.broadcast()] {
            // The mapped form of an IPv4 address may be in an IPv6 network; its device is not.
            assert!(networks.allow(edge) || edge != edge.to_canonical());
        }
        let again = AddressList::parse(&[network.to_string()]).expect("a network as it is printed");
        assert!(again.networks().eq([network]));
        let prefix = SourcePrefix::of(network.addr()).to_string();
        let address: IpAddr = prefix.split('/').next().and_then(|text| text.parse().ok()).expect("an address");
        assert_eq!(SourcePrefix::of(address).to_string(), prefix);
    }
}
