//! A device's state directory: its key pair, its certificate, and whom it trusts.
//!
//! ```text
//! key.pem                   PKCS#8 PEM, P-256, mode 0600; made once, before the first request
//! chain.pem                 issuers of the certificate, the leaf's first, without the root; may be empty
//! trust-anchors.pem         roots of this customer's component certificates
//! server-trust-anchors.pem  anchors of the enrollment endpoint, for the next call
//! enrollment.json           what the server said, see [`Record`]
//! cert.pem                  the certificate; written last, so that it vouches for the others
//! ```
//!
//! Every file is written to a temporary name, synced and renamed, then the directory is synced:
//! after a crash there is the old file or the new one. One process at a time works on a directory.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rcgen::{KeyPair, PublicKeyData as _};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

use super::files::{make_directory, write_durably};
use crate::clock::Timestamp;
use crate::protocol::enroll::EnrollResponse;

const CERTIFICATE_FILE: &str = "cert.pem";
const CHAIN_FILE: &str = "chain.pem";
const KEY_FILE: &str = "key.pem";
const RECORD_FILE: &str = "enrollment.json";
const SERVER_TRUST_ANCHORS_FILE: &str = "server-trust-anchors.pem";
const TRUST_ANCHORS_FILE: &str = "trust-anchors.pem";

/// A state directory that this process holds alone until it drops this.
pub struct StateDir {
    path: PathBuf,
    /// Locked; closing it unlocks.
    _held: File,
}

#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("another muster works on {}", path.display())]
    Busy { path: PathBuf },
    /// It is not replaced: the certificate of a running component may hang on it.
    #[error("{} is no private key that can be used; move it away to start anew", path.display())]
    DamagedKey { path: PathBuf },
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// What `enrollment.json` says: the server's answer without its PEM members, and whom it came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The enrollment endpoint, as in the key string.
    pub cloud: String,
    pub outcome: String,
    pub component_id: String,
    pub component_name: String,
    pub kind: String,
    pub customer_id: String,
    pub group_id: String,
    pub group_name: String,
    pub fingerprint: String,
    /// 32 lower-case hex digits.
    pub serial_number: String,
    pub not_before: String,
    pub not_after: String,
    /// From then on the device should renew.
    pub renew_after: String,
}

/// A certificate in the directory that is still good.
#[derive(Clone, Debug)]
pub struct Current {
    pub not_after: Timestamp,
    /// `None` if `enrollment.json` was lost; nothing hangs on it.
    pub record: Option<Record>,
}

