//! `muster doctor`, beside the service and without it.

use std::fs;

use super::{muster, stderr, stdout};
use crate::support::{Device, Service};

#[tokio::test(flavor = "multi_thread")]
async fn it_checks_a_running_a_stopped_and_a_killed_service() {
    let mut service = Service::start();
    service.create_group("machine", "HQ");
    let key = service.create_key("machine", "HQ", "k", &[]);
    for n in 0..3 {
        assert_eq!(Device::new(&format!("device-{n}")).enroll(&service.endpoint(), &key).await.status, 200);
    }
    service.assert_healthy();
    assert_eq!(service.uses("machine", "k"), 3, "the service was not disturbed");
    service.kill();
    service.assert_healthy();
    service.launch();
    assert!(service.stop().success());
    service.assert_healthy();
    let output = service.cli(&["doctor", "--json"]);
    assert_eq!(stdout(&output), "[]\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_that_is_wrong_is_found_while_serving_and_while_stopped() {
    let mut service = Service::start();
    service.create_group("machine", "HQ");
    let key = service.create_key("machine", "HQ", "k", &[]);
    assert_eq!(Device::new("device").enroll(&service.endpoint(), &key).await.status, 200);
    let database = rusqlite::Connection::open(service.data_dir().join("muster.db")).unwrap();
    assert_eq!(database.execute("UPDATE key_counters SET uses = uses + 1", []).unwrap(), 1);
    drop(database);
    for is_serving in [true, false] {
        if !is_serving {
            assert!(service.stop().success());
        }
        let output = service.cli(&["doctor"]);
        assert_eq!(output.status.code(), Some(1), "serving: {is_serving}: {}", stderr(&output));
        assert!(stderr(&output).ends_with("1 found.\n"), "{}", stderr(&output));
        assert_eq!(stdout(&output).lines().count(), 1, "{}", stdout(&output));
        let json: Vec<String> = serde_json::from_str(&stdout(&service.cli(&["doctor", "--json"]))).unwrap();
        assert_eq!(format!("{}\n", json[0]), stdout(&output));
    }
}

#[test]
fn keys_under_a_pepper_that_is_not_there_are_found() {
    let service = Service::start();
    service.create_group("machine", "HQ");
    service.create_key("machine", "HQ", "k", &[]);
    let database = rusqlite::Connection::open(service.data_dir().join("muster.db")).unwrap();
    assert_eq!(database.execute("UPDATE provisioning_keys SET pepper = 9", []).unwrap(), 1);
    drop(database);
    let output = service.cli(&["doctor"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let told = "digests: 1 provisioning keys and 0 API clients are under pepper number 9, which is not there\n";
    assert_eq!(stdout(&output), told);
    assert!(stderr(&output).contains("Now: muster key rotate ID"), "{}", stderr(&output));
}

/// Overwrites the beginning of a table's first page.
fn damage(service: &Service, table: &str) {
    use std::os::unix::fs::FileExt as _;
    let path = service.data_dir().join("muster.db");
    let database = rusqlite::Connection::open(&path).unwrap();
    let root = "SELECT (rootpage - 1) * (SELECT page_size FROM pragma_page_size) FROM sqlite_schema WHERE name = ?1";
    let at = database.query_row(root, [table], |row| row.get::<_, u64>(0)).unwrap();
    database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(database);
    fs::OpenOptions::new().write(true).open(path).unwrap().write_all_at(&[0xff; 100], at).unwrap();
}

#[test]
fn a_damaged_page_is_told_with_what_to_do_and_backed_up_all_the_same() {
    // What the checks read, what is only counted, and what the checks need: the audit log's key.
    for (table, is_checked) in [("components", true), ("customers", true), ("secrets", false)] {
        let mut service = Service::start();
        service.create_group("machine", "HQ");
        service.stop();
        damage(&service, table);
        let output = service.cli(&["doctor"]);
        assert_eq!(output.status.code(), Some(1), "{table}: {}", stderr(&output));
        assert!(stdout(&output).starts_with("store: "), "{table}: {}", stdout(&output));
        assert!(stderr(&output).contains("store: the file or the database is damaged"), "{table}: {}", stderr(&output));
        let file = service.dir().join("backup");
        let output = service.cli(&["backup", "--output", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1), "{table}: {}", stderr(&output));
        assert_eq!(
            stderr(&output).contains("The backup was made all the same"),
            is_checked,
            "{table}: {}",
            stderr(&output)
        );
        assert_eq!(file.exists(), is_checked, "{table}");
    }
}

#[test]
fn without_a_store_or_its_master_key_it_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    let doctor = || muster(&["doctor", "--data-dir", data_dir.to_str().unwrap()]).output().unwrap();
    let output = doctor();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with("error: "), "{}", stderr(&output));
    assert!(!data_dir.exists(), "looking makes nothing");

    let init = muster(&["init", "--data-dir", data_dir.to_str().unwrap()]).output().unwrap();
    assert_eq!(init.status.code(), Some(0), "{}", stderr(&init));
    fs::rename(data_dir.join("master.key"), directory.path().join("elsewhere")).unwrap();
    let output = doctor();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("its master key is not here"), "{}", stderr(&output));
    fs::write(data_dir.join("master.key"), format!("1 {}\n", "5a".repeat(32))).unwrap();
    let output = doctor();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("Is this the master key"), "{}", stderr(&output));
}
