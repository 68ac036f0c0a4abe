//! What the commands of a device have in common: its state directory, whom it calls and trusts, who it is.

use std::path::PathBuf;

use clap::Args;

use super::connection::trust_of_file;
use crate::client::endpoint::EndpointError;
use crate::client::http::HostPort;
use crate::client::tls::Trust;
use crate::domain::Fingerprint;
use crate::protocol::enroll::HOSTNAME_BYTES_MAX;

#[derive(Args)]
pub struct Device {
    /// Where key pair and certificate are kept
    #[arg(long, value_name = "DIR", env = "MUSTER_STATE_DIR", default_value = "/var/lib/muster")]
    pub state_dir: PathBuf,
    /// Connect there instead; the server must still prove to be the one of the key
    #[arg(long, value_name = "HOST:PORT")]
    pub connect: Option<HostPort>,
    /// PEM file with the CA to trust instead of what the key, or the state directory, says
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// What identifies this hardware [default: made of the machine id and the board's ids]
    #[arg(long, value_name = "TEXT", value_parser = Fingerprint::new)]
    pub fingerprint: Option<Fingerprint>,
}

impl Device {
    /// Whom to trust instead.
    pub fn trust(&self) -> anyhow::Result<Option<Trust>> {
        self.ca_file.as_deref().map(trust_of_file).transpose()
    }
}

/// For people to recognise the device by; left out if it is not fit to send.
pub fn hostname() -> Option<String> {
    let name = gethostname::gethostname().into_string().ok()?;
    let fits = !name.is_empty() && name.len() <= HOSTNAME_BYTES_MAX && !name.chars().any(char::is_control);
    fits.then_some(name)
}

/// Of `muster enroll` and `muster renew`; see their tables.
pub fn exit_code(error: &EndpointError) -> u8 {
    match error {
        EndpointError::DamagedKey => 3,
        EndpointError::Refused(refused) => match refused.status {
            401 => 3,
            403 => 4,
            429 | 500.. => 5,
            _ => 1,
        },
        EndpointError::NotTrusted { .. } | EndpointError::Trust(_) => 6,
        EndpointError::Unreachable { .. } => 5,
        EndpointError::Answer(_) | EndpointError::State(_) => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::endpoint::Refused;
    use crate::client::http::ExchangeError;

    #[test]
    fn exit_codes_tell_what_to_do_next() {
        for (status, code) in [(400, 1), (401, 3), (403, 4), (404, 1), (429, 5), (500, 5), (503, 5)] {
            let refused =
                Refused { status, code: None, reference: None, detail: None, retry_after: None, server_time: None };
            assert_eq!(exit_code(&EndpointError::Refused(refused)), code, "{status}");
        }
        assert_eq!(exit_code(&EndpointError::DamagedKey), 3);
        assert_eq!(exit_code(&EndpointError::Unreachable { host: String::new(), reason: ExchangeError::CutOff }), 5);
        let reason = rustls::Error::NoCertificatesPresented;
        assert_eq!(exit_code(&EndpointError::NotTrusted { host: String::new(), reason }), 6);
    }
}