impl StateDir {
    /// Opens the directory, makes it (mode 0700) if it is missing, and holds it.
    ///
    /// # Errors
    /// [`StateError::Busy`] when another process holds it.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let failed = |source| StateError::Io { path: path.to_owned(), source };
        make_directory(path).map_err(failed)?;
        let held = File::open(path).map_err(failed)?;
        match held.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _held: held }),
            Err(fs::TryLockError::WouldBlock) => Err(StateError::Busy { path: path.to_owned() }),
            Err(fs::TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The certificate, if it belongs to the key beside it and ends after `now`. One that is not
    /// valid yet is good: enrolling again would not help a clock that is behind.
    ///
    /// # Errors
    /// When a file cannot be read, or the key is damaged. A certificate that does not parse is no
    /// error: it will be replaced.
    pub fn current(&self, now: Timestamp) -> Result<Option<Current>, StateError> {
        let (Some(key), Some(pem)) = (self.read_key()?, self.read(CERTIFICATE_FILE)?) else { return Ok(None) };
        let Ok(der) = CertificateDer::from_pem_slice(pem.as_bytes()) else { return Ok(None) };
        let Ok((_, certificate)) = X509Certificate::from_der(&der) else { return Ok(None) };
        let not_after = Timestamp::from_unix_seconds(certificate.validity().not_after.timestamp());
        if certificate.public_key().raw != key.subject_public_key_info() || not_after <= now {
            return Ok(None);
        }
        let record = self.read(RECORD_FILE)?.and_then(|text| serde_json::from_str(&text).ok());
        Ok(Some(Current { not_after, record }))
    }

    /// The key pair; made, written and synced on first use, so that every retry of an enrollment,
    /// also after a crash, shows the same public key and is answered with the same certificate.
    ///
    /// # Errors
    /// When it is damaged, or cannot be read or written.
    pub fn key_pair(&self) -> Result<KeyPair, StateError> {
        if let Some(key) = self.read_key()? {
            return Ok(key);
        }
        let key = KeyPair::generate().expect("the system's random source works");
        self.write(KEY_FILE, Zeroizing::new(key.serialize_pem()).as_bytes(), 0o600)?;
        Ok(key)
    }

    /// Writes a verified answer.
    ///
    /// # Errors
    /// When a file cannot be written. What was written until then does no harm: without `cert.pem`
    /// the next run enrolls again and is answered the same.
    pub fn save(&self, answer: &EnrollResponse, record: &Record) -> Result<(), StateError> {
        let json = serde_json::to_string_pretty(record).expect("texts serialize") + "\n";
        for (name, text) in [
            (CHAIN_FILE, &answer.chain),
            (TRUST_ANCHORS_FILE, &answer.trust_anchors),
            (SERVER_TRUST_ANCHORS_FILE, &answer.server_trust_anchors),
            (RECORD_FILE, &json),
            (CERTIFICATE_FILE, &answer.certificate),
        ] {
            self.write(name, text.as_bytes(), 0o644)?;
        }
        Ok(())
    }

    fn read_key(&self) -> Result<Option<KeyPair>, StateError> {
        let Some(pem) = self.read(KEY_FILE)? else { return Ok(None) };
        match KeyPair::from_pem(&pem) {
            Ok(key) => Ok(Some(key)),
            Err(_) => Err(StateError::DamagedKey { path: self.path.join(KEY_FILE) }),
        }
    }

    /// `None`: no such file. What is no text reads as an empty one, which no reader accepts.
    fn read(&self, name: &str) -> Result<Option<Zeroizing<String>>, StateError> {
        let path = self.path.join(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(Zeroizing::new(String::from_utf8(bytes).unwrap_or_default()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StateError::Io { path, source }),
        }
    }

    fn write(&self, name: &str, bytes: &[u8], mode: u32) -> Result<(), StateError> {
        let path = self.path.join(name);
        write_durably(&path, bytes, mode).map_err(|source| StateError::Io { path, source })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::Duration;

    use rcgen::CertificateParams;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn put_certificate(directory: &Path, key: &KeyPair, not_after: Timestamp) {
        let mut params = CertificateParams::default();
        params.not_after = not_after.to_offset_date_time();
        fs::write(directory.join(CERTIFICATE_FILE), params.self_signed(key).unwrap().pem()).unwrap();
    }

    #[test]
    fn the_key_is_private_and_made_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/b");
        let first = StateDir::open(&path).unwrap().key_pair().unwrap();
        assert_eq!((mode(&path), mode(&path.join(KEY_FILE))), (0o700, 0o600));
        let second = StateDir::open(&path).unwrap().key_pair().unwrap();
        assert_eq!(first.subject_public_key_info(), second.subject_public_key_info());
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1, "nothing temporary is left");
    }

    #[test]
    fn a_damaged_key_is_refused_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(KEY_FILE), "-----BEGIN").unwrap();
        let state = StateDir::open(directory.path()).unwrap();
        assert!(matches!(state.key_pair(), Err(StateError::DamagedKey { .. })));
        assert_eq!(fs::read(directory.path().join(KEY_FILE)).unwrap(), b"-----BEGIN");
    }

    #[test]
    fn two_processes_on_one_directory_are_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        let held = StateDir::open(directory.path()).unwrap();
        assert!(matches!(StateDir::open(directory.path()), Err(StateError::Busy { .. })));
        drop(held);
        assert!(StateDir::open(directory.path()).is_ok());
    }

    #[test]
    fn a_certificate_is_good_while_it_lasts_and_fits_the_key() {
        let directory = tempfile::tempdir().unwrap();
        let now = Timestamp::from_unix_seconds(1_790_000_000);
        let state = StateDir::open(directory.path()).unwrap();
        assert!(state.current(now).unwrap().is_none(), "nothing there");
        let key = state.key_pair().unwrap();
        put_certificate(directory.path(), &key, now.saturating_add(Duration::from_secs(1)));
        assert!(state.current(now).unwrap().is_some());
        assert!(state.current(now.saturating_add(Duration::from_secs(1))).unwrap().is_none(), "ended");
        put_certificate(directory.path(), &KeyPair::generate().unwrap(), now.saturating_add(Duration::from_secs(9)));
        assert!(state.current(now).unwrap().is_none(), "another key's");
        fs::write(directory.path().join(CERTIFICATE_FILE), [0xff, 0xfe]).unwrap();
        assert!(state.current(now).unwrap().is_none(), "no certificate at all");
    }

    #[test]
    fn a_file_is_replaced_whole_and_with_its_mode() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        fs::write(directory.path().join(".f.new"), "left by a crash").unwrap();
        write_durably(&path, b"one", 0o600).unwrap();
        write_durably(&path, b"two", 0o600).unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"two".to_vec(), 0o600));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
