//! Files of the data directory that others write: what is looked at to know of it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A file as it was when it was looked at last; at first as if there were none.
#[derive(Default)]
pub(super) struct Watched {
    seen: Option<Mark>,
}

/// Another one whenever the file is replaced or written to, or another one is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mark {
    path: PathBuf,
    inode: u64,
    bytes: u64,
    changed_at: (i64, i64),
}

impl Watched {
    /// `path`: where it is now, if it is anywhere.
    pub(super) fn is_changed(&mut self, path: Option<&Path>) -> bool {
        let now = path.and_then(|path| {
            let metadata = fs::metadata(path).ok()?;
            Some(Mark {
                path: path.to_owned(),
                inode: metadata.ino(),
                bytes: metadata.len(),
                changed_at: (metadata.ctime(), metadata.ctime_nsec()),
            })
        });
        let is_changed = self.seen != now;
        self.seen = now;
        is_changed
    }
}
