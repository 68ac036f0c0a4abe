//! From a body to a request whose form is right (docs/contract.md, "Checks", 1).
//!
//! ```text
//! { "provisioningKey": …, "fingerprint": …, "csr": …, "hostname"?: …, "platform"?: …, "softwareVersion"?: … }
//! { "csr": …, "fingerprint"?: … }
//! ```
//!
//! Every member is a string and stands there at most once; there are no others. Until the key has
//! verified nothing is copied out of the body: values are kept as they were written, escapes and
//! all. What must be looked at before that is bounded by small constants.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::Error as _;
use serde_json::value::RawValue;
use zeroize::Zeroize as _;

use crate::domain::Fingerprint;
use crate::domain::component::DeviceDescription;
use crate::domain::key_string::KEY_STRING_BYTES_MAX;
use crate::protocol::enroll::{HOSTNAME_BYTES_MAX, PLATFORM_BYTES_MAX, SOFTWARE_VERSION_BYTES_MAX};

/// A request whose form is right, borrowed from its body.
pub struct Decoded<'a> {
    provisioning_key: JsonText<'a>,
    fingerprint: Fingerprint,
    csr: JsonText<'a>,
    hostname: Option<JsonText<'a>>,
    platform: Option<JsonText<'a>>,
    software_version: Option<JsonText<'a>>,
}

/// What is wrong with a request's form. Alphabetical.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    Fingerprint,
    /// EST: neither the CSR nor the credentials name the device.
    FingerprintMissing,
    Hostname,
    /// Not JSON, or not this object.
    Members,
    NotUtf8,
    Platform,
    /// As [`Self::Members`], of a renewal.
    RenewalMembers,
    SoftwareVersion,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Members<'a> {
    #[serde(borrow)]
    provisioning_key: JsonText<'a>,
    #[serde(borrow)]
    fingerprint: JsonText<'a>,
    #[serde(borrow)]
    csr: JsonText<'a>,
    #[serde(borrow, default, deserialize_with = "present")]
    hostname: Option<JsonText<'a>>,
    #[serde(borrow, default, deserialize_with = "present")]
    platform: Option<JsonText<'a>>,
    #[serde(borrow, default, deserialize_with = "present")]
    software_version: Option<JsonText<'a>>,
}

/// A member may be left out, but `null` is no string.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<JsonText<'de>>, D::Error> {
    JsonText::deserialize(deserializer).map(Some)
}

impl<'a> Decoded<'a> {
    /// `body`: at most [`BODY_BYTES_MAX`](crate::protocol::enroll::BODY_BYTES_MAX) bytes.
    ///
    /// # Errors
    /// What is wrong with the form. A `provisioningKey` that is any string is in order.
    pub fn decode(body: &'a [u8]) -> Result<Self, Malformed> {
        let members: Members<'a> = members(body, Malformed::Members)?;
        let fingerprint = members.fingerprint.to_fingerprint()?;
        let check = |text: &Option<JsonText<'_>>, bytes_max, malformed| match text {
            Some(text) if !text.is_printable(bytes_max) => Err(malformed),
            _ => Ok(()),
        };
        check(&members.hostname, HOSTNAME_BYTES_MAX, Malformed::Hostname)?;
        check(&members.platform, PLATFORM_BYTES_MAX, Malformed::Platform)?;
        check(&members.software_version, SOFTWARE_VERSION_BYTES_MAX, Malformed::SoftwareVersion)?;
        Ok(Self {
            provisioning_key: members.provisioning_key,
            fingerprint,
            csr: members.csr,
            hostname: members.hostname,
            platform: members.platform,
            software_version: members.software_version,
        })
    }

    /// Hands the presented key string to `present`. One that is written with escapes is unescaped in
    /// a buffer that is wiped afterwards; one that does not fit can be no key string, and goes on
    /// as the empty text, so that it takes the same way.
    pub fn present_key<T>(&self, present: impl FnOnce(&str) -> T) -> T {
        if let Some(plain) = self.provisioning_key.plain() {
            return present(plain);
        }
        let mut buffer = [0; KEY_STRING_BYTES_MAX];
        let presented = present(self.provisioning_key.unescape_into(&mut buffer).unwrap_or(""));
        buffer.zeroize();
        presented
    }

    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// The CSR's text, copied only if it was written with escapes (PEM always is). Not JSON's
    /// business what it says: half a surrogate pair becomes U+FFFD, which no CSR contains.
    pub fn csr(&self) -> Cow<'a, str> {
        self.csr.to_text()
    }

    /// What the device says of itself.
    pub fn device(&self) -> DeviceDescription {
        let owned = |text: &Option<JsonText<'_>>| text.as_ref().map(|text| text.to_text().into_owned());
        DeviceDescription {
            hostname: owned(&self.hostname),
            platform: owned(&self.platform),
            software_version: owned(&self.software_version),
        }
    }
}

