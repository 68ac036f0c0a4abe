//! The device side's console lines, to the letter as field engineers know them. The agent logs the
//! same.
//!
//! ```text
//! notice:Checking Enrollment
//! notice:No valid certificate. Attempting to enroll
//! notice:Enroll: Connecting to api.private.example.com via 192.0.2.7:443.
//! error:Login request failed - http status(401) nonce(<3|api.private.example.com|0/Z6lDT...>) fingerprint(<oXaN4RRiMc...>)
//! notice:Certificate enrollment failed.
//! ```

use std::net::SocketAddr;
use std::time::Duration;

use crate::client::endpoint::{EndpointError, Event};
use crate::client::state::{Current, Record};
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::domain::key_string::KeyString;
use crate::domain::{Fingerprint, KeySecret};

pub const CHECKING: &str = "notice:Checking Enrollment";
pub const ATTEMPTING: &str = "notice:No valid certificate. Attempting to enroll";
pub const FAILED: &str = "notice:Certificate enrollment failed.";
pub const RENEWAL_FAILED: &str = "notice:Certificate renewal failed.";
pub const DAMAGED: &str = "error:Provisioning key is damaged, copy it again";

const FINGERPRINT_CHARACTERS: usize = 10;

/// What the 401 line shows of the key and the hardware: enough to find them, not enough to use them.
pub struct Shown {
    /// `3|cloud|` and 7 characters of the secret.
    nonce: String,
    fingerprint: String,
}

impl Shown {
    pub fn of(key: &KeySecret, fingerprint: &Fingerprint) -> Self {
        let nonce = KeyString::parse(key.expose()).map(|parts| parts.hint()).unwrap_or_default();
        // A fingerprint is ASCII and longer than what is shown.
        Self { nonce, fingerprint: format!("{}...", &fingerprint.as_str()[..FINGERPRINT_CHARACTERS]) }
    }

    /// The line or lines for an error, without the closing [`FAILED`].
    pub fn error(&self, error: &EndpointError) -> String {
        match error {
            EndpointError::Refused(refused) if refused.status == 401 => {
                let Self { nonce, fingerprint } = self;
                format!("error:Login request failed - http status(401) nonce(<{nonce}>) fingerprint(<{fingerprint}>)")
            }
            error => failure("Login", error),
        }
    }

    pub fn event(&self, event: &Event<'_>) -> String {
        match event {
            Event::Connecting { host, address } => connecting("Enroll", host, *address),
            Event::Retrying { error, delay } => format!("{}\n{}", self.error(error), trying_again(*delay)),
        }
    }
}

/// The line or lines for the error of a renewal, without the closing [`RENEWAL_FAILED`].
pub fn renewal_error(error: &EndpointError) -> String {
    failure("Renewal", error)
}

pub fn renewal_event(event: &Event<'_>) -> String {
    match event {
        Event::Connecting { host, address } => connecting("Renew", host, *address),
        Event::Retrying { error, delay } => format!("{}\n{}", renewal_error(error), trying_again(*delay)),
    }
}

fn failure(request: &str, error: &EndpointError) -> String {
    match error {
        EndpointError::DamagedKey => DAMAGED.to_owned(),
        EndpointError::Refused(refused) => {
            let mut line = format!("error:{request} request failed - http status({})", refused.status);
            for (name, value) in [("code", &refused.code), ("reference", &refused.reference)] {
                if let Some(value) = value {
                    line.push_str(&format!(" {name}({value})"));
                }
            }
            line
        }
        EndpointError::NotTrusted { host, reason } => {
            let mut line = format!("error:{request} request failed - server({host}) is not trusted: {reason}");
            if error.blames_the_clock() {
                let now = SystemClock.now();
                line.push_str(&format!("\nnotice:This machine's clock says({now}). If that is wrong, set it first."));
            }
            line
        }
        EndpointError::Unreachable { host, reason } => {
            format!("error:{request} request failed - server({host}) is unreachable: {reason}")
        }
        EndpointError::Answer(_) | EndpointError::State(_) | EndpointError::Trust(_) => format!("error:{error}"),
    }
}

pub fn trying_again(delay: Duration) -> String {
    format!("notice:Trying again in {:.0} s.", delay.as_secs_f64().max(1.0))
}

/// `request`: `Enroll` or `Renew`.
pub fn connecting(request: &str, host: &str, address: SocketAddr) -> String {
    format!("notice:{request}: Connecting to {host} via {address}.")
}

/// `seconds`: the server's clock minus this machine's.
pub fn clock(seconds: i64) -> String {
    match seconds {
        0 => "notice:Clock agrees with the server's again.".to_owned(),
        1.. => format!("notice:Clock differs by {seconds} s: it is behind the server's."),
        _ => format!("notice:Clock differs by {} s: it is ahead of the server's.", seconds.unsigned_abs()),
    }
}

pub fn enrolled(record: &Record) -> String {
    format!("notice:Certificate enrolled. {}", certificate(Some(record), &record.not_after))
}

