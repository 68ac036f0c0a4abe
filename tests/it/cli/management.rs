//! `muster group …` and `muster key …` against a real service.

use serde_json::Value;

use super::{asked, error, json, question, rows, stderr, stdout};
use crate::support::Service;

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
    let rows = rows(&table);
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
    let rows = rows(&list);
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

    let deleted = service.cli(&["key", "delete", "--yes", "--kind", "app-connector", "k-2"]);
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
        (
            vec!["key", "show", "4611686018427387904"],
            "there is no provisioning key \"4611686018427387904\"; there are \"taken\"",
        ),
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

#[test]
fn a_group_is_shown_edited_and_deleted() {
    let service = Service::start();
    service.create_group("app-connector", "HQ");
    let id = asked(&service, &["group", "show", "HQ"])["id"].as_str().unwrap().to_owned();
    let edit = ["group", "edit", "HQ", "--name", "HQ 2", "--description", "attic", "--disable"];
    let edited = asked(&service, &[&edit[..], &["--allow-from", "192.0.2.0/24", "--signing-cert", "Root"]].concat());
    assert_eq!(
        (&edited["name"], &edited["enabled"], &edited["ipAcl"], &edited["enrollmentCertName"]),
        (&"HQ 2".into(), &false.into(), &serde_json::json!(["192.0.2.0/24"]), &"Root".into()),
    );
    let shown = service.cli_ok(&["group", "show", &id]);
    for line in ["name                 HQ 2", "enabled              no", "allow from           192.0.2.0/24"] {
        assert!(shown.lines().any(|found| found == line), "{line:?} in {shown}");
    }
    let edited = asked(&service, &["group", "edit", &id, "--enable", "--allow-from-everywhere"]);
    assert_eq!((&edited["enabled"], edited.get("ipAcl")), (&true.into(), None));

    let told = question(&service, &["group", "delete", &id]);
    assert!(told.contains(&format!("Group HQ 2 (id {id}) will be deleted")), "{told}");
    service.cli_ok(&["group", "delete", &id, "--yes"]);
    assert!(error(&service, &["group", "show", &id]).contains("there is no group"));
}

#[test]
fn a_name_of_several_kinds_lists_whom_it_may_mean() {
    let service = Service::start();
    for kind in ["app-connector", "machine"] {
        service.create_group(kind, "HQ");
    }
    service.create_group("machine", "HQ east");
    let told = error(&service, &["group", "show", "hq"]);
    assert!(told.contains("app-connector group") && told.contains("machine group"), "{told}");
    assert_eq!(asked(&service, &["group", "show", "hq", "--kind", "machine"])["kind"], "machine");
    let told = error(&service, &["group", "show", "--kind", "machine", "q e"]);
    assert_eq!(told, "there is no machine group \"q e\"; there are \"HQ east\"");
    let told = error(&service, &["group", "show", "Attic", "--kind", "service-edge"]);
    assert_eq!(told, "there is no service-edge group \"Attic\"");
    // An id is an id, whatever somebody called something else.
    let id = asked(&service, &["group", "show", "HQ east"])["id"].as_str().unwrap().to_owned();
    service.create_group("machine", &id);
    assert_eq!(asked(&service, &["group", "show", &id])["name"], "HQ east");
}

#[test]
fn lists_are_searched_sorted_and_cut() {
    let service = Service::start();
    service.create_group("machine", "HQ");
    for name in ["b 1", "a 1", "c 2"] {
        service.create_key("machine", "HQ", name, &[]);
    }
    let names = |more: &[&str]| {
        let listed = asked(&service, &[&["key", "list"], more].concat());
        let names = listed.as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(names(&[]), ["b 1", "a 1", "c 2"]);
    assert_eq!(names(&["--sort", "name"]), ["a 1", "b 1", "c 2"]);
    assert_eq!(names(&["--sort", "name:desc"]), ["c 2", "b 1", "a 1"]);
    assert_eq!(names(&["--name", " 1", "--sort", "name"]), ["a 1", "b 1"]);
    assert_eq!(names(&["--search", "name STARTSWITH c"]), ["c 2"]);
    assert_eq!(names(&["--limit", "2"]), ["b 1", "a 1"]);
    assert_eq!(names(&["--limit", "1", "--sort", "name:desc"]), ["c 2"]);
    assert_eq!(names(&["--name", "none"]), Vec::<String>::new());
    let table = service.cli_ok(&["key", "list", "--sort", "name"]);
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines.len(), 4, "{table}");
    let end_of_uses = lines[0].find("USES").unwrap() + "USES".len();
    assert!(lines[1..].iter().all(|line| &line[end_of_uses - 1..end_of_uses] == "0"), "at the right: {table}");
    for (arguments, expected) in
        [(["key", "list", "--search", "colour EQ red"], "colour"), (["key", "list", "--sort", "colour"], "sortBy")]
    {
        let told = error(&service, &arguments);
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn whoever_stops_reading_a_list_is_no_failure() {
    let service = Service::start();
    service.create_group("machine", "HQ");
    let mut command = crate::support::service::muster();
    command.args(["group", "list", "--data-dir"]).arg(service.data_dir()).stdout(std::process::Stdio::piped());
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
}

#[test]
fn deletions_say_what_they_affect_and_wait_for_a_yes() {
    let service = Service::start();
    service.create_group("machine", "HQ");
    service.create_key("machine", "HQ", "k", &[]);
    let told = question(&service, &["key", "delete", "k"]);
    assert!(told.contains("Key k (id") && told.contains("uses: 0") && told.contains("components stay"), "{told}");
    assert_eq!(asked(&service, &["key", "list"]).as_array().unwrap().len(), 1, "nothing was deleted");
    service.cli_ok(&["key", "delete", "k", "-y"]);
    assert_eq!(asked(&service, &["key", "list"]), Value::Array(vec![]));
}

#[test]
fn a_key_is_switched_off_and_on() {
    let service = Service::start();
    service.create_group("machine", "HQ");
    service.create_key("machine", "HQ", "k", &["--disabled"]);
    for (verb, state) in [("enable", "active"), ("disable", "disabled")] {
        let output = service.cli(&["key", verb, "k"]);
        assert!(stderr(&output).contains(&format!("was {verb}d.")), "{}", stderr(&output));
        assert_eq!(asked(&service, &["key", "show", "k"])["state"], state);
    }
}

#[test]
fn a_key_string_goes_to_a_new_file_of_its_own() {
    use std::os::unix::fs::PermissionsExt as _;
    let service = Service::start();
    service.create_group("machine", "HQ");
    let file = service.dir().join("provision_key");
    let path = file.to_str().unwrap();
    let create = ["key", "create", "--kind", "machine", "--group", "HQ", "--output", path, "--name"];
    let output = service.cli(&[&create[..], &["bad/name"]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(!file.exists(), "a key that was not made leaves no file");
    let output = service.cli(&[&create[..], &["k"]].concat());
    assert_eq!((output.status.code(), stdout(&output)), (Some(0), String::new()), "{}", stderr(&output));
    let string = std::fs::read_to_string(&file).unwrap();
    assert!(string.starts_with("3|localhost:8443|") && string.ends_with('\n'), "{string}");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let told = error(&service, &[&create[..], &["k2"]].concat());
    assert!(told.contains("provision_key"), "{told}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), string, "it is not overwritten");
    assert_eq!(asked(&service, &["key", "list"]).as_array().unwrap().len(), 1, "and no key was made");
}
