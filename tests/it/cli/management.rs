//! `muster group …` and `muster key …` against a real service.

use serde_json::Value;

use super::{stderr, stdout};
use crate::support::Service;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The sentence after `error: ` of a command that must fail with exit code 1.
fn error(service: &Service, arguments: &[&str]) -> String {
    let output = service.cli(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", stderr(&output));
    assert_eq!(stdout(&output), "", "{arguments:?}");
    let text = stderr(&output);
    text.strip_prefix("error: ").unwrap_or_else(|| panic!("{arguments:?}: {text}")).trim_end().to_owned()
}

#[test]
fn groups_are_made_and_listed() {
    let service = Service::start();
    let id = service.cli_ok(&["group", "create", "--kind", "app-connector", "--name", "HQ", "--description", "first"]);
    assert!(id.parse::<u64>().is_ok_and(|id| id > 0), "{id}");
    let made = json(&service.cli_ok(&[
        "group",
        "create",
        "--kind",
        "machine",
        "--name",
        "Kiosks",
        "--disabled",
        "--signing-cert",
        "Root",
        "--json",
    ]));
    assert_eq!((&made["kind"], &made["name"], &made["enabled"]), (&"machine".into(), &"Kiosks".into(), &false.into()));

    let table = service.cli_ok(&["group", "list"]);
    let rows: Vec<Vec<_>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["ID", "KIND", "NAME", "STATUS", "DESCRIPTION"]);
    assert_eq!(rows[1], [id.as_str(), "app-connector", "HQ", "enabled", "first"]);
    assert_eq!(rows[2][1..], ["machine", "Kiosks", "disabled"]);
    assert_eq!(rows.len(), 3);

    let listed = json(&service.cli_ok(&["group", "list", "--kind", "machine", "--json"]));
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["id"], made["id"]);
    assert_eq!(json(&service.cli_ok(&["group", "list", "--kind", "service-edge", "--json"])), Value::Array(vec![]));
}

#[test]
fn a_key_goes_through_its_life() {
    let service = Service::start();
    service.create_group("app-connector", "HQ");
    let created = service.cli(&[
        "key",
        "create",
        "--kind",
        "app-connector",
        "--group",
        "hq",
        "--name",
        "k 1",
        "--max-uses",
        "10",
        "--expires",
        "30d",
        "--allow-from",
        "192.0.2.0/24",
        "--allow-from",
        "2001:db8::/32",
        "--description",
        "for the attic",
    ]);
    assert_eq!(created.status.code(), Some(0), "{}", stderr(&created));
    let key_string = stdout(&created);
    let secret = key_string.trim_end().strip_prefix("3|localhost:8443|").expect("the key string alone").to_owned();
    assert_eq!((key_string.lines().count(), secret.len()), (1, 96));
    assert!(stderr(&created).contains("It is a secret") && !stderr(&created).contains(&secret[..12]));

    let by_name = service.cli_ok(&["key", "show", "--kind", "app-connector", "K 1", "--json"]);
    let shown = json(&by_name);
    let id = shown["id"].as_str().unwrap().to_owned();
    assert_eq!(service.cli_ok(&["key", "show", &id, "--json"]), by_name);
    assert_eq!(shown.get("provisioningKey"), None);
    let table = service.cli_ok(&["key", "show", &id]);
    for line in [
        "name                 k 1",
        "group                HQ",
        "uses                 0 of 10",
        "allow from           192.0.2.0/24, 2001:db8::/32",
        "description          for the attic",
        &format!("key                  3|localhost:8443|{}...", &secret[..7]),
    ] {
        assert!(table.lines().any(|found| found.trim_end() == line), "{line:?} in {table}");
    }
    let list = service.cli_ok(&["key", "list"]);
    for text in [&table, &list, &by_name, &service.cli_ok(&["key", "list", "--json"])] {
        assert!(!text.contains(&secret[..17]), "no more than the public key id: {text}");
    }
    let rows: Vec<Vec<_>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["ID", "KIND", "NAME", "GROUP", "USES", "STATE", "KEY"]);
    assert_eq!(rows[1][..2], [id.as_str(), "app-connector"]);
    assert_eq!(rows.len(), 2);

    let edited = json(&service.cli_ok(&[
        "key",
        "edit",
        &id,
        "--name",
        "k-2",
        "--max-uses",
        "3",
        "--expires",
        "never",
        "--allow-from-everywhere",
        "--allow-re-enrollment",
        "--disable",
        "--json",
    ]));
    assert_eq!(edited.get("provisioningKey"), None);
    for (member, expected) in [
        ("name", Value::from("k-2")),
        ("maxUsage", "3".into()),
        ("enabled", false.into()),
        ("allowReEnrollment", true.into()),
        ("description", "for the attic".into()),
    ] {
        assert_eq!(edited[member], expected, "{member}");
    }
    let table = service.cli_ok(&["key", "show", "--kind", "app-connector", "k-2"]);
    assert!(
        table.contains("expires              never") && table.contains("allow from           everywhere"),
        "{table}"
    );

    let deleted = service.cli(&["key", "delete", "--kind", "app-connector", "k-2"]);
    assert_eq!((deleted.status.code(), stdout(&deleted)), (Some(0), String::new()));
    assert!(stderr(&deleted).contains("was deleted; its components stay."), "{}", stderr(&deleted));
    assert_eq!(json(&service.cli_ok(&["key", "list", "--json"])), Value::Array(vec![]));
}

