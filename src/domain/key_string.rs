//! The key string: the text a device presents, `version|cloud|secret`.
//!
//! ```text
//! key-string  = version "|" cloud "|" secret
//! version     = "1" / "2" / "3"
//! cloud       = ( dns-name / ipv4 / "[" ipv6 "]" ) [ ":" port ]
//! secret      = bare / bootstrap / imported
//! bare        = 48 base64 characters: key id 12 bytes · random 24          (version 1)
//! bootstrap   = 96 base64 characters: the same · trust pin 32 · check 4    (version 3)
//! imported    = at least 32 base64 characters, "=" padding, [ "-" digits ]
//! ```
//!
//! The server looks at three things only: does the text split in three ([`KeyString::parse`]), and
//! does the digest of the *whole* text stand in the index. The inner structure is for devices
//! ([`inspect`]), which learn from it whom to trust and whether the key was copied whole.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::secret::random_bytes;

/// Longest key string the server looks at, in bytes, white space at the ends included.
pub const KEY_STRING_BYTES_MAX: usize = 2_048;

/// Characters of the secret that name the key in public: base64 of the 12-byte key id.
pub const KEY_ID_CHARACTERS: usize = 16;

const KEY_ID_BYTES: usize = 12;
const RANDOM_BYTES: usize = 24;
const BARE_BYTES: usize = KEY_ID_BYTES + RANDOM_BYTES;
const CHECK_BYTES: usize = 4;
const CHECKED_BYTES: usize = BARE_BYTES + TrustPin::BYTES;
const BOOTSTRAP_BYTES: usize = CHECKED_BYTES + CHECK_BYTES;
const BARE_CHARACTERS: usize = BARE_BYTES / 3 * 4;
/// Characters of the secret of a bootstrap key.
pub const BOOTSTRAP_CHARACTERS: usize = BOOTSTRAP_BYTES / 3 * 4;
const IMPORTED_CHARACTERS_MIN: usize = 32;
const HINT_CHARACTERS: usize = 7;

/// Which of our two forms a key string has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyVersion {
    /// Version 1: short enough for a password field, says nothing about whom to trust.
    Bare,
    /// Version 3, the default: carries a trust pin and a check.
    Bootstrap,
    /// Came from elsewhere; only its digest is kept.
    Imported,
}

/// The host that devices call, with the port unless it is 443: lower-case DNS name (letters,
/// digits, hyphens; at most 200 bytes), IPv4 address or `[IPv6]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cloud {
    text: Box<str>,
    host_len: usize,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no cloud: a lower-case DNS name, an IPv4 address or [IPv6] was expected, optionally with :port")]
pub struct InvalidCloud {
    pub found: String,
}

impl Cloud {
    pub const HOST_BYTES_MAX: usize = 200;
    const PORT_DEFAULT: u16 = 443;

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host without brackets: what a certificate names and what is resolved.
    pub fn host(&self) -> &str {
        self.text[..self.host_len].trim_start_matches('[').trim_end_matches(']')
    }

    /// The host if it is a DNS name and no address.
    pub fn dns_name(&self) -> Option<&str> {
        let host = self.host();
        (host.parse::<std::net::IpAddr>().is_err()).then_some(host)
    }

    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Cloud {
    type Err = InvalidCloud;

    fn from_str(text: &str) -> Result<Self, InvalidCloud> {
        let invalid = || InvalidCloud { found: text.chars().take(80).collect() };
        let host_len = match text.find(']') {
            Some(end) => end + 1,
            None => text.find(':').unwrap_or(text.len()),
        };
        let (host, rest) = text.split_at(host_len);
        let port = match rest.strip_prefix(':') {
            None if rest.is_empty() => Self::PORT_DEFAULT,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0') => {
                digits.parse().map_err(|_| invalid())?
            }
            _ => return Err(invalid()),
        };
        let valid = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(v6) => v6.parse::<Ipv6Addr>().is_ok_and(|address| address.to_string() == v6),
            None => host.parse::<Ipv4Addr>().is_ok() || is_dns_name(host),
        };
        if valid { Ok(Self { text: text.into(), host_len, port }) } else { Err(invalid()) }
    }
}

impl fmt::Display for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// RFC 1123 §2.1 labels, lower case. An all-digit last label would read as an address.
fn is_dns_name(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.len() <= Cloud::HOST_BYTES_MAX
        && host.split('.').all(is_label)
        && host.rsplit('.').next().is_some_and(|last| last.bytes().any(|b| !b.is_ascii_digit()))
}

