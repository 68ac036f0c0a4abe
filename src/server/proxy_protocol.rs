//! PROXY protocol, version 2: how a balancer says whom it speaks for.
//!
//! ```text
//! header    = signature version-command family length payload
//! signature = 0D 0A 0D 0A 00 0D 0A 51 55 49 54 0A
//! version-command = 20 (local: a health check of the balancer itself) / 21 (proxy)
//! family    = 00 (unspecified) / 11 (TCP over IPv4) / 21 (TCP over IPv6) / others
//! length    = 2 octets, big-endian: of the payload
//! payload   = source address, destination address, source port, destination port, extensions
//! ```
//!
//! Read before TLS, and only from networks that are trusted to tell the truth; from them it is
//! required, since a balancer that forgot it would lend its own address to everyone behind it.
//! Version 1 (text) is not spoken: its length is only known once it has been read.
//! Source: HAProxy's `proxy-protocol.txt`, §2.2.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// No shorter than any TLS record header and no text that one could be mistaken for.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family, length.
const PREAMBLE_BYTES: usize = 16;

/// Longest payload, in bytes, extensions included. Balancers send tens of bytes; with a client's
/// certificate details, hundreds.
pub const PAYLOAD_BYTES_MAX: usize = 2_048;

/// Whom a connection comes from, by its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The balancer itself, or someone it says nothing about: the socket's address counts.
    Balancer,
    /// IPv4-mapped addresses as IPv4.
    Client(SocketAddr),
}

/// Why a header cannot be used. Alphabetical.
#[derive(Debug, thiserror::Error)]
pub enum ProxyHeaderError {
    #[error("the PROXY header's payload of {found} bytes is too short for its address family")]
    AddressCut { found: usize },
    #[error("the PROXY header names address family {found:#04x}; only TCP over IPv4 and IPv6 is understood")]
    Family { found: u8 },
    #[error("the connection does not begin with a PROXY header")]
    Missing,
    #[error("the connection broke off in its PROXY header: {0}")]
    Read(#[from] io::Error),
    #[error("the PROXY header's payload of {found} bytes is longer than the {PAYLOAD_BYTES_MAX} accepted")]
    TooLong { found: usize },
    #[error("version and command {found:#04x} of the PROXY header; 0x20 or 0x21 was expected")]
    VersionCommand { found: u8 },
}

/// Reads a header and not one byte more: what follows is the client's.
///
/// # Errors
/// Any [`ProxyHeaderError`]. The connection is then of no use.
pub async fn read_header(mut from: impl AsyncRead + Unpin) -> Result<Source, ProxyHeaderError> {
    let mut preamble = [0; PREAMBLE_BYTES];
    // In two steps, so that a few bytes of something else are refused without waiting for more.
    from.read_exact(&mut preamble[..SIGNATURE.len()]).await?;
    if !preamble.starts_with(&SIGNATURE) {
        return Err(ProxyHeaderError::Missing);
    }
    from.read_exact(&mut preamble[SIGNATURE.len()..]).await?;
    let preamble = Preamble::parse(&preamble)?;
    let mut payload = vec![0; preamble.payload_bytes];
    from.read_exact(&mut payload).await?;
    preamble.source(&payload)
}

/// The fixed part of a header.
#[derive(Clone, Copy, Debug)]
struct Preamble {
    is_local: bool,
    family: u8,
    payload_bytes: usize,
}

impl Preamble {
    fn parse(bytes: &[u8; PREAMBLE_BYTES]) -> Result<Self, ProxyHeaderError> {
        let (signature, rest) = bytes.split_at(SIGNATURE.len());
        if signature != SIGNATURE {
            return Err(ProxyHeaderError::Missing);
        }
        let is_local = match rest[0] {
            0x20 => true,
            0x21 => false,
            found => return Err(ProxyHeaderError::VersionCommand { found }),
        };
        let payload_bytes = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        if payload_bytes > PAYLOAD_BYTES_MAX {
            return Err(ProxyHeaderError::TooLong { found: payload_bytes });
        }
        Ok(Self { is_local, family: rest[1], payload_bytes })
    }

