//! Source addresses and the lists that allow them.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

/// The networks from which devices may enroll. Empty: from everywhere.
///
/// At most [`AddressList::ENTRIES_MAX`] entries, in the order given and spelt as given: a client that
/// compares what it wrote with what it reads finds no difference. Lists are equal when they are spelt
/// alike. What an entry means does not depend on its spelling, and IPv4-mapped IPv6 addresses count as
/// IPv4, in the list as on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressList(Box<[Entry]>);

/// What an [`AddressList`] means, without its spelling: what a node keeps of it for each key.
///
/// One word while the list is empty, as most are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Option<Box<Box<[IpNet]>>>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    network: IpNet,
    /// Has no comma, quote or white space, as no address has.
    text: Box<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddressList {
    #[error("{entry:?} is neither an address nor a network in CIDR form")]
    Entry { entry: String },
    #[error("{entry:?} has bits set below its prefix; {network} was probably meant")]
    HostBits { entry: String, network: IpNet },
    #[error("{found} entries; at most 100 are accepted")]
    TooMany { found: usize },
}

impl AddressList {
    pub const ENTRIES_MAX: usize = 100;

    /// Reads addresses (`192.0.2.7`, meaning just that one) and networks (`2001:db8::/32`).
    ///
    /// # Errors
    /// The first entry that is neither, or the count.
    pub fn parse<S: AsRef<str>>(entries: &[S]) -> Result<Self, InvalidAddressList> {
        if entries.len() > Self::ENTRIES_MAX {
            return Err(InvalidAddressList::TooMany { found: entries.len() });
        }
        let entry = |text: &S| {
            let text = text.as_ref();
            Ok(Entry { network: parse_network(text)?, text: text.into() })
        };
        entries.iter().map(entry).collect::<Result<_, _>>().map(Self)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As they were given.
    pub fn entries(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|entry| &*entry.text)
    }

    /// What the entries mean, in their order; IPv4-mapped ones as IPv4.
    pub fn networks(&self) -> impl Iterator<Item = IpNet> {
        self.0.iter().map(|entry| entry.network)
    }
}

impl Networks {
    /// Whether a device at `address` may enroll. IPv6 networks are of IPv6 devices, `::/0` too; one that comes over IPv4 is
    /// none, though its mapped address (`::ffff:192.0.2.7`) may be in them.
    pub fn allow(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.as_ref().is_none_or(|networks| networks.iter().any(|network| network.contains(&address)))
    }
}

impl From<&AddressList> for Networks {
    fn from(list: &AddressList) -> Self {
        Self((!list.is_empty()).then(|| Box::new(list.networks().collect())))
    }
}

impl serde::Serialize for AddressList {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.entries())
    }
}

fn parse_network(entry: &str) -> Result<IpNet, InvalidAddressList> {
    let invalid = || InvalidAddressList::Entry { entry: entry.chars().take(64).collect() };
    let network = match entry.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => entry.parse::<IpNet>().map_err(|_| invalid())?,
    };
    let network = canonical(network).ok_or_else(invalid)?;
    if network.trunc() != network {
        return Err(InvalidAddressList::HostBits { entry: entry.to_owned(), network: network.trunc() });
    }
    Ok(network)
}

/// `::ffff:192.0.2.0/120` is `192.0.2.0/24`. A wider prefix of the mapped range has no IPv4 form.
fn canonical(network: IpNet) -> Option<IpNet> {
    let IpNet::V6(v6) = network else { return Some(network) };
    match (v6.addr().to_ipv4_mapped(), v6.prefix_len().checked_sub(96)) {
        (Some(v4), Some(prefix_len)) => IpNet::new(v4.into(), prefix_len).ok(),
        (Some(_), None) => None,
        (None, _) => Some(network),
    }
}

/// The network that limits and refusal counts are kept for: the address itself for IPv4, its /64
/// for IPv6, where one device commands a whole /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourcePrefix(IpAddr);

impl SourcePrefix {
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(v4) => v4.into(),
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
        })
    }
}

