//! Which of this machine's addresses devices call from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;

/// Addresses and networks of this machine; none: the operating system decides. Each network stands
/// for all its addresses, without IPv4's first and last, which belong to no host (RFC 1122 §3.2.1.3).
/// On Linux all of 127.0.0.0/8 is this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources(Vec<Source>);

/// An address, or a network in CIDR form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source(IpNet);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is neither an address of this machine nor a network in CIDR form")]
pub struct InvalidSource {
    found: String,
}

impl FromStr for Source {
    type Err = InvalidSource;

    fn from_str(text: &str) -> Result<Self, InvalidSource> {
        let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map(|network| Self(network.trunc())).map_err(|_| InvalidSource { found: text.to_owned() })
    }
}

impl FromIterator<Source> for Sources {
    fn from_iter<I: IntoIterator<Item = Source>>(sources: I) -> Self {
        Self(sources.into_iter().collect())
    }
}

impl Sources {
    /// How many addresses there are; more than `u64` holds count as that.
    pub fn count(&self) -> u64 {
        self.0.iter().fold(0, |sum, source| sum.saturating_add(source.count()))
    }

    /// They take turns.
    pub(super) fn nth(&self, turn: u64) -> Option<IpAddr> {
        let mut at = turn.checked_rem(self.count())?;
        for source in &self.0 {
            if at < source.count() {
                return Some(source.nth(at));
            }
            at -= source.count();
        }
        None
    }
}

impl Source {
    /// Whether the network has addresses that no host has.
    fn has_ends(self) -> bool {
        matches!(self.0, IpNet::V4(network) if network.prefix_len() < 31)
    }

    fn count(self) -> u64 {
        let bits = u32::from(self.0.max_prefix_len() - self.0.prefix_len());
        1u64.checked_shl(bits).map_or(u64::MAX, |all| if self.has_ends() { all - 2 } else { all })
    }

    /// `at` is below the count.
    fn nth(self, at: u64) -> IpAddr {
        let at = at + u64::from(self.has_ends());
        match self.0.network() {
            IpAddr::V4(first) => Ipv4Addr::from_bits(first.to_bits() + at as u32).into(),
            IpAddr::V6(first) => Ipv6Addr::from_bits(first.to_bits() + u128::from(at)).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(texts: &[&str]) -> Sources {
        texts.iter().map(|text| text.parse::<Source>().unwrap()).collect()
    }

    #[test]
    fn addresses_take_turns() {
        let sources = sources(&["127.1.0.0/30", "127.9.9.9", "2001:db8::/127"]);
        assert_eq!(sources.count(), 5);
        let expected = ["127.1.0.1", "127.1.0.2", "127.9.9.9", "2001:db8::", "2001:db8::1", "127.1.0.1"];
        let found: Vec<_> = (0..6).map(|turn| sources.nth(turn).unwrap().to_string()).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn networks_of_any_size_are_not_spelt_out() {
        let all = sources(&["127.0.0.0/8", "::/0"]);
        assert_eq!(all.count(), u64::MAX);
        assert_eq!(all.nth((1 << 24) - 3), Some("127.255.255.254".parse().unwrap()));
        assert_eq!(all.nth((1 << 24) - 2), Some("::".parse().unwrap()));
        assert_eq!(sources(&["10.0.0.7/31"]).nth(1), Some("10.0.0.7".parse().unwrap()));
        assert_eq!(Sources::default().nth(7), None);
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "localhost", "127.0.0.1:80", "127.0.0.0/33", "127.0.0.1-9"] {
            assert!(text.parse::<Source>().is_err(), "{text}");
        }
    }
}
