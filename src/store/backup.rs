//! A backup as a file: the database of an embedded store, then its manifest, then a seal.
//!
//! `database · manifest · manifest's length 4 bytes, big endian · SHA-256 of database and manifest · MARK`. What it is
//! stands at the end, so that a file which was cut is recognised by that alone, and the database is written once. Any
//! store goes into this form: it can be put back into either. It holds secrets only as the store does, sealed.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufReader, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};
use rustix::process::geteuid;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::files::{is_at, rename_durably};

/// The last bytes of a backup. The number is the form's.
const MARK: &[u8; 16] = b"muster-backup-1\n";

/// Manifest's length, digest, mark.
const TAIL_BYTES: usize = 4 + DIGEST_BYTES + MARK.len();

const DIGEST_BYTES: usize = 32;

/// Longest manifest that is looked at.
const MANIFEST_BYTES_MAX: u32 = 1 << 20;

/// How every file of SQLite begins.
const DATABASE_MARK: &[u8; 16] = b"SQLite format 3\0";

const CHUNK_BYTES: usize = 256 << 10;

/// In the directory of a backup that is being made.
const DATABASE: &str = "database";
const LOCK: &str = "lock";

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Of the program that made it.
    pub version: String,
    /// All that was answered before is in it.
    pub made_at: Timestamp,
    /// What it was made of: `embedded` or `postgres`.
    pub engine: String,
    pub schema: u32,
    pub counts: Counts,
    /// What the check of the store found, in sentences; empty: nothing.
    pub findings: Vec<String>,
}

/// Rows of what a person counts by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    pub customers: u64,
    pub keys: u64,
    pub uses: u64,
    /// Those that are not deleted.
    pub components: u64,
    pub certificates: u64,
    pub audit_events: u64,
}

/// SHA-256 over database and manifest: names a backup.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; DIGEST_BYTES]);

/// 64 lower-case hex digits.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a backup was not written, or not read. The file that was to be replaced is as it was.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("{} is being written by another backup", path.display())]
    Busy { path: PathBuf },
    #[error(
        "{}: its file system has no locks ({source}); back up into a local directory, and copy the file from there",
        path.display()
    )]
    NoLocks { path: PathBuf, source: io::Error },
    #[error("{} is there and is not a directory of this user alone: remove it, or back up somewhere else", path.display())]
    NotOurs { path: PathBuf },
    #[error("{} is there and is no backup; it is not replaced", path.display())]
    Taken { path: PathBuf },
    #[error("{} is no backup of muster", path.display())]
    NoBackup { path: PathBuf },
    #[error("{} lacks its end: it was cut, or it never was complete; take another backup", path.display())]
    Cut { path: PathBuf },
    #[error("{} is damaged: its content is not what was written; take another copy of it, or another backup", path.display())]
    Damaged { path: PathBuf },
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// A backup that is being made, in a directory beside its place that only its owner can look into: whoever else may write
/// beside it has no hand in it. What is left of one that was killed goes with the next; dropped before it is finished it
/// leaves nothing.
pub struct Unfinished {
    target: PathBuf,
    directory: PathBuf,
    database: PathBuf,
    /// The database, for the end that is written behind it.
    file: File,
    #[expect(dead_code, reason = "held for its lock")]
    lock: File,
}

