//! What a balancer says before it forwards a connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// PROXY protocol version 2, command PROXY, TCP: who calls.
pub fn header(source: IpAddr) -> Vec<u8> {
    let (family, addresses) = match source {
        IpAddr::V4(source) => (0x11, [&source.octets()[..], &Ipv4Addr::LOCALHOST.octets()].concat()),
        IpAddr::V6(source) => (0x21, [&source.octets()[..], &Ipv6Addr::LOCALHOST.octets()].concat()),
    };
    let ports = [50_000_u16.to_be_bytes(), 8_443_u16.to_be_bytes()].concat();
    let length = u16::try_from(addresses.len() + ports.len()).expect("a few bytes").to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[0x21, family][..], &length, &addresses, &ports].concat()
}