/// SHA-256 of the DER SubjectPublicKeyInfo of the CA above the enrollment endpoint's certificate.
/// All zero: no pin, the device uses its system's roots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrustPin([u8; TrustPin::BYTES]);

impl TrustPin {
    pub const BYTES: usize = 32;
    pub const NONE: Self = Self([0; Self::BYTES]);

    pub const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// Of a DER SubjectPublicKeyInfo.
    pub fn of_public_key(spki_der: &[u8]) -> Self {
        Self(digest(&SHA256, spki_der).as_ref().try_into().expect("SHA-256 gives 32 bytes"))
    }

    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    pub fn is_none(self) -> bool {
        self == Self::NONE
    }
}

/// A whole key string made here, wiped on drop. No `Debug`, no `Serialize`.
pub struct KeySecret(Zeroizing<String>);

impl KeySecret {
    /// A new random key string. `version` is never [`KeyVersion::Imported`] here: an imported one
    /// is not made.
    ///
    /// # Panics
    /// For [`KeyVersion::Imported`].
    pub fn generate(version: KeyVersion, cloud: &Cloud, pin: TrustPin) -> Self {
        let mut secret = Zeroizing::new([0; BOOTSTRAP_BYTES]);
        secret[..BARE_BYTES].copy_from_slice(&*random_bytes::<BARE_BYTES>());
        let (number, secret) = match version {
            KeyVersion::Bare => (1, &secret[..BARE_BYTES]),
            KeyVersion::Bootstrap => {
                secret[BARE_BYTES..CHECKED_BYTES].copy_from_slice(pin.as_bytes());
                let check = check_of(cloud.as_str(), &secret[..CHECKED_BYTES]);
                secret[CHECKED_BYTES..].copy_from_slice(&check);
                (3, &secret[..])
            }
            KeyVersion::Imported => panic!("an imported key string comes from elsewhere"),
        };
        let mut text = Zeroizing::new(String::with_capacity(2 + cloud.as_str().len() + 1 + BOOTSTRAP_CHARACTERS));
        text.push_str(if number == 1 { "1|" } else { "3|" });
        text.push_str(cloud.as_str());
        text.push('|');
        STANDARD_NO_PAD.encode_string(secret, &mut text);
        Self(text)
    }

    /// Takes over a text that was checked elsewhere, e.g. one that was just unsealed.
    pub fn from_text(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    /// The secret itself. Whoever calls this answers for where it goes.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The public key id, on the wire `keyId`: the first 16 characters of the secret part.
    pub fn key_id(&self) -> &str {
        KeyString::parse(&self.0).map_or("", |parts| parts.key_id())
    }
}

/// A presented text, split in its three parts. Borrowed: parsing allocates nothing.
#[derive(Clone, Copy)]
pub struct KeyString<'a> {
    /// The whole text, trimmed: what is digested.
    whole: &'a str,
    version: &'a str,
    cloud: &'a str,
    secret: &'a str,
}

impl<'a> KeyString<'a> {
    /// Trims ASCII white space at both ends and splits. `None` for everything that no key string
    /// looks like; the caller must then do the same work as for an unknown key.
    pub fn parse(text: &'a str) -> Option<Self> {
        if text.len() > KEY_STRING_BYTES_MAX {
            return None;
        }
        let whole = text.trim_matches(|c: char| c.is_ascii_whitespace());
        let mut parts = whole.split('|');
        let (version, cloud, secret) = (parts.next()?, parts.next()?, parts.next()?);
        let well_formed = parts.next().is_none()
            && matches!(version, "1" | "2" | "3")
            && is_plausible_cloud(cloud)
            && is_plausible_secret(secret);
        well_formed.then_some(Self { whole, version, cloud, secret })
    }