pub fn renewed(record: &Record) -> String {
    format!("notice:Certificate renewed. {}", certificate(Some(record), &record.not_after))
}

pub fn kept(current: &Current) -> String {
    format!("notice:Certificate is valid, nothing to do. {}", of_current(current))
}

pub fn not_due(current: &Current) -> String {
    format!("notice:Renewal is not due, nothing to do. {} due({})", of_current(current), current.renew_after)
}

pub fn holding(current: &Current, renewal: Timestamp) -> String {
    format!("notice:Certificate found. {} renewal({renewal})", of_current(current))
}

fn of_current(current: &Current) -> String {
    certificate(current.record.as_ref(), &current.not_after.to_string())
}

fn certificate(record: Option<&Record>, not_after: &str) -> String {
    let until = printable(not_after);
    match record {
        Some(Record { component_id, group_name, .. }) => {
            format!("component({}) group({}) valid until({until})", printable(component_id), printable(group_name))
        }
        None => format!("valid until({until})"),
    }
}

/// Texts from the wire or a file do not steer the terminal.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use rustls::CertificateError;
    use zeroize::Zeroizing;

    use super::*;
    use crate::client::endpoint::Refused;

    fn shown() -> Shown {
        let text = format!("3|api.private.example.com|0/Z6lDT{}\n", "A".repeat(89));
        let fingerprint = Fingerprint::new("oXaN4RRiMcAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").unwrap();
        Shown::of(&KeySecret::from_text(Zeroizing::new(text)), &fingerprint)
    }

    fn refused(status: u16, code: &str) -> EndpointError {
        let (code, reference) = (Some(code.to_owned()), Some("aB3-_6789012".to_owned()));
        EndpointError::Refused(Refused { status, code, reference, detail: None, retry_after: None, server_time: None })
    }

    #[test]
    fn the_401_line_to_the_letter() {
        assert_eq!(
            shown().error(&refused(401, "invalid-key")),
            "error:Login request failed - http status(401) nonce(<3|api.private.example.com|0/Z6lDT...>) fingerprint(<oXaN4RRiMc...>)",
        );
    }

    #[test]
    fn other_refusals_give_code_and_reference() {
        assert_eq!(
            shown().error(&refused(403, "key-exhausted")),
            "error:Login request failed - http status(403) code(key-exhausted) reference(aB3-_6789012)",
        );
        let bare =
            Refused { status: 502, code: None, reference: None, detail: None, retry_after: None, server_time: None };
        assert_eq!(shown().error(&EndpointError::Refused(bare)), "error:Login request failed - http status(502)");
    }

    #[test]
    fn the_connecting_line_to_the_letter() {
        let event = Event::Connecting { host: "api.private.example.com", address: "192.0.2.7:443".parse().unwrap() };
        assert_eq!(shown().event(&event), "notice:Enroll: Connecting to api.private.example.com via 192.0.2.7:443.");
        let event = Event::Connecting { host: "example.com", address: "[2001:db8::1]:8443".parse().unwrap() };
        assert_eq!(shown().event(&event), "notice:Enroll: Connecting to example.com via [2001:db8::1]:8443.");
    }

    #[test]
    fn a_retry_says_why_and_when() {
        let event = Event::Retrying { error: &refused(503, "overloaded"), delay: Duration::from_millis(4_600) };
        assert_eq!(
            shown().event(&event),
            "error:Login request failed - http status(503) code(overloaded) reference(aB3-_6789012)\nnotice:Trying again in 5 s.",
        );
    }

    #[test]
    fn a_renewal_has_lines_of_its_own() {
        assert_eq!(
            renewal_error(&refused(401, "client-certificate-refused")),
            "error:Renewal request failed - http status(401) code(client-certificate-refused) reference(aB3-_6789012)",
        );
        let event = Event::Connecting { host: "example.com", address: "192.0.2.7:443".parse().unwrap() };
        assert_eq!(renewal_event(&event), "notice:Renew: Connecting to example.com via 192.0.2.7:443.");
    }

    #[test]
    fn a_wrong_clock_is_named() {
        let not_trusted = |reason: CertificateError| {
            let error = EndpointError::NotTrusted { host: "example.com".to_owned(), reason: reason.into() };
            renewal_error(&error)
        };
        assert!(not_trusted(CertificateError::NotValidYet).contains("\nnotice:This machine's clock says(20"));
        assert!(not_trusted(CertificateError::Expired).contains("If that is wrong, set it first."));
        assert!(!not_trusted(CertificateError::UnknownIssuer).contains("clock"));
        assert_eq!(clock(7_200), "notice:Clock differs by 7200 s: it is behind the server's.");
        assert_eq!(clock(-60), "notice:Clock differs by 60 s: it is ahead of the server's.");
    }

    #[test]
    fn a_damaged_key_to_the_letter() {
        assert_eq!(shown().error(&EndpointError::DamagedKey), "error:Provisioning key is damaged, copy it again");
    }
}