impl fmt::Display for SourcePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(v4) => write!(f, "{v4}/32"),
            IpAddr::V6(v6) => write!(f, "{v6}/64"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An address or a network in one of its spellings, and what it means.
    fn entry() -> impl Strategy<Value = (String, IpNet)> {
        let address = prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)];
        (address, proptest::option::of(0..=128_u8), any::<bool>()).prop_map(|(address, prefix_len, at_length)| {
            let single = IpNet::from(address);
            let network = prefix_len
                .map_or(single, |length| IpNet::new(address, length.min(single.max_prefix_len())).unwrap().trunc());
            let address = match network.addr() {
                IpAddr::V6(v6) if at_length => v6.segments().map(|segment| format!("{segment:04X}")).join(":"),
                shortest => shortest.to_string(),
            };
            let text = match prefix_len {
                None => address,
                Some(_) => format!("{address}/{}", network.prefix_len()),
            };
            (text, network)
        })
    }

    proptest! {
        #[test]
        fn entries_come_back_as_given_and_mean_their_networks(
            given in proptest::collection::vec(entry(), 0..10),
            elsewhere: [u8; 16],
        ) {
            let (texts, networks): (Vec<String>, Vec<IpNet>) = given.into_iter().unzip();
            let list = AddressList::parse(&texts).unwrap();
            prop_assert!(list.entries().eq(texts.iter()));
            prop_assert_eq!(serde_json::to_value(&list).unwrap(), serde_json::json!(texts));
            let entries: Vec<_> = list.entries().collect();
            prop_assert_eq!(&AddressList::parse(&entries).unwrap(), &list);
            for address in networks.iter().map(IpNet::addr).chain([IpAddr::from(elsewhere)]) {
                let inside = networks.is_empty() || networks.iter().any(|network| network.contains(&address));
                prop_assert_eq!(Networks::from(&list).allow(address), inside, "{}", address);
            }
        }
    }

    #[test]
    fn mapped_addresses_count_as_ipv4() {
        let list = AddressList::parse(&["192.0.2.0/24"]).unwrap();
        assert!(Networks::from(&list).allow("::ffff:192.0.2.9".parse().unwrap()));
        assert!(!Networks::from(&list).allow("192.0.3.9".parse().unwrap()));
        let mapped = AddressList::parse(&["::ffff:192.0.2.0/120"]).unwrap();
        assert!(mapped.networks().eq(list.networks()) && mapped != list);
        assert!(AddressList::parse(&["::ffff:0.0.0.0/90"]).is_err());
        let of_ipv6 = AddressList::parse(&["::/0"]).unwrap();
        assert!(!Networks::from(&of_ipv6).allow("::ffff:192.0.2.9".parse().unwrap()));
    }

    #[test]
    fn an_empty_list_allows_everyone() {
        assert!(Networks::from(&AddressList::default()).allow("2001:db8::1".parse().unwrap()));
    }

    #[test]
    fn entries_are_refused_not_corrected() {
        assert!(matches!(AddressList::parse(&["192.0.2.1/24"]), Err(InvalidAddressList::HostBits { .. })));
        for entry in ["", "192.0.2", "192.0.2.0/33", "192.0.2.0/24 ", "example.com", "::1/129"] {
            assert!(matches!(AddressList::parse(&[entry]), Err(InvalidAddressList::Entry { .. })), "{entry:?}");
        }
        let many: Vec<_> = (0..=100).map(|n| format!("192.0.2.{n}")).collect();
        assert!(AddressList::parse(&many[..100]).is_ok());
        assert_eq!(AddressList::parse(&many), Err(InvalidAddressList::TooMany { found: 101 }));
    }

    #[test]
    fn a_source_prefix_is_an_address_or_a_64() {
        assert_eq!(SourcePrefix::of("::ffff:192.0.2.9".parse().unwrap()).to_string(), "192.0.2.9/32");
        assert_eq!(SourcePrefix::of("2001:db8:1:2:3::4".parse().unwrap()).to_string(), "2001:db8:1:2::/64");
    }
}
