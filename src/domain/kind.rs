//! The four kinds of components.

use std::fmt;
use std::str::FromStr;

/// What a group's components are. Fixed for a group, its keys and their components.
///
/// The order is the one in which kinds are shown everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    AppConnector,
    ServiceEdge,
    NetworkConnector,
    /// Client Connector before anyone logs in.
    Machine,
}

/// A text that names no kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such kind: expected app-connector, service-edge, network-connector or machine")]
pub struct UnknownKind;

impl Kind {
    pub const ALL: [Self; 4] = [Self::AppConnector, Self::ServiceEdge, Self::NetworkConnector, Self::Machine];

    /// `app-connector`, … : in addresses, in the SPIFFE id, on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AppConnector => "app-connector",
            Self::ServiceEdge => "service-edge",
            Self::NetworkConnector => "network-connector",
            Self::Machine => "machine",
        }
    }

    /// Whether a key of this kind must carry a maximum of uses; the others may go without a limit.
    pub const fn requires_maximum(self) -> bool {
        matches!(self, Self::AppConnector | Self::ServiceEdge)
    }

    /// Whether components of this kind accept connections, and so get serverAuth and a DNS name.
    pub const fn is_server(self) -> bool {
        matches!(self, Self::ServiceEdge | Self::NetworkConnector)
    }

    /// Name of the signing certificate that a new customer's groups of this kind default to.
    pub const fn default_signing_certificate(self) -> &'static str {
        match self {
            Self::AppConnector => "Connector",
            Self::ServiceEdge => "Service Edge",
            Self::NetworkConnector => "Network Connector",
            Self::Machine => "Client",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(UnknownKind)
    }
}

impl serde::Serialize for Kind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for Kind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
