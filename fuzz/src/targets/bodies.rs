//! The bodies of `POST /v1/enroll` and `POST /v1/renew`, beside a reader that is not ours.

use std::fmt;

use muster::domain::Fingerprint;
use muster::domain::key_string::KEY_STRING_BYTES_MAX;
use muster::protocol::enroll::{HOSTNAME_BYTES_MAX, PLATFORM_BYTES_MAX, SOFTWARE_VERSION_BYTES_MAX};
use muster::server::enroll::decode::{Decoded, DecodedRenewal};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::allocation;

/// Until the key has verified, what is read of a body may not cost more than this, however long it is.
const ALLOCATED_MAX: usize = 256;

/// Holds: a body is taken exactly if it is one object of the right members, each once and of the right form, by
/// serde_json's own values; what is read of it is what stands there; taking it apart allocates next to nothing.
pub fn run_enrollment(bytes: &[u8]) {
    let (decoded, allocated) = allocation::of(|| Decoded::decode(bytes));
    let expected =
        read(bytes, &["provisioningKey", "fingerprint", "csr"], &["hostname", "platform", "softwareVersion"]);
    let expected = expected.map(|members| {
        members.filter(|members| {
            let is_short = |name, bytes_max| match members.text(name) {
                Some(text) => text.len() <= bytes_max && !text.chars().any(char::is_control),
                None => true,
            };
            members.text("fingerprint").is_some_and(Fingerprint::is_valid)
                && is_short("hostname", HOSTNAME_BYTES_MAX)
                && is_short("platform", PLATFORM_BYTES_MAX)
                && is_short("softwareVersion", SOFTWARE_VERSION_BYTES_MAX)
        })
    });
    let Ok(decoded) = decoded else {
        assert!(matches!(expected, Reading::Known(None) | Reading::Unknown), "it is in order");
        return;
    };
    assert!(allocated <= ALLOCATED_MAX, "{allocated} bytes allocated");
    let (presented, allocated) = allocation::of(|| decoded.present_key(str::len));
    assert_eq!(allocated, 0);
    match expected {
        Reading::Unknown => {}
        Reading::Known(None) => panic!("it is not in order"),
        Reading::Known(Some(members)) => {
            assert_eq!(decoded.fingerprint().as_str(), members.text("fingerprint").unwrap_or_default());
            assert_eq!(decoded.csr(), members.text("csr").unwrap_or_default());
            let device = decoded.device();
            assert_eq!(device.hostname.as_deref(), members.text("hostname"));
            assert_eq!(device.platform.as_deref(), members.text("platform"));
            assert_eq!(device.software_version.as_deref(), members.text("softwareVersion"));
            let key = members.text("provisioningKey").unwrap_or_default();
            if key.len() <= KEY_STRING_BYTES_MAX {
                assert_eq!(presented, key.len());
                decoded.present_key(|text| assert_eq!(text, key));
            }
        }
    }
}

/// Holds: as of an enrollment.
pub fn run_renewal(bytes: &[u8]) {
    let (decoded, allocated) = allocation::of(|| DecodedRenewal::decode(bytes));
    let expected = read(bytes, &["csr"], &["fingerprint"]);
    let expected =
        expected.map(|members| members.filter(|members| members.text("fingerprint").is_none_or(Fingerprint::is_valid)));
    match (decoded, expected) {
        (Err(_), Reading::Known(Some(_))) => panic!("it is in order"),
        (Ok(_), Reading::Known(None)) => panic!("it is not in order"),
        (Ok(decoded), Reading::Known(Some(members))) => {
            assert!(allocated <= ALLOCATED_MAX, "{allocated} bytes allocated");
            assert_eq!(decoded.csr(), members.text("csr").unwrap_or_default());
            assert_eq!(decoded.fingerprint.as_ref().map(Fingerprint::as_str), members.text("fingerprint"));
        }
        (_, Reading::Unknown) | (Err(_), Reading::Known(None)) => {}
    }
}

/// What another reader makes of a body.
enum Reading<T> {
    Known(T),
    /// It has half a surrogate pair, which serde_json's values cannot hold and ours show as U+FFFD.
    Unknown,
}

impl<T> Reading<T> {
    fn map<U>(self, change: impl FnOnce(T) -> U) -> Reading<U> {
        match self {
            Self::Known(known) => Reading::Known(change(known)),
            Self::Unknown => Reading::Unknown,
        }
    }
}

/// The members of an object in their order, those that are there twice, too.
struct Members(Vec<(String, Value)>);

impl Members {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).and_then(|(_, value)| value.as_str())
    }
}

/// `None`: not an object with all that is required, nothing else, each once, and all of them strings.
fn read(bytes: &[u8], required: &[&str], optional: &[&str]) -> Reading<Option<Members>> {
    let has_surrogate = bytes.windows(3).any(|window| window.eq_ignore_ascii_case(b"\\ud"));
    let Ok(Members(members)) = serde_json::from_slice(bytes) else {
        return if has_surrogate { Reading::Unknown } else { Reading::Known(None) };
    };
    let count = |name: &str| members.iter().filter(|(found, _)| found == name).count();
    let is_good = members.iter().all(|(name, value)| {
        (required.contains(&name.as_str()) || optional.contains(&name.as_str()))
            && count(name) == 1
            && value.is_string()
    });
    Reading::Known((is_good && required.iter().all(|name| count(name) == 1)).then_some(Members(members)))
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;

        impl<'de> Visitor<'de> for All {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(All)
    }
}