    fn source(&self, payload: &[u8]) -> Result<Source, ProxyHeaderError> {
        if self.is_local {
            return Ok(Source::Balancer);
        }
        let cut = || ProxyHeaderError::AddressCut { found: payload.len() };
        let (address, port) = match self.family {
            0x00 => return Ok(Source::Balancer),
            0x11 => {
                let [a, b, c, d, _, _, _, _, port @ .., _, _] = payload.first_chunk::<12>().ok_or_else(cut)?;
                (IpAddr::from(Ipv4Addr::new(*a, *b, *c, *d)), port)
            }
            0x21 => {
                let (addresses, ports) = payload.first_chunk::<36>().ok_or_else(cut)?.split_at(32);
                let source = addresses.first_chunk::<16>().ok_or_else(cut)?;
                (IpAddr::from(Ipv6Addr::from(*source)), ports.first_chunk::<2>().ok_or_else(cut)?)
            }
            found => return Err(ProxyHeaderError::Family { found }),
        };
        Ok(Source::Client(SocketAddr::new(address.to_canonical(), u16::from_be_bytes(*port))))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `version_command`, `family`, payload behind the signature, with the length that is true.
    fn header(version_command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([version_command, family]);
        bytes.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    fn addresses(source: SocketAddr) -> (u8, Vec<u8>) {
        let port = source.port().to_be_bytes();
        match source.ip() {
            IpAddr::V4(ip) => (0x11, [&ip.octets()[..], &[192, 0, 2, 1], &port, &[0x20, 0xfb]].concat()),
            IpAddr::V6(ip) => (0x21, [&ip.octets()[..], &[0; 16], &port, &[0x20, 0xfb]].concat()),
        }
    }

    /// The source, and what was left unread.
    fn read(bytes: &[u8]) -> (Result<Source, ProxyHeaderError>, Vec<u8>) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut rest = bytes;
        let source = runtime.block_on(read_header(&mut rest));
        (source, rest.to_vec())
    }

    proptest! {
        #[test]
        fn a_header_gives_its_source_and_leaves_what_follows(
            ip in prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)],
            port: u16,
            extensions in prop::collection::vec(any::<u8>(), 0..64),
            following in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let (family, mut payload) = addresses(SocketAddr::new(ip, port));
            payload.extend(extensions);
            let mut bytes = header(0x21, family, &payload);
            bytes.extend(&following);
            let (source, rest) = read(&bytes);
            prop_assert_eq!(source.unwrap(), Source::Client(SocketAddr::new(ip.to_canonical(), port)));
            prop_assert_eq!(rest, following);
        }

        #[test]
        fn no_bytes_make_it_panic_or_read_beyond_the_bound(bytes in prop::collection::vec(any::<u8>(), 0..128)) {
            let _ = read(&bytes);
            let _ = read(&[&SIGNATURE[..], &bytes].concat());
        }

        #[test]
        fn every_cut_header_is_an_error(port: u16, keep in 0_usize..28) {
            let (family, payload) = addresses(SocketAddr::from(([192, 0, 2, 7], port)));
            prop_assert!(read(&header(0x21, family, &payload)[..keep]).0.is_err());
        }
    }

    #[test]
    fn a_mapped_address_is_ipv4() {
        let (family, payload) = addresses("[::ffff:192.0.2.7]:443".parse().unwrap());
        let (source, _) = read(&header(0x21, family, &payload));
        assert_eq!(source.unwrap(), Source::Client("192.0.2.7:443".parse().unwrap()));
    }

    #[test]
    fn local_and_unspecified_speak_for_the_balancer() {
        let (family, payload) = addresses("192.0.2.7:443".parse().unwrap());
        for bytes in [header(0x20, family, &payload), header(0x20, 0, &[]), header(0x21, 0, b"anything")] {
            assert_eq!(read(&bytes).0.unwrap(), Source::Balancer);
        }
    }

    #[test]
    fn the_payload_is_bounded() {
        for (length, accepted) in
            [(PAYLOAD_BYTES_MAX - 1, true), (PAYLOAD_BYTES_MAX, true), (PAYLOAD_BYTES_MAX + 1, false)]
        {
            assert_eq!(read(&header(0x21, 0x11, &vec![1; length])).0.is_ok(), accepted, "{length}");
        }
    }

    #[test]
    fn an_address_of_one_byte_less_is_cut() {
        for (family, length) in [(0x11, 12), (0x21, 36)] {
            assert!(read(&header(0x21, family, &vec![1; length])).0.is_ok());
            let cut = read(&header(0x21, family, &vec![1; length - 1])).0;
            assert!(matches!(cut, Err(ProxyHeaderError::AddressCut { .. })), "{cut:?}");
        }
    }

    #[test]
    fn other_versions_commands_and_families_are_refused() {
        let payload = [1; 64];
        for version_command in [0x00, 0x11, 0x22, 0x31] {
            let found = read(&header(version_command, 0x11, &payload)).0;
            assert!(matches!(found, Err(ProxyHeaderError::VersionCommand { .. })), "{found:?}");
        }
        for family in [0x12, 0x22, 0x31, 0x32, 0xff] {
            let found = read(&header(0x21, family, &payload)).0;
            assert!(matches!(found, Err(ProxyHeaderError::Family { .. })), "{found:?}");
        }
    }

    #[test]
    fn anything_else_is_a_missing_header() {
        for bytes in
            [&b"PROXY TCP4 192.0.2.7 192.0.2.1 1 2\r\n"[..], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00"]
        {
            assert!(matches!(read(bytes).0, Err(ProxyHeaderError::Missing)));
        }
    }
}
