//! Turning written values into checked ones, and telling what was wrong with them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::TlsFiles;
use crate::domain::AddressList;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    /// Name of the variable.
    Environment(String),
    File(PathBuf),
    /// Name of the flag, with its dashes.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Environment(name) | Self::Flag(name) => f.write_str(name),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// One thing that is wrong: the key, what was found there, what is accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("{}: {reason}", path.display())]
    Unreadable { path: PathBuf, reason: String },
    /// `reason` is the TOML reader's, with line and column.
    #[error("{}: not TOML: {reason}", path.display())]
    Syntax { path: PathBuf, reason: String },
    #[error("{key} ({origin}): there is no such key; accepted here: {}", accepted.join(", "))]
    UnknownKey { key: String, origin: Origin, accepted: Vec<String> },
    #[error("{key} ({origin}): found {found}; accepted: {accepted}")]
    Value { key: String, origin: Origin, found: String, accepted: String },
}

/// Everything that is wrong with a configuration, in the order of its keys. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration is refused")?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

/// Collects problems while sections make their settings. A method that found one gives `None`.
pub(super) struct Checker<'a> {
    pub origins: &'a BTreeMap<String, Origin>,
    pub problems: Vec<Problem>,
}

impl Checker<'_> {
    pub fn refuse(&mut self, key: &str, found: impl Into<String>, accepted: impl Into<String>) {
        let origin = self.origins.get(key).cloned().unwrap_or(Origin::Default);
        let (found, accepted) = (found.into(), accepted.into());
        self.problems.push(Problem::Value { key: key.to_owned(), origin, found, accepted });
    }

    /// `accepted` completes the sentence "accepted: …".
    pub fn parse<T>(
        &mut self,
        key: &str,
        text: &str,
        accepted: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let value = read(text);
        if value.is_none() {
            self.refuse(key, format!("{text:?}"), accepted);
        }
        value
    }

    pub fn address(&mut self, key: &str, text: &str) -> Option<SocketAddr> {
        self.parse(key, text, "an address and a port such as 127.0.0.1:8443 or [::]:8443", |text| text.parse().ok())
    }

    pub fn path(&mut self, key: &str, text: &str) -> Option<PathBuf> {
        self.parse(key, text, "a path", |text| (!text.is_empty()).then(|| PathBuf::from(text)))
    }

    pub fn number(&mut self, key: &str, value: i64, accepted: RangeInclusive<u32>) -> Option<u32> {
        let number = u32::try_from(value).ok().filter(|number| accepted.contains(number));
        if number.is_none() {
            self.refuse(key, value.to_string(), format!("a number from {} to {}", accepted.start(), accepted.end()));
        }
        number
    }

    /// The same for counts that size something in memory.
    pub fn size(&mut self, key: &str, value: i64, accepted: RangeInclusive<u32>) -> Option<usize> {
        self.number(key, value, accepted).map(|number| number as usize)
    }

    pub fn seconds(&mut self, key: &str, value: i64, accepted: RangeInclusive<u32>) -> Option<Duration> {
        self.number(key, value, accepted).map(|seconds| Duration::from_secs(seconds.into()))
    }

    /// `section.tls_certificate` and `section.tls_key`: both or none.
    pub fn tls_files(&mut self, section: &str, certificate: &str, key: &str) -> Option<Option<TlsFiles>> {
        match (certificate, key) {
            ("", "") => Some(None),
            ("", _) | (_, "") => {
                let (missing, given) =
                    if key.is_empty() { ("tls_key", "tls_certificate") } else { ("tls_certificate", "tls_key") };
                let accepted = format!("a PEM file, as {section}.{given} is set; or neither of the two");
                self.refuse(&format!("{section}.{missing}"), "nothing", accepted);
                None
            }
            (certificate, key) => Some(Some(TlsFiles { certificate: certificate.into(), key: key.into() })),
        }
    }

    /// Addresses and networks of balancers; may be empty.
    pub fn networks(&mut self, key: &str, entries: &[String]) -> Option<Vec<IpNet>> {
        let mut networks = Vec::with_capacity(entries.len());
        for entry in entries {
            match AddressList::parse(&[entry]) {
                Ok(list) => networks.extend(list.networks()),
                Err(reason) => {
                    self.refuse(key, format!("{entry:?} ({reason})"), "addresses and networks such as 192.0.2.0/24");
                    return None;
                }
            }
        }
        Some(networks)
    }
}
