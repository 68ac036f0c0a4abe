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

use crate::client::enroll::{EnrollError, Event};
use crate::client::state::{Current, Record};
use crate::domain::key_string::KeyString;
use crate::domain::{Fingerprint, KeySecret};

pub const CHECKING: &str = "notice:Checking Enrollment";
pub const ATTEMPTING: &str = "notice:No valid certificate. Attempting to enroll";
pub const FAILED: &str = "notice:Certificate enrollment failed.";
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
    pub fn error(&self, error: &EnrollError) -> String {
        let refused = match error {
            EnrollError::DamagedKey => return DAMAGED.to_owned(),
            EnrollError::Refused(refused) => refused,
            EnrollError::NotTrusted { host, reason } => {
                return format!("error:Login request failed - server({host}) is not trusted: {reason}");
            }
            EnrollError::Unreachable { host, reason } => {
                return format!("error:Login request failed - server({host}) is unreachable: {reason}");
            }
            error @ (EnrollError::Answer(_) | EnrollError::State(_) | EnrollError::Trust(_)) => {
                return format!("error:{error}");
            }
        };
        let status = refused.status;
        if status == 401 {
            let Self { nonce, fingerprint } = self;
            return format!(
                "error:Login request failed - http status(401) nonce(<{nonce}>) fingerprint(<{fingerprint}>)"
            );
        }
        let mut line = format!("error:Login request failed - http status({status})");
        for (name, value) in [("code", &refused.code), ("reference", &refused.reference)] {
            if let Some(value) = value {
                line.push_str(&format!(" {name}({value})"));
            }
        }
        line
    }

    pub fn event(&self, event: &Event<'_>) -> String {
        match event {
            Event::Connecting { host, address } => connecting(host, *address),
            Event::Retrying { error, delay } => {
                format!("{}\nnotice:Trying again in {:.0} s.", self.error(error), delay.as_secs_f64().max(1.0))
            }
        }
    }
}

fn connecting(host: &str, address: SocketAddr) -> String {
    format!("notice:Enroll: Connecting to {host} via {address}.")
}

pub fn enrolled(record: &Record) -> String {
    format!(
        "notice:Certificate enrolled. component({}) group({}) valid until({})",
        printable(&record.component_id),
        printable(&record.group_name),
        printable(&record.not_after),
    )
}

pub fn kept(current: &Current) -> String {
    match &current.record {
        Some(record) => format!(
            "notice:Certificate is valid, nothing to do. component({}) group({}) valid until({})",
            printable(&record.component_id),
            printable(&record.group_name),
            current.not_after,
        ),
        None => format!("notice:Certificate is valid, nothing to do. valid until({})", current.not_after),
    }
}

/// Texts from the wire or a file do not steer the terminal.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use zeroize::Zeroizing;

    use super::*;
    use crate::client::enroll::Refused;

    fn shown() -> Shown {
        let text = format!("3|api.private.example.com|0/Z6lDT{}\n", "A".repeat(89));
        let fingerprint = Fingerprint::new("oXaN4RRiMcAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").unwrap();
        Shown::of(&KeySecret::from_text(Zeroizing::new(text)), &fingerprint)
    }

    fn refused(status: u16, code: &str) -> EnrollError {
        let (code, reference) = (Some(code.to_owned()), Some("aB3-_6789012".to_owned()));
        EnrollError::Refused(Refused { status, code, reference, detail: None, retry_after: None })
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
        let bare = Refused { status: 502, code: None, reference: None, detail: None, retry_after: None };
        assert_eq!(shown().error(&EnrollError::Refused(bare)), "error:Login request failed - http status(502)");
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
    fn a_damaged_key_to_the_letter() {
        assert_eq!(shown().error(&EnrollError::DamagedKey), "error:Provisioning key is damaged, copy it again");
    }
}
