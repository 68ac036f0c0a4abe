//! Where the master key is: three places, looked at in this order.
//!
//! 1. the file that `MUSTER_MASTER_KEY_FILE` names,
//! 2. the systemd credential `muster-master-key`,
//! 3. `master.key` in the data directory, which is made when the store is empty.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::client::files::write_durably;
use crate::config::{MasterKeyPlaces, Settings};
use crate::secret::master::{MasterKeyError, MasterKeys};

const VARIABLE: &str = MasterKeyPlaces::VARIABLE;
const CREDENTIAL: &str = MasterKeyPlaces::CREDENTIAL;
const FILE: &str = "master.key";

/// The id of a master key made here.
const FIRST_ID: &str = "1";

/// No master key, or one that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyFileError {
    #[error(
        "the store is sealed and its master key is not here: set {VARIABLE}, give the systemd credential \
         {CREDENTIAL}, or put {FILE} into {data_dir}, back where it was or copied from another node of the service",
        data_dir = .data_dir.display()
    )]
    Missing { data_dir: PathBuf },
    #[error("cannot read the master key {path}: {source}")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{path}: {source}")]
    Malformed { path: PathBuf, source: MasterKeyError },
    #[error("cannot write the master key {path}: {source}")]
    Unwritable { path: PathBuf, source: io::Error },
}

/// Reads the master keys of a store that exists.
///
/// # Errors
/// [`MasterKeyFileError`]; the file's content shows in none of them.
pub fn load(settings: &Settings) -> Result<MasterKeys, MasterKeyFileError> {
    match locate(settings) {
        Some(path) => read(&path),
        None => Err(MasterKeyFileError::Missing { data_dir: settings.data_dir.clone() }),
    }
}

/// Reads the master keys for an empty store, making `master.key` when there is none anywhere: its path is given,
/// too. The file and its directory are synced before this returns.
///
/// # Errors
/// [`MasterKeyFileError`].
pub fn load_or_make(settings: &Settings) -> Result<(MasterKeys, Option<PathBuf>), MasterKeyFileError> {
    if let Some(path) = locate(settings) {
        return Ok((read(&path)?, None));
    }
    let path = settings.data_dir.join(FILE);
    let text = MasterKeys::generate_text(FIRST_ID);
    // Renamed into place: a crash leaves no half of a key, which the next start could not read.
    write_durably(&path, text.as_bytes(), 0o600)
        .map_err(|source| MasterKeyFileError::Unwritable { path: path.clone(), source })?;
    Ok((read(&path)?, Some(path)))
}

fn locate(settings: &Settings) -> Option<PathBuf> {
    let MasterKeyPlaces { file, credential } = &settings.master_key;
    if file.is_some() {
        return file.clone(); // whether it is there or not
    }
    [credential.clone(), Some(settings.data_dir.join(FILE))].into_iter().flatten().find(|path| path.exists())
}

fn read(path: &Path) -> Result<MasterKeys, MasterKeyFileError> {
    let unreadable = |source| MasterKeyFileError::Unreadable { path: path.to_owned(), source };
    let text = Zeroizing::new(fs::read_to_string(path).map_err(unreadable)?);
    let mode = fs::metadata(path).map_err(unreadable)?.permissions().mode();
    if mode & 0o007 != 0 {
        tracing::warn!(path = %path.display(), "the master key can be read by everyone on this machine: chmod 600");
    }
    MasterKeys::parse(&text).map_err(|source| MasterKeyFileError::Malformed { path: path.to_owned(), source })
}
