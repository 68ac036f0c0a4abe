//! What a backup is, and what is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::{back_up, done, elsewhere, file_of, names_in, refused, restore, stderr, with_data_dir};
use crate::support::{Device, Service};

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_one_file_for_its_owner_and_is_remembered() {
    let service = Service::start();
    service.create_group("machine", "HQ");
    let key = service.create_key("machine", "HQ", "k", &[]);
    assert_eq!(Device::new("device").enroll(&service.endpoint(), &key).await.status, 200);
    let doctor = || stderr(&done(with_data_dir(&["doctor"], &service.data_dir())));
    assert!(doctor().contains("last backup: none was made"), "{}", doctor());
    assert_eq!(service.metric("muster_last_backup_timestamp_seconds"), 0.0);

    let directory = tempfile::tempdir().unwrap();
    let named = back_up(&service, directory.path());
    let file = file_of(&named);
    let name = file.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("muster-20") && name.ends_with("Z.backup") && !name.contains(':'), "{name}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&file).unwrap().len(), named["bytes"].as_u64().unwrap());
    let manifest = &named["manifest"];
    assert_eq!(manifest["engine"], "embedded");
    assert_eq!(manifest["schema"], 1);
    assert_eq!(manifest["counts"]["uses"], 1);
    assert_eq!(manifest["findings"], serde_json::json!([]));
    assert!(doctor().contains(&format!("last backup: {}", manifest["madeAt"].as_str().unwrap())), "{}", doctor());
    let is_told = || (service.metric("muster_last_backup_timestamp_seconds") > 1.7e9).then_some(());
    crate::support::eventually("the metric", is_told);

    // A fixed name is replaced, another program's file is not.
    let fixed = directory.path().join("fixed");
    back_up(&service, &fixed);
    back_up(&service, &fixed);
    let output = service.data_dir().join("muster.db");
    let taken = refused(with_data_dir(&["backup", "--output", output.to_str().unwrap()], &service.data_dir()));
    assert!(taken.contains("is there and is no backup"), "{taken}");
    assert_eq!(names_in(directory.path()), ["fixed", name], "nothing else is left");
    service.assert_healthy();
}

#[test]
fn a_restore_needs_a_whole_backup_the_master_key_and_an_empty_place() {
    let mut service = Service::start();
    let directory = tempfile::tempdir().unwrap();
    let backup = file_of(&back_up(&service, &directory.path().join("b")));
    let held = refused(restore(&backup, &service.data_dir()));
    assert!(held.contains("is in use by process"), "{held}");
    service.stop();
    let not_empty = refused(restore(&backup, &service.data_dir()));
    assert!(not_empty.contains("a backup is restored where no store is"), "{not_empty}");

    let other = elsewhere(&service, "");
    let data_dir = other.data_dir();
    let whole = fs::read(&backup).unwrap();
    let damaged = directory.path().join("damaged");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let cases: [(&[u8], &str); 3] = [
        (&whole[..whole.len() - 9], "lacks its end"),
        (&flipped, "is damaged"),
        (b"something else", "is no backup of muster"),
    ];
    for (bytes, reason) in cases {
        fs::write(&damaged, bytes).unwrap();
        let told = refused(restore(&damaged, &data_dir));
        assert!(told.contains(reason), "{told}");
    }
    let missing = refused(restore(&directory.path().join("nowhere"), &data_dir));
    assert!(missing.contains("No such file"), "{missing}");

    fs::rename(data_dir.join("master.key"), directory.path().join("master.key")).unwrap();
    let sealed = refused(restore(&backup, &data_dir));
    assert!(sealed.contains("its master key is not here") && sealed.contains(data_dir.to_str().unwrap()), "{sealed}");
    for (id, reason) in [("1", "Is this the master key"), ("7", "sealed by master key \"1\"")] {
        fs::write(data_dir.join("master.key"), format!("{id} {}\n", "5a".repeat(32))).unwrap();
        let wrong = refused(restore(&backup, &data_dir));
        assert!(wrong.contains(reason), "{wrong}");
    }
    // What is left of another store would be taken for this one's.
    fs::copy(directory.path().join("master.key"), data_dir.join("master.key")).unwrap();
    fs::write(data_dir.join("muster.db-wal"), "left").unwrap();
    let left = refused(restore(&backup, &data_dir));
    assert!(left.contains("muster.db-wal is there"), "{left}");
    fs::remove_file(data_dir.join("muster.db-wal")).unwrap();
    assert_eq!(names_in(&data_dir), ["lock", "master.key"], "nothing is left of what was refused");
    done(restore(&backup, &data_dir));
    assert_eq!(names_in(&data_dir), ["lock", "master.key", "muster.db"]);
    other.assert_healthy();
}

#[test]
fn a_store_that_is_not_sound_is_backed_up_and_restored_only_if_accepted() {
    let mut service = Service::start();
    service.create_group("machine", "HQ");
    service.create_key("machine", "HQ", "k", &[]);
    service.stop();
    let database = rusqlite::Connection::open(service.data_dir().join("muster.db")).unwrap();
    assert_eq!(database.execute("UPDATE key_counters SET uses = uses + 1", []).unwrap(), 1);
    drop(database);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("b");
    let told = refused(with_data_dir(&["backup", "--output", file.to_str().unwrap()], &service.data_dir()));
    assert!(told.contains("I1: key ") && told.contains("The backup was made all the same"), "{told}");

    let other = elsewhere(&service, "");
    let told = refused(restore(&file, &other.data_dir()));
    assert!(told.contains("is not sound") && told.contains("--accept-findings"), "{told}");
    let mut accept = restore(&file, &other.data_dir());
    accept.arg("--accept-findings");
    let accepted = done(accept);
    assert!(stderr(&accepted).starts_with("I1: key "), "{}", stderr(&accepted));
    assert!(other.data_dir().join("muster.db").exists());
}
