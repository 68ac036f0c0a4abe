//! A backup knows no engine: of a database that nodes share it goes into a data directory, and back.

use std::process::Command;

use super::{copy_master_key, done, elsewhere, file_of, restore, stderr, with_data_dir};
use crate::support::postgres::Cluster;
use crate::support::{Device, Service};

fn in_database(mut command: Command, url: &str) -> Command {
    command.env("MUSTER_STORE_ENGINE", "postgres").env("MUSTER_STORE_URL", url);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_goes_from_a_database_into_a_data_directory_and_back() {
    let [first, second] = tokio::task::block_in_place(|| [Cluster::shared().database(), Cluster::shared().database()]);
    let config = |url: &str| format!("[store]\nengine = \"postgres\"\nurl = {url:?}\nconnections_max = 8\n");
    let mut lost = Service::start_with(&config(&first.url()));
    lost.create_group("machine", "HQ");
    let key = lost.create_key("machine", "HQ", "k", &["--allow-re-enrollment"]);
    let device = Device::new("device");
    let enrolled = device.enroll(&lost.endpoint(), &key).await;
    assert_eq!(enrolled.text("outcome"), "enrolled");
    let again = device.reinstalled();
    let re_enrolled = again.enroll(&lost.endpoint(), &key).await;
    assert_eq!(re_enrolled.text("outcome"), "re-enrolled");
    let gone = Device::new("gone").enroll(&lost.endpoint(), &key).await;
    lost.cli_ok(&["component", "delete", "--yes", &gone.text("componentId")]);
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("b");
    let back_up = |service: &Service| {
        with_data_dir(&["backup", "--json", "--output", output.to_str().unwrap()], &service.data_dir())
    };
    let made = done(in_database(back_up(&lost), &first.url()));
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!(made["manifest"]["engine"], "postgres");
    assert_eq!(made["manifest"]["findings"], serde_json::json!([]));
    lost.kill();

    let mut embedded = elsewhere(&lost, "");
    done(restore(&file_of(&made), &embedded.data_dir()));
    embedded.assert_healthy();
    embedded.launch();
    let replayed = again.enroll(&embedded.endpoint(), &key).await;
    assert_eq!(replayed.text("certificate"), re_enrolled.text("certificate"));
    let newcomer = Device::new("newcomer").enroll(&embedded.endpoint(), &key).await;
    assert_eq!(newcomer.text("componentName"), "k-3", "names are counted on");
    embedded.assert_healthy();
    let made = done(back_up(&embedded));
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    embedded.kill();

    let mut node = Service::prepare(&config(&second.url()));
    std::fs::create_dir(node.data_dir()).unwrap();
    copy_master_key(&embedded.data_dir(), &node.data_dir());
    done(in_database(restore(&file_of(&made), &node.data_dir()), &second.url()));
    node.launch();
    assert_eq!(again.enroll(&node.endpoint(), &key).await.text("outcome"), "replayed");
    assert_eq!(Device::new("newcomer").enroll(&node.endpoint(), &key).await.text("outcome"), "re-enrolled");
    node.assert_healthy();
    let twice = in_database(restore(&file_of(&made), &node.data_dir()), &second.url()).output().unwrap();
    assert_eq!(twice.status.code(), Some(1));
    assert!(stderr(&twice).contains("is in use by process"), "{}", stderr(&twice));
    node.stop();
    let twice = in_database(restore(&file_of(&made), &node.data_dir()), &second.url()).output().unwrap();
    assert!(stderr(&twice).contains("the database is not empty"), "{}", stderr(&twice));
}
