//! A new master key, and what seals what.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{back_up, done, elsewhere, file_of, refused, restore, stderr, with_data_dir};
use crate::support::postgres::Cluster;
use crate::support::{Device, Random, Service, eventually};

/// What `secrets show` says of each master key: its id, and how much it sealed that stays.
fn shown(service: &Service) -> Vec<(String, u64)> {
    let output = done(with_data_dir(&["secrets", "show", "--json"], &service.data_dir()));
    told(&serde_json::from_slice(&output.stdout).expect("JSON"))
}

fn told(report: &Value) -> Vec<(String, u64)> {
    let parts = ["secrets", "keyStrings", "signingKeys", "webhookSecrets"];
    let lasting = |sealed: &Value| parts.map(|part| sealed[part].as_u64().unwrap());
    let keys = report["masterKeys"].as_array().unwrap().iter();
    assert_eq!(lasting(&report["sealedByOthers"]), [0; 4], "{report}");
    keys.map(|key| (key["id"].as_str().unwrap().to_owned(), lasting(&key["sealed"]).iter().sum())).collect()
}

fn rotate(service: &Service) -> Command {
    with_data_dir(&["secrets", "rotate", "--json"], &service.data_dir())
}

/// The file without the master key of this id.
fn forget_line(service: &Service, id: &str) {
    let path = service.data_dir().join("master.key");
    let text = fs::read_to_string(&path).unwrap();
    let kept: Vec<_> = text.lines().filter(|line| !line.starts_with(&format!("{id} "))).collect();
    assert_eq!(kept.len() + 1, text.lines().count());
    fs::write(&path, kept.join("\n") + "\n").unwrap();
}