    pub fn as_str(&self) -> &'a str {
        self.whole
    }

    pub fn cloud(&self) -> &'a str {
        self.cloud
    }

    /// First 16 characters of the secret: public.
    pub fn key_id(&self) -> &'a str {
        &self.secret[..KEY_ID_CHARACTERS]
    }

    /// Which form it has. `None`: version 3 with the 96 characters of a bootstrap key and a wrong check,
    /// so one of ours that was not copied whole.
    pub fn form(&self) -> Option<KeyVersion> {
        match (self.version, self.secret.len()) {
            ("1", BARE_CHARACTERS) if self.secret.bytes().all(|b| b != b'-' && b != b'=') => Some(KeyVersion::Bare),
            ("3", BOOTSTRAP_CHARACTERS) => self.pin().map(|_| KeyVersion::Bootstrap),
            _ => Some(KeyVersion::Imported),
        }
    }

    /// The trust pin of a bootstrap key whose length and check are right.
    fn pin(&self) -> Option<TrustPin> {
        let mut secret = Zeroizing::new([0; BOOTSTRAP_BYTES]);
        if STANDARD_NO_PAD.decode_slice(self.secret, &mut *secret) != Ok(BOOTSTRAP_BYTES) {
            return None;
        }
        let (checked, check) = secret.split_at(CHECKED_BYTES);
        let pin = checked[BARE_BYTES..].try_into().expect("what is checked ends in the pin");
        bool::from(check_of(self.cloud, checked).ct_eq(check)).then_some(TrustPin(pin))
    }

    /// The short form for logs and listings: `3|cloud|` + 7 characters of the secret + `...`.
    pub fn hint(&self) -> String {
        format!("{}|{}|{}...", self.version, self.cloud, &self.secret[..HINT_CHARACTERS])
    }
}

/// Cheap: the index decides, this only keeps the three parts what they are called.
fn is_plausible_cloud(cloud: &str) -> bool {
    (1..=Cloud::HOST_BYTES_MAX + 6).contains(&cloud.len())
        && cloud.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".:[]-".contains(&b))
}

fn is_plausible_secret(secret: &str) -> bool {
    let (base64, suffix) = secret.split_once('-').unwrap_or((secret, "0"));
    let body = base64.trim_end_matches('=');
    body.len() >= IMPORTED_CHARACTERS_MIN
        && base64.len() - body.len() <= 2
        && is_base64(body.as_bytes())
        && !suffix.is_empty()
        && suffix.bytes().all(|b| b.is_ascii_digit())
}

/// Whether every byte is of base64's alphabet. Without a branch that depends on one: the processor learns branches, and
/// would be quicker with a text that resembles one that was just here (`benches/timing`).
fn is_base64(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |all, b| all & (b.is_ascii_alphanumeric() | (*b == b'+') | (*b == b'/')))
}

/// What a device learns from a key string before it makes a connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Inspection {
    /// Copied whole, or of a form that carries no check.
    Usable { cloud: Cloud, pin: TrustPin },
    /// Cut, mistyped, or not a key string at all.
    Damaged,
}

/// The device's side: is this key whole, whom does it call, and whom may it trust?
///
/// Version 3 with at most 96 characters must have the exact length and check. A longer one is
/// foreign: no pin, no check.
pub fn inspect(text: &str) -> Inspection {
    let Some(parts) = KeyString::parse(text) else { return Inspection::Damaged };
    let Ok(cloud) = parts.cloud.parse::<Cloud>() else { return Inspection::Damaged };
    if parts.version != "3" || parts.secret.len() > BOOTSTRAP_CHARACTERS {
        return Inspection::Usable { cloud, pin: TrustPin::NONE };
    }
    parts.pin().map_or(Inspection::Damaged, |pin| Inspection::Usable { cloud, pin })
}

/// First 4 bytes of SHA-256 over `3|cloud|` and the 68 bytes before the check.
fn check_of(cloud: &str, checked: &[u8]) -> [u8; CHECK_BYTES] {
    let mut context = ring::digest::Context::new(&SHA256);
    for part in [b"3|", cloud.as_bytes(), b"|", checked] {
        context.update(part);
    }
    *context.finish().as_ref().first_chunk().expect("a digest is longer than a check")
}

