//! Whether the files that are open are still the ones at their path.
//!
//! A file that was removed or replaced stays writable for whoever has it open: SQLite would go on
//! committing to what nobody will ever find again. So the writer looks before each transaction and
//! once more before it answers, and a reader before it opens a connection.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::store::StoreError;

/// Why nothing may be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum Displaced {
    #[error("{} is gone; nothing is written until that very file is back", path.display())]
    Gone { path: PathBuf },
    #[error(
        "{} was replaced by another file, which is not touched; restart muster to use what is there now",
        path.display()
    )]
    Replaced { path: PathBuf },
    #[error("{} cannot be looked at: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
}

impl From<Displaced> for StoreError {
    fn from(displaced: Displaced) -> Self {
        Self::Unavailable { reason: displaced.to_string() }
    }
}

impl From<Displaced> for io::Error {
    fn from(displaced: Displaced) -> Self {
        Self::other(displaced)
    }
}

/// Which file it is, whatever its name. The time of creation is there because file systems give the
/// number of a removed file to the next one; not all of them know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
    created: Option<SystemTime>,
}

impl FileId {
    fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino(), created: metadata.created().ok() }
    }
}

/// The database at a path, and no other that may stand there later.
#[derive(Clone, Debug)]
pub(super) struct DatabaseFile {
    path: PathBuf,
    id: FileId,
}

impl DatabaseFile {
    /// What is there now.
    pub(super) fn at(path: PathBuf) -> io::Result<Self> {
        let id = FileId::of(&fs::metadata(&path)?);
        Ok(Self { path, id })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn check(&self) -> Result<(), Displaced> {
        check(&self.path, self.id)
    }
}

/// The database and its write-ahead log, as a writer has them open.
#[derive(Debug)]
pub(super) struct OpenFiles {
    database: DatabaseFile,
    log_path: PathBuf,
    /// `None`: no connection is open, and SQLite removed the log when the last one was closed.
    log: Option<FileId>,
}

impl OpenFiles {
    /// Of a connection that was opened, and has read, after `database` was looked at.
    ///
    /// # Errors
    /// Also when the database was replaced meanwhile.
    pub(super) fn of(database: DatabaseFile) -> io::Result<Self> {
        // SQLite names the log after the database's own path, beyond symbolic links.
        let mut log_path = fs::canonicalize(&database.path)?.into_os_string();
        log_path.push("-wal");
        let mut files = Self { database, log_path: log_path.into(), log: None };
        files.note_log()?;
        Ok(files)
    }

    pub(super) fn database(&self) -> &Path {
        self.database.path()
    }

    /// Costs two `stat`s.
    pub(super) fn check(&self) -> Result<(), Displaced> {
        self.database.check()?;
        self.log.map_or(Ok(()), |log| check(&self.log_path, log))
    }

    /// A connection was opened: its log is the one to watch.
    pub(super) fn note_log(&mut self) -> io::Result<()> {
        self.log = Some(FileId::of(&fs::metadata(&self.log_path)?));
        self.check()?;
        Ok(())
    }

    /// A connection was closed, so the log may have been removed for good reason.
    pub(super) fn note_closed(&mut self) {
        if matches!(fs::exists(&self.log_path), Ok(false)) {
            self.log = None;
        }
    }

    /// Whether the database is in its place and only the log was lost, with no other one that has
    /// something in it: what the open log holds can be written into the database.
    pub(super) fn is_only_log_lost(&self) -> bool {
        let is_in_the_way = fs::metadata(&self.log_path).is_ok_and(|metadata| metadata.len() > 0);
        self.database.check().is_ok() && self.check().is_err() && !is_in_the_way
    }
}

fn check(path: &Path, expected: FileId) -> Result<(), Displaced> {
    match fs::metadata(path) {
        Ok(metadata) if FileId::of(&metadata) == expected => Ok(()),
        Ok(_) => Err(Displaced::Replaced { path: path.to_owned() }),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Err(Displaced::Gone { path: path.to_owned() })
        }
        Err(source) => Err(Displaced::Unreadable { path: path.to_owned(), source }),
    }
}
