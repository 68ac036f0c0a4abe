//! Why an attempt got no answer, as few words.

use std::error::Error as _;
use std::fmt;
use std::io::{self, ErrorKind};

use rustix::io::Errno;
use serde::{Serialize, Serializer};

use crate::client::endpoint::EndpointError;
use crate::client::http::ExchangeError;

/// Kinds of attempts without an answer of the service's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// No enrollment, or a certificate that does not verify.
    BadAnswer,
    /// This machine had no file descriptor left.
    ClientFiles,
    /// This machine had no port left on the source address.
    ClientPorts,
    ConnectionRefused,
    /// The other side ended it before a whole answer was there.
    ConnectionReset,
    NotTrusted,
    TimedOut,
    /// The handshake failed, but not for lack of trust.
    Tls,
    Unreachable,
}

impl Failure {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadAnswer => "bad-answer",
            Self::ClientFiles => "client-files",
            Self::ClientPorts => "client-ports",
            Self::ConnectionRefused => "connection-refused",
            Self::ConnectionReset => "connection-reset",
            Self::NotTrusted => "not-trusted",
            Self::TimedOut => "timed-out",
            Self::Tls => "tls",
            Self::Unreachable => "unreachable",
        }
    }

    /// `None` for a refusal, which is an answer.
    pub(super) fn of(error: &EndpointError) -> Option<Self> {
        match error {
            EndpointError::Answer(_) => Some(Self::BadAnswer),
            EndpointError::NotTrusted { .. } => Some(Self::NotTrusted),
            EndpointError::Refused(_) => None,
            EndpointError::Unreachable { reason, .. } => Some(Self::of_exchange(reason)),
            // Before the first attempt, which devices here do not begin with.
            EndpointError::DamagedKey | EndpointError::State(_) | EndpointError::Trust(_) => Some(Self::Unreachable),
        }
    }

    fn of_exchange(error: &ExchangeError) -> Self {
        match error {
            ExchangeError::Body { .. } => Self::BadAnswer,
            ExchangeError::Broken(error) if error.is_parse() => Self::BadAnswer,
            ExchangeError::Broken(error) => {
                let io = error.source().and_then(|source| source.downcast_ref::<io::Error>());
                io.map_or(Self::ConnectionReset, |io| Self::of_io(io, Self::ConnectionReset))
            }
            ExchangeError::Connect { attempts } => {
                let last = attempts.last().map(|(_, error)| error);
                last.map_or(Self::Unreachable, |error| Self::of_io(error, Self::Unreachable))
            }
            ExchangeError::CutOff | ExchangeError::TimedOut { .. } => Self::TimedOut,
            ExchangeError::Handshake(error) => Self::of_io(error, Self::Tls),
            ExchangeError::NotTrusted(_) => Self::NotTrusted,
            ExchangeError::Resolve(_) => Self::Unreachable,
        }
    }

    fn of_io(error: &io::Error, otherwise: Self) -> Self {
        if matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE)) {
            return Self::ClientFiles;
        }
        match error.kind() {
            ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable => Self::ClientPorts,
            ErrorKind::ConnectionRefused => Self::ConnectionRefused,
            ErrorKind::BrokenPipe
            | ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::UnexpectedEof => Self::ConnectionReset,
            ErrorKind::TimedOut => Self::TimedOut,
            _ => otherwise,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Failure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_connection_says_whose_fault_it_was() {
        let of = |error: io::Error| {
            let attempts = vec![(([127, 0, 0, 1], 1).into(), error)];
            let reason = ExchangeError::Connect { attempts };
            Failure::of(&EndpointError::Unreachable { host: String::new(), reason }).unwrap()
        };
        for (errno, expected) in [
            (Errno::MFILE, Failure::ClientFiles),
            (Errno::ADDRNOTAVAIL, Failure::ClientPorts),
            (Errno::CONNREFUSED, Failure::ConnectionRefused),
            (Errno::CONNRESET, Failure::ConnectionReset),
            (Errno::TIMEDOUT, Failure::TimedOut),
            (Errno::NETUNREACH, Failure::Unreachable),
        ] {
            assert_eq!(of(errno.into()), expected, "{errno}");
        }
    }

    #[test]
    fn a_handshake_is_broken_off_or_fails() {
        let of = |kind: ErrorKind| Failure::of_exchange(&ExchangeError::Handshake(kind.into()));
        assert_eq!(of(ErrorKind::UnexpectedEof), Failure::ConnectionReset);
        assert_eq!(of(ErrorKind::InvalidData), Failure::Tls);
    }
}