impl KeyVersion {
    /// The number in front of the key strings made here; of imported ones nothing is known but the
    /// hint.
    pub const fn number(self) -> Option<u8> {
        match self {
            Self::Bare => Some(1),
            Self::Bootstrap => Some(3),
            Self::Imported => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PIN: TrustPin = TrustPin([7; 32]);

    fn cloud() -> Cloud {
        "enroll.example.com:8443".parse().unwrap()
    }

    #[test]
    fn a_bootstrap_key_tells_its_cloud_and_pin() {
        let key = KeySecret::generate(KeyVersion::Bootstrap, &cloud(), PIN);
        assert_eq!(key.expose().rsplit('|').next().unwrap().len(), 96);
        assert_eq!(inspect(key.expose()), Inspection::Usable { cloud: cloud(), pin: PIN });
        assert_eq!(inspect(&format!("\t{}\r\n", key.expose())), Inspection::Usable { cloud: cloud(), pin: PIN });
    }

    #[test]
    fn a_bare_key_has_48_characters_and_no_pin() {
        let key = KeySecret::generate(KeyVersion::Bare, &cloud(), PIN);
        assert_eq!(key.expose().rsplit('|').next().unwrap().len(), 48);
        assert_eq!(inspect(key.expose()), Inspection::Usable { cloud: cloud(), pin: TrustPin::NONE });
        assert_eq!(key.key_id(), &key.expose().rsplit('|').next().unwrap()[..16]);
    }

    #[test]
    fn the_hint_shows_seven_characters_of_the_secret() {
        let key = KeySecret::generate(KeyVersion::Bootstrap, &cloud(), PIN);
        let hint = KeyString::parse(key.expose()).unwrap().hint();
        let secret = key.expose().rsplit('|').next().unwrap();
        assert_eq!(hint, format!("3|enroll.example.com:8443|{}...", &secret[..7]));
    }

    #[test]
    fn every_single_changed_or_missing_character_is_noticed_by_the_device() {
        let key = KeySecret::generate(KeyVersion::Bootstrap, &cloud(), PIN);
        let text = key.expose();
        let secret_at = text.rfind('|').unwrap() + 1;
        for at in secret_at..text.len() {
            let replacement = if &text[at..=at] == "A" { "B" } else { "A" };
            let changed = format!("{}{replacement}{}", &text[..at], &text[at + 1..]);
            assert_eq!(inspect(&changed), Inspection::Damaged, "changed at {at}");
            let missing = format!("{}{}", &text[..at], &text[at + 1..]);
            assert_eq!(inspect(&missing), Inspection::Damaged, "missing at {at}");
        }
        let other_cloud = text.replace("enroll.example.com", "enroll.example.org");
        assert_eq!(inspect(&other_cloud), Inspection::Damaged);
    }

    #[test]
    fn foreign_keys_are_usable_without_pin() {
        let long = format!("3|api.private.example.com|{}-1234567890123456789", "A1b/".repeat(90));
        let Inspection::Usable { pin, .. } = inspect(&long) else { panic!("damaged") };
        assert!(pin.is_none() && !PIN.is_none());
    }

    #[test]
    fn a_made_key_begins_with_the_number_of_its_version_and_tells_its_cloud() {
        for (version, number) in [(KeyVersion::Bare, 1), (KeyVersion::Bootstrap, 3)] {
            let key = KeySecret::generate(version, &cloud(), PIN);
            assert_eq!(key.expose()[..1].parse(), Ok(number));
            assert_eq!(version.number(), Some(number));
            assert_eq!(KeyString::parse(key.expose()).unwrap().cloud(), cloud().as_str());
        }
        assert_eq!(KeyVersion::Imported.number(), None);
    }

    #[test]
    fn the_form_tells_ours_from_others_and_whole_from_mistyped() {
        let form = |text: &str| KeyString::parse(text).expect("three parts").form();
        for version in [KeyVersion::Bare, KeyVersion::Bootstrap] {
            assert_eq!(form(KeySecret::generate(version, &cloud(), PIN).expose()), Some(version));
        }
        let secret = |characters: usize| "A".repeat(characters);
        for (version, characters, expected) in [
            ("1", 47, Some(KeyVersion::Imported)),
            ("1", 48, Some(KeyVersion::Bare)),
            ("1", 49, Some(KeyVersion::Imported)),
            ("2", 48, Some(KeyVersion::Imported)),
            ("2", 96, Some(KeyVersion::Imported)),
            ("3", 32, Some(KeyVersion::Imported)),
            ("3", 95, Some(KeyVersion::Imported)),
            ("3", 96, None),
            ("3", 97, Some(KeyVersion::Imported)),
        ] {
            assert_eq!(
                form(&format!("{version}|example.com|{}", secret(characters))),
                expected,
                "{version} {characters}"
            );
        }
        assert_eq!(form(&format!("1|example.com|{}-123", secret(44))), Some(KeyVersion::Imported));
        assert_eq!(form(&format!("1|example.com|{}==", secret(46))), Some(KeyVersion::Imported));
    }

    #[test]
    fn what_is_no_key_string_does_not_parse() {
        let secret = "A".repeat(32);
        let good = format!("3|example.com|{secret}");
        assert!(KeyString::parse(&good).is_some());
        assert!(KeyString::parse(&format!("\n {good}\t\r\n")).is_some());
        for text in [
            String::new(),
            "|".into(),
            "||".into(),
            "3|example.com".into(),
            format!("3|example.com|{}", "A".repeat(31)),
            format!("0|example.com|{secret}"),
            format!("4|example.com|{secret}"),
            format!("03|example.com|{secret}"),
            format!("3||{secret}"),
            format!("3|Example.com|{secret}"),
            format!("3|example.com |{secret}"),
            format!("3|example.com|{secret}|"),
            format!("3|example.com|{secret}==="),
            format!("3|example.com|{secret}-"),
            format!("3|example.com|{secret}-1a"),
            format!("3|example.com|{secret}\0"),
            format!("\u{a0}3|example.com|{secret}"),
            format!("3|exämple.com|{secret}"),
            format!("3|example.com|{}", "A".repeat(2_048)),
        ] {
            assert!(KeyString::parse(&text).is_none(), "{text:?}");
        }
        for (characters, accepted) in [(205, true), (206, true), (207, false)] {
            let text = format!("3|{}|{secret}", "a".repeat(characters));
            assert_eq!(KeyString::parse(&text).is_some(), accepted, "a cloud of {characters} characters");
        }
        let longest = format!("3|a|{}", "A".repeat(2_044));
        assert_eq!(longest.len(), KEY_STRING_BYTES_MAX);
        assert!(KeyString::parse(&longest).is_some());
    }

    #[test]
    fn clouds() {
        for (text, host, dns, port) in [
            ("localhost:8443", "localhost", Some("localhost"), 8443),
            ("enroll.example.com", "enroll.example.com", Some("enroll.example.com"), 443),
            ("eu-1.example.com", "eu-1.example.com", Some("eu-1.example.com"), 443),
            ("192.0.2.7:1", "192.0.2.7", None, 1),
            ("[2001:db8::1]:8443", "2001:db8::1", None, 8443),
            ("[::1]", "::1", None, 443),
        ] {
            let cloud: Cloud = text.parse().unwrap();
            assert_eq!((cloud.host(), cloud.dns_name(), cloud.port()), (host, dns, port));
        }
        for text in [
            "",
            ":",
            ":443",
            "Example.com",
            "a b",
            "-a",
            "a-",
            "a..b",
            "a.",
            "1.2.3",
            "1.2.3.4.5",
            "::1",
            "[::1",
            "[::1]x",
            "[::01]",
            "x[::1]",
            "::1]",
            "a:0",
            "a:+1",
            "a:",
            "a:65536",
            "a:08443",
            "a:b",
            "a_b",
            "a/b",
        ] {
            assert!(text.parse::<Cloud>().is_err(), "{text:?}");
        }
        assert!("a".repeat(63).parse::<Cloud>().is_ok());
        assert!("a".repeat(64).parse::<Cloud>().is_err());
        for (characters, accepted) in [(7, true), (8, true), (9, false)] {
            let host = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "a".repeat(characters));
            assert_eq!(host.parse::<Cloud>().is_ok(), accepted, "{} bytes", host.len());
        }
    }

    proptest! {
        #[test]
        fn parsing_and_inspecting_never_panic(text in ".{0,300}") {
            let _ = KeyString::parse(&text).map(|parts| (parts.hint(), parts.key_id().len()));
            let _ = inspect(&text);
        }

        #[test]
        fn near_key_strings_never_panic(text in "[0-9]{0,2}\\|[a-z0-9.:\\[\\]-]{0,30}\\|[A-Za-z0-9+/=-]{0,120}") {
            if let Some(parts) = KeyString::parse(&text) {
                prop_assert_eq!(parts.as_str(), text.trim());
                prop_assert_eq!(parts.key_id().len(), KEY_ID_CHARACTERS);
            }
            let _ = inspect(&text);
        }

        #[test]
        fn every_made_key_parses_and_inspects(pin: [u8; 32], host in "[a-z]{1,20}(\\.[a-z]{2,5}){0,3}", port in 1u16..) {
            let cloud: Cloud = format!("{host}:{port}").parse().unwrap();
            let key = KeySecret::generate(KeyVersion::Bootstrap, &cloud, TrustPin(pin));
            prop_assert_eq!(inspect(key.expose()), Inspection::Usable { cloud: cloud.clone(), pin: TrustPin(pin) });
            let bare = KeySecret::generate(KeyVersion::Bare, &cloud, TrustPin(pin));
            prop_assert!(KeyString::parse(bare.expose()).is_some());
            prop_assert_ne!(bare.key_id(), key.key_id());
        }
    }
}
