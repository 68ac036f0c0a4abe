//! Where the master key may be, beside the data directory. Not a part of the file: a place for secrets
//! is told by whoever starts the process.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Places of the master key that come before the data directory. The default: none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MasterKeyPlaces {
    /// Named on purpose: when it is missing, that is an error.
    pub file: Option<PathBuf>,
    /// Where the systemd credential is if the unit was given one.
    pub credential: Option<PathBuf>,
}

impl MasterKeyPlaces {
    /// Variable that names the file.
    pub const VARIABLE: &str = "MUSTER_MASTER_KEY_FILE";
    /// Name of the systemd credential.
    pub const CREDENTIAL: &str = "muster-master-key";

    /// From environment variables, of which [`Self::VARIABLE`] and systemd's
    /// `CREDENTIALS_DIRECTORY` count. Paths need not be UTF-8.
    pub fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        Self {
            file: variable(Self::VARIABLE).map(PathBuf::from),
            credential: variable("CREDENTIALS_DIRECTORY").map(|directory| Path::new(&directory).join(Self::CREDENTIAL)),
        }
    }
}
