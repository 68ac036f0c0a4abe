//! Against a door of its own: real mutual TLS, answers by script, and a state directory that is looked at as after a
//! crash.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::client::enroll;
use crate::client::test_door::{Act, Door};
use crate::clock::SystemClock;
use crate::protocol::enroll::Outcome;

struct Device {
    directory: tempfile::TempDir,
}

impl Device {
    /// Has a certificate; the door's first act makes it.
    async fn enrolled(door: &Door) -> Self {
        let device = Self { directory: tempfile::tempdir().unwrap() };
        let fingerprint = Fingerprint::new("device-00000000001").unwrap();
        let order = enroll::Order {
            key: &door.key(),
            fingerprint: &fingerprint,
            connect: None,
            trust: None,
            hostname: None,
            timeout: Duration::ZERO,
            clock: &SystemClock,
        };
        enroll::enroll(&device.open(), &order, &mut |_| {}).await.unwrap();
        device
    }

    fn open(&self) -> StateDir {
        StateDir::open(self.directory.path()).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn key(&self) -> Vec<u8> {
        fs::read(self.path("key.pem")).unwrap()
    }

    async fn renew(&self, rekey: bool) -> Result<Outcome, EndpointError> {
        let order = Order {
            connect: None,
            trust: None,
            fingerprint: None,
            rekey,
            timeout: Duration::ZERO,
            clock: &SystemClock,
        };
        renew(&self.open(), &order, &mut |_| {}).await.map(|(answer, _)| answer.outcome)
    }

    /// The certificate's serial number; it must be there, with its key.
    fn serial_number(&self) -> String {
        self.open().certificate().unwrap().expect("a certificate and its key").serial_number
    }

    fn has_next_key(&self) -> bool {
        self.path("key.next.pem").exists()
    }
}

#[tokio::test]
async fn a_renewal_shows_the_certificate_and_keeps_the_key() {
    let door = Door::open("localhost", [Act::Answer, Act::Answer]).await;
    let device = Device::enrolled(&door).await;
    let (key, old) = (device.key(), device.open().certificate().unwrap().unwrap());
    assert_eq!(device.renew(false).await.unwrap(), Outcome::Renewed);
    assert_eq!(device.key(), key);
    assert_ne!(device.serial_number(), old.serial_number);
    let seen = door.seen();
    assert_eq!((seen[1].path.as_str(), seen[1].content_type.as_deref()), ("/v1/renew", Some("application/json")));
    assert_eq!(seen[1].shown, Some(old.certificate));
    assert_eq!(seen[1].body.as_object().unwrap().keys().collect::<Vec<_>>(), ["csr"]);
    assert!(!device.has_next_key());
}

#[tokio::test]
async fn a_rekey_leaves_one_key_and_its_certificate() {
    let door = Door::open("localhost", [Act::Answer, Act::Answer]).await;
    let device = Device::enrolled(&door).await;
    let (key, old) = (device.key(), device.serial_number());
    assert_eq!(device.renew(true).await.unwrap(), Outcome::Rekeyed);
    assert_ne!(device.key(), key);
    assert_ne!(device.serial_number(), old);
    assert!(!device.has_next_key());
}

#[tokio::test]
async fn a_lost_answer_is_repaired_by_asking_again() {
    for rekey in [false, true] {
        let door = Door::open("localhost", [Act::Answer, Act::Lose, Act::Cut, Act::Answer]).await;
        let device = Device::enrolled(&door).await;
        let old = device.serial_number();
        for _ in 0..2 {
            let lost = device.renew(rekey).await.unwrap_err();
            assert!(matches!(lost, EndpointError::Unreachable { .. }), "{lost}");
            assert_eq!(device.serial_number(), old);
            assert_eq!(device.has_next_key(), rekey);
        }
        assert_eq!(device.renew(rekey).await.unwrap(), Outcome::Replayed);
        assert_ne!(device.serial_number(), old);
        assert!(!device.has_next_key());
        let seen = door.seen();
        assert_eq!(seen[1].public_key(), seen[3].public_key());
    }
}

#[tokio::test]
async fn a_rekey_that_was_begun_is_finished_by_any_renewal() {
    let door = Door::open("localhost", [Act::Answer, Act::Lose, Act::Answer]).await;
    let device = Device::enrolled(&door).await;
    device.renew(true).await.unwrap_err();
    assert_eq!(device.renew(false).await.unwrap(), Outcome::Replayed);
    assert!(!device.has_next_key());
}

#[tokio::test]
async fn a_rekey_after_a_lost_renewal_takes_up_the_renewal_first() {
    let door = Door::open("localhost", [Act::Answer, Act::Lose, Act::Answer, Act::Answer, Act::Answer]).await;
    let device = Device::enrolled(&door).await;
    let key = device.key();
    device.renew(false).await.unwrap_err();
    assert_eq!(device.renew(true).await.unwrap(), Outcome::Rekeyed);
    assert_ne!(device.key(), key);
    assert_eq!(door.calls(), 5, "superseded, replayed, rekeyed");
}

/// What is in the directory after each step of a rekey's end, and what is made of it.
#[tokio::test]
async fn at_every_point_of_a_rekey_the_certificate_has_its_key() {
    let files = ["chain.pem", "trust-anchors.pem", "server-trust-anchors.pem", "enrollment.json", "cert.pem"];
    for written in 0..=files.len() {
        let door = Door::open("localhost", [Act::Answer, Act::Answer, Act::Answer]).await;
        let device = Device::enrolled(&door).await;
        let (old_key, old) = (device.key(), device.serial_number());
        let before = copy(device.directory.path());
        let next_key = device.open().next_key_pair().unwrap().serialize_pem();
        assert_eq!(device.renew(true).await.unwrap(), Outcome::Rekeyed);
        let new = device.serial_number();

        // The crash: some of the new files are there, and the key has not got its name.
        for name in &files[written..] {
            fs::copy(before.path().join(name), device.path(name)).unwrap();
        }
        fs::write(device.path("key.pem"), &old_key).unwrap();
        fs::write(device.path("key.next.pem"), &next_key).unwrap();

        let is_done = written == files.len();
        assert_eq!(device.serial_number(), if is_done { new.clone() } else { old }, "{written} files were written");
        assert_eq!(device.has_next_key(), !is_done);
        if !is_done {
            assert_eq!(device.renew(false).await.unwrap(), Outcome::Replayed);
            assert_eq!(device.serial_number(), new);
        }
        assert_eq!(device.key(), next_key.as_bytes());
    }
}

fn copy(directory: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

/// Each file in turn cannot be written, as on a full disk; once it can be, the same certificate comes again.
#[tokio::test]
async fn a_directory_that_cannot_be_written_keeps_a_good_certificate() {
    let files = ["key.next.pem", "chain.pem", "enrollment.json", "cert.pem"];
    for name in files {
        let door = Door::open("localhost", [Act::Answer, Act::Answer, Act::Answer]).await;
        let device = Device::enrolled(&door).await;
        let old = device.serial_number();
        let in_the_way = device.path(&format!(".{name}.new"));
        fs::create_dir(&in_the_way).unwrap();
        let failed = device.renew(true).await.unwrap_err();
        assert!(matches!(failed, EndpointError::State(StateError::Io { .. })), "{name}: {failed}");
        assert_eq!(device.serial_number(), old, "{name}");
        fs::remove_dir(&in_the_way).unwrap();
        let outcome = if name == "key.next.pem" { Outcome::Rekeyed } else { Outcome::Replayed };
        assert_eq!(device.renew(true).await.unwrap(), outcome, "{name}");
        assert_ne!(device.serial_number(), old);
    }
}

#[tokio::test]
async fn the_anchors_that_came_last_are_trusted_and_no_others() {
    let door = Door::open("localhost", [Act::Answer, Act::Answer]).await;
    let device = Device::enrolled(&door).await;
    let other = Door::open("localhost", []).await;
    let device_elsewhere = Order {
        connect: Some(HostPort::from(other.address)),
        trust: None,
        fingerprint: None,
        rekey: false,
        timeout: Duration::ZERO,
        clock: &SystemClock,
    };
    let error = renew(&device.open(), &device_elsewhere, &mut |_| {}).await.unwrap_err();
    assert!(matches!(error, EndpointError::NotTrusted { .. }), "{error}");
    assert_eq!(other.calls(), 0);
    assert_eq!(device.renew(false).await.unwrap(), Outcome::Renewed);
}

#[tokio::test]
async fn an_answer_that_is_not_ours_is_not_kept() {
    for act in [Act::AnswerOther, Act::AnswerBelowOther] {
        let door = Door::open("localhost", [Act::Answer, act]).await;
        let device = Device::enrolled(&door).await;
        let old = device.serial_number();
        let error = device.renew(true).await.unwrap_err();
        assert!(matches!(error, EndpointError::Answer(_)), "{error}");
        assert_eq!(device.serial_number(), old);
    }
}

#[tokio::test]
async fn without_a_certificate_or_a_record_nobody_is_called() {
    let door = Door::open("localhost", [Act::Answer]).await;
    let device = Device::enrolled(&door).await;
    fs::remove_file(device.path("enrollment.json")).unwrap();
    let error = device.renew(false).await.unwrap_err();
    assert!(matches!(error, EndpointError::State(StateError::NoRecord { .. })), "{error}");
    fs::remove_file(device.path("cert.pem")).unwrap();
    let error = device.renew(false).await.unwrap_err();
    assert!(matches!(error, EndpointError::State(StateError::NoCertificate { .. })), "{error}");
    assert_eq!(door.calls(), 1);
}

#[tokio::test]
async fn the_difference_of_the_clocks_is_recorded() {
    let door = Door::open("localhost", [Act::Answer, Act::Answer]).await;
    let device = Device::enrolled(&door).await;
    door.set_ahead(3_600);
    device.renew(false).await.unwrap();
    let record = device.open().certificate().unwrap().unwrap().record.unwrap();
    assert!((3_599..=3_601).contains(&record.clock_difference), "{}", record.clock_difference);
}