/// A renewal whose form is right, borrowed from its body.
pub struct DecodedRenewal<'a> {
    csr: JsonText<'a>,
    pub fingerprint: Option<Fingerprint>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RenewalMembers<'a> {
    #[serde(borrow)]
    csr: JsonText<'a>,
    #[serde(borrow, default, deserialize_with = "present")]
    fingerprint: Option<JsonText<'a>>,
}

impl<'a> DecodedRenewal<'a> {
    /// `body`: as for [`Decoded::decode`].
    ///
    /// # Errors
    /// What is wrong with the form.
    pub fn decode(body: &'a [u8]) -> Result<Self, Malformed> {
        let RenewalMembers { csr, fingerprint } = members(body, Malformed::RenewalMembers)?;
        Ok(Self { csr, fingerprint: fingerprint.map(JsonText::to_fingerprint).transpose()? })
    }

    /// As [`Decoded::csr`].
    pub fn csr(&self) -> Cow<'a, str> {
        self.csr.to_text()
    }
}

/// The one object that `body` is, or `otherwise`.
fn members<'a, T: Deserialize<'a>>(body: &'a [u8], otherwise: Malformed) -> Result<T, Malformed> {
    let text = std::str::from_utf8(body).map_err(|_| Malformed::NotUtf8)?;
    // A derived reader would take a list of the values, too.
    if !text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
        return Err(otherwise);
    }
    serde_json::from_str(text).map_err(|_| otherwise)
}

impl Malformed {
    /// For the caller: what is accepted. Repeats nothing of what was sent.
    pub const fn detail(self) -> &'static str {
        match self {
            Self::Fingerprint => "The fingerprint must have 16 to 64 characters of A-Z a-z 0-9 ' ( ) + , - . / : = ?",
            Self::FingerprintMissing => {
                "The device must be named: by a serialNumber in the CSR's subject, or by the user of the credentials."
            }
            Self::Hostname => "The hostname must have at most 253 bytes and no control characters.",
            Self::Members => {
                "The body must be one JSON object with the strings provisioningKey, fingerprint and csr, optionally \
                 hostname, platform and softwareVersion, each once, and nothing else."
            }
            Self::NotUtf8 => "The body must be UTF-8.",
            Self::Platform => "The platform must have at most 64 bytes and no control characters.",
            Self::RenewalMembers => {
                "The body must be one JSON object with the string csr, optionally fingerprint, each once, and nothing else."
            }
            Self::SoftwareVersion => "The softwareVersion must have at most 64 bytes and no control characters.",
        }
    }
}

/// A JSON string as it was written, without its quotes. Its escapes have the right form.
#[derive(Clone, Copy)]
struct JsonText<'a>(&'a str);

impl<'de: 'a, 'a> Deserialize<'de> for JsonText<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'a RawValue>::deserialize(deserializer)?.get();
        let text = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        text.map(Self).ok_or_else(|| D::Error::custom("a string was expected"))
    }
}

