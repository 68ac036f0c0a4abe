//! `muster key check|export|import|refusals|rotate|uses` against a real service.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;

use super::{asked, enroll_device, error, json, muster, rows, stderr, stdout, with_stdin};
use crate::support::Service;

/// Runs a command that is given a key string on stdin.
fn hand_over(service: &Service, arguments: &[&str], key: &str) -> Output {
    let mut command = muster(arguments);
    command.arg("--data-dir").arg(service.data_dir());
    with_stdin(command, key)
}

#[test]
fn a_rotated_key_has_a_successor_that_enrolls() {
    let service = Service::start();
    service.create_group("app-connector", "HQ");
    service.create_key("app-connector", "HQ", "k", &["--max-uses", "3"]);
    let output = service.cli(&["key", "rotate", "k"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("Key k-2 (id") && stderr(&output).contains("succeeds k"), "{}", stderr(&output));
    enroll_device(&service, &stdout(&output), "new");
    let (old, new) = (asked(&service, &["key", "show", "k"]), asked(&service, &["key", "show", "k-2"]));
    assert_eq!((&old["successorId"], &new["maxUsage"]), (&new["id"], &"3".into()));
    assert_eq!((&old["usageCount"], &new["usageCount"]), (&"0".into(), &"1".into()));
    let made = asked(&service, &["key", "rotate", "k-2", "--name", "next"]);
    assert_eq!((&made["name"], &made["kind"]), (&"next".into(), &"app-connector".into()));
    assert!(made["provisioningKey"].is_string());

    let file = service.dir().join("next-2.json");
    assert_eq!(service.cli_ok(&["key", "rotate", "next", "--json", "--output", file.to_str().unwrap()]), "");
    let made = json(&fs::read_to_string(&file).unwrap());
    assert_eq!((&made["name"], made["provisioningKey"].is_string()), (&"next-2".into(), true));
}

#[test]
fn an_export_writes_a_file_and_an_exhausted_key_is_not_exported() {
    let service = Service::start();
    service.create_group("app-connector", "HQ");
    let string = service.create_key("app-connector", "HQ", "k", &["--max-uses", "1"]);
    let file = service.dir().join("k.txt");
    service.cli_ok(&["key", "export", "k", "--output", file.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(&file).unwrap().trim_end(), string);
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(service.cli_ok(&["key", "export", "k"]), string, "alone on stdout");

    enroll_device(&service, &string, "only");
    assert!(error(&service, &["key", "export", "k"]).contains("nonce.usage.exceeded"));
    service.create_key("app-connector", "HQ", "closed", &["--max-uses", "1", "--no-view"]);
    assert!(error(&service, &["key", "export", "closed"]).contains("not.exportable"));
}

#[test]
fn an_imported_string_is_checked_and_enrolls() {
    let service = Service::start();
    service.create_group("machine", "HQ");
    let string = format!("3|localhost:8443|{}-1234567890123456789", "Ab0/".repeat(30));
    let import = ["key", "import", "--kind", "machine", "--group", "HQ", "--name", "old"];
    let output = hand_over(&service, &import, &string);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let id = stdout(&output).trim_end().to_owned();
    assert_eq!(asked(&service, &["key", "show", "old"])["id"], id.as_str());

    let output = hand_over(&service, &["key", "check", "--key-file", "-"], &format!("{string}\n"));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains(&format!("This is key old (id {id}). A new device would be enrolled")));
    service.cli_ok(&["key", "disable", "old"]);
    let file = service.dir().join("key");
    fs::write(&file, &string).unwrap();
    let output = service.cli(&["key", "check", "--json", "--key-file", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(json(&stdout(&output))["code"], "key-disabled");

    let output = hand_over(&service, &[&import[..7], &["again"]].concat(), &string);
    assert_eq!((output.status.code(), stdout(&output)), (Some(1), String::new()));
    assert!(stderr(&output).contains("duplicate.resource.name"), "{}", stderr(&output));
    assert!(!stderr(&output).contains(&string[20..60]), "{}", stderr(&output));
    for (string, verdict) in [("3|localhost:8443|AAAA", "damaged"), (&*string.replace("Ab0", "Ab1"), "unknown")] {
        let output = hand_over(&service, &["key", "check"], string);
        assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
        assert!(stdout(&output).contains(verdict), "{}", stdout(&output));
    }
    let mut command = muster(&["key", "check", "--data-dir", service.data_dir().to_str().unwrap()]);
    let output = command.env("MUSTER_PROVISIONING_KEY", &string).output().unwrap();
    assert!(stdout(&output).contains("key-disabled"), "{}", stdout(&output));
}

#[test]
fn a_keys_history_is_listed() {
    let service = Service::start();
    service.create_group("machine", "HQ");
    let string = service.create_key("machine", "HQ", "k", &["--max-uses", "2"]);
    let components = ["one", "two"].map(|name| enroll_device(&service, &string, name));
    let table = service.cli_ok(&["key", "uses", "k"]);
    let rows = rows(&table);
    assert_eq!(rows[0][..2], ["TIME", "TYPE"]);
    assert_eq!(rows[1][1..5], ["use", &components[1], "k-2", "127.0.0.1"], "newest first: {table}");
    assert_eq!(asked(&service, &["key", "uses", "k", "--limit", "1"]).as_array().unwrap().len(), 1);
    assert_eq!(service.cli_ok(&["key", "refusals", "k"]).lines().count(), 1, "its titles");
    assert!(error(&service, &["key", "uses", "none"]).contains("there is no provisioning key \"none\""));
}
