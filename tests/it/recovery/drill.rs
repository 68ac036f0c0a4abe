//! The restore drill: devices enroll while the backup is made, the machine is lost, and all goes on elsewhere.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::support::service::muster;
use crate::support::{Device, Service};

use super::{back_up, copy_master_key, done, elsewhere, file_of, restore, stderr, with_data_dir};

/// Devices that come one after the other on each of these lines.
const LINES: usize = 4;

/// Enrolled before the backup begins, and once more after it has ended.
const ENOUGH: usize = 12;

/// A device's command with its state directory in the test's.
fn device_command(service: &Service, verb: &str, state: &str, directory: &std::path::Path) -> Command {
    let mut command = muster();
    command
        .args([verb, "--timeout", "0", "--connect", &service.enroll.to_string(), "--state-dir"])
        .arg(directory.join(state));
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_goes_on_elsewhere_from_a_backup_made_under_load() {
    let mut lost = Service::start();
    lost.create_group("machine", "HQ");
    let key = lost.create_key("machine", "HQ", "k", &[]);
    let disabled_later = lost.create_key("machine", "HQ", "later", &[]);
    let directory = tempfile::tempdir().unwrap();
    let key_file = directory.path().join("key");
    std::fs::write(&key_file, &key).unwrap();
    let mut enroll = device_command(&lost, "enroll", "agent", directory.path());
    enroll.args(["--fingerprint", "a-device-with-a-state-directory", "--key-file"]).arg(&key_file);
    done(enroll);

    // Each line of devices enrolls until it is told to stop.
    let (is_over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let lines: Vec<_> = (0..LINES)
        .map(|line| {
            let (endpoint, key) = (lost.endpoint(), key.clone());
            let (is_over, answered) = (Arc::clone(&is_over), Arc::clone(&answered));
            tokio::spawn(async move {
                let mut devices = Vec::new();
                while !is_over.load(Ordering::SeqCst) {
                    let device = Device::new(&format!("load-{line}-{}", devices.len()));
                    let answer = device.enroll(&endpoint, &key).await;
                    assert_eq!(answer.status, 200, "{}", answer.body);
                    devices.push((device, answer, answered.fetch_add(1, Ordering::SeqCst)));
                }
                devices
            })
        })
        .collect();
    let until = |count: usize| {
        while answered.load(Ordering::SeqCst) < count {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    };
    until(ENOUGH);
    let before = answered.load(Ordering::SeqCst);
    let backed_up = back_up(&lost, directory.path());
    let after = answered.load(Ordering::SeqCst);
    until(after + ENOUGH);
    is_over.store(true, Ordering::SeqCst);
    let mut devices = Vec::new();
    for line in lines {
        devices.extend(line.await.expect("a line of devices ends well"));
    }
    let components = backed_up["manifest"]["counts"]["components"].as_u64().unwrap() as usize;
    assert!((before..=after + LINES + 1).contains(&components), "{before}..{after}: {components}");
    lost.cli_ok(&["key", "disable", "--kind", "machine", "later"]);
    lost.kill();

    let mut service = elsewhere(&lost, "");
    let told = stderr(&done(restore(&file_of(&backed_up), &service.data_dir())));
    assert!(told.contains("The store is in place") && told.contains("Next: muster serve"), "{told}");
    service.assert_healthy();
    service.launch();
    let endpoint = service.endpoint();
    let known: BTreeSet<_> = devices.iter().map(|(_, answer, _)| answer.text("componentId")).collect();
    let (mut replayed, mut enrolled) = (0, 0);
    for (device, first, number) in &devices {
        let again = device.enroll(&endpoint, &key).await;
        match again.text("outcome").as_str() {
            "replayed" => {
                assert_eq!(again.text("certificate"), first.text("certificate"));
                replayed += 1;
            }
            "enrolled" => {
                assert!(*number >= before, "what was answered before the backup is in it");
                let id = again.text("componentId");
                assert!(!known.contains(&id), "{id} is in a certificate that another device may hold");
                assert_ne!(again.text("serialNumber"), first.text("serialNumber"));
                enrolled += 1;
            }
            other => panic!("{other}: {}", again.body),
        }
    }
    // The one with a state directory is the other component of the backup.
    assert_eq!((replayed, enrolled), (components - 1, devices.len() - replayed));
    assert!(enrolled >= ENOUGH, "some came after the backup");
    let mut renew = device_command(&service, "renew", "agent", directory.path());
    renew.arg("--force");
    done(renew);
    let newcomer = Device::new("newcomer").enroll(&endpoint, &disabled_later).await;
    assert_eq!(newcomer.text("outcome"), "enrolled", "what was disabled after the backup has to be disabled again");
    service.assert_healthy();
    let events = done(with_data_dir(&["audit", "verify"], &service.data_dir()));
    assert!(stderr(&events).is_empty() || !stderr(&events).contains("error"), "{}", stderr(&events));

    // From the second life another backup is made, and so on.
    let second = back_up(&service, directory.path());
    assert_eq!(second["manifest"]["counts"]["components"].as_u64().unwrap() as usize, devices.len() + 2);
    service.stop();
    let third = Service::prepare("");
    std::fs::create_dir(third.data_dir()).unwrap();
    copy_master_key(&service.data_dir(), &third.data_dir());
    done(restore(&file_of(&second), &third.data_dir()));
    third.assert_healthy();
}

/// Whoever was signed in has to sign in again: a sign-out after the backup would be unknown.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_end_with_the_store_that_gave_them_and_credentials_go_on() {
    let mut lost = Service::start();
    let credentials = lost.api_client();
    let member = |name: &str| credentials[name].as_str().unwrap().to_owned();
    let directory = tempfile::tempdir().unwrap();
    let backed_up = back_up(&lost, &directory.path().join("b"));
    lost.stop();
    let mut service = elsewhere(&lost, "");
    done(restore(&file_of(&backed_up), &service.data_dir()));
    service.launch();
    let mut create = with_data_dir(&["group", "create", "--kind", "machine", "--name", "After"], &service.data_dir());
    create.env("MUSTER_CLIENT_ID", member("clientId")).env("MUSTER_CLIENT_SECRET", member("clientSecret"));
    done(create);
    service.stop();
    let recovered = done(with_data_dir(&["admin", "recover"], &service.data_dir()));
    assert!(stderr(&recovered).contains("has a new password"), "{}", stderr(&recovered));
    let log = rusqlite::Connection::open(service.data_dir().join("muster.db")).unwrap();
    let restored: u64 = log
        .query_row("SELECT count(*) FROM audit_events WHERE action = 'restore' AND customer_id = 0", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(restored, 1);
}
