//! What identifies a machine that runs Linux.
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
//! text with `--fingerprint`.

use std::fs;
use std::path::Path;

pub const SOURCES_NAMED: &str = "/etc/machine-id and the board's ids are";

/// Name in the digest and path below the root, in the order in which they are digested.
const SOURCES: [(&str, &str); 4] = [
    ("machine-id", "etc/machine-id"),
    ("product-uuid", "sys/class/dmi/id/product_uuid"),
    ("board-serial", "sys/class/dmi/id/board_serial"),
    ("product-serial", "sys/class/dmi/id/product_serial"),
];

/// Those that can be read.
pub fn ids() -> impl Iterator<Item = (&'static str, String)> {
    ids_below(Path::new("/"))
}

/// Of the machine whose file system starts there.
fn ids_below(root: &Path) -> impl Iterator<Item = (&'static str, String)> {
    SOURCES.into_iter().filter_map(move |(name, path)| Some((name, fs::read_to_string(root.join(path)).ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_read_is_taken_in_its_order() {
        let root = tempfile::tempdir().unwrap();
        for (_, path) in SOURCES {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, path.file_name().unwrap().as_encoded_bytes()).unwrap();
        }
        fs::remove_file(root.path().join("sys/class/dmi/id/product_uuid")).unwrap();
        let found: Vec<_> = ids_below(root.path()).collect();
        let expected =
            [("machine-id", "machine-id"), ("board-serial", "board_serial"), ("product-serial", "product_serial")];
        assert_eq!(found, expected.map(|(name, id)| (name, id.to_owned())));
        assert_eq!(ids_below(&root.path().join("elsewhere")).count(), 0);
    }
}
