//! One process per data directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use super::OpenError;
use crate::clock::Timestamp;

/// The lock on a data directory, held until it is dropped or the process ends, however it ends.
///
/// The file stays; what counts is the operating system's lock on it. Its content, `pid since`, is
/// for the message that the second one prints.
#[derive(Debug)]
pub struct DirectoryLock(#[expect(dead_code, reason = "held for its lock")] File);

impl DirectoryLock {
    const FILE_NAME: &str = "lock";

    /// # Errors
    /// [`OpenError::Locked`] by whom, [`OpenError::Io`].
    pub fn take(data_dir: &Path, now: Timestamp) -> Result<Self, OpenError> {
        let path = data_dir.join(Self::FILE_NAME);
        let io = |source| OpenError::Io { path: path.clone(), source };
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Whoever holds it may be writing this very moment; then the message says less.
                let _ = file.take(64).read_to_string(&mut holder);
                let (pid, since) = parse(&holder);
                return Err(OpenError::Locked { data_dir: data_dir.to_owned(), pid, since });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        file.set_len(0).map_err(io)?;
        file.rewind().map_err(io)?;
        writeln!(file, "{} {now}", std::process::id()).map_err(io)?;
        Ok(Self(file))
    }
}

fn parse(holder: &str) -> (Option<u32>, Option<Timestamp>) {
    let mut words = holder.split_whitespace();
    let pid = words.next().and_then(|word| word.parse().ok());
    let since = words.next().and_then(|word| Timestamp::from_rfc3339(word).ok());
    (pid, since)
}