impl Unfinished {
    /// `target`: where the backup is to be. A backup that is there is replaced when this one is finished; anything else is
    /// not.
    ///
    /// # Errors
    /// [`BackupError`].
    pub fn begin(target: &Path) -> Result<Self, BackupError> {
        if target.exists() && read_tail(target).is_err() {
            return Err(BackupError::Taken { path: target.to_owned() });
        }
        let directory = directory_name(target);
        let io = |source| BackupError::Io { path: directory.clone(), source };
        let lock = loop {
            make_own_directory(&directory)?;
            let path = directory.join(LOCK);
            let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
            let lock = match opened {
                // One that was finished has removed the directory.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened.map_err(io)?,
            };
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(BackupError::Busy { path: target.to_owned() }),
                Err(TryLockError::Error(source)) => return Err(BackupError::NoLocks { path: directory, source }),
            }
            if is_at(&lock, &path).map_err(io)? {
                break lock;
            }
        };
        let database = directory.join(DATABASE);
        let made = remove_all_but(&directory, LOCK)
            .and_then(|()| OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&database));
        Ok(Self { file: made.map_err(io)?, target: target.to_owned(), directory, database, lock })
    }

    /// An empty file, readable by its owner only, for the database.
    pub fn database(&self) -> &Path {
        &self.database
    }

    /// Seals what stands in [`Self::database`], which nobody has open any more, and gives the backup its name. Both are
    /// durable when this returns. Reads the whole file: blocks.
    ///
    /// # Errors
    /// [`BackupError::Io`].
    pub fn finish(mut self, manifest: &Manifest) -> Result<(Digest, u64), BackupError> {
        let sealed = self.seal(manifest).map_err(|source| BackupError::Io { path: self.database.clone(), source })?;
        let renamed = rename_durably(&self.database, &self.target);
        renamed.map_err(|source| BackupError::Io { path: self.target.clone(), source })?;
        Ok(sealed)
    }

    fn seal(&mut self, manifest: &Manifest) -> io::Result<(Digest, u64)> {
        let mut context = Context::new(&SHA256);
        self.file.rewind()?;
        let bytes = pass(&mut self.file, u64::MAX, |chunk| {
            context.update(chunk);
            Ok(())
        })?;
        let manifest = serde_json::to_vec(manifest)?;
        context.update(&manifest);
        let digest = digest_of(context);
        let length = u32::try_from(manifest.len()).map_err(io::Error::other)?;
        for part in [&manifest[..], &length.to_be_bytes(), &digest.0, MARK] {
            self.file.write_all(part)?;
        }
        self.file.sync_all()?;
        Ok((digest, bytes + (manifest.len() + TAIL_BYTES) as u64))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // The lock's name goes last: until then nobody begins here.
        let _ = remove_all_but(&self.directory, LOCK);
        let _ = fs::remove_file(self.directory.join(LOCK));
        // It stays for one that was quick to begin.
        let _ = fs::remove_dir(&self.directory);
    }
}

/// Makes the directory, mode 0700. One that is there must be one that we made.
fn make_own_directory(path: &Path) -> Result<(), BackupError> {
    let io = |source| BackupError::Io { path: path.to_owned(), source };
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made.map_err(io),
    }
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return make_own_directory(path),
        found => found.map_err(io)?,
    };
    let is_ours = found.is_dir() && found.uid() == geteuid().as_raw() && found.mode() & 0o077 == 0;
    if is_ours { Ok(()) } else { Err(BackupError::NotOurs { path: path.to_owned() }) }
}

/// Of a directory without directories.
fn remove_all_but(directory: &Path, kept: &str) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name() != kept {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Takes the database out of a backup, into a new file in a new directory `into` that only its owner can read. Nothing is
/// left of an earlier attempt that was killed. What comes out is what was put in, or there is an error. Blocks.
///
/// # Errors
/// [`BackupError`]; `into` is then gone, or as it was if it could not be made.
pub fn unpack(backup: &Path, into: &Path, file_name: &str) -> Result<(Manifest, Digest), BackupError> {
    let Tail { manifest, database_bytes, digest } = read_tail(backup)?;
    let io = |source| BackupError::Io { path: into.to_owned(), source };
    match fs::remove_dir_all(into) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
        _ => {}
    }
    fs::DirBuilder::new().mode(0o700).create(into).map_err(io)?;
    let unpacked = unpack_database(backup, &into.join(file_name), database_bytes);
    let result = match unpacked {
        Ok(mut context) => {
            context.update(&manifest);
            let parsed = serde_json::from_slice(&manifest);
            match (digest_of(context) == digest, parsed) {
                (true, Ok(manifest)) => Ok((manifest, digest)),
                _ => Err(BackupError::Damaged { path: backup.to_owned() }),
            }
        }
        Err(source) => Err(io(source)),
    };
    if result.is_err() {
        let _ = fs::remove_dir_all(into);
    }
    result
}

