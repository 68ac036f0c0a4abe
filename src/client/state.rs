//! A device's state directory: its key pair, its certificate, and whom it trusts.
//!
//! ```text
//! key.pem                   PKCS#8 PEM, P-256, mode 0600; made once, before the first request
//! chain.pem                 issuers of the certificate, the leaf's first, without the root; may be empty
//! trust-anchors.pem         roots of this customer's component certificates
//! server-trust-anchors.pem  anchors of the enrollment endpoint, for the next call
//! enrollment.json           what the server said, see [`Record`]
//! cert.pem                  the certificate; written last, so that it vouches for the others
//! key.next.pem              while a rekey is under way: the key pair that is asked for; becomes key.pem
//! on-change-done            serial number of the certificate that the agent's command was last run for
//! ```
//!
//! Every file is written to a temporary name, synced and renamed, then the directory is synced:
//! after a crash there is the old file or the new one. One process at a time works on a directory.
//!
//! The private key of `cert.pem` is there at every moment. A rekey writes `key.next.pem` before it asks, then
//! `cert.pem`, then gives `key.next.pem` its name; between the last two steps the key stands in `key.next.pem`, and whoever
//! opens the directory next finishes the move.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rcgen::{KeyPair, PublicKeyData as _};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};
use x509_parser::prelude::{ASN1Time, FromDer as _, X509Certificate};
use zeroize::Zeroizing;

use super::tls::Trust;
use crate::clock::Timestamp;
use crate::files::{make_directory, rename_durably, write_durably};
use crate::protocol::enroll::EnrollResponse;

const CERTIFICATE_FILE: &str = "cert.pem";
const CHAIN_FILE: &str = "chain.pem";
const KEY_FILE: &str = "key.pem";
const NEXT_KEY_FILE: &str = "key.next.pem";
const ON_CHANGE_FILE: &str = "on-change-done";
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
    #[error("another muster works on {}; an agent renews at once on SIGHUP", path.display())]
    Busy { path: PathBuf },
    /// It is not replaced: the certificate of a running component may hang on it.
    #[error("{} is no private key that can be used; move it away to start anew", path.display())]
    DamagedKey { path: PathBuf },
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} holds no certificate for its key; enroll first", path.display())]
    NoCertificate { path: PathBuf },
    /// Nobody knows whom to call.
    #[error("{} is missing or damaged; enroll again, which gives the same certificate", path.display())]
    NoRecord { path: PathBuf },
}

impl StateError {
    pub(super) fn no_record(directory: &Path) -> Self {
        Self::NoRecord { path: directory.join(RECORD_FILE) }
    }
}

/// Which of the directory's key pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPairFile {
    /// `key.pem`.
    Current,
    /// `key.next.pem`.
    Next,
}

impl KeyPairFile {
    const fn name(self) -> &'static str {
        match self {
            Self::Current => KEY_FILE,
            Self::Next => NEXT_KEY_FILE,
        }
    }
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
    /// How far the server's clock was ahead of this device's, in seconds; negative: behind.
    #[serde(default)]
    pub clock_difference: i64,
}

impl Record {
    /// Of an answer that came from this cloud at `now`, by this device's clock.
    pub fn of(answer: &EnrollResponse, cloud: &str, fingerprint: &str, now: Timestamp) -> Self {
        let server_time = Timestamp::from_rfc3339(&answer.server_time).unwrap_or(now);
        Self {
            cloud: cloud.to_owned(),
            outcome: answer.outcome.as_str().to_owned(),
            component_id: answer.component_id.clone(),
            component_name: answer.component_name.clone(),
            kind: answer.kind.clone(),
            customer_id: answer.customer_id.clone(),
            group_id: answer.group_id.clone(),
            group_name: answer.group_name.clone(),
            fingerprint: fingerprint.to_owned(),
            serial_number: answer.serial_number.clone(),
            not_before: answer.not_before.clone(),
            not_after: answer.not_after.clone(),
            renew_after: answer.renew_after.clone(),
            clock_difference: server_time.unix_seconds() - now.unix_seconds(),
        }
    }
}

/// The certificate in the directory, which belongs to the key beside it.
#[derive(Clone, Debug)]
pub struct Current {
    pub certificate: CertificateDer<'static>,
    /// 32 lower-case hex digits.
    pub serial_number: String,
    pub not_after: Timestamp,
    /// From then on it should be renewed; two thirds of its life if `enrollment.json` does not say.
    pub renew_after: Timestamp,
    /// `None` if `enrollment.json` was lost. It is written before the certificate: after a crash it may tell of one of
    /// the same component that has not come yet.
    pub record: Option<Record>,
}

