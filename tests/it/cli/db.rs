//! `muster db`, and what other commands say of a database.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use super::{json, muster, stderr, stdout};
use crate::support::postgres::{Cluster, Database, Durability};
use crate::support::{Device, Service};

/// A configuration that names the database.
fn store(url: &str) -> String {
    format!("[store]\nengine = \"postgres\"\nurl = {url:?}\nconnections_max = 8\n")
}

/// The program with a data directory and a database, by its variables.
fn with_store(arguments: &[&str], data_dir: &Path, url: &str) -> Command {
    let mut command = muster(arguments);
    command.arg("--data-dir").arg(data_dir).env("MUSTER_STORE_ENGINE", "postgres").env("MUSTER_STORE_URL", url);
    command
}

fn done(mut command: Command) -> Output {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    output
}

/// What it said when it failed.
fn refused(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    stderr(&output)
}

fn database() -> Database {
    tokio::task::block_in_place(|| Cluster::shared().database())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_moves_with_its_devices() {
    let mut service = Service::start();
    service.create_group("machine", "HQ");
    let key = service.create_key("machine", "HQ", "k", &["--max-uses", "2"]);
    let device = Device::new("device");
    let enrolled = device.enroll(&service.endpoint(), &key).await;
    assert_eq!(enrolled.text("outcome"), "enrolled");
    let database = database();
    let data_dir = service.data_dir();
    let from = data_dir.to_str().unwrap();
    let import = |arguments: &[&str]| {
        with_store(&[&["db", "import", "--from", from], arguments].concat(), &data_dir, &database.url())
    };
    let held = refused(import(&[]));
    assert!(held.contains("is in use by process"), "{held}");
    assert!(service.stop().success());

    let imported = done(import(&["--json"]));
    let told = stderr(&imported);
    assert!(told.contains("components: 1\n") && told.contains("counted and checked"), "{told}");
    let imported = json(&stdout(&imported));
    assert_eq!(imported["putAside"], data_dir.join("muster.db.imported").to_str().unwrap());
    assert!(imported["rows"].as_u64().unwrap() > 10, "{imported}");
    let again = refused(import(&[]));
    assert!(again.contains("there is no store at"), "{again}");

    service.configure(&store(&database.url()));
    service.launch();
    assert!(!service.log().contains("joined"), "it is the same node: {}", service.log());
    assert!(service.log().contains("fsync is off"), "{}", service.log());
    let again = device.enroll(&service.endpoint(), &key).await;
    assert_eq!(again.text("outcome"), "replayed");
    assert_eq!(again.text("certificate"), enrolled.text("certificate"));
    assert_eq!(service.uses("machine", "k"), 1);
    assert_eq!(Device::new("second").enroll(&service.endpoint(), &key).await.text("outcome"), "enrolled");
    assert_eq!(Device::new("third").enroll(&service.endpoint(), &key).await.code(), "key-exhausted");
    service.assert_healthy();
    done(with_store(&["audit", "verify"], &data_dir, &database.url()));
    let recovered = done(with_store(&["admin", "recover"], &data_dir, &database.url()));
    assert!(stderr(&recovered).contains("has a new password"), "beside the service: {}", stderr(&recovered));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_needs_a_store_a_database_and_the_master_key() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (directory.path().join("old"), directory.path().join("new"));
    let database = database();
    let from = old.to_str().unwrap();
    let import = || with_store(&["db", "import", "--from", from], &new, &database.url());
    let missing = refused(import());
    assert!(missing.contains("there is no store at"), "{missing}");
    done(muster(&["init", "--data-dir", from]));
    let sealed = refused(import());
    assert!(sealed.contains("its master key is not here") && sealed.contains(new.to_str().unwrap()), "{sealed}");
    let embedded = refused(muster(&["db", "import", "--from", from, "--data-dir", from]));
    assert!(embedded.contains("engine = \"postgres\""), "{embedded}");

    fs::create_dir(&new).unwrap();
    fs::copy(old.join("master.key"), new.join("master.key")).unwrap();
    done(import());
    let is_there = done(with_store(&["init"], &new, &database.url()));
    assert!(stderr(&is_there).contains("joined the service"), "{}", stderr(&is_there));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_is_made_once() {
    let directory = tempfile::tempdir().unwrap();
    let database = database();
    let migrate =
        |arguments: &[&str]| with_store(&[&["db", "migrate"], arguments].concat(), directory.path(), &database.url());
    let missing = refused(with_store(&["doctor"], directory.path(), &database.url()));
    assert!(missing.contains("there is no store in the database"), "{missing}");
    assert_eq!(json(&stdout(&done(migrate(&["--json"])))), serde_json::json!({ "from": 0, "to": 1 }));
    let again = done(migrate(&[]));
    assert_eq!(stderr(&again), "The database has schema 1; nothing was to be done.\n");
    database.query("UPDATE schema_versions SET version = 7, compatible_with = 7");
    let newer = refused(migrate(&[]));
    assert!(newer.contains("has schema 7") && newer.contains("a newer version of muster"), "{newer}");

    let embedded = done(muster(&["db", "migrate", "--json", "--data-dir", directory.path().to_str().unwrap()]));
    assert_eq!(json(&stdout(&embedded)), Value::Null);
    assert!(stderr(&embedded).contains("when it starts"), "{}", stderr(&embedded));
    database.query("DROP TABLE schema_versions");
    let foreign = refused(migrate(&[]));
    assert!(foreign.contains("another program's tables"), "{foreign}");
}

/// A database as one should be, then with a connection that does not wait for the disk.
#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_knows_how_a_database_keeps_what_it_has() {
    let directory = tempfile::tempdir().unwrap();
    let cluster = tokio::task::block_in_place(|| Cluster::start(Durability::Disk));
    let database = tokio::task::block_in_place(|| cluster.database());
    done(with_store(&["init"], directory.path(), &database.url()));
    let healthy = done(with_store(&["doctor"], directory.path(), &database.url()));
    let told = stderr(&healthy);
    assert!(told.contains("database: no standby is waited for") && told.contains(", schema 1\n"), "{told}");
    assert_eq!(stdout(&healthy), "");

    let hasty = format!("{}&options=-c%20synchronous_commit%3Doff", database.url());
    let output = with_store(&["doctor"], directory.path(), &hasty).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).starts_with("database: synchronous_commit is off"), "{}", stdout(&output));
    assert!(stderr(&output).ends_with("1 found.\n"), "{}", stderr(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_first_starts_with_keys_of_their_own_one_is_done() {
    let directory = tempfile::tempdir().unwrap();
    let database = database();
    let nodes = ["a", "b"].map(|name| directory.path().join(name));
    let begun = nodes.each_ref().map(|data_dir| {
        let mut command = with_store(&["init"], data_dir, &database.url());
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
    });
    let ended = begun.map(|child| child.wait_with_output().unwrap());
    let (first, second) = if ended[0].status.success() { (0, 1) } else { (1, 0) };
    assert_eq!(ended[first].status.code(), Some(0), "{} {}", stderr(&ended[0]), stderr(&ended[1]));
    assert_eq!(ended[second].status.code(), Some(1), "{}", stderr(&ended[second]));
    let told = stderr(&ended[second]);
    assert!(told.contains("its master key is not here") && told.contains("another node"), "{told}");
    let left = |data_dir: &Path| -> Vec<String> {
        let entries = fs::read_dir(data_dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = entries.collect();
        names.sort();
        names
    };
    assert_eq!(
        left(&nodes[first]),
        ["api-client.json", "first-start.json", "lock", "master.key", "tls-trust-anchor.pem"]
    );
    assert_eq!(left(&nodes[second]), ["lock"], "nothing that was never good");
    assert_eq!(database.query("SELECT count(*) FROM customers"), "1");

    // With the key of the other it is a node like any.
    fs::copy(nodes[first].join("master.key"), nodes[second].join("master.key")).unwrap();
    let joined = done(with_store(&["init"], &nodes[second], &database.url()));
    let told = stderr(&joined);
    assert!(told.contains("joined the service") && told.contains("MUSTER_CLIENT_SECRET_FILE"), "{told}");
    assert_eq!(left(&nodes[second]), ["lock", "master.key", "tls-trust-anchor.pem"]);
    let anchor = |data_dir: &Path| fs::read(data_dir.join("tls-trust-anchor.pem")).unwrap();
    assert_eq!(anchor(&nodes[0]), anchor(&nodes[1]));
    let again = done(with_store(&["init"], &nodes[second], &database.url()));
    assert!(stderr(&again).contains("was initialized before"), "{}", stderr(&again));
    let commands = refused(muster(&["key", "list", "--data-dir", nodes[second].to_str().unwrap()]));
    assert!(commands.contains("MUSTER_CLIENT_ID"), "{commands}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_node_in_the_same_data_directory_is_refused() {
    let database = database();
    let service = Service::start_with(&store(&database.url()));
    let second = with_store(&["init"], &service.data_dir(), &database.url());
    let told = refused(second);
    assert!(told.contains(&format!("is in use by process {}", service.pid())), "{told}");
}

/// Wherever it may come up: it holds the password.
#[tokio::test(flavor = "multi_thread")]
async fn the_address_of_a_database_is_shown_nowhere() {
    let database = database();
    let url = database.url();
    let password = url.split([':', '@']).nth(2).expect("postgres://user:password@…").to_owned();
    let mut service = Service::start_with(&format!("{}[log]\nlevel = \"trace\"\n", store(&url)));
    let mut seen = String::new();
    for arguments in [&["config", "check"][..], &["doctor"], &["db", "migrate"]] {
        let output = with_store(arguments, &service.data_dir(), &url).output().unwrap();
        seen += &[stdout(&output), stderr(&output)].concat();
    }
    for wrong in [url.replace("sslmode=disable", "sslmode=allow"), url.replace("127.0.0.1", "127.0.0.1:x")] {
        seen += &refused(with_store(&["doctor"], &service.data_dir(), &wrong));
    }
    service.stop();
    seen += &service.log();
    for said in ["url = \"...\" # MUSTER_STORE_URL\n", "sslmode disable, prefer", "cannot be used", "Muster is up"] {
        assert!(seen.contains(said), "{said}: {seen}");
    }
    assert!(!seen.contains(&password), "{seen}");
}