/// The digest's state after the database.
fn unpack_database(backup: &Path, database: &Path, bytes: u64) -> io::Result<Context> {
    let mut context = Context::new(&SHA256);
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(database)?;
    pass(&mut File::open(backup)?, bytes, |chunk| {
        context.update(chunk);
        out.write_all(chunk)
    })?;
    out.sync_all()?;
    Ok(context)
}

/// What stands at the end of a backup; whether it is true only the digest tells.
struct Tail {
    manifest: Vec<u8>,
    database_bytes: u64,
    digest: Digest,
}

fn read_tail(path: &Path) -> Result<Tail, BackupError> {
    let io = |source| BackupError::Io { path: path.to_owned(), source };
    if !fs::metadata(path).map_err(io)?.is_file() {
        return Err(BackupError::NoBackup { path: path.to_owned() }); // opening a pipe would wait for its other end
    }
    let mut file = File::open(path).map_err(io)?;
    let bytes = file.metadata().map_err(io)?.len();
    let mut begin = [0; DATABASE_MARK.len()];
    let is_database = file.read_exact(&mut begin).is_ok() && begin == *DATABASE_MARK;
    let not_whole = || {
        let path = path.to_owned();
        if is_database { BackupError::Cut { path } } else { BackupError::NoBackup { path } }
    };
    let tail_at = bytes.checked_sub(TAIL_BYTES as u64).ok_or_else(not_whole)?;
    let mut tail = [0; TAIL_BYTES];
    file.seek(SeekFrom::Start(tail_at)).and_then(|_| file.read_exact(&mut tail)).map_err(io)?;
    let (length, rest) = tail.split_first_chunk::<4>().expect("a tail is longer");
    let (digest, mark) = rest.split_first_chunk::<DIGEST_BYTES>().expect("a tail is longer");
    if mark != MARK {
        return Err(not_whole());
    }
    let length = u32::from_be_bytes(*length);
    let damaged = || BackupError::Damaged { path: path.to_owned() };
    if length > MANIFEST_BYTES_MAX {
        return Err(damaged());
    }
    let database_bytes = tail_at.checked_sub(length.into()).ok_or_else(damaged)?;
    let mut manifest = vec![0; length as usize];
    file.seek(SeekFrom::Start(database_bytes)).and_then(|_| file.read_exact(&mut manifest)).map_err(io)?;
    Ok(Tail { manifest, database_bytes, digest: Digest(*digest) })
}

