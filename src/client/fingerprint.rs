//! The fingerprint that our own device side sends.
//!
//! Base64 of SHA-256 over the machine id and the board's ids, 44 characters. What it is made of:
//!
//! | source | changes when |
//! |---|---|
//! | `/etc/machine-id` | the system is installed anew, or a clone makes a new id (it should) |
//! | `/sys/class/dmi/id/product_uuid` | the board is replaced; a virtual machine is cloned |
//! | `/sys/class/dmi/id/board_serial` | the board is replaced |
//! | `/sys/class/dmi/id/product_serial` | the case is replaced, or a virtual machine is cloned |
//!
//! The last three are readable to root only on most systems, so the same machine has one
//! fingerprint for root and another for everyone else: run `muster enroll` as the same user, or fix the
//! text with `--fingerprint`. To the server a new fingerprint is a new device, which takes a new use.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{Context, SHA256};

use crate::domain::Fingerprint;

/// Name in the digest and path below the root, in the order in which they are digested.
const SOURCES: [(&str, &str); 4] = [
    ("machine-id", "etc/machine-id"),
    ("product-uuid", "sys/class/dmi/id/product_uuid"),
    ("board-serial", "sys/class/dmi/id/board_serial"),
    ("product-serial", "sys/class/dmi/id/product_serial"),
];

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

/// Neither a machine id nor a board id can be read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing identifies this machine: /etc/machine-id and the board's ids are missing, empty or not readable")]
pub struct NoIdentity;

/// The fingerprint of the machine whose file system starts at `root` (`/` but in tests). Blocking.
///
/// # Errors
/// When there is nothing to make it from; the caller must then be given one.
pub fn of_machine(root: &Path) -> Result<Fingerprint, NoIdentity> {
    let mut context = Context::new(&SHA256);
    let mut found = false;
    for (name, path) in SOURCES {
        let Ok(text) = std::fs::read_to_string(root.join(path)) else { continue };
        let value = text.trim().to_ascii_lowercase();
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
    use std::fs;

    use super::*;

    fn machine(files: &[(&str, &str)]) -> Result<Fingerprint, NoIdentity> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        of_machine(root.path())
    }

    const MACHINE_ID: (&str, &str) = ("etc/machine-id", "0123456789abcdef0123456789abcdef\n");

    #[test]
    fn it_is_base64_of_sha_256_over_named_lines() {
        let expected = ring::digest::digest(&SHA256, b"machine-id=0123456789abcdef0123456789abcdef\nboard-serial=x1\n");
        let found = machine(&[MACHINE_ID, ("sys/class/dmi/id/board_serial", "X1\n")]).unwrap();
        assert_eq!(found.as_str(), STANDARD.encode(expected));
        assert_eq!(found.as_str().len(), 44);
    }

    #[test]
    fn every_source_changes_it() {
        let mut seen = vec![machine(&[MACHINE_ID]).unwrap()];
        for (_, path) in &SOURCES[1..] {
            let with = machine(&[MACHINE_ID, (path, "A1")]).unwrap();
            assert!(!seen.contains(&with), "{path}");
            seen.push(with);
        }
        assert!(!seen.contains(&machine(&[("etc/machine-id", "f")]).unwrap()));
    }

    #[test]
    fn placeholders_do_not_count() {
        let unfilled = ("sys/class/dmi/id/board_serial", "To be filled by O.E.M.\n");
        assert_eq!(machine(&[MACHINE_ID, unfilled]), machine(&[MACHINE_ID]));
        assert_eq!(machine(&[unfilled, ("etc/machine-id", "\n")]), Err(NoIdentity));
        assert_eq!(machine(&[]), Err(NoIdentity));
    }
}