#[test]
fn a_key_is_made_without_a_copy_or_short() {
    let service = Service::start();
    service.create_group("machine", "HQ");
    let create = ["key", "create", "--kind", "machine", "--group", "HQ"];
    let made = json(&service.cli_ok(&[&create[..], &["--name", "once", "--no-view", "--json"]].concat()));
    assert_eq!((&made["exportable"], &made["kind"]), (&false.into(), &"machine".into()));
    assert!(made["provisioningKey"].as_str().unwrap().starts_with("3|localhost:8443|"), "shown this once");
    let bare = service.cli_ok(&[&create[..], &["--name", "bare", "--key-version", "1"]].concat());
    assert_eq!(bare.strip_prefix("1|localhost:8443|").map(str::len), Some(48), "{bare}");
}

#[test]
fn errors_are_sentences_and_exit_with_1() {
    let mut service = Service::start();
    service.create_group("app-connector", "HQ");
    service.create_key("app-connector", "HQ", "taken", &["--max-uses", "1"]);
    let create = ["key", "create", "--kind", "app-connector", "--group"];
    let with = |more: &[&'static str]| [&create[..], more].concat();
    for (arguments, expected) in [
        (with(&["Attic", "--name", "k", "--max-uses", "1"]), "there is no app-connector group \"Attic\""),
        (with(&["HQ", "--name", "k"]), "maxUsage"),
        (with(&["HQ", "--name", "Taken", "--max-uses", "1"]), "name"),
        (
            with(&["HQ", "--name", "k", "--max-uses", "1", "--signing-cert", "x"]),
            "there is no signing certificate \"x\"",
        ),
        (with(&["HQ", "--name", "k", "--max-uses", "1", "--allow-from", "here"]), "here"),
        (vec!["key", "show", "4611686018427387904"], "there is no provisioning key with the id 4611686018427387904"),
        (vec!["key", "show", "--kind", "machine", "taken"], "there is no machine provisioning key \"taken\""),
        (vec!["key", "delete", "--kind", "machine", "taken"], "there is no machine provisioning key \"taken\""),
        (vec!["key", "edit", "--kind", "app-connector", "taken", "--name", "bad/name"], "name"),
        (vec!["group", "create", "--kind", "app-connector", "--name", "hq"], "name"),
    ] {
        let told = error(&service, &arguments);
        assert!(told.contains(expected), "{arguments:?}: {told}");
    }
    service.stop();
    let told = error(&service, &["key", "list"]);
    assert!(told.contains("is the service running? (muster serve)"), "{told}");
}
