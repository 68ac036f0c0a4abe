//! `muster admin …`, `api-client …`, `customer …`, `audit …` against a real service.

use std::fs;

use super::{asked, error, json, muster, question, rows, stderr, stdout, with_stdin};
use crate::support::Service;

const PASSWORD: &str = "correct horse battery";

/// Runs a command as this administrator.
fn run_as(service: &Service, username: &str, password: &str, arguments: &[&str]) -> std::process::Output {
    let mut command = muster(arguments);
    command.arg("--data-dir").arg(service.data_dir()).env("MUSTER_USERNAME", username);
    command.env("MUSTER_PASSWORD", password).output().unwrap()
}

#[test]
fn an_administrator_goes_through_its_life() {
    let service = Service::start();
    let made = service.cli(&["admin", "create", "--username", "ann", "--role", "operator", "--description", "attic"]);
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    let password = stdout(&made).trim_end().to_owned();
    assert!(password.len() >= 12 && stdout(&made).lines().count() == 1, "the password alone");
    assert!(!stderr(&made).contains(&password), "{}", stderr(&made));
    assert_eq!(run_as(&service, "ann", &password, &["group", "list"]).status.code(), Some(0));

    let table = service.cli_ok(&["admin", "list"]);
    let listed = rows(&table);
    assert_eq!(listed[0][..4], ["ID", "USERNAME", "ROLE", "STATUS"]);
    assert_eq!(listed[1][1..4], ["ann", "operator", "enabled"]);
    let edited = asked(&service, &["admin", "edit", "ann", "--role", "auditor", "--username", "anna"]);
    assert_eq!((&edited["role"], &edited["username"]), (&"auditor".into(), &"anna".into()));
    assert!(service.cli_ok(&["admin", "show", "anna"]).contains("role          auditor"));

    // One's own password, and then the old one is nobody's.
    let file = service.dir().join("password");
    fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    let change = ["admin", "password", "--password-file", file.to_str().unwrap()];
    let changed = run_as(&service, "anna", &password, &change);
    assert_eq!(changed.status.code(), Some(0), "{}", stderr(&changed));
    assert_eq!(run_as(&service, "anna", &password, &["group", "list"]).status.code(), Some(1));
    assert_eq!(run_as(&service, "anna", PASSWORD, &["group", "list"]).status.code(), Some(0));
    let sessions = json(&stdout(&run_as(&service, "anna", PASSWORD, &["admin", "sessions", "anna", "--json"])));
    let others: Vec<_> = sessions.as_array().unwrap().iter().filter(|session| session["current"] == false).collect();
    let ended =
        run_as(&service, "anna", PASSWORD, &["admin", "sessions", "anna", "--end", others[0]["id"].as_str().unwrap()]);
    assert_eq!(ended.status.code(), Some(0), "{}", stderr(&ended));

    // Somebody else's, from stdin.
    let mut command = muster(&["admin", "password", "anna", "--password-file", "-"]);
    command.arg("--data-dir").arg(service.data_dir());
    let set = with_stdin(command, "another long password\n");
    assert_eq!(set.status.code(), Some(0), "{}", stderr(&set));
    assert_eq!(run_as(&service, "anna", "another long password", &["group", "list"]).status.code(), Some(0));

    service.cli_ok(&["admin", "edit", "anna", "--disable"]);
    assert_eq!(run_as(&service, "anna", "another long password", &["group", "list"]).status.code(), Some(1));
    assert!(question(&service, &["admin", "delete", "anna"]).contains("Administrator anna (id"));
    service.cli_ok(&["admin", "delete", "anna", "--yes"]);
    assert!(error(&service, &["admin", "show", "anna"]).starts_with("there is no administrator \"anna\""));
}

#[test]
fn owners_are_customer_0s() {
    let service = Service::start();
    let listed = asked(&service, &["admin", "list", "--customer", "0"]);
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["role"]), (1, &"owner".into()));
    let told = error(&service, &["admin", "create", "--username", "bob", "--role", "owner"]);
    assert!(told.contains("role") || told.contains("403"), "{told}");
    let told = error(&service, &["admin", "password"]);
    assert!(told.contains("a password is needed"), "{told}");
}