/// The file without its last line.
fn forget_oldest(service: &Service) {
    let path = service.data_dir().join("master.key");
    let text = fs::read_to_string(&path).unwrap();
    let mut lines: Vec<_> = text.lines().collect();
    lines.pop();
    fs::write(&path, lines.join("\n") + "\n").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_key_is_rotated_while_serving_and_while_stopped() {
    let mut service = Service::start();
    service.create_group("machine", "HQ");
    let key = service.create_key("machine", "HQ", "k", &[]);
    let hook = ["webhook", "create", "--name", "hook", "--url", "https://example.com/", "--event", "key.expiring"];
    service.cli_ok(&hook);
    let device = Device::new("device");
    assert_eq!(device.enroll(&service.endpoint(), &key).await.status, 200);
    let old_backup = back_up(&service, &service.dir().join("old"));
    let before = shown(&service);
    let [(first, all)] = &before[..] else { panic!("one master key: {before:?}") };
    assert_eq!(first, "1");

    let rotated = done(rotate(&service));
    let report: Value = serde_json::from_slice(&rotated.stdout).unwrap();
    assert_eq!(told(&report), [("2".to_owned(), *all), ("1".to_owned(), 0)]);
    let said = stderr(&rotated);
    assert!(
        said.contains("Master key 2 was made") && said.contains("Master key 1 is needed for 3 remembered answers"),
        "{said}"
    );
    let is_told = || service.log().contains("Everything is sealed by the first master key.").then_some(());
    eventually("the service to say so", is_told);
    // What is sealed from now on is sealed by it, and what was is opened.
    let second = service.create_key("machine", "HQ", "second", &[]);
    assert_eq!(shown(&service), [("2".to_owned(), *all + 1), ("1".to_owned(), 0)]);
    assert_eq!(service.cli_ok(&["key", "export", "--kind", "machine", "k"]), key);
    assert_eq!(device.enroll(&service.endpoint(), &key).await.text("outcome"), "replayed");
    assert_eq!(Device::new("second").enroll(&service.endpoint(), &second).await.status, 200);
    service.assert_healthy();

    assert!(service.stop().success());
    assert!(!service.log().contains("The peppers have changed."), "they are sealed anew, and the same");
    forget_oldest(&service);
    let rotated = done(rotate(&service));
    assert!(stderr(&rotated).contains("Master key 3 was made"), "{}", stderr(&rotated));
    assert_eq!(shown(&service), [("3".to_owned(), *all + 1), ("2".to_owned(), 0)]);
    forget_oldest(&service);
    service.launch();
    assert_eq!(service.cli_ok(&["key", "export", "--kind", "machine", "k"]), key);
    assert_eq!(Device::new("third").enroll(&service.endpoint(), &key).await.status, 200);
    service.assert_healthy();
    let log = rusqlite::Connection::open(service.data_dir().join("muster.db")).unwrap();
    let count = "SELECT count(*) FROM audit_events WHERE action = 'reseal'";
    assert_eq!(log.query_row(count, [], |row| row.get::<_, u64>(0)).unwrap(), 2);

    // A line that is still needed is missed, and not forgotten.
    let path = service.data_dir().join("master.key");
    let (both, log) = (fs::read_to_string(&path).unwrap(), || service.log());
    fs::write(&path, format!("4 {}\n", "5a".repeat(32))).unwrap();
    eventually("the service to say so", || {
        log().contains("the line of master key 3 is gone from the file").then_some(())
    });
    assert_eq!(service.cli_ok(&["key", "export", "--kind", "machine", "k"]), key);
    fs::write(&path, both).unwrap();

    // A backup needs the key of its time.
    let other = elsewhere(&service, "");
    let sealed = refused(restore(&file_of(&old_backup), &other.data_dir()));
    assert!(sealed.contains("sealed by master key \"1\", which is not among"), "{sealed}");
}

/// Whether or not a service has the store: who comes next goes on.
#[test]
fn a_rotation_that_is_killed_goes_on() {
    let mut random = Random::seeded();
    let mut service = Service::start();
    service.create_group("machine", "HQ");
    for n in 0..8 {
        service.create_key("machine", "HQ", &format!("k{n}"), &[]);
    }
    service.stop();
    for round in 0..6 {
        let is_served = round % 2 == 1;
        if is_served {
            service.launch();
        }
        let mut child = rotate(&service).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let moment = Duration::from_millis(random.below(400));
        let begun = Instant::now();
        while begun.elapsed() < moment && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = child.kill();
        child.wait().unwrap();
        if is_served {
            service.kill();
        }
        // Whatever became of it, all of it opens, and a start or another rotation finishes it.
        service.assert_healthy();
        if is_served {
            service.launch();
            let first = fs::read_to_string(service.data_dir().join("master.key")).unwrap();
            eventually("everything to be sealed by the first", || {
                let shown = shown(&service);
                let is_first = first.starts_with(&format!("{} ", shown[0].0));
                (is_first && shown.iter().skip(1).all(|(_, sealed)| *sealed == 0)).then_some(())
            });
            service.kill();
        }
    }
    done(rotate(&service));
    assert!(shown(&service).iter().skip(1).all(|(_, sealed)| *sealed == 0), "{:?}", shown(&service));
    service.launch();
    for n in 0..8 {
        service.cli_ok(&["key", "export", "--kind", "machine", &format!("k{n}")]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_have_the_new_master_key_before_the_first_seals_by_it() {
    let database = tokio::task::block_in_place(|| Cluster::shared().database());
    let config = format!("[store]\nengine = \"postgres\"\nurl = {:?}\nconnections_max = 8\n", database.url());
    let one = Service::start_with(&config);
    let mut two = elsewhere(&one, &config);
    two.launch();
    one.create_group("machine", "HQ");
    let key = one.create_key("machine", "HQ", "k", &[]);
    let of = |service: &Service, arguments: &[&str]| {
        let mut command = with_data_dir(arguments, &service.data_dir());
        command.env("MUSTER_STORE_ENGINE", "postgres").env("MUSTER_STORE_URL", database.url());
        command
    };
    let copy = || super::copy_master_key(&one.data_dir(), &two.data_dir());

    let early = refused(of(&one, &["secrets", "rotate"]));
    assert!(early.contains("--prepare"), "{early}");
    for _ in 0..2 {
        let prepared = stderr(&done(of(&one, &["secrets", "rotate", "--prepare"])));
        assert!(prepared.contains("Master key 2 is the last line"), "{prepared}");
    }
    copy();
    eventually("both nodes to read it", || {
        [&one, &two].iter().all(|node| node.log().contains("read anew")).then_some(())
    });
    let rotated = done(of(&one, &["secrets", "rotate", "--json"]));
    let report = told(&serde_json::from_slice(&rotated.stdout).unwrap());
    assert_eq!((report[0].0.as_str(), report[1].1), ("2", 0), "{report:?}");
    // The other node opens what it did not seal, though its own first line is still the old one.
    let credentials = one.api_client();
    let mut export = of(&two, &["key", "export", "--kind", "machine", "k"]);
    export.env("MUSTER_CLIENT_ID", credentials["clientId"].as_str().unwrap());
    export.env("MUSTER_CLIENT_SECRET", credentials["clientSecret"].as_str().unwrap());
    assert_eq!(String::from_utf8(done(export).stdout).unwrap().trim_end(), key);
    // It seals by the new one, too, and does not turn anything back when it begins anew.
    let create = |node: &Service, name: &str| {
        let mut command =
            of(node, &["key", "create", "--kind", "machine", "--group", "HQ", "--max-uses", "5", "--name", name]);
        command.env("MUSTER_CLIENT_ID", credentials["clientId"].as_str().unwrap());
        command.env("MUSTER_CLIENT_SECRET", credentials["clientSecret"].as_str().unwrap());
        command
    };
    let follows = || two.log().contains("The master key file is an older one").then_some(());
    eventually("the other node to follow", follows);
    done(create(&two, "of the other node"));
    let told_of =
        |node: &Service| told(&serde_json::from_slice(&done(of(node, &["secrets", "show", "--json"])).stdout).unwrap());
    let all = report[0].1 + 1;
    assert_eq!(told_of(&one), [("2".to_owned(), all), ("1".to_owned(), 0)]);
    assert!(two.stop().success());
    two.launch();
    done(create(&two, "after a restart"));
    assert_eq!(told_of(&two), [("2".to_owned(), all + 1), ("1".to_owned(), 0)]);
    let shown = stderr(&done(of(&two, &["secrets", "show"])));
    assert!(shown.contains("master.key is an older one here: master key 2 seals"), "{shown}");
    // What is said of the old line is true: it can go, in whichever file.
    forget_line(&two, "1");
    for (n, node) in [&one, &two].into_iter().enumerate() {
        assert_eq!(
            Device::new(&format!("device-{n}")).enroll(&node.endpoint(), &key).await.text("outcome"),
            "enrolled"
        );
    }
    assert!(two.stop().success());
    two.launch();
    // An old mark above a key that seals is no new key.
    let early = refused(of(&two, &["secrets", "rotate"]));
    assert!(early.contains("--prepare"), "{early}");
    let again = refused(of(&one, &["secrets", "rotate"]));
    assert!(again.contains("--prepare"), "{again}");
    one.assert_healthy();
}
