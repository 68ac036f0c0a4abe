//! The fingerprint that our own device side sends.
//!
//! Base64 of SHA-256 over what identifies the machine, 44 characters. Which ids there are is particular to the operating
//! system: [`machine`]. To the server a new fingerprint is a new device, which takes a new use.

#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod machine;
#[cfg(not(target_os = "linux"))]
#[path = "other.rs"]
mod machine;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{Context, SHA256};

use crate::domain::Fingerprint;

/// What makers leave in a field they did not fill; it tells no machine from another.
const PLACEHOLDERS: [&str; 10] = [
    "",
    "0",
    "123456789",
    "default string",
    "none",
    "not applicable",
    "not specified",
    "system serial number",
    "to be filled by o.e.m.",
    "uninitialized",
];

/// No id of this machine can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing identifies this machine: {} missing, empty or not readable", machine::SOURCES_NAMED)]
pub struct NoIdentity;

/// The fingerprint of this machine. Blocking.
///
/// # Errors
/// When there is nothing to make it from; the caller must then be given one.
pub fn of_machine() -> Result<Fingerprint, NoIdentity> {
    of_ids(machine::ids())
}

/// Of named ids, in the order in which they are digested.
fn of_ids(ids: impl IntoIterator<Item = (&'static str, String)>) -> Result<Fingerprint, NoIdentity> {
    let mut context = Context::new(&SHA256);
    let mut found = false;
    for (name, id) in ids {
        let value = id.trim().to_ascii_lowercase();
        if PLACEHOLDERS.contains(&value.as_str()) {
            continue;
        }
        found = true;
        context.update(format!("{name}={value}\n").as_bytes());
    }
    if !found {
        return Err(NoIdentity);
    }
    let text = STANDARD.encode(context.finish());
    Ok(Fingerprint::new(&text).expect("44 base64 characters are a fingerprint"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ids: &[(&'static str, &str)]) -> Result<Fingerprint, NoIdentity> {
        of_ids(ids.iter().map(|(name, id)| (*name, (*id).to_owned())))
    }

    const MACHINE_ID: (&str, &str) = ("machine-id", "0123456789abcdef0123456789abcdef\n");

    #[test]
    fn it_is_base64_of_sha_256_over_named_lines() {
        let expected = ring::digest::digest(&SHA256, b"machine-id=0123456789abcdef0123456789abcdef\nboard-serial=x1\n");
        let found = of(&[MACHINE_ID, ("board-serial", "X1\n")]).unwrap();
        assert_eq!(found.as_str(), STANDARD.encode(expected));
        assert_eq!(found.as_str().len(), 44);
    }

    #[test]
    fn every_id_changes_it() {
        let alone = of(&[MACHINE_ID]).unwrap();
        let (with, under_another_name) =
            (of(&[MACHINE_ID, ("a", "1")]).unwrap(), of(&[MACHINE_ID, ("b", "1")]).unwrap());
        assert!(alone != with && with != under_another_name && alone != of(&[("machine-id", "f")]).unwrap());
    }

    #[test]
    fn placeholders_do_not_count() {
        let unfilled = ("board-serial", "To be filled by O.E.M.\n");
        assert_eq!(of(&[MACHINE_ID, unfilled]), of(&[MACHINE_ID]));
        assert_eq!(of(&[unfilled, ("machine-id", "\n")]), Err(NoIdentity));
        assert_eq!(of(&[]), Err(NoIdentity));
    }
}