/// Reads up to `bytes`, piece by piece, and says how many those were.
fn pass(from: &mut File, bytes: u64, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<u64> {
    let mut reader = BufReader::with_capacity(CHUNK_BYTES, from.take(bytes));
    let (mut chunk, mut passed) = (vec![0; CHUNK_BYTES], 0);
    loop {
        match reader.read(&mut chunk)? {
            0 => return Ok(passed),
            read => {
                take(&chunk[..read])?;
                passed += read as u64;
            }
        }
    }
}

fn digest_of(context: Context) -> Digest {
    Digest(context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes"))
}

fn directory_name(target: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(".partial");
    target.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENT: &[u8] = b"SQLite format 3\0 and what is in it";

    fn manifest() -> Manifest {
        let counts = Counts { customers: 1, keys: 2, uses: 3, components: 4, certificates: 5, audit_events: 6 };
        Manifest {
            version: "0.1.0".into(),
            made_at: Timestamp::from_unix_seconds(1_800_000_000),
            engine: "embedded".into(),
            schema: 1,
            counts,
            findings: vec![],
        }
    }

    /// A backup in a directory of its own.
    fn made() -> (tempfile::TempDir, PathBuf, Digest) {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("b");
        let unfinished = Unfinished::begin(&target).unwrap();
        fs::write(unfinished.database(), CONTENT).unwrap();
        let (digest, bytes) = unfinished.finish(&manifest()).unwrap();
        assert_eq!(bytes, fs::metadata(&target).unwrap().len());
        (dir, target, digest)
    }

    #[test]
    fn what_was_put_in_comes_out() {
        use std::os::unix::fs::PermissionsExt as _;
        let (dir, target, digest) = made();
        let into = dir.path().join("into");
        fs::create_dir(&into).unwrap();
        fs::write(into.join("left"), "by one that was killed").unwrap();
        assert_eq!(unpack(&target, &into, "db").unwrap(), (manifest(), digest));
        assert_eq!(fs::read(into.join("db")).unwrap(), CONTENT);
        assert!(!into.join("left").exists());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&target), mode(&into), mode(&into.join("db"))), (0o600, 0o700, 0o600));
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_noticed() {
        let (dir, target, _) = made();
        let whole = fs::read(&target).unwrap();
        let (damaged, into) = (dir.path().join("damaged"), dir.path().join("into"));
        let refused = |bytes: &[u8]| {
            fs::write(&damaged, bytes).unwrap();
            let error = unpack(&damaged, &into, "db").expect_err("it is not whole");
            assert!(!into.exists(), "nothing is left");
            error
        };
        for length in 0..whole.len() {
            let error = refused(&whole[..length]);
            let is_told = match length {
                ..16 => matches!(error, BackupError::NoBackup { .. }),
                _ => matches!(error, BackupError::Cut { .. }),
            };
            assert!(is_told, "{length}: {error:?}");
        }
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            refused(&bytes);
        }
        refused(&[&whole[..], b"\n"].concat());
    }

    #[test]
    fn only_a_backup_is_replaced_and_only_by_a_whole_one() {
        let (dir, target, _) = made();
        let before = fs::read(&target).unwrap();
        drop(Unfinished::begin(&target).unwrap());
        assert_eq!(fs::read(&target).unwrap(), before);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
        let first = Unfinished::begin(&target).unwrap();
        assert!(matches!(Unfinished::begin(&target), Err(BackupError::Busy { .. })));
        drop(first);
        fs::write(&target, CONTENT).unwrap();
        assert!(matches!(Unfinished::begin(&target), Err(BackupError::Taken { .. })));
    }

    #[test]
    fn a_backup_is_made_where_nobody_else_has_a_hand_in_it() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let dir = tempfile::tempdir().unwrap();
        let (target, partial) = (dir.path().join("b"), dir.path().join(".b.partial"));
        let begin = || Unfinished::begin(&target).map(drop);

        // A link that others put there leads nowhere.
        let elsewhere = dir.path().join("elsewhere");
        symlink(&elsewhere, &partial).unwrap();
        assert!(matches!(begin(), Err(BackupError::NotOurs { .. })));
        assert!(!elsewhere.exists());
        fs::create_dir(&elsewhere).unwrap();
        assert!(matches!(begin(), Err(BackupError::NotOurs { .. })));
        assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
        fs::remove_file(&partial).unwrap();
        fs::write(&partial, "a file").unwrap();
        assert!(matches!(begin(), Err(BackupError::NotOurs { .. })));
        fs::remove_file(&partial).unwrap();
        fs::create_dir(&partial).unwrap();
        fs::set_permissions(&partial, fs::Permissions::from_mode(0o770)).unwrap();
        assert!(matches!(begin(), Err(BackupError::NotOurs { .. })));

        // What one of ours left is overwritten.
        fs::set_permissions(&partial, fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(partial.join("database"), "left").unwrap();
        fs::write(partial.join("database-journal"), "left").unwrap();
        let unfinished = Unfinished::begin(&target).unwrap();
        assert_eq!(fs::metadata(unfinished.database()).unwrap().len(), 0);
        assert_eq!(fs::read_dir(&partial).unwrap().count(), 2, "the database and the lock");
        assert_eq!(fs::metadata(&partial).unwrap().permissions().mode() & 0o777, 0o700);
        drop(unfinished);
        assert!(!partial.exists());
    }

    /// Whoever waits for a lock while its file is removed would hold that of a file which nobody finds.
    #[test]
    fn of_many_that_begin_at_once_one_at_a_time_has_the_place() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("b");
        let (at_work, made) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        match Unfinished::begin(&target) {
                            Ok(unfinished) => {
                                assert_eq!(at_work.fetch_add(1, Ordering::SeqCst), 0);
                                fs::write(unfinished.database(), CONTENT).unwrap();
                                made.fetch_add(1, Ordering::SeqCst);
                                at_work.fetch_sub(1, Ordering::SeqCst);
                                drop(unfinished);
                            }
                            Err(BackupError::Busy { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                });
            }
        });
        assert!(made.into_inner() > 0);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left");
    }
}