impl StateDir {
    /// Opens the directory, makes it (mode 0700) if it is missing, holds it, and finishes a rekey that was cut short.
    ///
    /// # Errors
    /// [`StateError::Busy`] when another process holds it.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let failed = |source| StateError::Io { path: path.to_owned(), source };
        make_directory(path).map_err(failed)?;
        let held = File::open(path).map_err(failed)?;
        let state = match held.try_lock() {
            Ok(()) => Self { path: path.to_owned(), _held: held },
            Err(fs::TryLockError::WouldBlock) => return Err(StateError::Busy { path: path.to_owned() }),
            Err(fs::TryLockError::Error(error)) => return Err(failed(error)),
        };
        state.finish_rekey()?;
        Ok(state)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The certificate, if it ends after `now`. One that is not valid yet is good: enrolling again would not help a
    /// clock that is behind.
    ///
    /// # Errors
    /// As [`Self::certificate`].
    pub fn current(&self, now: Timestamp) -> Result<Option<Current>, StateError> {
        Ok(self.certificate()?.filter(|current| current.not_after > now))
    }

    /// The certificate, also one that has ended, if it belongs to the key beside it.
    ///
    /// # Errors
    /// When a file cannot be read, or the key is damaged. A certificate that does not parse is no
    /// error: it will be replaced.
    pub fn certificate(&self) -> Result<Option<Current>, StateError> {
        self.finish_rekey()?;
        let Some(der) = self.certificate_of(KeyPairFile::Current)? else { return Ok(None) };
        let Ok((_, parsed)) = X509Certificate::from_der(&der) else { return Ok(None) };
        let serial_number = serial_number(parsed.raw_serial());
        let at = |instant: ASN1Time| Timestamp::from_unix_seconds(instant.timestamp());
        let (not_before, not_after) = (at(parsed.validity().not_before), at(parsed.validity().not_after));
        let record = self.read(RECORD_FILE)?.and_then(|text| serde_json::from_str::<Record>(&text).ok());
        let own = record.as_ref().filter(|record| record.serial_number == serial_number);
        let renew_after = own.and_then(|record| Timestamp::from_rfc3339(&record.renew_after).ok());
        let renew_after = renew_after.unwrap_or_else(|| not_before.saturating_add(not_after.since(not_before) / 3 * 2));
        Ok(Some(Current { certificate: der, serial_number, not_after, renew_after, record }))
    }

    /// The key pair; made, written and synced on first use, so that every retry of an enrollment,
    /// also after a crash, shows the same public key and is answered with the same certificate.
    ///
    /// # Errors
    /// When it is damaged, or cannot be read or written.
    pub fn key_pair(&self) -> Result<KeyPair, StateError> {
        self.made_key_pair(KeyPairFile::Current)
    }

    /// The key pair of a rekey; made, written and synced on first use, for the same reason.
    ///
    /// # Errors
    /// As [`Self::key_pair`].
    pub fn next_key_pair(&self) -> Result<KeyPair, StateError> {
        self.made_key_pair(KeyPairFile::Next)
    }

    /// Whether a rekey has begun.
    ///
    /// # Errors
    /// When that cannot be found out.
    pub fn has_next_key_pair(&self) -> Result<bool, StateError> {
        let path = self.path.join(NEXT_KEY_FILE);
        path.try_exists().map_err(|source| StateError::Io { path, source })
    }

