//! The PROXY header that a balancer puts in front of a connection.

use std::net::{IpAddr, SocketAddr};

use muster::server::proxy_protocol::{PAYLOAD_BYTES_MAX, Source, read_header};

use crate::{allocation, world};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Holds: what is read is what HAProxy's document says, by a reading of our own; not one byte behind the header is taken; no
/// header costs more than the longest that is accepted.
pub fn run(bytes: &[u8]) {
    // What makes it run is not the header's.
    world::block_on(async {});
    let mut rest = bytes;
    let (read, allocated) = allocation::of(|| world::block_on(read_header(&mut rest)));
    assert!(allocated <= PAYLOAD_BYTES_MAX + 1_024, "{allocated} bytes allocated");
    let expected = expected(bytes);
    assert_eq!(read.as_ref().ok(), expected.as_ref().map(|(source, _)| source), "{read:?}");
    if let Some((_, header_bytes)) = expected {
        assert_eq!(rest, &bytes[header_bytes..]);
    }
}

/// What a whole and good header says, and how long it is.
fn expected(bytes: &[u8]) -> Option<(Source, usize)> {
    let rest = bytes.strip_prefix(SIGNATURE)?;
    let ([command, family, high, low], rest) = rest.split_first_chunk()?;
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let payload = rest.get(..length).filter(|_| length <= PAYLOAD_BYTES_MAX)?;
    let port = |at: usize| Some(u16::from_be_bytes([*payload.get(at)?, *payload.get(at + 1)?]));
    let source = match (command, family) {
        (0x20, _) | (0x21, 0x00) => Source::Balancer,
        (0x21, 0x11) => {
            payload.get(..12)?;
            Source::Client(SocketAddr::new(IpAddr::from(*payload.first_chunk::<4>()?), port(8)?))
        }
        (0x21, 0x21) => {
            payload.get(..36)?;
            let address = IpAddr::from(*payload.first_chunk::<16>()?).to_canonical();
            Source::Client(SocketAddr::new(address, port(32)?))
        }
        _ => return None,
    };
    Some((source, SIGNATURE.len() + 4 + length))
}