impl<'a> JsonText<'a> {
    /// The text itself, if it was written without escapes.
    fn plain(self) -> Option<&'a str> {
        (!self.0.contains('\\')).then_some(self.0)
    }

    fn to_fingerprint(self) -> Result<Fingerprint, Malformed> {
        let mut buffer = [0; Fingerprint::BYTES_MAX];
        let text = self.unescape_into(&mut buffer).ok_or(Malformed::Fingerprint)?;
        Fingerprint::new(text).map_err(|_| Malformed::Fingerprint)
    }

    fn pieces(self) -> Pieces<'a> {
        Pieces { rest: self.0 }
    }

    /// The text unescaped, in the front of `buffer`; `None` when it does not fit, or is no text.
    fn unescape_into(self, buffer: &mut [u8]) -> Option<&str> {
        let mut written = 0;
        for piece in self.pieces() {
            let mut utf8 = [0; 4];
            let bytes = match piece {
                Piece::Run(run) => run.as_bytes(),
                Piece::Escaped(character) => character.encode_utf8(&mut utf8).as_bytes(),
                Piece::HalfSurrogatePair => return None,
            };
            buffer.get_mut(written..written + bytes.len())?.copy_from_slice(bytes);
            written += bytes.len();
        }
        std::str::from_utf8(&buffer[..written]).ok()
    }

    fn to_text(self) -> Cow<'a, str> {
        if let Some(plain) = self.plain() {
            return Cow::Borrowed(plain);
        }
        // An escape is never shorter than what it stands for.
        let mut text = String::with_capacity(self.0.len());
        for piece in self.pieces() {
            match piece {
                Piece::Run(run) => text.push_str(run),
                Piece::Escaped(character) => text.push(character),
                Piece::HalfSurrogatePair => text.push(char::REPLACEMENT_CHARACTER),
            }
        }
        Cow::Owned(text)
    }

    /// At most `bytes_max` bytes once unescaped, and none of them a control character's. Stops
    /// looking when that is decided.
    fn is_printable(self, bytes_max: usize) -> bool {
        let mut bytes = 0;
        self.pieces().all(|piece| {
            let has_control = match piece {
                Piece::Run(run) => {
                    bytes += run.len();
                    bytes <= bytes_max && run.chars().any(char::is_control)
                }
                Piece::Escaped(character) => {
                    bytes += character.len_utf8();
                    character.is_control()
                }
                Piece::HalfSurrogatePair => return false,
            };
            bytes <= bytes_max && !has_control
        })
    }
}

/// A JSON string taken apart at its escapes (RFC 8259 §7).
struct Pieces<'a> {
    rest: &'a str,
}

#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    Escaped(char),
    /// An escape that stands for nothing; a broken one would, too, if the JSON parser let it pass.
    HalfSurrogatePair,
    Run(&'a str),
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        match self.rest.find('\\') {
            None if self.rest.is_empty() => None,
            None => Some(Piece::Run(std::mem::take(&mut self.rest))),
            Some(0) => {
                let (piece, length) = escape(self.rest).unwrap_or((Piece::HalfSurrogatePair, self.rest.len()));
                self.rest = &self.rest[length..];
                Some(piece)
            }
            Some(start) => {
                let (run, rest) = self.rest.split_at(start);
                self.rest = rest;
                Some(Piece::Run(run))
            }
        }
    }
}

/// The escape at the beginning of `text`, and its length in bytes.
fn escape(text: &str) -> Option<(Piece<'_>, usize)> {
    let character = match text.as_bytes().get(1)? {
        byte @ (b'"' | b'\\' | b'/') => char::from(*byte),
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unicode_escape(text),
        _ => return None,
    };
    Some((Piece::Escaped(character), 2))
}