#[test]
fn an_api_client_goes_through_its_life() {
    let service = Service::start();
    let file = service.dir().join("secret");
    let create = ["api-client", "create", "--name", "terraform", "--role", "operator", "--managing-as", "Terraform"];
    let made = service.cli(&[&create[..], &["--output", file.to_str().unwrap()]].concat());
    assert_eq!((made.status.code(), stdout(&made)), (Some(0), String::new()), "{}", stderr(&made));
    let shown = asked(&service, &["api-client", "show", "terraform"]);
    let client_id = shown["clientId"].as_str().unwrap();
    assert!(stderr(&made).contains(client_id) && shown.get("clientSecret").is_none(), "{}", stderr(&made));
    assert_eq!((&shown["managing"], &shown["label"]), (&true.into(), &"Terraform".into()));

    let call = || {
        let mut command = muster(&["group", "list", "--data-dir", service.data_dir().to_str().unwrap()]);
        command.env("MUSTER_CLIENT_ID", client_id).env("MUSTER_CLIENT_SECRET_FILE", &file);
        command.output().unwrap().status.code()
    };
    assert_eq!(call(), Some(0));
    assert!(question(&service, &["api-client", "new-secret", "terraform"]).contains("refused at once"));
    let secret = service.cli_ok(&["api-client", "new-secret", "terraform", "--yes"]);
    assert_eq!(call(), Some(1), "the old one");
    fs::write(&file, &secret).unwrap();
    assert_eq!(call(), Some(0), "the new one");

    let edited =
        asked(&service, &["api-client", "edit", "terraform", "--name", "tf", "--role", "auditor", "--disable"]);
    assert_eq!(
        (&edited["name"], &edited["role"], &edited["enabled"]),
        (&"tf".into(), &"auditor".into(), &false.into())
    );
    assert_eq!(call(), Some(1), "it is disabled");
    let table = service.cli_ok(&["api-client", "list", "--name", "tf"]);
    assert!(!table.contains(&secret), "{table}");
    assert!(question(&service, &["api-client", "delete", "tf"]).contains("API client tf"));
    service.cli_ok(&["api-client", "delete", "tf", "--yes"]);
    assert!(error(&service, &["api-client", "show", "tf"]).starts_with("there is no API client \"tf\""));
}

#[test]
fn a_customer_goes_through_its_life() {
    let service = Service::start();
    let id = service.cli_ok(&["customer", "create", "--name", "Second"]);
    let table = service.cli_ok(&["customer", "list", "--name", "second"]);
    assert_eq!(rows(&table)[1][..3], [id.as_str(), "Second", "enabled"]);
    let edited = asked(&service, &["customer", "edit", "Second", "--name", "Third"]);
    assert_eq!(edited["name"], "Third");
    assert!(question(&service, &["customer", "disable", "Third"]).contains("all its devices will be refused"));
    service.cli_ok(&["customer", "disable", "Third", "--yes"]);
    assert!(service.cli_ok(&["customer", "show", "Third"]).contains("enabled   no"));
    service.cli_ok(&["customer", "enable", &id]);
    assert_eq!(asked(&service, &["customer", "show", &id])["enabled"], true);
    let own = asked(&service, &["customer", "show"]);
    assert!(own["id"] != id.as_str() && own["enabled"] == true, "one's own: {own}");
    let told = error(&service, &["customer", "create", "--name", "third"]);
    assert!(told.contains("duplicate.resource.name"), "{told}");
}

#[test]
fn the_audit_log_is_read_and_exported() {
    let service = Service::start();
    service.create_group("machine", "HQ");
    service.create_group("machine", "Attic");
    let table = service.cli_ok(&["audit", "list", "--action", "create", "--search", "objectName EQ hq"]);
    let listed = rows(&table);
    assert_eq!(listed[0], ["NUMBER", "TIME", "ACTOR", "ACTION", "OBJECT"]);
    assert_eq!(listed.len(), 2, "{table}");
    assert!(listed[1].contains(&"HQ"), "{table}");
    assert_eq!(asked(&service, &["audit", "list", "--until", "2020-01-01T00:00:00Z"]), serde_json::json!([]));
    assert_eq!(asked(&service, &["audit", "list", "--limit", "1"]).as_array().unwrap().len(), 1);

    let export = service.cli_ok(&["audit", "export"]);
    let lines: Vec<_> = export.lines().map(json).collect();
    for (index, line) in lines.iter().enumerate() {
        assert_eq!(line["sequence"], (index + 1).to_string());
        assert_eq!(line["mac"].as_str().map(str::len), Some(64));
    }
    let rest = service.cli_ok(&["audit", "export", "--after", &(lines.len() - 1).to_string()]);
    assert_eq!(rest.lines().next().map(json), lines.last().cloned());
}
