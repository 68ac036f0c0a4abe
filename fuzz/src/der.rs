//! DER for the targets: just enough to put a stranger's bytes into a frame with a good signature, and to take one apart.

/// SEQUENCE.
pub const SEQUENCE: u8 = 0x30;

/// `tag`, a length in its shortest form, `contents`.
pub fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
    let octets = contents.len().to_be_bytes();
    let octets = &octets[octets.iter().take_while(|octet| **octet == 0).count()..];
    let header = match contents.len() {
        length @ 0..0x80 => vec![tag, length as u8],
        _ => [&[tag, 0x80 | octets.len() as u8], octets].concat(),
    };
    [&header, contents].concat()
}

/// A SEQUENCE of these elements.
pub fn sequence(elements: &[&[u8]]) -> Vec<u8> {
    element(SEQUENCE, &elements.concat())
}

/// A BIT STRING of whole bytes.
pub fn bit_string(bytes: &[u8]) -> Vec<u8> {
    element(0x03, &[&[0], bytes].concat())
}

/// The first element inside the SEQUENCE that `der` is, header included: of a certificate what is signed.
pub fn first_inside(der: &[u8]) -> &[u8] {
    let inside = &der[header_bytes(der)..];
    let length = header_bytes(inside) + contents_bytes(inside);
    &inside[..length]
}

fn header_bytes(der: &[u8]) -> usize {
    match der[1] {
        0..0x80 => 2,
        long => 2 + usize::from(long & 0x7f),
    }
}

fn contents_bytes(der: &[u8]) -> usize {
    match der[1] {
        short @ 0..0x80 => short.into(),
        _ => der[2..header_bytes(der)].iter().fold(0, |length, octet| length << 8 | usize::from(*octet)),
    }
}