fn unicode_escape(text: &str) -> Option<(Piece<'_>, usize)> {
    let unit = |at: usize| u16::from_str_radix(text.get(at..at + 6)?.strip_prefix("\\u")?, 16).ok();
    let first = unit(0)?;
    if let Some(character) = char::from_u32(first.into()) {
        return Some((Piece::Escaped(character), 6));
    }
    let pair = unit(6).and_then(|second| char::decode_utf16([first, second]).next()?.ok());
    Some(pair.map_or((Piece::HalfSurrogatePair, 6), |character| (Piece::Escaped(character), 12)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FINGERPRINT: &str = "oXaN4RRiMc0123456789abcdefABCDEF+/0123456789=";

    fn body(members: &str) -> String {
        format!("{{\"provisioningKey\":\"3|c|s\",\"fingerprint\":\"{FINGERPRINT}\",\"csr\":\"x\"{members}}}")
    }

    fn refusal(body: &str) -> Option<Malformed> {
        Decoded::decode(body.as_bytes()).err()
    }

    fn key_text(written: &str) -> String {
        let body = format!("{{\"provisioningKey\":{written},\"fingerprint\":\"{FINGERPRINT}\",\"csr\":\"x\"}}");
        Decoded::decode(body.as_bytes()).unwrap_or_else(|_| panic!("{written}")).present_key(str::to_owned)
    }

    #[test]
    fn a_request_is_taken_apart() {
        let body = r#" { "csr" : "-----BEGIN\nEND\u002d" , "softwareVersion":"1.2", "provisioningKey":"3|c\/d|s",
            "hostname":"h\u00e4\ud83d\ude00", "fingerprint":"0123456789\u0061bcdef" } "#;
        let decoded = Decoded::decode(body.as_bytes()).ok().unwrap();
        assert_eq!(decoded.present_key(str::to_owned), "3|c/d|s");
        assert_eq!(decoded.csr(), "-----BEGIN\nEND-");
        assert_eq!(decoded.fingerprint().as_str(), "0123456789abcdef");
        let device = decoded.device();
        assert_eq!(device.hostname.as_deref(), Some("hä😀"));
        assert_eq!(device.platform, None);
        assert_eq!(device.software_version.as_deref(), Some("1.2"));
    }

    #[test]
    fn members_unknown_twice_missing_or_no_strings_are_refused() {
        assert_eq!(refusal(&body("")), None);
        for members in [
            ",\"unknown\":\"x\"",
            ",\"csr\":\"y\"",
            ",\"provisioningKey\":\"3|c|s\"",
            ",\"hostname\":null",
            ",\"hostname\":1",
            ",\"hostname\":[\"h\"]",
            ",\"Hostname\":\"h\"",
            ",",
            "}",
        ] {
            assert_eq!(refusal(&body(members)), Some(Malformed::Members), "{members}");
        }
        for member in ["provisioningKey", "fingerprint", "csr"] {
            let without = body("").replace(&format!("\"{member}\""), "\"hostname\"");
            assert_eq!(refusal(&without), Some(Malformed::Members), "{member}");
        }
        for wrong in ["null", "3", "true", "{}", "[\"3|c|s\"]"] {
            assert_eq!(refusal(&body("").replace("\"3|c|s\"", wrong)), Some(Malformed::Members), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_json_object_is_refused() {
        let deep = format!("{}{}", "[".repeat(8_000), "]".repeat(8_000));
        let deep_member = body(&format!(",\"hostname\":{deep}"));
        for text in ["", " ", "{", "[]", "\"\"", "null", "{}", &deep, &deep_member, &format!("\u{feff}{}", body(""))] {
            assert_eq!(refusal(text), Some(Malformed::Members), "{text:.40}");
        }
        assert_eq!(refusal(&format!("{}x", body(""))), Some(Malformed::Members));
        let list = format!(" [\"3|c|s\",\"{FINGERPRINT}\",\"x\"]");
        assert_eq!(refusal(&list), Some(Malformed::Members), "the right values, in a list");
        let mut bytes = body("").into_bytes();
        bytes[21] = 0xff;
        assert_eq!(Decoded::decode(&bytes).err(), Some(Malformed::NotUtf8));
    }

    #[test]
    fn lengths_are_counted_once_unescaped_at_one_below_and_above_the_bound() {
        let cases = [
            ("hostname", HOSTNAME_BYTES_MAX, Malformed::Hostname),
            ("platform", PLATFORM_BYTES_MAX, Malformed::Platform),
            ("softwareVersion", SOFTWARE_VERSION_BYTES_MAX, Malformed::SoftwareVersion),
        ];
        for (member, bytes_max, malformed) in cases {
            for written in ["x", "\\u0078", "\\/"] {
                let member = |length: usize| body(&format!(",\"{member}\":\"{}\"", written.repeat(length)));
                assert_eq!(refusal(&member(bytes_max - 1)), None);
                assert_eq!(refusal(&member(bytes_max)), None);
                assert_eq!(refusal(&member(bytes_max + 1)), Some(malformed));
            }
        }
        for (length, expected) in
            [(15, Some(Malformed::Fingerprint)), (16, None), (64, None), (65, Some(Malformed::Fingerprint))]
        {
            assert_eq!(refusal(&body("").replace(FINGERPRINT, &"f".repeat(length))), expected, "{length}");
        }
    }

    #[test]
    fn control_characters_are_refused_raw_and_escaped() {
        for written in ["\\u0000", "\\n", "\\u007f", "\\u0085", "\u{7f}", "\u{85}", "\\ud800", "\\udc00x", "\\ud800\\n"]
        {
            let refused = refusal(&body(&format!(",\"hostname\":\"a{written}b\"")));
            assert_eq!(refused, Some(Malformed::Hostname), "{written:?}");
        }
        assert_eq!(refusal(&body(",\"hostname\":\"a\nb\"")), Some(Malformed::Members));
        assert_eq!(refusal(&body("").replace(FINGERPRINT, "0123456789abcde\\u0000")), Some(Malformed::Fingerprint));
    }

    #[test]
    fn any_string_goes_on_as_a_key() {
        assert_eq!(key_text("\"\""), "");
        assert_eq!(key_text("\"\\u0000ä\\n\""), "\0ä\n");
        assert_eq!(key_text("\"\\ud800\""), "", "no text at all");
        let plain = "k".repeat(12_000);
        assert_eq!(key_text(&format!("\"{plain}\"")), plain, "borrowed, whatever its length");
    }

    #[test]
    fn an_escaped_key_is_bounded() {
        for (length, fits) in [(2_047, true), (2_048, true), (2_049, false)] {
            let found = key_text(&format!("\"{}\"", "\\u006b".repeat(length)));
            assert_eq!(found, if fits { "k".repeat(length) } else { String::new() }, "{length}");
        }
    }

    #[test]
    fn half_a_pair_in_a_csr_is_no_reason_to_stop() {
        let body = body("").replace("\"csr\":\"x\"", "\"csr\":\"a\\ud83dz\\n\"");
        assert_eq!(Decoded::decode(body.as_bytes()).ok().unwrap().csr(), "a\u{fffd}z\n");
    }

    #[test]
    fn a_renewal_is_taken_apart() {
        let csr = "\"csr\":\"a\\nb\"";
        let whole = format!("{{{csr},\"fingerprint\":\"0123456789\\u0061bcdef\"}}");
        let decoded = DecodedRenewal::decode(whole.as_bytes()).ok().unwrap();
        assert_eq!((&*decoded.csr(), decoded.fingerprint.unwrap().as_str()), ("a\nb", "0123456789abcdef"));
        let alone = format!("{{{csr}}}");
        assert_eq!(DecodedRenewal::decode(alone.as_bytes()).ok().unwrap().fingerprint, None);

        let refusal = |body: &str| DecodedRenewal::decode(body.as_bytes()).err();
        for members in [
            "",
            "\"fingerprint\":\"0123456789abcdef\"",
            "\"csr\":1",
            &format!("{csr},{csr}"),
            &format!("{csr},\"fingerprint\":null"),
            &format!("{csr},\"hostname\":\"h\""),
            &format!("{csr},\"provisioningKey\":\"3|c|s\""),
        ] {
            assert_eq!(refusal(&format!("{{{members}}}")), Some(Malformed::RenewalMembers), "{members}");
        }
        for body in ["", "[\"x\"]", "null"] {
            assert_eq!(refusal(body), Some(Malformed::RenewalMembers), "{body}");
        }
        assert_eq!(refusal(&format!("{{{csr},\"fingerprint\":\"short\"}}")), Some(Malformed::Fingerprint));
        assert_eq!(DecodedRenewal::decode(b"{\"csr\":\"\xff\"}").err(), Some(Malformed::NotUtf8));
    }

    proptest! {
        /// Any way to write a string in JSON means what it means to another parser.
        #[test]
        fn unescaping_agrees_with_serde_json(written in "([ -!#-\\[\\]-~äß😀]|\\\\[\"\\\\/bfnrt]|\\\\u[0-9a-fA-F]{4}|\\\\ud83d\\\\ude0[0-9a-f])*") {
            let quoted = format!("\"{written}\"");
            let text = JsonText(&written);
            match serde_json::from_str::<String>(&quoted) {
                Ok(expected) => {
                    let mut buffer = vec![0; expected.len()];
                    prop_assert_eq!(text.unescape_into(&mut buffer), Some(&*expected));
                    prop_assert_eq!(text.to_text(), &*expected);
                    let printable = !expected.chars().any(char::is_control);
                    prop_assert_eq!(text.is_printable(expected.len()), printable);
                    if !expected.is_empty() {
                        prop_assert!(!text.is_printable(expected.len() - 1));
                        prop_assert_eq!(text.unescape_into(&mut buffer[1..]), None);
                    }
                }
                Err(_) => {
                    prop_assert!(text.pieces().any(|piece| piece == Piece::HalfSurrogatePair));
                    prop_assert!(!text.is_printable(usize::MAX));
                }
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            let _ = Decoded::decode(&bytes);
            let _ = DecodedRenewal::decode(&bytes);
        }
    }
}
