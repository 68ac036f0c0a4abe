//! Just enough DER (X.690 §10) to walk a CSR and to write certificates and CRLs.
//!
//! The reader is ours, because a CSR is four fields of which one is used, and one name at most is looked for: everything
//! else is stepped over unread, so nothing a stranger puts into names and attributes is ever interpreted. It is stricter than
//! the usual parsers: lengths are minimal, and [`Reader::finish`] refuses what is left inside a
//! SEQUENCE. It allocates nothing. Why the writer is ours: `docs/decisions/0002-certificates-encoded-here.md`.

pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const BOOLEAN_TRUE: &[u8] = &[0x01, 0x01, 0xff];
pub(super) const ENUMERATED: u8 = 0x0a;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const IA5_STRING: u8 = 0x16;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const NULL: &[u8] = &[0x05, 0x00];
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const PRINTABLE_STRING: u8 = 0x13;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const UTF8_STRING: u8 = 0x0c;

/// `[number]` around other elements.
pub(super) const fn context_constructed(number: u8) -> u8 {
    0xa0 | number
}

/// `[number] IMPLICIT` of something primitive.
pub(super) const fn context_primitive(number: u8) -> u8 {
    0x80 | number
}

/// Bytes from front to back, one element at a time. Every method that gives `None` means "this is not
/// the DER that was asked for"; the reader is of no use after that.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

/// One tag, length, value.
pub(super) struct Element<'a> {
    /// Header and contents.
    pub raw: &'a [u8],
    pub contents: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(input: &'a [u8]) -> Self {
        Self { rest: input }
    }

    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next element, which must have this one-byte tag, a definite length in its shortest form and
    /// at most 65,535 bytes of contents.
    pub fn element(&mut self, tag: u8) -> Option<Element<'a>> {
        let input = self.rest;
        let (header_bytes, contents_bytes) = match *input {
            [found, ..] if found != tag => return None,
            [_, length @ 0x00..=0x7f, ..] => (2, usize::from(length)),
            [_, 0x81, length @ 0x80..=0xff, ..] => (3, usize::from(length)),
            [_, 0x82, high @ 0x01..=0xff, low, ..] => (4, usize::from(u16::from_be_bytes([high, low]))),
            _ => return None,
        };
        let raw = input.get(..header_bytes + contents_bytes)?;
        self.rest = &input[raw.len()..];
        Some(Element { raw, contents: &raw[header_bytes..] })
    }

    /// Steps into an element; what is left behind it stays with `self`.
    pub fn enter(&mut self, tag: u8) -> Option<Self> {
        self.element(tag).map(|element| Self::new(element.contents))
    }

    /// A BIT STRING of whole bytes, as all keys and signatures here are.
    pub fn bytes_of_bit_string(&mut self) -> Option<&'a [u8]> {
        match self.element(BIT_STRING)?.contents {
            [0, bytes @ ..] => Some(bytes),
            _ => None,
        }
    }

    /// A positive INTEGER in its shortest form; big-endian, without the leading zero. Not empty.
    pub fn positive_integer(&mut self) -> Option<&'a [u8]> {
        match self.element(INTEGER)?.contents {
            [0x00, magnitude @ ..] if magnitude.first() >= Some(&0x80) => Some(magnitude),
            magnitude @ [0x01..=0x7f, ..] => Some(magnitude),
            _ => None,
        }
    }

    pub fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// Nothing may be left.
    pub fn finish(self) -> Option<()> {
        self.is_at_end().then_some(())
    }
}