    /// Takes back a rekey. Only to be called when no certificate for it counts.
    ///
    /// # Errors
    /// When the file is there and cannot be removed.
    pub fn drop_next_key_pair(&self) -> Result<(), StateError> {
        let path = self.path.join(NEXT_KEY_FILE);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(StateError::Io { path, source }),
            _ => Ok(()),
        }
    }

    /// Whom a renewal trusts: the anchors that came with the certificate, or the system's roots if the endpoint has
    /// none of its own.
    ///
    /// # Errors
    /// When they were lost; naming a file with the CA helps.
    pub fn server_trust(&self) -> Result<Trust, StateError> {
        let path = self.path.join(SERVER_TRUST_ANCHORS_FILE);
        let pem = self.read(SERVER_TRUST_ANCHORS_FILE)?;
        match pem.as_deref().map(|pem| pem.trim()) {
            Some("") => Ok(Trust::System),
            Some(pem) => Trust::from_pem(pem).map_err(|_| StateError::NoRecord { path }),
            None => Err(StateError::NoRecord { path }),
        }
    }

    /// Writes a verified answer for this key pair.
    ///
    /// # Errors
    /// When a file cannot be written. What was written until then does no harm: with the old `cert.pem`, or
    /// none, the next run asks again and is answered the same.
    pub fn save(&self, answer: &EnrollResponse, record: &Record, key_pair: KeyPairFile) -> Result<(), StateError> {
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
        match key_pair {
            KeyPairFile::Current => Ok(()),
            KeyPairFile::Next => self.promote_next_key_pair(),
        }
    }

    /// Whether the agent's command was run for this certificate.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn is_on_change_done(&self, serial_number: &str) -> Result<bool, StateError> {
        Ok(self.read(ON_CHANGE_FILE)?.is_some_and(|done| done.trim() == serial_number))
    }

    /// The agent's command was run for this certificate.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set_on_change_done(&self, serial_number: &str) -> Result<(), StateError> {
        self.write(ON_CHANGE_FILE, format!("{serial_number}\n").as_bytes(), 0o644)
    }

    fn made_key_pair(&self, file: KeyPairFile) -> Result<KeyPair, StateError> {
        if let Some(key) = self.read_key(file)? {
            return Ok(key);
        }
        let key = KeyPair::generate().expect("the system's random source works");
        self.write(file.name(), Zeroizing::new(key.serialize_pem()).as_bytes(), 0o600)?;
        Ok(key)
    }

    /// What a crash or a failure left undone.
    fn finish_rekey(&self) -> Result<(), StateError> {
        match self.certificate_of(KeyPairFile::Next)? {
            Some(_) => self.promote_next_key_pair(),
            None => Ok(()),
        }
    }

    /// Its certificate is in place.
    fn promote_next_key_pair(&self) -> Result<(), StateError> {
        let (from, path) = (self.path.join(NEXT_KEY_FILE), self.path.join(KEY_FILE));
        rename_durably(&from, &path).map_err(|source| StateError::Io { path, source })
    }

    /// `cert.pem`, if it is for this key pair.
    fn certificate_of(&self, file: KeyPairFile) -> Result<Option<CertificateDer<'static>>, StateError> {
        let (Some(key), Some(pem)) = (self.read_key(file)?, self.read(CERTIFICATE_FILE)?) else { return Ok(None) };
        let Ok(der) = CertificateDer::from_pem_slice(pem.as_bytes()) else { return Ok(None) };
        let is_for_key = X509Certificate::from_der(&der)
            .is_ok_and(|(_, parsed)| parsed.public_key().raw == key.subject_public_key_info());
        Ok(is_for_key.then_some(der))
    }

    fn read_key(&self, file: KeyPairFile) -> Result<Option<KeyPair>, StateError> {
        let Some(pem) = self.read(file.name())? else { return Ok(None) };
        match KeyPair::from_pem(&pem) {
            Ok(key) => Ok(Some(key)),
            Err(_) => Err(StateError::DamagedKey { path: self.path.join(file.name()) }),
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

/// Lower-case hex, without the octet that only keeps it positive.
fn serial_number(octets: &[u8]) -> String {
    let octets = if octets.len() > 1 { octets.strip_prefix(&[0]).unwrap_or(octets) } else { octets };
    octets.iter().fold(String::with_capacity(2 * octets.len()), |mut text, octet| {
        write!(text, "{octet:02x}").expect("writing to a String does not fail");
        text
    })
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
    fn the_record_says_when_to_renew_its_own_certificate_and_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDir::open(directory.path()).unwrap();
        let key = state.key_pair().unwrap();
        let (start, end) = (Timestamp::from_unix_seconds(1_790_000_000), Timestamp::from_unix_seconds(1_790_000_300));
        let mut params = CertificateParams::default();
        params.serial_number = Some(rcgen::SerialNumber::from_slice(&[0x7f, 0, 0xab]));
        (params.not_before, params.not_after) = (start.to_offset_date_time(), end.to_offset_date_time());
        fs::write(directory.path().join(CERTIFICATE_FILE), params.self_signed(&key).unwrap().pem()).unwrap();
        let two_thirds = start.saturating_add(Duration::from_secs(200));
        let current = state.certificate().unwrap().unwrap();
        assert_eq!((current.serial_number.as_str(), current.renew_after), ("7f00ab", two_thirds), "no record");

        for (serial, renew_after) in [("7f00ab", end), ("7f00ac", two_thirds)] {
            let record = serde_json::json!({
                "cloud": "localhost", "outcome": "renewed", "componentId": "7", "componentName": "k-1", "kind": "machine",
                "customerId": "1", "groupId": "2", "groupName": "HQ", "fingerprint": "device-00000000001",
                "serialNumber": serial, "notBefore": start, "notAfter": end, "renewAfter": end,
            });
            fs::write(directory.path().join(RECORD_FILE), record.to_string()).unwrap();
            let current = state.certificate().unwrap().unwrap();
            assert_eq!(current.renew_after, renew_after, "{serial}");
            assert_eq!(current.record.unwrap().cloud, "localhost", "whom to call is the same");
        }
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