/// Bytes in the making, front to back.
#[derive(Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes) }
    }

    /// What `write` writes.
    pub fn collect(write: impl FnOnce(&mut Self)) -> Vec<u8> {
        let mut writer = Self::default();
        write(&mut writer);
        writer.bytes
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Whole elements that were encoded before.
    pub fn raw(&mut self, elements: &[u8]) {
        self.bytes.extend_from_slice(elements);
    }

    pub fn element(&mut self, tag: u8, contents: &[u8]) {
        self.nested(tag, |writer| writer.raw(contents));
    }

    /// An element around what `write` writes. The length is set in when it is known.
    pub fn nested(&mut self, tag: u8, write: impl FnOnce(&mut Self)) {
        self.bytes.extend([tag, 0]);
        let start = self.bytes.len();
        write(self);
        let length = self.bytes.len() - start;
        if length < 0x80 {
            self.bytes[start - 1] = length as u8;
        } else {
            let octets = length.to_be_bytes();
            let octets = &octets[octets.iter().take_while(|&&octet| octet == 0).count()..];
            self.bytes[start - 1] = 0x80 | octets.len() as u8;
            self.bytes.splice(start..start, octets.iter().copied());
        }
    }

    /// An INTEGER in its shortest form.
    pub fn unsigned(&mut self, number: u64) {
        let octets = u128::from(number).to_be_bytes();
        let leading = octets.iter().take_while(|&&octet| octet == 0).count().min(octets.len() - 1);
        // The first bit is the sign.
        let start = if octets[leading] & 0x80 == 0 { leading } else { leading - 1 };
        self.element(INTEGER, &octets[start..]);
    }

    /// A BIT STRING of whole bytes.
    pub fn bit_string(&mut self, bytes: &[u8]) {
        self.nested(BIT_STRING, |writer| {
            writer.bytes.push(0);
            writer.raw(bytes);
        });
    }

    /// A BIT STRING of named bits (X.690 §11.2.2): without the zero bits at its end.
    pub fn named_bits(&mut self, octet: u8) {
        self.element(BIT_STRING, &[octet.trailing_zeros() as u8, octet]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        for length in [0, 1, 127, 128, 255, 256, 65_535] {
            let contents = vec![7; length];
            let bytes = Writer::collect(|writer| writer.nested(SEQUENCE, |inner| inner.raw(&contents)));
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.element(SEQUENCE).unwrap().contents, contents, "{length}");
            assert!(reader.is_at_end());
        }
    }

    #[test]
    fn lengths_are_minimal_and_definite() {
        let with_header = |header: &[u8], contents: usize| [header, &vec![7; contents]].concat();
        for (header, contents, accepted) in [
            (&[0x30, 0x00][..], 0, true),
            (&[0x30, 0x7f], 127, true),
            (&[0x30, 0x81, 0x7f], 127, false),
            (&[0x30, 0x81, 0x80], 128, true),
            (&[0x30, 0x82, 0x00, 0xff], 255, false),
            (&[0x30, 0x82, 0x01, 0x00], 256, true),
            (&[0x30, 0x83, 0x00, 0x01, 0x00], 256, false),
            (&[0x30, 0x80], 2, false),
            (&[0x30, 0x81, 0x80], 127, false),
            (&[0x31, 0x00], 0, false),
            (&[0x30], 0, false),
            (&[], 0, false),
        ] {
            let input = with_header(header, contents);
            let element = Reader::new(&input).element(SEQUENCE);
            assert_eq!(element.map(|element| element.contents.len()), accepted.then_some(contents), "{header:02x?}");
        }
    }

    #[test]
    fn numbers_are_written_in_their_shortest_form() {
        for (number, contents) in [
            (0, &[0x00][..]),
            (1, &[0x01]),
            (0x7f, &[0x7f]),
            (0x80, &[0x00, 0x80]),
            (0x1_00, &[0x01, 0x00]),
            (u64::MAX, &[0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ] {
            let written = Writer::collect(|writer| writer.unsigned(number));
            assert_eq!(written, [&[INTEGER, contents.len() as u8][..], contents].concat(), "{number}");
        }
    }

    #[test]
    fn integers_are_positive_and_minimal() {
        for (contents, magnitude) in [
            (&[0x01][..], Some(&[0x01][..])),
            (&[0x7f, 0xff], Some(&[0x7f, 0xff])),
            (&[0x00, 0x80], Some(&[0x80])),
            (&[0x00, 0x7f], None),
            (&[0x00, 0x00, 0x80], None),
            (&[0x00], None),
            (&[0x80], None),
            (&[], None),
        ] {
            let input = [&[INTEGER, contents.len() as u8][..], contents].concat();
            assert_eq!(Reader::new(&input).positive_integer(), magnitude, "{contents:02x?}");
        }
    }
}
